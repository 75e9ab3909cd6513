"""What keeps days from going is told to who can change it."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.config import TelemetryConfig
from appliance.telemetry.keeping import plan
from appliance.telemetry.keeping.plan import DayUse, Limits, Present, Spent
from appliance.telemetry.keeping.room.measurement import Measured
from appliance.telemetry.keeping.room.outlook import Outlook, of_blocks, outlook
from appliance.telemetry.keeping.room.reserve import GIGABYTE, MEGABYTE, Disk
from tests.appliance.telemetry.keeping.room.test_service import opened
from tests.appliance.telemetry.reports import DAY

TODAY = Present(DAY, DAY)


def measured(days: int, beside: int = 0, free: int = 100, total: int = 200) -> Measured:
    """So many days of a gigabyte each, and gigabytes beside them."""
    uses = [DayUse(DAY - age, 0, GIGABYTE) for age in range(1, days + 1)]
    sizes = {"days": days * GIGABYTE, "gateway.db": beside * GIGABYTE}
    return Measured(uses, sizes, Disk(free * GIGABYTE, total * GIGABYTE, 0))


@given(st.integers(0, 20), st.integers(0, 20), st.integers(0, 40), st.booleans())
def test_a_budget_that_days_cannot_keep_to_is_told_and_then_none_goes(
    days: int, beside: int, budget: int, is_set: bool
) -> None:
    found, limits = measured(days, beside), Limits(0, budget * GIGABYTE, None if is_set else GIGABYTE)
    told = outlook(found, limits, TODAY, is_aged=False)
    assert told.is_well is (beside <= budget)
    # Neither is silent: that none goes, and that it is more than it may be while the oldest go.
    assert bool(told.notices) is (found.used_bytes > limits.budget_bytes)
    drops = plan.due_for_dropping(
        found.days, found.beside_bytes, limits, TODAY, {use.day for use in found.days}, Spent()
    )
    assert bool(drops) is (told.is_well and found.used_bytes > limits.budget_bytes)


@given(st.integers(0, 3), st.integers(1, 30 * GIGABYTE), st.integers(0, 5 * GIGABYTE), st.integers(1, 40))
def test_the_smallest_budget_that_is_named_is_the_smallest_that_can_be_kept_to(
    days: int, rollups: int, database: int, budget: int
) -> None:
    uses = [DayUse(DAY - age, 0, GIGABYTE) for age in range(days)]
    sizes = {"days": days * GIGABYTE, "rollups": rollups, "gateway.db": database}
    found = Measured(uses, sizes, Disk(100 * GIGABYTE, 200 * GIGABYTE, MEGABYTE))

    def told(gigabytes: int) -> str:
        return "; ".join(outlook(found, Limits(0, gigabytes * GIGABYTE), TODAY, is_aged=False).notices)

    if named := re.search(r"It takes telemetry\.disk_budget_gb = (\d+) or more$", told(budget)):
        least = int(named[1])
        assert budget < least
        assert "It takes" not in told(least)
        assert "It takes" in told(least - 1)
        assert "roll-ups " in told(budget) or rollups <= GIGABYTE


def test_the_sentences_say_what_takes_the_room() -> None:
    [told] = outlook(measured(3, 21), Limits(0, 20 * GIGABYTE), TODAY, is_aged=False).notices
    assert told == (
        "21.0 GB of the 20.0 GB that may be used are not days that could go (gateway.db 21.0 GB): dropping all of "
        "those would not be enough, so none goes for it. It takes telemetry.disk_budget_gb = 21 or more"
    )
    [told] = outlook(measured(3, 1, 3, 32), Limits(0, 0, 5), TODAY, is_aged=False).notices
    assert told.startswith("others fill the disk: 25.0 GB of 32.0 GB are not the gateway's.")
    assert "15% free" in told
    [told] = outlook(measured(3, 26, 3, 32), Limits(0, 0, 5), TODAY, is_aged=False).notices
    assert told.startswith("26.0 GB of the disk of 32.0 GB are files of the gateway that are not days.")


async def test_a_budget_that_roll_ups_alone_take_more_than_drops_no_day_and_says_what_it_takes(tmp_path: Path) -> None:
    # 4 kB: less than any file of roll-ups.
    async with opened(tmp_path, disk_budget_gb=4e-6).running() as gateway:
        await gateway.fill(range(3))
        usage = await gateway.room.usage(1)
        assert usage.budget_bytes < usage.rollup_bytes <= usage.staying_bytes
        await gateway.room.tend()
        assert await gateway.days() == [0, 1, 2]
        status = gateway.room.status()
        assert (status.ok, status.is_serving) == (False, True)
        assert "roll-ups 0." in status.summary
        assert status.summary.endswith("so none goes for it. It takes telemetry.disk_budget_gb = 1 or more")
        # The budget that was named is kept to, and with what days take, too.
        gateway.config = TelemetryConfig(reserve_mb=0, disk_budget_gb=1)
        gateway.open_room()
        assert not (await gateway.room.usage(1)).notices
        assert gateway.room.status().ok


def test_what_takes_the_room_is_named_whatever_it_is() -> None:
    sizes = {"days": 22 * GIGABYTE, "cold": 9 * GIGABYTE, "journal": GIGABYTE, "pki": MEGABYTE}
    found = Measured([DayUse(DAY, 0, 2 * GIGABYTE)], sizes, Disk(GIGABYTE, 100 * GIGABYTE, 0))
    [told] = outlook(found, Limits(0, GIGABYTE), TODAY, is_aged=False).notices
    named = "other files beside days 20.0 GB, Parquet files 9.0 GB, days that are not over 2.0 GB"
    assert f"({named}): dropping" in told
    sizes = {"days": 0, "gateway.db": 20 * GIGABYTE, "pki": MEGABYTE}
    [told] = outlook(Measured([], sizes, found.disk), Limits(0, GIGABYTE), TODAY, is_aged=False).notices
    assert "(gateway.db 20.0 GB): dropping" in told


def test_more_than_may_be_used_is_told_while_the_oldest_days_go_for_it() -> None:
    [told] = outlook(measured(20, 1), Limits(0, 10 * GIGABYTE, GIGABYTE // 2), TODAY, is_aged=False).notices
    assert told == "21.0 GB are used, and 10.0 GB may be: about 0.5 GB of the oldest days go each night"
    [told] = outlook(measured(20, 1), Limits(0, 10 * GIGABYTE, 5 * MEGABYTE), TODAY, is_aged=False).notices
    assert told.endswith("about 5.0 MB of the oldest days go each night")
    [told] = outlook(measured(20, 1), Limits(0, 10 * GIGABYTE), TODAY, is_aged=False).notices
    assert told.endswith(": the oldest days go the next night")


@pytest.mark.parametrize(("waiting", "is_told"), [(2, False), (3, True)])
def test_days_that_only_the_clock_calls_old_are_told_when_they_are_more_than_a_night_takes(
    waiting: int, is_told: bool
) -> None:
    keep_days = 11
    found = outlook(measured(waiting + 6), Limits(keep_days, 10**15), Present(DAY + 5, DAY + 5), is_aged=True)
    assert found.is_well is not is_told
    assert [notice[:6] for notice in found.notices] == [f"{waiting} days"] * is_told


def test_a_clock_that_nobody_vouches_for_is_told_to_who_keeps_days_for_a_time() -> None:
    behind, plenty = Present(DAY, DAY - 1), Limits(0, 10**15)
    assert outlook(measured(3), plenty, behind, is_aged=False) == Outlook()
    assert outlook(measured(3), plenty, Present(DAY - 1, DAY), is_aged=True) == Outlook()
    found = outlook(measured(3), plenty, behind, is_aged=True)
    assert found.is_well
    assert "counts from 2026-01-30" in found.notices[0]
    assert "headworks clock reset" in found.notices[0]


def test_blocks_that_are_too_small_are_told_with_what_to_do_and_any_others_are_not() -> None:
    told = of_blocks(Disk(1, 2, 0, 1024))
    assert "blocks of 1,024 bytes: a full disk can end the gateway" in told
    assert told.endswith("with blocks of 4,096 bytes")
    assert [of_blocks(Disk(1, 2, 0, size)) for size in (4096, 65536)] == ["", ""]


@pytest.mark.parametrize("block_bytes", [1024, 4096])
async def test_a_file_system_on_which_a_full_disk_can_end_the_gateway_is_named_at_the_start_and_in_the_status(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, block_bytes: int
) -> None:
    async with opened(tmp_path).running() as gateway:
        gateway.room.look = lambda: Disk(3 * 10**9, 32 * 10**9, 0, block_bytes)
        async with gateway.room.running():
            await gateway.room.look_after()
            status = gateway.room.status()
    told = [each.message for each in caplog.records if "blocks of" in each.message]
    assert (status.ok, status.details["block_bytes"]) == (True, block_bytes)
    if block_bytes == 1024:
        assert len(told) == 1
        assert "blocks of 1,024 bytes: a full disk can end the gateway" in told[0]
        assert status.summary == f"3.0 GB of the disk are free; {told[0]}"
    else:
        assert (told, status.summary) == ([], "3.0 GB of the disk are free")
