"""After a start roll-ups go on where they were: nothing is computed twice, and nothing is left out."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.instant import DAY_MS, HOUR_MS, MINUTE_MS
from appliance.telemetry.rollups import queries, service
from tests.appliance.telemetry.reports import DAY, NOON, report
from tests.appliance.telemetry.rollups.test_service import NOON_HOUR, count, progress, rolled_hours
from tests.appliance.telemetry.test_service import Gateway


async def test_a_start_after_a_clean_end_computes_nothing_again(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    async with gateway.running():
        await gateway.take(report("a"))
        await gateway.telemetry.seal_all()
        gateway.now += 2 * DAY_MS
        await gateway.telemetry.rollups.roll()
    async with gateway.running():
        assert gateway.telemetry.rollups.stale.doubts == {}
        assert gateway.telemetry.rollups.stale.is_clean(DAY)


async def test_what_was_sealed_and_not_rolled_up_before_a_restart_is_rolled_up_after_it(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    async with gateway.running():
        await gateway.take(report("a"), report("b"))
        await gateway.telemetry.seal_all()
        gateway.now += HOUR_MS
        await gateway.telemetry.rollups.roll()
        await gateway.take(report("a", NOON + MINUTE_MS), report("a", NOON + HOUR_MS))
        await gateway.telemetry.seal_all()
    async with gateway.running():
        rollups = gateway.telemetry.rollups
        assert rollups.stale.doubts == {DAY: 1}
        assert await count(gateway) == 2
        await rollups.roll()
        assert rollups.stale.doubts == {}
        # The hour after noon is not over.
        assert rollups.stale.hours((1, "a"), NOON_HOUR - 12, NOON_HOUR + 12) == {NOON_HOUR + 1}
        assert rollups.stale.is_clean(DAY) is False
        assert progress(gateway)[DAY].last_log_id == 1
        assert await count(gateway) == 2


@pytest.mark.parametrize("is_in_doubt", [False, True])
async def test_a_stop_leaves_what_is_not_rolled_up_yet_to_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_in_doubt: bool
) -> None:
    monkeypatch.setattr(service, "DEVICES_PER_TRANSACTION", 1)
    gateway, stop = Gateway(tmp_path), asyncio.Event()
    async with gateway.running():
        await gateway.take(*[report(device_id) for device_id in "abc"])
        await gateway.telemetry.seal_all()
        gateway.now += HOUR_MS
        if not is_in_doubt:
            await rolled_until_the_first_is_written(gateway, stop, monkeypatch)
    if is_in_doubt:
        async with gateway.running():
            await rolled_until_the_first_is_written(gateway, stop, monkeypatch)
    assert rolled_hours(gateway) == [0]
    async with gateway.running():
        assert gateway.telemetry.rollups.stale.doubts == {DAY: 0}
        await gateway.telemetry.rollups.roll()
        assert rolled_hours(gateway) == [0, 0, 0]
        assert progress(gateway)[DAY].last_log_id == 1


async def rolled_until_the_first_is_written(
    gateway: Gateway, stop: asyncio.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = gateway.telemetry.rollups._write

    async def stopping(day: int, function: Callable[..., object], *arguments: object) -> object:
        if function is queries.insert_hours:
            stop.set()
        return await write(day, function, *arguments)

    monkeypatch.setattr(gateway.telemetry.rollups, "_write", stopping)
    async with asyncio.timeout(30):
        # The first look is for damage only.
        await gateway.telemetry.rollups.roll_until(stop, 1)
