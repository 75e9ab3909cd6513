from pathlib import Path

import pytest

from bench.telemetry_history import History, keep
from bench.telemetry_rig import size_bytes
from bench.telemetry_walk import METRICS


@pytest.mark.parametrize("is_full", [False, True])
async def test_what_is_told_is_what_lies_in_the_files(tmp_path: Path, is_full: bool) -> None:
    task = History(
        folder=str(tmp_path),
        device_count=2,
        day=20_240,
        past_days=1,
        past_interval_ms=3_600_000,
        hours=1,
        fleet_count=3,
        is_full=is_full,
        is_asked=False,
    )
    kept = await keep(task)
    assert kept.reading_count == 2 * 720 * len(METRICS)
    assert kept.all_count == kept.reading_count + 2 * 24 * len(METRICS)
    assert kept.sealed_bytes == size_bytes([tmp_path / "data" / "days" / "2025-06-01.sealed"])
    assert 0 < kept.rollup_bytes <= size_bytes([tmp_path / "data" / "rollups"])


async def test_a_day_is_asked_and_dropped_without_a_byte(tmp_path: Path) -> None:
    task = History(str(tmp_path), 2, 20_240, 1, 3_600_000, hours=1, fleet_count=3, is_full=False, is_asked=True)
    kept = await keep(task)
    assert kept.drop_bytes == 0
    assert not (tmp_path / "data" / "days" / "2025-06-01.sealed").exists()
    assert (tmp_path / "data" / "days" / "2025-05-31.sealed").exists()
    for times in (kept.raw, kept.month_hours, kept.month_days, kept.wide, kept.latest):
        assert times is not None
        assert 0 < times.p50 <= times.longest
