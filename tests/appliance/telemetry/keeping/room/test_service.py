"""Days are dropped by age and by size, a full disk gives up its reserve first, and what takes room is told."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from appliance.audit.service import Audit
from appliance.config import TelemetryConfig
from appliance.instant import DAY_MS, MINUTE_MS
from appliance.registry.model import Device, DeviceState
from appliance.telemetry.keeping.room import reserve
from appliance.telemetry.keeping.room.reserve import MEGABYTE
from appliance.telemetry.keeping.room.service import RESERVE_NAME, Room, make_way
from tests.appliance.telemetry.reports import DAY, NOON, report
from tests.appliance.telemetry.test_service import Gateway


class RoomyGateway(Gateway):
    """What commits, what keeps, and the room that there is."""

    room: Room

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["RoomyGateway"]:
        async with super().running():
            self.room = Room(self.database, self.telemetry, self.folder, self.config, lambda: self.now)
            yield self

    async def fill(self, days: range, device_id: str = "sensor-001") -> None:
        for day in days:
            await self.take(report(device_id, NOON + day * DAY_MS, values={"pressure": day / 7}))
        await self.telemetry.seal_all()
        self.now = NOON + days.stop * DAY_MS
        await self.room.keeping.seal_due()
        await self.telemetry.rollups.roll()

    async def days(self) -> list[int]:
        return [use.day - DAY for use in await self.room.keeping.uses()]


def opened(folder: Path, **settings: object) -> RoomyGateway:
    return RoomyGateway(folder, TelemetryConfig(**{"reserve_mb": 0, **settings}))  # type: ignore[arg-type]


def device(device_id: str, type_: str) -> Device:
    return Device(1, device_id, "", type_, "", "", DeviceState.ACTIVE, 0, 1)


async def test_days_that_are_too_old_go_and_their_roll_ups_stay(tmp_path: Path) -> None:
    async with opened(tmp_path, keep_days=2).running() as gateway:
        await gateway.fill(range(5))
        gateway.now += MINUTE_MS
        hours = await gateway.telemetry.hours(1, ["sensor-001"], ["pressure"], NOON, NOON + DAY_MS)
        await gateway.room.tend()
        assert await gateway.days() == [3, 4]
        assert await gateway.telemetry.hours(1, ["sensor-001"], ["pressure"], NOON, NOON + DAY_MS) == hours
        entries = await Audit(gateway.database, lambda: 0).entries(1)
        assert [(each.action, each.subject) for each in entries] == [
            ("telemetry.drop", f"2026-02-0{number}") for number in (2, 1)
        ] + [("telemetry.drop", "2026-01-31")]


async def test_nothing_goes_while_there_is_room_and_no_age_is_set(tmp_path: Path) -> None:
    async with opened(tmp_path).running() as gateway:
        await gateway.fill(range(3))
        await gateway.room.tend()
        assert await gateway.days() == [0, 1, 2]


async def test_a_type_that_is_kept_for_less_long_leaves_its_days_and_others_stay(tmp_path: Path) -> None:
    async with opened(tmp_path, keep_days_of_types={"camera": 1}).running() as gateway:
        await gateway.fill(range(3))
        gateway.room.devices = lambda: [device("camera-1", "camera"), device("sensor-001", "")]
        await gateway.fill(range(3), "camera-1")
        await gateway.room.tend()
        assert await gateway.days() == [0, 1, 2]
        assert [at for at, _ in await gateway.stored("camera-1")] == [NOON + 2 * DAY_MS]
        assert len(await gateway.stored()) == 3
        # What was thinned already is not looked at again.
        changed = [path.stat().st_mtime_ns for path in (tmp_path / "days").glob("*.sealed")]
        await gateway.room.tend()
        assert [path.stat().st_mtime_ns for path in (tmp_path / "days").glob("*.sealed")] == changed


async def test_a_full_disk_drops_the_oldest_days_but_never_todays(tmp_path: Path) -> None:
    async with opened(tmp_path).running() as gateway:
        await gateway.fill(range(3))
        await gateway.take(report(at=gateway.now))
        await gateway.telemetry.seal_all()
        too_much = reserve.look(tmp_path, tmp_path / RESERVE_NAME).total_bytes * 8 // MEGABYTE
        gateway.config = TelemetryConfig(reserve_mb=too_much, drop_when_full=False)
        gateway.room = Room(gateway.database, gateway.telemetry, tmp_path, gateway.config, lambda: gateway.now)
        await gateway.room.look_after()
        assert await gateway.days() == [0, 1, 2, 3]
        assert not gateway.room.status().ok
        assert "disk is full" in gateway.room.status().summary
        gateway.config = TelemetryConfig(reserve_mb=too_much)
        gateway.room = Room(gateway.database, gateway.telemetry, tmp_path, gateway.config, lambda: gateway.now)
        await gateway.room.look_after()
        assert await gateway.days() == [3]
        entries = await Audit(gateway.database, lambda: 0).entries(1)
        assert all("the disk was full" in each.details for each in entries)


async def test_a_reserve_is_kept_and_taken_again_when_it_is_gone(tmp_path: Path) -> None:
    async with opened(tmp_path, reserve_mb=1).running() as gateway, gateway.room.running():
        path = tmp_path / RESERVE_NAME
        assert path.stat().st_size == MEGABYTE
        assert gateway.room.status().ok
        path.unlink()
        await gateway.room.look_after()
        assert path.stat().st_size == MEGABYTE
        assert set(gateway.room.parts()) == {"room", "keeping"}


async def test_a_reserve_that_was_given_up_is_said(tmp_path: Path) -> None:
    async with opened(tmp_path, reserve_mb=1).running() as gateway:
        status = gateway.room.status()
        assert (status.ok, status.is_serving) == (False, True)
        assert "the reserve was given up" in status.summary


def test_a_start_on_a_full_disk_gives_up_the_reserve_before_anything_is_opened(tmp_path: Path) -> None:
    path = tmp_path / RESERVE_NAME
    make_way(tmp_path, TelemetryConfig())
    reserve.make(path, MEGABYTE)
    make_way(tmp_path, TelemetryConfig(reserve_mb=1))
    assert path.exists()
    make_way(tmp_path, TelemetryConfig(reserve_mb=reserve.look(tmp_path, path).total_bytes * 8 // MEGABYTE))
    assert not path.exists()


async def test_where_the_disk_goes_is_told(tmp_path: Path) -> None:
    async with opened(tmp_path, reserve_mb=1, disk_budget_gb=1).running() as gateway, gateway.room.running():
        await gateway.fill(range(3))
        await gateway.take(report(at=gateway.now))
        usage = await gateway.room.usage(1)
        assert (usage.day_count, usage.oldest_day, usage.newest_day) == (3, DAY, DAY + 2)
        assert usage.sealed_bytes > 0
        assert usage.log_bytes > 0
        assert usage.rollup_bytes > 0
        assert usage.budget_bytes == 10**9
        assert usage.growth_bytes == usage.sealed_bytes // 3
        assert usage.days_left == (usage.budget_bytes - usage.used_bytes) // usage.growth_bytes
        parts = (usage.open_bytes, usage.sealed_bytes, usage.rollup_bytes, usage.database_bytes, usage.reserve_bytes)
        assert usage.used_bytes == sum(parts) + usage.other_bytes


async def test_no_tenant_reads_of_the_devices_of_another(tmp_path: Path) -> None:
    async with opened(tmp_path).running() as gateway:
        gateway.telemetry.day_files.note_damage("2026-01-31.sealed page 1 of 5: 3 reports of pump-1 cannot be read")
        await gateway.take(report())
        await gateway.room.keeping.erase(1, ["sensor-001"])
        mine, others = await gateway.room.usage(1), await gateway.room.usage(2)
        assert (len(mine.damages), mine.erasing) == (1, ("sensor-001",))
        assert (others.damages, others.erasing, others.log_bytes) == ((), (), 0)
        assert "sensor-001" not in gateway.room.keeping.status().summary


def written_bytes() -> int:
    """What this process had written to any block device."""
    lines = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("write_bytes:")))


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="only Linux counts what a process writes")
async def test_unlinking_a_day_writes_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path).running() as gateway:
        await gateway.fill(range(2))
        before = written_bytes()
        assert await gateway.room.keeping.unlink(DAY) > 0
        assert written_bytes() == before
        assert await gateway.days() == [1]
