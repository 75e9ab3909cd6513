"""Days are dropped by age and by size, a full disk gives up its reserve first, and what takes room is told."""

import asyncio
import contextlib
import errno
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from appliance.audit.service import Audit
from appliance.config import TelemetryConfig
from appliance.instant import DAY_MS, MINUTE_MS, SECOND_MS
from appliance.registry.model import Device, DeviceState
from appliance.store.database import UnwritableError
from appliance.telemetry.keeping import plan
from appliance.telemetry.keeping.room import reserve
from appliance.telemetry.keeping.room.measurement import RESERVE_NAME
from appliance.telemetry.keeping.room.reserve import LEAST_BYTES, MEGABYTE, PATIENCE_MS, Disk
from appliance.telemetry.keeping.room.service import Room, make_way
from tests.appliance.telemetry.reports import DAY, NOON, report
from tests.appliance.telemetry.test_service import Gateway


class RoomyGateway(Gateway):
    """What commits, what keeps, and the room that there is."""

    room: Room
    passed_at: int | None = None
    """What has passed for sure, while a time server does not vouch for the clock."""
    uptime_s = 0.0

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["RoomyGateway"]:
        async with super().running():
            self.open_room()
            yield self

    def open_room(self) -> None:
        """Begin anew, as after a restart."""
        self.room = Room(self.database, self.telemetry, self.folder, self.config, lambda: self.now)
        self.room.passed_at = lambda: self.now if self.passed_at is None else self.passed_at
        self.room.uptime_s = lambda: self.uptime_s

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


def device(device_id: str, type_: str, tenant_id: int = 1) -> Device:
    return Device(tenant_id, device_id, "", type_, "", "", DeviceState.ACTIVE, 0, 1)


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


async def test_a_clock_that_is_believed_and_leaps_takes_little_a_night_and_that_is_told(tmp_path: Path) -> None:
    async with opened(tmp_path, keep_days=365).running() as gateway:
        await gateway.fill(range(5))
        gateway.now += 400 * DAY_MS
        await gateway.room.tend()
        assert await gateway.days() == [1, 2, 3, 4]
        status = gateway.room.status()
        assert (status.ok, status.is_serving) == (False, True)
        assert "4 days are too old by the clock alone" in status.summary
        # Neither a restart nor another leap begins a new night.
        gateway.open_room()
        async with gateway.room.running():
            for _ in range(3):
                await gateway.room.tend()
                gateway.now += 400 * DAY_MS
        assert await gateway.days() == [1, 2, 3, 4]
        gateway.uptime_s += plan.NIGHT_MS / SECOND_MS
        await gateway.room.tend()
        assert await gateway.days() == [2, 3, 4]


async def test_a_clock_that_nobody_vouches_for_takes_no_day(tmp_path: Path) -> None:
    async with opened(tmp_path, keep_days=2, keep_days_of_types={"camera": 2}).running() as gateway:
        await gateway.fill(range(3))
        gateway.room.devices = lambda: [device("sensor-001", "camera")]
        gateway.passed_at = gateway.now = NOON + 2 * DAY_MS
        gateway.now += 400 * DAY_MS
        await gateway.room.tend()
        assert await gateway.days() == [0, 1, 2]
        told = "the age of days counts from 2026-02-02"
        assert told in gateway.room.status().summary
        assert told in (await gateway.room.usage(1)).notices[0]


async def test_as_long_as_nobody_knows_what_has_passed_no_day_is_too_old(tmp_path: Path) -> None:
    async with opened(tmp_path, keep_days=1).running() as gateway:
        await gateway.fill(range(4))
        room = Room(gateway.database, gateway.telemetry, tmp_path, gateway.config, lambda: gateway.now)
        await room.tend()
        assert await gateway.days() == [0, 1, 2, 3]


async def test_a_device_leaves_by_the_clock_alone_only_a_day_a_night_however_often_it_starts(tmp_path: Path) -> None:
    async with opened(tmp_path, keep_days_of_devices={"sensor-001": 100}).running() as gateway:
        await gateway.fill(range(3))
        await gateway.take(report("sensor-002", NOON))
        for night, left in ((0, 2), (0, 2), (0, 2), (1, 1)):
            gateway.now += 400 * DAY_MS
            gateway.uptime_s = night * plan.NIGHT_MS / SECOND_MS
            gateway.open_room()
            gateway.room.devices = lambda: [device("sensor-001", "")]
            async with gateway.room.running():
                await gateway.room.tend()
                await gateway.room.tend()
                assert len(await gateway.stored()) == left


async def test_a_day_that_cannot_go_keeps_no_other_from_going(tmp_path: Path) -> None:
    async with opened(tmp_path, keep_days=1).running() as gateway:
        await gateway.fill(range(4))
        path = tmp_path / "days" / "2026-02-01.sealed"
        path.unlink()
        path.mkdir()
        with pytest.raises(UnwritableError, match=r"2026-02-01\.sealed"):
            await gateway.room.tend()
        assert await gateway.days() == [1, 3]


class FakeDisk:
    """A disk of so many bytes; what the days do not take is taken by others."""

    def __init__(self, gateway: RoomyGateway, total_bytes: int, free_bytes: int) -> None:
        self.total_bytes = total_bytes
        self.free_bytes = free_bytes
        self._days = gateway.folder / "days"
        self._before = self._taken()

    def look(self) -> Disk:
        return Disk(self.free_bytes + self._before - self._taken(), self.total_bytes, 0)

    def _taken(self) -> int:
        return sum(path.stat().st_blocks * 512 for path in self._days.iterdir() if path.is_file())


async def test_no_day_goes_for_what_others_fill(tmp_path: Path) -> None:
    async with opened(tmp_path).running() as gateway:
        await gateway.fill(range(5))
        gateway.room.look = FakeDisk(gateway, 32 * 10**9, 3 * 10**9).look
        await gateway.room.tend()
        assert await gateway.days() == [0, 1, 2, 3, 4]
        status = gateway.room.status()
        assert (status.ok, status.is_serving) == (False, True)
        assert "others fill the disk: 29.0 GB of 32.0 GB are not the gateway's" in status.summary
        assert (await gateway.room.usage(1)).notices == (status.summary.split("; ")[1],)


@pytest.mark.parametrize("silent_days", [0, 9], ids=["devices send", "nobody sends, or the clock runs ahead"])
async def test_without_a_number_about_a_usual_day_goes_a_night_and_with_one_all_that_are_too_many(
    tmp_path: Path, silent_days: int
) -> None:
    async with opened(tmp_path).running() as gateway:
        await gateway.fill(range(5))
        gateway.now += silent_days * DAY_MS
        day_bytes = (await gateway.room.usage(1)).sealed_bytes // 5
        gateway.room.look = FakeDisk(gateway, 10**9, 150_000_000 - 3 * day_bytes).look
        for days in ([1, 2, 3, 4], [2, 3, 4], [3, 4], [3, 4]):
            for _ in range(2):
                await gateway.room.tend()
                assert await gateway.days() == days
                is_over = len(days) > 2
                assert ((await gateway.room.usage(1)).days_left == 0) >= is_over
                assert ("of the oldest days go each night" in gateway.room.status().summary) is is_over
            gateway.uptime_s += plan.NIGHT_MS / SECOND_MS
        assert gateway.room.status().ok


async def test_a_full_disk_drops_the_oldest_days_one_a_look_but_never_todays(tmp_path: Path) -> None:
    async with opened(tmp_path, drop_when_full=False).running() as gateway:
        await gateway.fill(range(3))
        await gateway.take(report(at=gateway.now))
        await gateway.telemetry.seal_all()
        disk = FakeDisk(gateway, 10**9, LEAST_BYTES - 1)
        gateway.room.look = disk.look
        await gateway.room.look_after()
        assert await gateway.days() == [0, 1, 2, 3]
        assert not gateway.room.status().ok
        assert "disk is full" in gateway.room.status().summary
        gateway.config = TelemetryConfig(reserve_mb=0)
        gateway.open_room()
        gateway.room.look = disk.look
        for days in ([1, 2, 3], [2, 3], [3], [3]):
            gateway.uptime_s += PATIENCE_MS / SECOND_MS
            disk.free_bytes -= disk.look().free_bytes - LEAST_BYTES + 1
            await gateway.room.look_after()
            assert await gateway.days() == days
        entries = await Audit(gateway.database, lambda: 0).entries(1)
        assert len(entries) == 3
        assert all("the disk was full" in each.details for each in entries)


async def test_a_full_disk_takes_no_day_when_all_of_them_would_not_help(tmp_path: Path) -> None:
    async with opened(tmp_path).running() as gateway:
        await gateway.fill(range(3))
        gateway.room.look = FakeDisk(gateway, 10**9, 0).look
        await gateway.room.look_after()
        assert await gateway.days() == [0, 1, 2]
        assert "disk is full" in gateway.room.status().summary


async def test_a_day_whose_room_others_take_at_once_is_followed_by_none_for_a_minute(tmp_path: Path) -> None:
    async with opened(tmp_path).running() as gateway:
        await gateway.fill(range(3))
        # As a file system that gives room back later, too.
        gateway.room.look = lambda: Disk(LEAST_BYTES - 1, 10**9, 0)
        for days in ([1, 2], [1, 2]):
            await gateway.room.look_after()
            assert await gateway.days() == days
        gateway.uptime_s += PATIENCE_MS / SECOND_MS
        await gateway.room.look_after()
        assert await gateway.days() == [2]


async def test_what_a_day_being_written_takes_is_waited_for_before_any_day_goes(tmp_path: Path) -> None:
    async with opened(tmp_path).running() as gateway:
        await gateway.fill(range(3))
        disk = FakeDisk(gateway, 10**9, LEAST_BYTES - 1)
        looked = asyncio.Event()
        loop = asyncio.get_running_loop()

        def look() -> Disk:
            loop.call_soon_threadsafe(looked.set)
            return disk.look()

        gateway.room.look = look
        async with gateway.room.keeping.nothing_written():
            # Whoever writes has filled the disk, fails, and takes its own file away.
            looking = asyncio.create_task(gateway.room.look_after())
            await looked.wait()
            disk.free_bytes = 10**8
        await looking
        assert await gateway.days() == [0, 1, 2]


async def test_roll_ups_that_cannot_be_used_keep_no_day_on_a_full_disk_and_end_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path).running() as gateway:
        await gateway.fill(range(3))
        gateway.room.look = FakeDisk(gateway, 10**9, LEAST_BYTES - 1).look
        [path] = (path for path in (tmp_path / "rollups").glob("2026-01*") if path.suffix == ".db")
        await damage(gateway, path)
        async with gateway.room.running():
            assert await gateway.days() == [1, 2]


async def test_a_disk_that_cannot_be_looked_at_ends_nothing_and_is_told(tmp_path: Path) -> None:
    async with opened(tmp_path).running() as gateway:

        def look() -> Disk:
            raise OSError(errno.EIO, "the card gives no answer")

        gateway.room.look = look
        async with gateway.room.running():
            assert "the card gives no answer" in gateway.room.status().summary
            assert gateway.room.status().is_serving


async def damage(gateway: RoomyGateway, path: Path) -> None:
    """Make a file of roll-ups one that is not any more."""
    await gateway.telemetry.rollups._files.close(path.name)
    pages = path.read_bytes()
    path.write_bytes(pages[:4096] + bytes([255]) * (len(pages) - 4096))


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
        assert usage.used_bytes == sum(parts) + usage.journal_bytes + usage.other_bytes


async def test_a_number_of_days_for_a_device_is_for_nobody_elses_of_that_name(tmp_path: Path) -> None:
    async with opened(tmp_path, keep_days_of_devices={"sensor-001": 1}).running() as gateway:
        gateway.room.devices = lambda: [device("sensor-001", "", tenant_id) for tenant_id in (1, 2)]
        gateway.telemetry.absorb([report(tenant_id=2)], await gateway.commit(report()))
        await gateway.fill(range(3))
        await gateway.room.tend()
        both = {(1, "sensor-001"), (2, "sensor-001")}
        assert await gateway.room.keeping.holding(DAY, both) == {(2, "sensor-001")}


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
