"""Nobody reads while readers are kept out, whoever was cancelled before; and work ends when nobody wants it."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.store.readers import Check, Readers, UnwantedError

COUNT = 2
DEADLINE_S = 30


@pytest.fixture
async def readers() -> AsyncIterator[Readers]:
    made = Readers(COUNT)
    async with made.opened():
        yield made


class Room:
    """Work that stays inside until it is let out, and knows how many are in it."""

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self.exit = threading.Event()
        self.inside = 0
        self._lock = threading.Lock()

    def stay(self, _check: Check) -> str:
        with self._lock:
            self.inside += 1
        self.entered.release()
        self.exit.wait(DEADLINE_S)
        with self._lock:
            self.inside -= 1
        return "out"

    async def wait_for_one(self) -> None:
        assert await asyncio.to_thread(self.entered.acquire, timeout=DEADLINE_S)


async def settled() -> None:
    """Let every task go on as far as it can."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_work_gives_its_result_and_what_it_raises(readers: Readers) -> None:
    def divided(check: Check, number: int, *, by: int) -> float:
        check()
        assert threading.current_thread().name.startswith("reader")
        return number / by

    assert await readers.run(divided, 6, by=3) == 2
    with pytest.raises(ZeroDivisionError):
        await readers.run(divided, 6, by=0)


async def test_no_more_work_at_once_than_there_are_places(readers: Readers) -> None:
    room = Room()
    tasks = [asyncio.create_task(readers.run(room.stay)) for _ in range(COUNT + 3)]
    for _ in range(COUNT):
        await room.wait_for_one()
    await settled()
    assert room.inside == COUNT
    room.exit.set()
    assert await asyncio.gather(*tasks) == ["out"] * (COUNT + 3)


async def test_readers_are_kept_out_only_once_the_thread_of_a_cancelled_one_is_out(readers: Readers) -> None:
    room = Room()
    asked = asyncio.create_task(readers.run(room.stay))
    await room.wait_for_one()
    for _ in range(3):
        asked.cancel()
        await settled()
    inside: list[int] = []

    async def keep_out() -> None:
        async with readers.kept_out():
            inside.append(room.inside)

    keeping = asyncio.create_task(keep_out())
    await settled()
    assert inside == []
    room.exit.set()
    await asyncio.wait_for(keeping, DEADLINE_S)
    assert inside == [0]
    await asyncio.wait([asked])
    assert asked.cancelled()


async def test_nobody_begins_while_readers_are_kept_out(readers: Readers) -> None:
    room = Room()
    room.exit.set()
    async with readers.kept_out():
        asked = asyncio.create_task(readers.run(room.stay))
        await settled()
        assert not room.entered.acquire(blocking=False)
    assert await asked == "out"


async def test_two_who_keep_readers_out_take_turns(readers: Readers) -> None:
    async def keep_out() -> None:
        async with readers.kept_out():
            await settled()

    async with asyncio.timeout(DEADLINE_S):
        await asyncio.gather(keep_out(), keep_out(), keep_out())


async def test_work_hears_that_nobody_wants_it_and_the_caller_does_not_hear_of_that(readers: Readers) -> None:
    started = threading.Event()
    ended: list[BaseException] = []

    def endless(check: Check) -> None:
        started.set()
        try:
            while True:
                check()
        except UnwantedError as error:
            ended.append(error)
            raise

    asked = asyncio.create_task(readers.run(endless))
    assert await asyncio.to_thread(started.wait, DEADLINE_S)
    asked.cancel()
    await asyncio.wait_for(asyncio.wait([asked]), DEADLINE_S)
    assert asked.cancelled()
    assert len(ended) == 1


async def test_a_turn_is_kept_between_two_pieces_of_work(readers: Readers) -> None:
    async with readers.turn() as turn:
        assert await turn.run(lambda _check: 1) == 1
        others = [asyncio.create_task(readers.run(lambda _check: 2)) for _ in range(3)]
        assert await asyncio.gather(*others) == [2, 2, 2]
        assert await turn.run(lambda _check: 3) == 3


Steps = list[tuple[str, int]]
steps = st.lists(st.tuples(st.sampled_from(["ask", "cancel", "leave", "keep_out"]), st.integers(0, 5)), max_size=25)


@settings(deadline=None, max_examples=40)
@given(steps)
def test_whoever_is_cancelled_nobody_is_inside_while_readers_are_kept_out(story: Steps) -> None:
    asyncio.run(_lived(story))


class Story:
    """Readers that are asked for, cancelled and kept out in any order."""

    def __init__(self) -> None:
        self.readers = Readers(COUNT)
        self.inside: set[int] = set()
        self.exits: list[threading.Event] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.seen: list[int] = []

    def staying(self, number: int) -> Callable[[Check], None]:
        def stay(_check: Check) -> None:
            self.inside.add(number)
            self.exits[number].wait(DEADLINE_S)
            self.inside.discard(number)

        return stay

    async def keep_out(self) -> None:
        async with self.readers.kept_out():
            self.seen.append(len(self.inside))
            await settled()
            self.seen.append(len(self.inside))

    def step(self, kind: str, number: int) -> None:
        if kind == "ask":
            self.exits.append(threading.Event())
            self.tasks.append(asyncio.create_task(self.readers.run(self.staying(len(self.exits) - 1))))
        elif kind == "keep_out":
            self.tasks.append(asyncio.create_task(self.keep_out()))
        elif kind == "cancel" and number < len(self.tasks):
            self.tasks[number].cancel()
        elif kind == "leave" and number < len(self.exits):
            self.exits[number].set()


async def _lived(steps: Steps) -> None:
    story = Story()
    async with asyncio.timeout(DEADLINE_S), story.readers.opened():
        for kind, number in steps:
            story.step(kind, number)
            await settled()
        for leave in story.exits:
            leave.set()
        await asyncio.gather(*story.tasks, return_exceptions=True)
        async with story.readers.kept_out():
            assert not story.inside
    assert not any(story.seen)


async def test_leisurely_work_is_followed_by_a_longer_pause_in_which_others_have_their_turn(readers: Readers) -> None:
    loop, done = asyncio.get_running_loop(), threading.Event()

    def work(_check: Check, result: str) -> str:
        loop.call_soon_threadsafe(loop.call_later, 0.05, done.set)
        assert done.wait(DEADLINE_S)
        return result

    begun = loop.time()
    leisurely = asyncio.create_task(readers.run_leisurely(work, "worked"))
    assert await asyncio.to_thread(done.wait, DEADLINE_S)
    async with readers.turn(), readers.turn():
        # Both places are free before the pause is over.
        assert not leisurely.done()
    assert await leisurely == "worked"
    assert loop.time() - begun >= 4 * 0.0499
