"""What went in a night is written down before it goes, told in the audit log, and known after a restart."""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from appliance.audit.service import Audit
from appliance.instant import DAY_MS, HOUR_MS, SECOND_MS
from appliance.registry.model import DEFAULT_TENANT
from appliance.store.database import UnwritableError
from appliance.telemetry.keeping import plan
from appliance.telemetry.keeping.plan import Cause, Drop, Spent
from appliance.telemetry.keeping.room.drops import queries
from appliance.telemetry.keeping.room.drops.service import NOTE_MS, Drops, boot_id, uptime_s
from appliance.telemetry.packing import ChunkError
from tests.appliance.telemetry.keeping.room.test_service import RoomyGateway, damage, opened
from tests.appliance.telemetry.reports import DAY

CAMERA = (1, "camera-1")


def drops_of(gateway: RoomyGateway) -> Drops:
    return Drops(gateway.database, gateway.room.keeping, lambda: gateway.now)


@contextlib.asynccontextmanager
async def unwritable(gateway: RoomyGateway) -> AsyncIterator[None]:
    """Another program holds gateway.db while the block lasts."""
    await gateway.database.maintain(lambda connection: connection.execute("PRAGMA busy_timeout = 1"))
    with contextlib.closing(sqlite3.connect(gateway.database.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


async def test_what_went_in_a_night_is_known_after_a_restart_until_the_night_is_over(tmp_path: Path) -> None:
    async with opened(tmp_path).running() as gateway:
        await gateway.fill(range(4))
        drops = drops_of(gateway)
        await drops.remember(7)
        drops.begin_night(7)
        freed = [await drops.drop(Drop(DAY + number, cause)) for number, cause in enumerate(Cause)]
        assert all(freed)
        went = Spent(7, 1, freed[list(Cause).index(Cause.BUDGET)])
        assert drops.spent == went
        # Whatever the clock shows then: far ahead, or before the night began.
        for leap_ms in (0, 21 * HOUR_MS, -HOUR_MS, 400 * DAY_MS):
            gateway.now += leap_ms
            again = drops_of(gateway)
            await again.remember(9)
            assert again.spent == went
            again.begin_night(plan.NIGHT_MS + 6)
            assert again.spent == went
            again.begin_night(plan.NIGHT_MS + 7)
            assert again.spent == Spent(plan.NIGHT_MS + 7)


async def test_of_a_night_before_a_boot_as_much_has_passed_as_was_seen(tmp_path: Path) -> None:
    async with opened(tmp_path).running() as gateway:
        await gateway.fill(range(2))
        drops = drops_of(gateway)
        await drops.go_on(NOTE_MS)
        assert await gateway.database.read(queries.select_night(DEFAULT_TENANT)) == []
        await drops.remember(1_000)
        await drops.drop(Drop(DAY, Cause.CLOCK))
        for uptime_ms, noted_ms in ((NOTE_MS + 999, 1_000), (NOTE_MS + 1_000, NOTE_MS + 1_000)):
            await drops.go_on(uptime_ms)
            [night] = await gateway.database.read(queries.select_night(DEFAULT_TENANT))
            assert (night.seen_ms, night.spent) == (noted_ms, Spent(1_000, 1))
        for name in ("another", ""):
            booted = drops_of(gateway)
            booted.boot_id = name
            await booted.remember(5_000)
            assert booted.spent == Spent(-NOTE_MS, 1)
            booted.begin_night(plan.NIGHT_MS - NOTE_MS - 1)
            assert booted.spent.day_count == 1
            booted.begin_night(plan.NIGHT_MS - NOTE_MS)
            assert booted.spent.day_count == 0


async def test_whoever_looks_after_the_room_notes_that_a_night_goes_on(tmp_path: Path) -> None:
    async with opened(tmp_path, keep_days=100).running() as gateway:
        await gateway.fill(range(5))
        gateway.now += 400 * DAY_MS
        await gateway.room.tend()
        gateway.uptime_s = NOTE_MS / SECOND_MS
        await gateway.room.look_after()
        [night] = await gateway.database.read(queries.select_night(DEFAULT_TENANT))
        assert (night.seen_ms, night.spent, night.boot_id) == (NOTE_MS, Spent(0, 1), boot_id())


async def test_boots_without_a_name_are_never_the_same(tmp_path: Path) -> None:
    async with opened(tmp_path).running() as gateway:
        await gateway.fill(range(2))
        drops = drops_of(gateway)
        drops.boot_id = ""
        await drops.remember(3)
        await drops.drop(Drop(DAY, Cause.CLOCK))
        again = drops_of(gateway)
        again.boot_id = ""
        await again.remember(10)
        assert again.spent == Spent(0, 1)


async def test_what_cannot_be_written_down_does_not_go_unless_the_disk_is_full(tmp_path: Path) -> None:
    async with opened(tmp_path).running() as gateway:
        await gateway.fill(range(4))
        drops = drops_of(gateway)
        async with unwritable(gateway):
            for cause in (Cause.CLOCK, Cause.BUDGET):
                with pytest.raises(UnwritableError):
                    await drops.drop(Drop(DAY, cause))
            with pytest.raises(UnwritableError):
                await drops.thin(DAY, {(1, "sensor-001")}, {(1, "sensor-001")})
            assert await gateway.days() == [0, 1, 2, 3]
            assert len(await gateway.stored()) == 4
            assert drops.spent == Spent()
            assert await drops.drop(Drop(DAY, Cause.FULL)) > 0
        await drops.drop(Drop(DAY + 1, Cause.CLOCK))
        entries = await Audit(gateway.database, lambda: 0).entries(1)
        assert [entry.subject for entry in entries] == ["2026-02-01", "2026-01-31"]


async def test_what_is_taken_out_of_a_day_is_told_and_counts_when_only_the_clock_calls_for_it(tmp_path: Path) -> None:
    async with opened(tmp_path).running() as gateway:
        await gateway.fill(range(3))
        await gateway.fill(range(3), "camera-1")
        drops = drops_of(gateway)
        await drops.thin(DAY, {CAMERA, (1, "nobody"), (2, "camera-1")}, {(1, "nobody")})
        assert drops.spent == Spent()
        await drops.thin(DAY, {CAMERA}, {CAMERA})
        assert drops.spent == Spent()
        await drops.thin(DAY + 1, {CAMERA}, {CAMERA})
        assert drops.spent == Spent(0, 1)
        assert len(await gateway.stored("camera-1")) == 1
        assert len(await gateway.stored()) == 3
        again = drops_of(gateway)
        await again.remember(0)
        assert again.spent == Spent(0, 1)
        entries = await Audit(gateway.database, lambda: 0).entries(1)
        assert [(each.action, each.subject) for each in entries] == [
            ("telemetry.thin", "2026-02-01"),
            ("telemetry.thin", "2026-01-31"),
        ]
        assert all('"device_count":"1"' in entry.details for entry in entries)
        assert [Cause.CLOCK.value in entry.details for entry in entries] == [True, False]


async def test_what_fails_is_given_back_to_the_night(tmp_path: Path) -> None:
    async with opened(tmp_path).running() as gateway:
        await gateway.fill(range(2))
        [path] = (path for path in (tmp_path / "rollups").glob("2026-01*") if path.suffix == ".db")
        await damage(gateway, path)
        drops = drops_of(gateway)
        with pytest.raises(ChunkError):
            await drops.drop(Drop(DAY, Cause.CLOCK))
        assert drops.spent == Spent()


async def test_a_full_disk_that_keeps_its_day_gives_back_nothing_that_another_day_has_spent(tmp_path: Path) -> None:
    async with opened(tmp_path).running() as gateway:
        await gateway.fill(range(2))
        drops = drops_of(gateway)
        path = tmp_path / "days" / "2026-01-31.sealed"
        path.unlink()
        path.mkdir()
        async with gateway.room.keeping.nothing_written():
            full = asyncio.create_task(drops.drop(Drop(DAY, Cause.FULL)))
            await asyncio.sleep(0)
            by_clock = asyncio.create_task(drops.drop(Drop(DAY + 1, Cause.CLOCK)))
            while not drops.spent.day_count:  # noqa: ASYNC110  what is waited for is a plain value, which tells nobody
                await asyncio.sleep(0)
        with pytest.raises(OSError, match="sealed"):
            await full
        assert await by_clock > 0
        assert drops.spent == Spent(0, 1)


async def test_a_day_whose_roll_ups_cannot_be_closed_goes_only_for_a_full_disk(tmp_path: Path) -> None:
    async with opened(tmp_path).running() as gateway:
        await gateway.fill(range(2))
        [path] = (path for path in (tmp_path / "rollups").glob("2026-01*") if path.suffix == ".db")
        await damage(gateway, path)
        drops = drops_of(gateway)
        with pytest.raises(ChunkError):
            await drops.drop(Drop(DAY, Cause.AGE))
        assert await gateway.days() == [0, 1]
        assert await drops.drop(Drop(DAY, Cause.FULL)) > 0
        assert await gateway.days() == [1]
        await drops.catch_up()
        [entry] = await Audit(gateway.database, lambda: 0).entries(1)
        assert (entry.action, entry.subject) == ("telemetry.drop", "2026-01-31")


def test_the_clock_of_a_boot_goes_on_and_its_boot_keeps_its_name() -> None:
    first = uptime_s()
    assert 0 < first <= uptime_s()
    assert boot_id() == boot_id()
