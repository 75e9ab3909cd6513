"""Messages come out of the journal where it has the whole interval, and are written anew where it has not."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.stream.replay.messages.model import START, Mark, MessageSlice, PlacedMessage, parsed, printed
from appliance.stream.replay.model import Interval
from appliance.stream.wanted import Wanted
from appliance.telemetry.journal import files, frames
from appliance.telemetry.keeping.model import Erasure
from tests.appliance.stream.story import Log
from tests.appliance.telemetry.journal.examples import message
from tests.appliance.telemetry.reports import NOON, report


def journaled(folder: Path) -> Log:
    log = Log(folder)
    log.is_journaled = True
    return log


async def publish(log: Log, number: int, device_id: str = "pump") -> None:
    """A message that is taken in as ingestion takes it."""
    log.now += 1
    one = report(device_id, log.now, arrived_at=log.now, values={"n": number})
    log_id = await log.take(one)
    payload = b'{ "n":%d}' % number
    log.journal.note([message(payload, log.now, device_id)], log_id)


async def slices(log: Log, interval: Interval, after: Mark = START) -> list[MessageSlice]:
    return [each async for each in log.messages.slices(interval, after)]


async def given_of(log: Log, interval: Interval, after: Mark = START) -> list[PlacedMessage]:
    return [each for piece in await slices(log, interval, after) for each in piece.messages]


def payloads(found: list[PlacedMessage]) -> list[bytes]:
    return [each.message.payload for each in found]


def interval(log: Log, start: int = NOON, **changes: Any) -> Interval:
    return Interval(1, start, log.now + 1, **changes)


async def test_messages_come_byte_for_byte_out_of_a_journal_that_has_them_all(tmp_path: Path) -> None:
    async with journaled(tmp_path).running() as log:
        for number in range(5):
            await publish(log, number)
        assert await log.messages.source(interval(log)) == "journal"
        found = await slices(log, interval(log))
        assert {piece.source for piece in found} == {"journal"}
        assert found[-1].reached_at == log.now + 1
        assert payloads(await given_of(log, interval(log))) == [b'{ "n":%d}' % number for number in range(5)]


async def test_what_the_journal_does_not_have_whole_is_written_anew(tmp_path: Path) -> None:
    async with journaled(tmp_path).running() as log:
        await publish(log, 1)
        before = interval(log, NOON - 1)
        assert await log.messages.source(before) == "log"
        [found] = await given_of(log, before)
        assert json.loads(found.message.payload) == {
            "deviceId": "pump",
            "timestamp": "2026-01-31T12:00:00.001Z",
            "readings": {"n": 1},
        }


async def test_without_a_journal_messages_are_written_anew(tmp_path: Path) -> None:
    async with Log(tmp_path).running() as log:
        await publish(log, 1)
        [found] = await given_of(log, interval(log))
        assert json.loads(found.message.payload)["readings"] == {"n": 1}


async def test_only_what_is_wanted_comes(tmp_path: Path) -> None:
    async with journaled(tmp_path).running() as log:
        for number, device_id in enumerate(("pump", "fan", "pump")):
            await publish(log, number, device_id)
        pumps = interval(log, wanted=Wanted(frozenset(["pump"])))
        assert payloads(await given_of(log, pumps)) == [b'{ "n":0}', b'{ "n":2}']
        fans = interval(log, wanted=Wanted(topic_filters=("sensors/fan/#",)))
        assert payloads(await given_of(log, fans)) == [b'{ "n":1}']


@settings(max_examples=15)
@given(st.lists(st.integers(0, 1), min_size=1, max_size=6), st.data())
async def test_whoever_comes_back_with_a_mark_gets_the_rest(
    tmp_path_factory: pytest.TempPathFactory, steps: list[int], data: st.DataObject
) -> None:
    async with journaled(tmp_path_factory.mktemp("log")).running() as log:
        for number, step in enumerate(steps):
            log.now += step - 1
            await publish(log, number)
        whole = await given_of(log, interval(log))
        assert len(whole) == len(steps)
        place = data.draw(st.integers(0, len(whole) - 1))
        rest = await given_of(log, interval(log), whole[place].mark)
        assert payloads(rest) == payloads(whole[place + 1 :])


@settings(max_examples=15)
@given(st.lists(st.integers(-3, 3), min_size=1, max_size=8), st.data())
async def test_nothing_is_left_out_or_comes_again_where_messages_arrived_in_another_order(
    tmp_path_factory: pytest.TempPathFactory, steps: list[int], data: st.DataObject
) -> None:
    async with journaled(tmp_path_factory.mktemp("log")).running() as log:
        log.now += 100
        for number, step in enumerate(steps):
            log.journal.note([message(b"%d" % number, log.now + step, "pump")], number + 1)
            if data.draw(st.booleans()):
                await log.journal.flush()
        log.now += 10
        whole = await given_of(log, interval(log))
        assert payloads(whole) == [b"%d" % number for number in range(len(steps))]
        place = data.draw(st.integers(0, len(whole) - 1))
        rest = await given_of(log, interval(log), parsed(printed(whole[place].mark)))
        assert rest == whole[place + 1 :]


async def test_a_mark_of_before_something_was_erased_leaves_what_arrived_later(tmp_path: Path) -> None:
    async with journaled(tmp_path).running() as log:
        for number, device_id in enumerate(("fan", "pump", "pump", "pump")):
            await publish(log, number, device_id)
        whole = await given_of(log, interval(log))
        await log.journal.erase([Erasure(1, 1, "fan", 10**6, log.now)], lambda: False)
        assert payloads(await given_of(log, interval(log), whole[1].mark)) == payloads(whole[2:])


async def test_a_journal_that_breaks_off_is_gone_on_with_from_what_was_understood(tmp_path: Path) -> None:
    log = journaled(tmp_path)
    async with log.running():
        await publish(log, 1)
        await log.journal.flush()
        await publish(log, 2)
        log.now += 1
    path = files.path_of(tmp_path / "journal", 1)
    content = bytearray(path.read_bytes())
    content[-frames.END_BYTES - 2] ^= 1
    path.write_bytes(content)
    async with log.running():
        both = Interval(1, NOON, NOON + 3)
        assert await log.messages.source(both) == "journal"
        found = [(piece.source, each) for piece in await slices(log, both) for each in piece.messages]
        # What arrived in the millisecond where it breaks off comes twice rather than not at all.
        assert [source for source, _ in found] == ["journal", "log", "log"]
        assert found[0][1].message.payload == b'{ "n":1}'
        assert [json.loads(each.message.payload)["readings"]["n"] for _, each in found[1:]] == [1, 2]
        assert await log.messages.source(both) == "log"
