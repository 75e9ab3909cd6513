import asyncio
import sqlite3
import time
from functools import partial
from pathlib import Path

import msgspec
import pytest

from appliance.alerts.model import NewRule
from appliance.config import TelemetryConfig
from appliance.health import Status
from appliance.telemetry.keeping.room.service import Room
from appliance.vitals.model import ConsumerLag
from appliance.vitals.service import _every
from tests.appliance.ingestion.examples import NOW, message, turn
from tests.appliance.ingestion.gateway import until
from tests.appliance.vitals.descriptors import none_left
from tests.appliance.vitals.rooms import Observed, observed


async def send(seen: Observed, count: int = 1) -> None:
    """So many messages, each committed by itself."""
    for _ in range(count):
        counted = seen.gateway.ingestion.stages.whole.count
        seen.gateway.ingestion.accept(turn([message({"flow": 1}, arrived_at=seen.gateway.now)], [object()]))
        await until(partial(_has_counted, seen, counted + 1))


def _has_counted(seen: Observed, count: int) -> bool:
    return seen.gateway.ingestion.stages.whole.count == count


async def test_a_look_tells_of_every_part(tmp_path: Path) -> None:
    async with observed(tmp_path) as seen:
        await send(seen, 2)
        first = await seen.vitals.look()
        assert (first.now, first.lag_ms, first.waiting_notices, first.usage) == (NOW, 0, 0, None)
        assert set(first.statuses) == {"ingestion", "telemetry"}
        assert first.stages.whole.count == first.recent.whole.count == 2
        assert first.process.resident_bytes
        await seen.vitals.look_at_disk()
        usage = (await seen.vitals.look()).usage
        assert usage is not None
        assert usage.log_bytes > 0
        lags = (ConsumerLag("uplink", 1, 2, 3),)
        counts = seen.vitals.counts(1, lags)
        assert (counts.devices, counts.connected, counts.firing, counts.consumers) == (2, 0, 0, lags)
        assert seen.vitals.counts(2, ()).devices == 0


async def test_the_lag_is_that_of_the_oldest_message_that_is_not_on_the_disk(tmp_path: Path) -> None:
    async with observed(tmp_path) as seen:
        async with seen.gateway.disk_busy():
            seen.gateway.ingestion.accept(turn([message({"flow": 1})], [1]))
            await until(lambda: not seen.gateway.ingestion._backlog)
            seen.gateway.now += 12_000
            seen.gateway.ingestion.accept(turn([message({"flow": 2}, arrived_at=seen.gateway.now)], [2]))
            assert (await seen.vitals.look()).lag_ms == 12_000
        await seen.gateway.broker.until(lambda broker: broker.receipts == [1, 2])
        assert (await seen.vitals.look()).lag_ms == 0


async def test_lately_is_the_last_quarter_of_an_hour_and_recent_the_last_minute_or_two(tmp_path: Path) -> None:
    async with observed(tmp_path) as seen:
        await send(seen)
        for minute in range(20):
            await seen.vitals.end_minute()
            await send(seen)
            whole = min(minute + 2, 15)
            assert seen.vitals.lately().whole.count == whole
            assert (await seen.vitals.look()).recent.whole.count == 2
        assert (await seen.vitals.look()).stages.whole.count == 21


async def test_a_disk_that_does_not_answer_leaves_what_was_known(tmp_path: Path) -> None:
    async with observed(tmp_path) as seen:
        await seen.vitals.look_at_disk()
        known = (await seen.vitals.look()).usage
        gateway, gone = seen.gateway, tmp_path / "gone"
        room = Room(gateway.database, gateway.telemetry, gone, TelemetryConfig(), lambda: gateway.now)
        seen.vitals._sources = msgspec.structs.replace(seen.vitals._sources, room=room)
        with pytest.raises(OSError, match="gone"):
            await seen.vitals.look_at_disk()
        assert (await seen.vitals.look()).usage is known
        assert known is not None


async def test_without_a_file_descriptor_left_rules_still_see_the_gateway(tmp_path: Path) -> None:
    async with observed(tmp_path) as seen:
        seen.vitals._sources.health.register("broken", lambda: Status(ok=False, summary="no disk"))
        await seen.gateway.alerts.add_rule(1, NewRule("Not well", "gateway.unhealthy_parts", "GREATER_THAN", 0))
        with none_left():
            async with seen.vitals.running():
                await until(lambda: seen.gateway.alerts.firing_count(1) == 1)


async def test_a_look_that_fails_is_told_once_and_followed_by_the_next(caplog: pytest.LogCaptureFixture) -> None:
    troubles: list[Exception | None] = [OSError("no file left"), OSError("no file left"), sqlite3.Error("is odd"), None]
    went_well = asyncio.Event()

    async def look() -> None:
        if not troubles:
            went_well.set()
        elif (trouble := troubles.pop(0)) is not None:
            raise trouble

    looking = asyncio.create_task(_every(0, look))
    async with asyncio.timeout(10):
        await went_well.wait()
    looking.cancel()
    assert [record.getMessage().partition("error=")[2] for record in caplog.records] == ["no file left", "is odd"]


async def test_a_defect_in_a_look_does_not_go_unnoticed() -> None:
    async def look() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await _every(0, look)


async def test_while_it_runs_the_loop_is_looked_at_and_rules_see_the_figures(tmp_path: Path) -> None:
    async with observed(tmp_path) as seen:
        seen.vitals._sources.health.register("broken", lambda: Status(ok=False, summary="no disk"))
        await seen.gateway.alerts.add_rule(1, NewRule("Not well", "gateway.unhealthy_parts", "GREATER_THAN", 0))
        async with seen.vitals.running():
            await until(lambda: seen.vitals.loop_lag.count > 0)
            await until(lambda: seen.gateway.alerts.firing_count(1) == 1)
            await until(lambda: seen.vitals._usage is not None)


async def test_a_loop_that_is_held_up_is_told_of_once(tmp_path: Path) -> None:
    async with observed(tmp_path) as seen, seen.vitals.running():
        await until(lambda: seen.vitals.loop_lag.count > 0)
        begun = time.monotonic()
        while time.monotonic() < begun + 0.5:
            sum(range(1_000))  # Nobody else gets a turn meanwhile.
        await until(lambda: seen.vitals.loop_lag.sum_us > 200_000)
        measured = await seen.vitals.readings()
        assert measured.readings["gateway.event_loop_lag_seconds"] > 0.2
        assert (await seen.vitals.readings()).readings["gateway.event_loop_lag_seconds"] < 0.2
