"""One epoll for many: who hears of what, in which order, and what it costs the loop when there is nobody."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from broker.gathering import LOOKS, WORTH_WHILE
from broker.poller import HURRIED_PER_TURN, READABLE, READY_PER_LOOK, READY_PER_TURN, WRITABLE, Poller
from tests.broker.doorway import some_turns


class Ear:
    """Remembers what it was told, and may do something about it."""

    def __init__(self, sock: socket.socket, told: list[tuple[str, int]]) -> None:
        self.sock, self.told = sock, told

    def readable(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self.sock.recv(10)
        self.told.append(("read", self.sock.fileno()))

    def write(self) -> None:
        self.told.append(("write", self.sock.fileno()))


class House:
    """Socket pairs, and a poller that counts the ends of its turns."""

    def __init__(self, count: int) -> None:
        self.told: list[tuple[str, int]] = []
        self.finished = 0
        self.poller = Poller(self._finish)
        self.ears, self.ends = list[Ear](), list[socket.socket]()
        for _ in range(count):
            ours, theirs = socket.socketpair()
            ours.setblocking(False)
            self.ears.append(Ear(ours, self.told))
            self.ends.append(theirs)

    def watch(self, place: int, events: int) -> None:
        ear = self.ears[place]
        self.poller.watch(ear.sock.fileno(), ear, events, asyncio.get_running_loop())

    def all_say_something(self) -> None:
        """Have something to be read of everyone."""
        for place, end in enumerate(self.ends):
            self.watch(place, READABLE)
            end.send(b"x")

    def end(self, place: int) -> None:
        """Let one hear nothing more."""
        self.told.append(("ends", place))
        self.watch(place, 0)

    async def hears(self, said: Callable[[], bool]) -> None:
        """Wait until it is so."""
        async with asyncio.timeout(30):
            while not said():  # noqa: ASYNC110  whoever is told is not told of all
                await asyncio.sleep(0)

    def _finish(self) -> None:
        assert self.poller.is_busy
        self.finished += 1


@contextlib.contextmanager
def house(count: int) -> Iterator[House]:
    made = House(count)
    yield made
    for place, ear in enumerate(made.ears):
        made.watch(place, 0)
        ear.sock.close()
        made.ends[place].close()


async def test_who_is_ready_is_told_what_it_listens_to() -> None:
    with house(3) as home:
        for place, events in enumerate((READABLE, READABLE | WRITABLE, WRITABLE)):
            home.watch(place, events)
            home.ends[place].send(b"x")
        first, both, last = (ear.sock.fileno() for ear in home.ears)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert ("read", first) in home.told
        assert home.told.index(("read", both)) < home.told.index(("write", both))
        assert ("write", last) in home.told
        assert ("write", first) not in home.told
        assert ("read", last) not in home.told
        assert home.finished
        assert not home.poller.is_busy


async def test_whoever_is_ended_by_one_before_it_hears_nothing() -> None:
    with house(2) as home:
        for place in (0, 1):
            home.watch(place, READABLE)
            home.ends[place].send(b"x")
            home.ears[place].readable = partial(home.end, 1 - place)  # type: ignore[method-assign]
        await some_turns()
        assert len({place for _, place in home.told}) == 1


async def test_events_change_and_stop() -> None:
    with house(1) as home:
        home.watch(0, WRITABLE)
        await some_turns()
        assert {kind for kind, _ in home.told} == {"write"}
        home.watch(0, READABLE)
        home.told.clear()
        home.ends[0].send(b"x")
        # Who was ready again and again may have made it pause.
        await home.hears(lambda: bool(home.told))
        assert [kind for kind, _ in home.told] == ["read"]
        home.watch(0, 0)
        home.watch(0, 0)
        home.ends[0].send(b"x")
        await some_turns()
        assert len(home.told) == 1


async def test_the_loop_watches_nothing_when_nobody_is_watched() -> None:
    with house(2) as home:
        loop = asyncio.get_running_loop()
        for place in (0, 1):
            home.watch(place, READABLE)
        assert loop.remove_reader(home.poller._epoll)
        home.watch(0, 0)
        home.watch(1, 0)
        assert not loop.remove_reader(home.poller._epoll)
        home.watch(0, READABLE)
        home.ends[0].send(b"x")
        await some_turns()
        assert home.told


async def test_a_broken_connection_is_told_to_a_writer_too() -> None:
    with house(1) as home:
        home.ends[0].close()
        home.watch(0, WRITABLE)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert {kind for kind, _ in home.told} == {"read", "write"}


async def test_a_turn_serves_a_bounded_number_and_nobody_starves() -> None:
    with house(40) as home:
        for place in range(40):
            home.watch(place, WRITABLE)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert len(home.told) < 2 * READY_PER_TURN + READY_PER_LOOK
        await home.hears(lambda: {fd for _, fd in home.told} == {ear.sock.fileno() for ear in home.ears})


async def test_a_defect_in_one_keeps_the_others_from_nothing() -> None:
    faults: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
    with house(3) as home:
        broken = home.ears[1]
        hear = broken.readable

        def fail() -> None:
            hear()
            raise ZeroDivisionError

        broken.readable = fail  # type: ignore[method-assign]
        for place in range(3):
            home.watch(place, READABLE)
            home.ends[place].send(b"x")
        await some_turns()
        assert {fd for _, fd in home.told} == {ear.sock.fileno() for ear in home.ears}
        assert [type(fault["exception"]) for fault in faults] == [ZeroDivisionError]
        assert not home.poller.is_busy


async def test_while_events_gather_all_of_them_are_served_and_none_after_the_end() -> None:
    with house(WORTH_WHILE * 2) as home:
        for place in range(len(home.ears)):
            home.watch(place, READABLE)
        home.poller._gathering.is_on = True
        sent = 0
        for _ in range(3 * LOOKS):
            for end in home.ends:
                end.send(b"x")
            sent += len(home.ends)
            await home.hears(partial(lambda count: len(home.told) >= count, sent))
        assert home.poller._gathering.is_on
        for place in range(len(home.ears)):
            home.watch(place, 0)
        assert home.poller._pause is None


async def test_a_defect_while_events_gather_leaves_nobody_unheard() -> None:
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    with house(2) as home:
        for place in (0, 1):
            home.watch(place, READABLE)
        home.poller._gathering.is_on = True
        hear = home.ears[0].readable

        def fail() -> None:
            hear()
            raise ZeroDivisionError

        home.ears[0].readable = fail  # type: ignore[method-assign]
        for count in range(1, 4):
            for end in home.ends:
                end.send(b"x")
            await home.hears(partial(lambda count: len(home.told) >= 2 * count, count))


async def test_the_time_at_which_somebody_was_ready_is_known_to_them() -> None:
    with house(1) as home:
        home.watch(0, READABLE)
        before = asyncio.get_running_loop().time()
        home.ends[0].send(b"x")
        await home.hears(lambda: bool(home.told))
        assert before <= home.poller.now <= asyncio.get_running_loop().time()


async def test_while_something_urgent_goes_out_few_are_served_and_then_all() -> None:
    with house(3 * HURRIED_PER_TURN) as home:
        home.all_say_something()
        with home.poller.hurry(60.0):
            await home.hears(lambda: len(home.told) >= HURRIED_PER_TURN)
            await some_turns()
            assert len(home.told) == HURRIED_PER_TURN
            await home.hears(lambda: len(home.told) == 2 * HURRIED_PER_TURN)
        await home.hears(lambda: len(home.told) == 3 * HURRIED_PER_TURN)
        assert home.poller._pause is None


async def test_a_hurry_that_takes_too_long_keeps_nobody_waiting() -> None:
    with house(2 * HURRIED_PER_TURN) as home:
        home.all_say_something()
        with home.poller.hurry(0.0), home.poller.hurry(0.0):
            await home.hears(lambda: len(home.told) == 2 * HURRIED_PER_TURN)
            assert home.poller._pause is None


async def test_after_a_hurry_everybody_is_served_for_as_long(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    time = loop.time
    with house(2 * HURRIED_PER_TURN) as home:
        home.all_say_something()
        with home.poller.hurry(60.0):
            await home.hears(lambda: len(home.told) >= HURRIED_PER_TURN)
            # However slow the machine is: this one was long.
            monkeypatch.setattr(loop, "time", lambda: time() + 50.0)
        with home.poller.hurry(60.0):
            await home.hears(lambda: len(home.told) == 2 * HURRIED_PER_TURN)
            assert home.poller._hurried_until == 0.0


async def test_of_hurries_that_overlap_the_first_begins_what_everybody_is_served_for_afterwards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now)
    with house(0) as home, contextlib.ExitStack() as second:
        with home.poller.hurry(2.0):
            now = 101.85
            second.enter_context(home.poller.hurry(2.0))
            assert home.poller._hurried_until == 102.0
            now = 101.9
        now = 102.5
        second.close()
        assert home.poller._leisure_until == 104.5


async def test_a_hurry_that_begins_while_everybody_is_served_keeps_no_later_one_from_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now)
    with house(0) as home:
        with home.poller.hurry(2.0):
            now = 102.0
        now = 103.0
        with home.poller.hurry(2.0):
            assert home.poller._hurried_until == 0.0
            now = 105.0
            with home.poller.hurry(2.0):
                assert home.poller._hurried_until == 107.0
