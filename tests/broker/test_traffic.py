"""What the connections of a broker share: the end of a turn, writing in slices, thousands that end at once."""

import asyncio
from collections.abc import Callable

import pytest

from broker.poller import READY_PER_LOOK
from broker.traffic import ENDINGS_PER_TURN, WRITES_PER_TURN, Traffic
from tests.broker.doorway import some_turns
from tests.broker.pairs import pair, pairs


async def test_what_is_asked_for_during_a_turn_is_done_at_its_end_and_then_written() -> None:
    traffic = Traffic()
    order: list[str] = []
    with pair(traffic) as (connection, ear, theirs):

        def answer() -> None:
            order.append("end of turn")
            connection.send(b"answer")

        hear = ear.received

        def hear_and_ask(data: bytes) -> None:
            hear(data)
            traffic.soon(answer)
            order.append("heard")

        ear.received = hear_and_ask  # type: ignore[method-assign]
        theirs.send(b"question")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert order == ["heard", "end of turn"]
        assert theirs.recv(10) == b"answer"


async def test_few_are_written_at_the_end_of_a_turn_and_many_before() -> None:
    traffic = Traffic()
    with pairs(traffic, READY_PER_LOOK + 1) as several:
        for number, (connection, _, _) in enumerate(several):
            assert len(traffic.writing) == number % READY_PER_LOOK
            connection.send(b"answer")
            traffic.write_together()
        assert [theirs.recv(10) for _, _, theirs in several[:-1]] == [b"answer"] * READY_PER_LOOK
        assert len(traffic.writing) == 1
        await some_turns()
        assert several[-1][2].recv(10) == b"answer"


async def test_outside_a_turn_soon_is_the_next_turn_of_the_loop() -> None:
    traffic, done = Traffic(), asyncio.Event()
    traffic.soon(done.set)
    assert not done.is_set()
    await asyncio.sleep(0)
    assert done.is_set()


async def test_who_asks_again_and_again_leaves_the_loop_to_others_in_between() -> None:
    traffic = Traffic()
    count = 0

    def again() -> None:
        nonlocal count
        count += 1
        if count < 100:
            traffic.soon(again)

    with pair(traffic) as (_, ear, theirs):
        hear = ear.received

        def hear_and_ask(data: bytes) -> None:
            hear(data)
            traffic.soon(again)

        ear.received = hear_and_ask  # type: ignore[method-assign]
        theirs.send(b"x")
        await ear.until(lambda ear: bool(ear.heard))
        seen = count
        assert seen < 5
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert seen < count < seen + 5


async def test_a_defect_in_one_call_keeps_nobody_elses_from_being_made() -> None:
    traffic, faults = Traffic(), list[dict[str, object]]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
    done: list[str] = []

    def fail() -> None:
        raise ZeroDivisionError

    with pair(traffic) as (connection, ear, theirs):
        hear = ear.received

        def hear_and_ask(data: bytes) -> None:
            hear(data)
            calls: list[Callable[[], None]] = [lambda: done.append("before"), fail, lambda: done.append("after")]
            for call in calls:
                traffic.soon(call)
            connection.send(b"answer")

        ear.received = hear_and_ask  # type: ignore[method-assign]
        theirs.send(b"x")
        await ear.until(lambda ear: bool(ear.heard))
        await some_turns()
        assert (done, theirs.recv(10)) == (["before", "after"], b"answer")
        assert [type(fault["exception"]) for fault in faults] == [ZeroDivisionError]


async def test_all_that_write_in_a_turn_are_one_callback_and_at_most_a_slice_a_turn() -> None:
    traffic = Traffic()
    turns: list[int] = []
    flush = traffic.flush

    def count(loop: asyncio.AbstractEventLoop) -> None:
        turns.append(len(traffic.writing))
        flush(loop)

    traffic.flush = count  # type: ignore[method-assign]
    with pairs(traffic, 3) as members:
        for _ in range(WRITES_PER_TURN):
            for connection, _, _ in members:
                connection.send(b"x")
        await some_turns()
        assert turns == [3]
        assert [len(theirs.recv(10_000)) for _, _, theirs in members] == [WRITES_PER_TURN] * 3
        traffic.writing = [members[0][0]] * WRITES_PER_TURN
        members[1][0].send(b"y")
        traffic.flush(asyncio.get_running_loop())
        await some_turns()
        assert turns[1:] == [WRITES_PER_TURN + 1, 1]
        assert members[1][2].recv(10) == b"y"


@pytest.mark.parametrize("way", ["the clients leave", "they are sent away"])
async def test_many_that_end_at_once_end_a_slice_a_turn(way: str) -> None:
    traffic, ended = Traffic(), 0
    count = 4 * ENDINGS_PER_TURN + 1
    addresses: list[str] = []
    traffic.ended = addresses.append
    with pairs(traffic, count) as members:
        for connection, _, theirs in members:
            if way == "the clients leave":
                theirs.close()
            else:
                theirs.send(b"too late")
                connection.cut_off("go")
        for _ in range(20):
            before, ended = ended, sum(bool(ear.lost_reasons) for _, ear, _ in members)
            assert ended - before <= ENDINGS_PER_TURN
            await asyncio.sleep(0)
        assert ended == count
        assert addresses == ["here"] * count
        assert not any(ear.heard for _, ear, _ in members)
        reasons = {reason for _, ear, _ in members for reason in ear.lost_reasons}
        assert reasons == {"connection closed by the client" if way == "the clients leave" else "go"}


async def test_what_follows_from_an_end_waits_while_others_are_still_to_be_cut_off() -> None:
    traffic, is_held = Traffic(), True
    traffic.is_held = lambda: is_held
    with pair(traffic) as (connection, ear, theirs):
        connection.cut_off("go")
        # It is out all the same.
        assert theirs.recv(10) == b""
        await some_turns()
        assert not ear.lost_reasons
        is_held = False
        await some_turns()
        assert ear.lost_reasons == ["go"]
