"""Messages are kept as they came, bounded; what is not whole is not called so; what is erased is gone."""

import asyncio
import contextlib
import logging
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.config import JournalConfig, TelemetryConfig
from appliance.instant import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from appliance.telemetry.journal import files, frames, service
from appliance.telemetry.journal.model import BrokenOffError, Span
from appliance.telemetry.keeping.room.service import Room
from tests.appliance.telemetry.journal.examples import largest_file, message
from tests.appliance.telemetry.journal.story import Story
from tests.appliance.telemetry.reports import NOON
from tests.appliance.telemetry.test_service import Gateway


async def test_what_came_is_given_back_byte_for_byte(tmp_path: Path) -> None:
    async with Story(tmp_path).running() as story:
        story.take(b'{"a": 1 }', b"\xff\x00", b"")
        [*found] = [
            each.message async for some in story.journal.messages(1, Span(NOON, story.now + 1), NOON) for each in some
        ]
        assert [each.payload for each in found] == [b'{"a": 1 }', b"\xff\x00", b""]
        first = found[0]
        assert (first.topic, first.client_id, first.content_type) == ("sensors/a/telemetry", "a", "application/json")
        assert (first.arrived_at, first.log_id, first.qos, first.retain) == (NOON + 1, 1, 1, False)
        assert await story.payloads(NOON + 2, NOON + 3) == [b"\xff\x00"]
        assert await story.payloads(tenant_id=2) == []


async def test_what_clients_ask_of_the_gateway_is_not_kept(tmp_path: Path) -> None:
    async with Story(tmp_path).running() as story:
        story.journal.note([message(b"secret", NOON + 1, topic="$aws/certificates/create/json")], 0)
        story.take(b"telemetry")
        assert await story.payloads() == [b"telemetry"]


async def test_switched_off_it_makes_nothing_and_says_so(tmp_path: Path) -> None:
    async with Story(tmp_path, JournalConfig()).running() as story:
        story.take(b"x")
        await story.journal.flush()
        assert not story.folder.exists()
        assert story.journal.has_whole(NOON, NOON + 1) is False
        assert (story.journal.usage().is_on, story.journal.usage().begun_at) == (False, None)
        assert story.journal.status().ok


@settings(max_examples=25)
@given(st.lists(st.sampled_from(["take", "flush", "turn", "restart", "kill"]), max_size=10), st.data())
async def test_a_time_that_is_called_whole_is_whole(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str], data: st.DataObject
) -> None:
    story = Story(tmp_path_factory.mktemp("journal"))
    sent: list[tuple[int, bytes]] = []
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(story.running())
        for step in steps:
            story.now += 1
            match step:
                case "take":
                    count = data.draw(st.integers(1, 3))
                    first = story.now
                    story.take(*(b"%d" % (len(sent) + each) for each in range(count)))
                    sent += [(first + 1 + each, b"%d" % (len(sent) + each)) for each in range(count)]
                case "flush":
                    await story.journal.flush()
                case "turn":
                    await story.turn_over()
                case _:
                    if step == "kill":
                        story.die()
                    await stack.aclose()
                    story.now += 1
                    await stack.enter_async_context(story.running())
        await story.journal.flush()
        ends = {start: data.draw(st.integers(start + 1, story.now + 1)) for start in range(NOON, story.now + 1)}
        whole = [(start, end) for start, end in ends.items() if story.journal.has_whole(start, end)]
        assert len(whole) == len(ends) or "kill" in steps or "restart" in steps
        for start, end in whole:
            assert await story.payloads(start, end) == [each for at, each in sent if start <= at < end]
        for start, end in ends.items() - set(whole):
            with pytest.raises(BrokenOffError):
                await story.payloads(start, end)


async def test_after_a_stop_all_is_there_and_the_time_between_is_not_whole(tmp_path: Path) -> None:
    story = Story(tmp_path)
    async with story.running():
        story.take(b"1", b"2")
    stopped = story.now
    story.now += 5
    async with story.running():
        story.take(b"3")
        assert await story.payloads(NOON, stopped) == [b"1"]
        assert not story.journal.has_whole(NOON, story.now)
        assert await story.payloads(stopped + 5) == [b"3"]


async def test_what_goes_on_in_the_next_segment_is_one_whole(tmp_path: Path) -> None:
    async with Story(tmp_path).running() as story:
        for payload in (b"1", b"2", b"3"):
            story.take(payload)
            await story.turn_over()
        assert story.journal.usage().segment_count == 4
        assert await story.payloads() == [b"1", b"2", b"3"]


async def test_a_disk_that_does_not_take_it_switches_it_off_and_later_on_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with Story(tmp_path).running() as story:
        story.take(b"before")
        await story.journal.flush()
        with largest_file(4_000):
            story.take(os.urandom(10_000))
            await story.journal.flush()
        lost_at = story.now
        assert [each.message for each in caplog.records if each.levelno == logging.WARNING] == [
            "raw journal switched off for a while reason='messages are not kept as they came: File too large'"
        ]
        assert not story.journal.status().ok
        assert story.journal.status().is_serving
        story.take(b"not kept")
        assert not story.journal.has_whole(lost_at, lost_at + 1)
        with pytest.raises(BrokenOffError):
            await story.payloads()
        assert await story.payloads(NOON, NOON + 1) == []
        story.now += 10
        story.journal._resumes_at = 0.0
        async with story.journal._work:
            await story.journal._resume()
        story.take(b"after")
        assert story.journal.status().ok
        assert await story.payloads(story.now) == [b"after"]
    assert "raw journal goes on" in [each.message for each in caplog.records]


async def test_a_folder_that_cannot_be_made_keeps_nothing_from_going_on(tmp_path: Path) -> None:
    (tmp_path / "gone").write_text("a file")
    async with Story(tmp_path / "gone").running() as story:
        story.take(b"x")
        assert "Not a directory" in story.journal.status().summary


async def test_a_segment_that_cannot_be_removed_keeps_nothing_from_going_on(tmp_path: Path) -> None:
    story = Story(tmp_path)
    async with story.running():
        story.take(b"old")
    path = files.path_of(story.folder, 1)
    path.unlink()
    # A folder that is not empty stands where the file was.
    (path / "x").mkdir(parents=True)
    os.utime(path, (NOON // 1_000, NOON // 1_000))
    story.now += 25 * HOUR_MS
    async with story.running():
        assert "messages are not kept" in story.journal.status().summary
        assert story.journal.damages


async def test_a_segment_that_was_damaged_is_named_once_and_not_called_whole_any_more(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    story = Story(tmp_path)
    async with story.running():
        story.take(b"1")
        await story.journal.flush()
        story.take(b"2")
    path = files.path_of(story.folder, 1)
    content = bytearray(path.read_bytes())
    content[-frames.END_BYTES - 2] ^= 1
    path.write_bytes(content)
    async with story.running():
        assert story.journal.has_whole(NOON, story.now)
        for _ in range(2):
            with pytest.raises(BrokenOffError):
                await story.payloads(NOON, story.now)
        assert not story.journal.has_whole(NOON, story.now)
        assert caplog.messages == ["raw journal was damaged where=0000000001.raw: it ends before it should"]
        assert story.journal.status().details["damaged"] == 1
        assert not story.journal.status().ok


async def test_a_segment_that_goes_while_it_is_read_breaks_it_off(tmp_path: Path) -> None:
    story = Story(tmp_path)
    async with story.running():
        story.take(b"1", b"2")
    async with story.running():
        reading = story.journal.messages(1, Span(NOON, NOON + 2), NOON)
        files.unlink(story.folder, [1])
        with pytest.raises(BrokenOffError):
            await anext(reading)


async def test_on_a_full_disk_the_journal_goes_before_any_day_does(tmp_path: Path) -> None:
    story = Story(tmp_path)
    for payload in (b"1", b"2"):
        async with story.running():
            story.take(payload)
    async with Gateway(tmp_path).running() as gateway, story.running():
        room = Room(gateway.database, gateway.telemetry, tmp_path, TelemetryConfig(), lambda: story.now)
        asked = []

        async def others() -> bool:
            asked.append(len(list(story.folder.iterdir())))
            return True

        room.give_way = others
        story.journal.follow(room)
        assert await room.give_way()
        assert (list(story.folder.iterdir()), asked) == ([], [])
        assert story.journal.usage().is_writing is False
        story.take(b"not kept")
        assert await room.give_way()
        assert asked == [0]


async def test_what_waits_is_written_without_being_asked_for(tmp_path: Path) -> None:
    async with Story(tmp_path).running() as story:
        story.take(bytes(service.ENOUGH_BYTES))
        async with asyncio.timeout(20):
            count = 0
            while not count:
                await asyncio.sleep(0)
                async with story.journal._work:
                    count = story.journal._segments()[-1].kept.message_count
        assert count == 1


LIMIT_BYTES = 1_000_000


def sizes(folder: Path) -> list[int]:
    return [path.stat().st_size for path in folder.iterdir()]


async def test_the_bounds_hold_by_bytes_and_by_age(tmp_path: Path) -> None:
    async with Story(tmp_path, JournalConfig(enabled=True, hours=2, bytes=LIMIT_BYTES)).running() as story:
        for _ in range(40):
            story.take(os.urandom(50_000), after_ms=1_000)
            await story.journal.flush()
            assert sum(path.stat().st_size for path in story.folder.iterdir()) <= LIMIT_BYTES
        usage = story.journal.usage()
        assert 500_000 < usage.size_bytes == sum(path.stat().st_size for path in story.folder.iterdir())
        assert usage.segment_count > 5
        assert usage.begun_at is not None
        assert usage.begun_at > NOON
        assert len(await story.payloads(usage.begun_at)) >= 10
        story.now += 3 * HOUR_MS
        story.take(b"new")
        await story.journal.flush()
        async with story.journal._work:
            await story.journal._tidied()
        assert story.journal.usage().size_bytes < 200_000


async def test_when_too_much_waits_the_rest_is_left_out_and_not_called_whole(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with Story(tmp_path).running() as story:
        half = bytes(service.WAITING_BYTES // 2)
        story.take(half, half, b"left out")
        assert not story.journal.has_whole(NOON, story.now + 1)
        await story.journal.flush()
        assert "raw journal left messages out, the disk was too slow" in caplog.messages
        assert not story.journal.has_whole(NOON, story.now + 1)
        story.now += 1
        story.take(b"kept again")
        assert await story.payloads(story.now) == [b"kept again"]
        assert await story.payloads(NOON, NOON + 2) == [half]


async def test_what_comes_at_once_keeps_to_the_bound_too(tmp_path: Path) -> None:
    async with Story(tmp_path, JournalConfig(enabled=True, bytes=LIMIT_BYTES)).running() as story:
        story.take(*(os.urandom(30_000) for _ in range(100)))
        await story.journal.flush()
        assert LIMIT_BYTES / 2 < sum(sizes(story.folder)) <= LIMIT_BYTES
        assert max(sizes(story.folder)) < LIMIT_BYTES / 8
        begun_at = story.journal.usage().begun_at
        assert begun_at is not None
        assert len(await story.payloads(begun_at)) == story.now + 1 - begun_at


async def test_a_message_larger_than_the_journal_may_be_is_left_out_and_not_called_whole(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with Story(tmp_path, JournalConfig(enabled=True, bytes=LIMIT_BYTES)).running() as story:
        story.take(b"before", bytes(70_000), os.urandom(LIMIT_BYTES), b"after", b"and more")
        await story.journal.flush()
        assert caplog.messages == ["raw journal left messages out, they are larger than it may be"]
        assert sum(sizes(story.folder)) <= LIMIT_BYTES
        assert not story.journal.has_whole(NOON + 3, NOON + 4)
        assert await story.payloads(NOON, NOON + 2) == [b"before"]
        assert await story.payloads(NOON + 4) == [b"after", b"and more"]


async def test_a_clock_that_is_set_back_begins_one_segment_and_age_counts_from_what_came_after(tmp_path: Path) -> None:
    async with Story(tmp_path).running() as story:
        story.take(b"ahead")
        await story.journal.flush()
        for back in (2 * HOUR_MS, 365 * DAY_MS):
            story.now -= back
            before = len(sizes(story.folder))
            set_at = story.now
            for _ in range(20):
                story.take(b"x", after_ms=SECOND_MS)
                await story.journal.flush()
            assert len(sizes(story.folder)) == before + 1
            assert await story.payloads(set_at + SECOND_MS + 1) == [b"x"] * 19
        story.now += 24 * HOUR_MS + MINUTE_MS
        async with story.journal._work:
            await story.journal._tidied()
        assert story.journal.usage().segment_count == 1
