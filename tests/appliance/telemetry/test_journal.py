"""What is erased is gone from the journal, whatever goes on meanwhile, and is not shown before it is gone."""

import asyncio
import threading
from pathlib import Path

import pytest

from appliance.config import JournalConfig, TelemetryConfig
from appliance.instant import HOUR_MS
from appliance.telemetry.journal.model import Span
from appliance.telemetry.keeping.model import StoppedError
from appliance.telemetry.keeping.room.service import Room
from tests.appliance.telemetry.journal.examples import erasure, going_on, message
from tests.appliance.telemetry.journal.story import Story, payloads_of
from tests.appliance.telemetry.reports import NOON, report
from tests.appliance.telemetry.test_service import Gateway

TIMEOUT_S = 20


async def test_a_device_that_is_erased_is_gone_from_every_segment_and_others_stay(tmp_path: Path) -> None:
    story = Story(tmp_path)
    async with story.running():
        story.take(b"person-1", principal="a")
        story.take(b"other-1", principal="b")
    story.now += 1
    async with story.running():
        began = story.now
        story.take(b"person-2", principal="a")
        story.take(b"other-2", principal="b")
        story.journal.note([message(b"person-3", story.now, "operator", topic="sensors/a/status")], 0)
        through = story.log_id
        story.take(b"person-new", principal="a")
        story.erased[1, "a"] = through
        assert await story.payloads(began) == [b"other-2", b"person-new"]
        await story.journal.erase([erasure("a", through)], going_on)
        story.erased.clear()
        assert await story.payloads(began) == [b"other-2", b"person-new"]
        story.take(b"more", principal="a")
        assert await story.payloads(began) == [b"other-2", b"person-new", b"more"]
    kept = b"".join(payloads_of(story.folder))
    assert (b"person-1" in kept, b"person-2" in kept, b"person-3" in kept) == (False, False, False)
    assert kept == b"other-1other-2person-newmore"


async def test_whoever_is_reading_meanwhile_is_shown_nothing_of_it_either(tmp_path: Path) -> None:
    async with Story(tmp_path).running() as story:
        for payload, principal in ((b"other-1", "b"), (b"person", "a"), (b"other-2", "b")):
            story.take(payload, principal=principal)
            await story.journal.flush()
        reading = story.journal.messages(1, Span(NOON, story.now + 1), NOON)
        found = list(await anext(reading))
        await story.journal.erase([erasure("a", story.log_id - 1)], going_on)
        found += [each async for some in reading for each in some]
        assert [each.message.payload for each in found] == [b"other-1", b"other-2"]


async def test_erasing_reaches_what_an_earlier_life_kept_though_it_is_switched_off(tmp_path: Path) -> None:
    story = Story(tmp_path)
    async with story.running():
        story.take(b"person")
    story.config = JournalConfig()
    async with story.running():
        await story.journal.erase([erasure("a", story.log_id)], going_on)
        assert payloads_of(story.folder) == []
        story.now += 25 * HOUR_MS
        async with story.journal._work:
            await story.journal._tidied()
        assert list(story.folder.iterdir()) == []


async def test_an_erasing_is_done_once_the_journal_has_done_it(tmp_path: Path) -> None:
    story = Story(tmp_path)
    async with Gateway(tmp_path).running() as gateway, story.running():
        room = Room(gateway.database, gateway.telemetry, tmp_path, TelemetryConfig(), lambda: story.now)
        story.journal.follow(room)
        story.take(b"person", principal="sensor-001")
        await gateway.take(report())
        await room.keeping.erase(1, ["sensor-001"])
        await room.keeping.erase_pending()
        assert room.keeping.pending == ()
        assert payloads_of(story.folder) == []


async def test_what_a_log_that_was_lost_knew_of_is_erased_as_well(tmp_path: Path) -> None:
    story = Story(tmp_path)
    async with story.running():
        for payload in (b"person-1", b"person-2"):
            story.take(payload, principal="a")
        story.take(b"other", principal="b")
        # The log begins anew.
        story.log_id = 0
        asked_at = story.now
        story.take(b"person-new", principal="a")
        await story.journal.erase([erasure("a", 0, asked_at)], going_on)
    assert payloads_of(story.folder) == [b"other", b"person-new"]


async def test_what_is_to_be_erased_is_not_shown_though_the_log_was_lost(tmp_path: Path) -> None:
    story = Story(tmp_path)
    async with Gateway(tmp_path).running() as gateway, story.running():
        room = Room(gateway.database, gateway.telemetry, tmp_path, TelemetryConfig(), lambda: story.now)
        story.journal.follow(room)
        story.log_id = 1_000
        story.take(b"person", principal="sensor-001")
        assert await story.payloads() == [b"person"]
        await room.keeping.erase(1, ["sensor-001"])
        assert await story.payloads() == []


async def test_nobody_waits_for_an_erasing_and_what_goes_meanwhile_does_not_come_back(tmp_path: Path) -> None:
    begun, going = threading.Event(), threading.Event()

    def waiting() -> bool:
        begun.set()
        going.wait(TIMEOUT_S)
        return False

    async with Story(tmp_path).running() as story:
        story.take(b"person", principal="a")
        story.take(b"other", principal="b")
        erasing = asyncio.create_task(story.journal.erase([erasure("a", story.log_id)], waiting))
        try:
            assert await asyncio.to_thread(begun.wait, TIMEOUT_S)
            async with asyncio.timeout(TIMEOUT_S / 2):
                story.take(b"meanwhile", principal="b")
                await story.journal.flush()
                assert await story.journal.give_way()
        finally:
            going.set()
            await erasing
        assert list(story.folder.iterdir()) == []


async def test_a_stop_breaks_an_erasing_off_and_leaves_what_was_there(tmp_path: Path) -> None:
    async with Story(tmp_path).running() as story:
        story.take(b"person", principal="a")
        with pytest.raises(StoppedError):
            await story.journal.erase([erasure("a", story.log_id)], lambda: True)
        assert payloads_of(story.folder) == [b"person"]
        assert await story.payloads() == []
        await story.journal.erase([erasure("a", story.log_id)], going_on)
        assert payloads_of(story.folder) == []


async def test_a_gateway_that_stops_does_not_wait_for_it_and_goes_on_after_the_next_start(tmp_path: Path) -> None:
    async with Gateway(tmp_path).running() as gateway, Story(tmp_path).running() as story:
        room = Room(gateway.database, gateway.telemetry, tmp_path, TelemetryConfig(), lambda: story.now)
        story.journal.follow(room)
        story.take(b"person", principal="sensor-001")
        await room.keeping.erase(1, ["sensor-001"])
        room.keeping._writing.is_stopping = True
        with pytest.raises(StoppedError):
            await room.keeping.erase_pending()
        assert [each.device_id for each in room.keeping.pending] == ["sensor-001"]
        room.keeping._writing.is_stopping = False
        await room.keeping.erase_pending()
        assert payloads_of(story.folder) == []
