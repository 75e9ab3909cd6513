"""A start takes up what the log holds beyond the day files, and does not believe those that it cannot read."""

import gc
from pathlib import Path

import pytest

from appliance.telemetry import queries
from appliance.telemetry.recovering.service import Recovery
from tests.appliance.telemetry.reports import DAY, NOON, report
from tests.appliance.telemetry.test_service import Gateway


async def begun(gateway: Gateway) -> None:
    """A device with a reading that is in its day file and in the log, and one that is in the log only."""
    await gateway.take(report("b"))
    await gateway.take(report("a", values={"pressure": 1.0}))
    gateway.telemetry._chunks.begin_sealing_all()
    [first, _] = sorted(gateway.telemetry._chunks.sealing, key=lambda each: each.device.device_id)
    gateway.telemetry._chunks.sealing = [first]
    await gateway.telemetry._insert_sealing()
    await gateway.take(report("a", NOON + 1, values={"pressure": 2.0}))


async def test_what_is_not_in_a_day_file_is_taken_up_once(tmp_path: Path) -> None:
    async with Gateway(tmp_path).running() as gateway:
        await begun(gateway)
        before = gateway.telemetry
        again = gateway.telemetry.__class__(gateway.database, tmp_path, gateway.config, lambda: gateway.now)
        recovery = Recovery(gateway.database, again._chunks, again._days, again.rollups, again.begin_after)
        # The log may be all there is of what is in the file of that day.
        assert await recovery.run(before._files.folder) == {DAY: 1}
        assert [list(part.at) for part in again._chunks.copied_parts(1, "a", NOON, NOON + 9)] == [[NOON + 1]]
        assert [list(part.at) for part in again._chunks.copied_parts(1, "b", NOON, NOON + 9)] == [[NOON]]
        assert again.latest(1, "a")["pressure"].value == 2.0
        assert again._chunks.last_log_id == 3


async def test_a_day_file_that_cannot_be_read_covers_nothing_of_the_log(tmp_path: Path) -> None:
    async with Gateway(tmp_path).running() as gateway:
        await begun(gateway)
        folder = gateway.telemetry._files.folder
        await gateway.telemetry._files.close(queries.day_name(DAY))
        (folder / queries.day_name(DAY)).write_bytes(b"no database" * 5_000)
        again = gateway.telemetry.__class__(gateway.database, tmp_path, gateway.config, lambda: gateway.now)
        recovery = Recovery(gateway.database, again._chunks, again._days, again.rollups, again.begin_after)
        assert await recovery.run(folder) == {}
        assert [list(part.at) for part in again._chunks.copied_parts(1, "a", NOON, NOON + 9)] == [[NOON, NOON + 1]]
        assert any("2026-01-31.db cannot be read" in told for told in again._days.damages)


@pytest.mark.parametrize(("count", "is_much"), [(3_000, True), (30, False)])
async def test_what_a_start_has_taken_up_is_looked_at_for_garbage_unless_it_is_much(
    tmp_path: Path, count: int, is_much: bool
) -> None:
    async with Gateway(tmp_path).running() as gateway:
        await gateway.take(*[report(f"sensor-{number}") for number in range(count)])
        again = gateway.telemetry.__class__(gateway.database, tmp_path, gateway.config, lambda: gateway.now)
        recovery = Recovery(gateway.database, again._chunks, again._days, again.rollups, again.begin_after)
        before = gc.get_freeze_count()
        gc.collect()
        try:
            await recovery.run(gateway.telemetry._files.folder)
            assert gc.isenabled()
            assert (gc.get_freeze_count() - before > 20_000) == is_much
        finally:
            gc.unfreeze()
        assert again._chunks.report_count == count
