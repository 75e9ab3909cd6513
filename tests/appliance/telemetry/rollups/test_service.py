"""Roll-ups are computed once an hour is over, again when something came late, and made anew when they were lost."""

import asyncio
import contextlib
import shutil
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from appliance.instant import DAY_MS, HOUR_MS, MINUTE_MS
from appliance.store.database import UnwritableError, connect_reader
from appliance.telemetry.packing import ChunkError
from appliance.telemetry.rollups import months
from appliance.telemetry.rollups.model import Progress
from appliance.telemetry.rollups.stale import HOURS_PER_DAY
from tests.appliance.telemetry.reports import DAY, NOON, report
from tests.appliance.telemetry.test_service import Gateway

NOON_HOUR = NOON // HOUR_MS


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    async with Gateway(tmp_path).running() as running:
        yield running


def rolled_hours(gateway: Gateway) -> list[int]:
    """Hours after noon of the day that have roll-ups."""
    path = gateway.folder / "rollups" / months.file_name(months.month_of(DAY))
    if not path.exists():
        return []
    first = months.first_day(months.month_of(DAY)) * HOURS_PER_DAY
    with contextlib.closing(connect_reader(path)) as connection:
        return [
            (hour_id >> months.DEVICE_SHIFT) + first - NOON_HOUR
            for (hour_id,) in connection.execute("SELECT hour_id FROM hour ORDER BY hour_id")
        ]


def progress(gateway: Gateway) -> dict[int, Progress]:
    return gateway.telemetry.rollups._all_progress()


async def count(gateway: Gateway, hour: int = 0, device_id: str = "a") -> int:
    start = NOON + hour * HOUR_MS
    found = await gateway.telemetry.hours(1, [device_id], ["pressure"], start, start + HOUR_MS)
    return sum(each.count for each in found[device_id]["pressure"].values())


async def test_an_hour_is_rolled_up_when_it_is_over_and_nothing_of_it_is_in_memory(gateway: Gateway) -> None:
    rollups = gateway.telemetry.rollups
    await gateway.take(report("a"), report("a", NOON + HOUR_MS), report("b", NOON + 1))
    await gateway.telemetry.seal_all()
    gateway.now = NOON + HOUR_MS - 1
    await rollups.roll()
    assert rolled_hours(gateway) == []
    await gateway.take(report("b", NOON + 2))
    gateway.now = NOON + HOUR_MS
    await rollups.roll()
    assert rolled_hours(gateway) == [0]
    await gateway.telemetry.seal_all()
    await rollups.roll()
    assert rolled_hours(gateway) == [0, 0]
    gateway.now = NOON + 2 * HOUR_MS
    await rollups.roll()
    assert rolled_hours(gateway) == [0, 0, 1]
    assert progress(gateway) == {DAY: Progress(DAY, 2, is_whole=False, is_closed=False, is_packed=False)}


async def test_progress_stays_behind_what_is_in_memory_stale_or_not_on_disk(gateway: Gateway) -> None:
    rollups = gateway.telemetry.rollups
    await gateway.take(report("a"))  # log record 1
    await gateway.telemetry.seal_all()
    await gateway.take(report("b", NOON + 1))  # 2: stays in memory
    await gateway.take(report("c", NOON + 2))  # 3
    gateway.now = NOON + HOUR_MS
    await rollups.roll()
    assert progress(gateway)[DAY].last_log_id == 1
    await gateway.telemetry.seal_all()
    await gateway.take(report("a", NOON + 3))  # 4: stays in memory
    await rollups.roll()
    assert progress(gateway)[DAY].last_log_id == 3
    file = await gateway.telemetry._files.writer("2026-01-31.db")
    await file.maintain(lambda connection: connection.execute("PRAGMA busy_timeout = 1"))
    with contextlib.closing(connect_reader(file.path)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM chunk").fetchall()
        await gateway.telemetry.seal_all()
        await gateway.take(report("a", NOON + 4))  # 5: nothing stale but what is not on disk
        gateway.telemetry._chunks.forget(1, "a")
        await rollups.roll()
        assert progress(gateway)[DAY].last_log_id == 3
    await gateway.telemetry.seal_all()
    rollups._changed.add(DAY)
    await rollups.roll()
    assert progress(gateway)[DAY].last_log_id == 5


async def test_lost_roll_ups_are_made_again_newest_day_first(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    async with gateway.running():
        await gateway.take(*[report("a", NOON + day * DAY_MS) for day in (-40, -1, 0)])
        await gateway.telemetry.seal_all()
        gateway.now += 2 * DAY_MS
        await gateway.telemetry.rollups.roll()
    shutil.rmtree(tmp_path / "rollups")
    async with gateway.running():
        assert set(gateway.telemetry.rollups.stale.doubts) == {DAY, DAY - 1, DAY - 40}
        assert await count(gateway) == 1
        await gateway.telemetry.rollups.roll()
        assert {day: each.is_whole for day, each in progress(gateway).items()} == {
            DAY: True,
            DAY - 1: True,
            DAY - 40: True,
        }
        for path in (tmp_path / "days").glob("*.db"):
            path.unlink()
        assert [await count(gateway, 24 * day) for day in (-40, -1, 0, 1)] == [1, 1, 1, 0]


async def test_a_day_whose_file_cannot_be_read_stays_in_doubt(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    async with gateway.running():
        await gateway.take(report("a"))
        await gateway.telemetry.seal_all()
    async with gateway.running():
        gateway.now += 2 * DAY_MS
        day = tmp_path / "days" / "2026-01-31.db"
        whole = day.read_bytes()
        day.write_bytes(b"no database" * 5000)
        await gateway.telemetry.rollups.roll()
        await gateway.telemetry.rollups.forget([(1, "a")], lambda: False)
        assert set(gateway.telemetry.rollups.stale.doubts) == {DAY}
        day.write_bytes(whole)
        await gateway.telemetry.rollups.roll()
        assert gateway.telemetry.rollups.stale.doubts == {}
        assert await count(gateway) == 1


async def test_a_file_that_turns_out_to_be_damaged_is_made_again(gateway: Gateway) -> None:
    rollups = gateway.telemetry.rollups
    await gateway.take(report("a"))
    await gateway.telemetry.seal_all()
    gateway.now += 2 * DAY_MS
    await rollups.roll()
    path = rollups.path(months.month_of(DAY))
    await rollups._files.close(path.name)
    pages = path.read_bytes()
    path.write_bytes(pages[:4096] + b"\xff" * (len(pages) - 4096))
    await gateway.take(report("a", NOON + 1))
    await gateway.telemetry.seal_all()
    await rollups.roll()
    assert await count(gateway) == 2
    await rollups.roll()
    assert await count(gateway) == 2
    assert path.with_name(f"{path.name}.damaged-1").exists()
    assert rollups.stale.is_clean(DAY)


async def test_a_file_that_silently_lost_hours_is_found_named_and_made_again(gateway: Gateway) -> None:
    rollups = gateway.telemetry.rollups
    await gateway.take(report("a"))
    await gateway.telemetry.seal_all()
    gateway.now += 2 * DAY_MS
    await rollups.roll()
    path = rollups.path(months.month_of(DAY))
    await rollups._files.close(path.name)
    with contextlib.closing(connect_reader(path)) as connection:
        [(page,)] = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'device'").fetchall()
    content = bytearray(path.read_bytes())
    content[page * 4_096 - 2_048 : page * 4_096] = bytes(2_048)
    path.write_bytes(content)
    await rollups.check_files(lambda: False)
    await rollups.roll()
    assert await count(gateway) == 1
    assert path.with_name(f"{path.name}.damaged-1").exists()
    assert any(path.name in told for told in gateway.telemetry.day_files.damages)
    assert not gateway.telemetry.status().ok


async def test_a_day_is_complete_when_its_roll_ups_know_all_and_then_may_be_closed(gateway: Gateway) -> None:
    rollups = gateway.telemetry.rollups
    await gateway.take(report("a"), report("a", NOON + 1))
    assert not await rollups.is_complete(DAY)
    await gateway.telemetry.seal_all()
    assert not await rollups.is_complete(DAY)
    gateway.now += 2 * DAY_MS
    await rollups.roll()
    assert await rollups.is_complete(DAY)
    await rollups.close_day(DAY)
    await gateway.telemetry._files.close("2026-01-31.db")
    (gateway.folder / "days" / "2026-01-31.db").unlink()
    assert await count(gateway) == 2
    # Late for the day whose readings are gone: what is known of the hour stays, and another hour gets its own.
    await gateway.take(report("a", NOON + 2), report("a", NOON + HOUR_MS))
    assert [await count(gateway, 0), await count(gateway, 1)] == [2, 1]
    await gateway.telemetry.seal_all()
    assert [await count(gateway, 0), await count(gateway, 1)] == [2, 1]
    await rollups.roll()
    assert [await count(gateway, 0), await count(gateway, 1)] == [2, 1]


async def test_a_day_whose_roll_ups_are_gone_is_not_closed_before_they_are_made_again(gateway: Gateway) -> None:
    rollups = gateway.telemetry.rollups
    await gateway.take(report("a"), report("a", NOON + 1))
    await gateway.telemetry.seal_all()
    gateway.now += 2 * DAY_MS
    await rollups.roll()
    file = await rollups._files.writer("2026-01.db")
    await file.write(lambda connection: connection.execute("DELETE FROM progress").rowcount)
    with pytest.raises(ChunkError, match="the roll-ups of 2026-01-31 are gone"):
        await rollups.close_day(DAY)
    assert not await rollups.is_complete(DAY)
    await rollups.roll()
    assert await rollups.is_complete(DAY)
    await rollups.close_day(DAY)


async def test_a_day_is_not_complete_before_its_roll_ups_are_on_disk(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    async with gateway.running():
        rollups = gateway.telemetry.rollups
        await gateway.take(report("a"))
        await gateway.telemetry.seal_all()
        gateway.now += 2 * DAY_MS
        file = await rollups._files.writer(months.file_name(months.month_of(DAY)))
        await file.maintain(lambda connection: connection.execute("PRAGMA busy_timeout = 1"))
        with contextlib.closing(connect_reader(file.path)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT * FROM hour").fetchall()
            await rollups.roll()
            assert not await rollups.is_complete(DAY)
            shutil.copytree(tmp_path / "rollups", tmp_path / "cut" / "rollups", ignore=shutil.ignore_patterns("*-shm"))
        await rollups.roll()
        assert await rollups.is_complete(DAY)
    # A process that was killed left its log of the file behind.
    gateway = Gateway(tmp_path / "cut")
    async with gateway.running():
        assert not await gateway.telemetry.rollups.is_complete(DAY)
        await gateway.telemetry.rollups.roll()
        assert await gateway.telemetry.rollups.is_complete(DAY)


async def test_a_device_is_erased_from_a_damaged_file_too(gateway: Gateway) -> None:
    rollups = gateway.telemetry.rollups
    await gateway.take(report("a"), report("b"))
    await gateway.telemetry.seal_all()
    gateway.now += 2 * DAY_MS
    await rollups.roll()
    path = rollups.path(months.month_of(DAY))
    await rollups._files.close(path.name)
    pages = path.read_bytes()
    path.write_bytes(pages[:4096] + b"\xff" * (len(pages) - 4096))
    gateway.telemetry.day_files.erased[1, "a"] = 1
    await rollups.forget([(1, "a")], lambda: False)
    await rollups.roll()
    gateway.telemetry.day_files.erased.clear()
    assert [await count(gateway, 0), await count(gateway, 0, "b")] == [0, 1]


async def test_an_erased_device_keeps_only_what_its_day_files_still_give(gateway: Gateway) -> None:
    rollups = gateway.telemetry.rollups
    await gateway.take(report("a"), report("b"))
    await gateway.telemetry.seal_all()
    await gateway.take(report("a", NOON + HOUR_MS))
    await gateway.telemetry.seal_all()
    gateway.now += 2 * DAY_MS
    await rollups.roll()
    gateway.telemetry.day_files.erased[1, "a"] = 1
    assert [await count(gateway, 0), await count(gateway, 1)] == [0, 1]
    await rollups.forget([(1, "a")], lambda: False)
    gateway.telemetry.day_files.erased.clear()
    assert [await count(gateway, 0), await count(gateway, 1), await count(gateway, 0, "b")] == [0, 1, 1]


async def test_a_roll_up_that_failed_is_computed_again(gateway: Gateway) -> None:
    rollups = gateway.telemetry.rollups
    await gateway.take(report("a"))
    await gateway.telemetry.seal_all()
    gateway.now += 2 * HOUR_MS
    path = rollups.path(months.month_of(DAY))
    file = await rollups._files.writer(path.name)
    await file.write(lambda connection: connection.execute("ALTER TABLE hour RENAME TO elsewhere"))
    with pytest.raises(sqlite3.OperationalError):
        await rollups.roll()
    assert await count(gateway) == 1
    await file.write(lambda connection: connection.execute("ALTER TABLE elsewhere RENAME TO hour"))
    await rollups.roll()
    assert rolled_hours(gateway) == [0]
    assert rollups.stale.is_clean(DAY)


async def test_while_nothing_can_be_written_the_readings_answer_and_it_is_tried_again(gateway: Gateway) -> None:
    rollups = gateway.telemetry.rollups
    await gateway.take(report("a"))
    await gateway.telemetry.seal_all()
    gateway.now += 2 * HOUR_MS
    path = rollups.path(months.month_of(DAY))
    file = await rollups._files.writer(path.name)
    await file.maintain(lambda connection: connection.execute("PRAGMA busy_timeout = 1"))
    stop = asyncio.Event()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(UnwritableError):
            await rollups.roll()
        assert await count(gateway) == 1
        async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
            tasks.create_task(rollups.roll_until(stop, 1))
            await asyncio.sleep(0)
            other.execute("ROLLBACK")
            while not rolled_hours(gateway):  # noqa: ASYNC110  the file tells nobody when it changes
                await asyncio.sleep(0)
            stop.set()
    assert await count(gateway) == 1


async def test_a_day_that_stays_stale_gets_its_roll_up_in_the_end(gateway: Gateway) -> None:
    rollups = gateway.telemetry.rollups
    await gateway.take(report("a"), report("b"))
    await gateway.telemetry.seal_all()
    gateway.now = (DAY + 1) * DAY_MS + MINUTE_MS
    await gateway.take(report("b", NOON + 1))
    await rollups.roll()
    assert progress(gateway)[DAY].is_whole is False
    gateway.now += 7 * HOUR_MS
    await rollups.roll()
    assert progress(gateway)[DAY].is_whole is True


async def test_log_ids_that_only_roll_ups_know_are_not_given_again(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    async with gateway.running():
        for tick in range(5):
            await gateway.take(report("a", NOON + tick))
        await gateway.telemetry.seal_all()
        gateway.now += 2 * DAY_MS
        await gateway.telemetry.rollups.roll()
    for name in ("gateway.db", "days/2026-01-31.db"):
        (tmp_path / name).unlink()
    async with gateway.running():
        assert await gateway.commit(report("a", NOON + 9)) == 6


async def test_a_file_is_looked_at_whole_before_its_first_use(tmp_path: Path) -> None:
    names = [f"pump-of-the-northern-field-{number:04}" for number in range(300)]
    gateway = Gateway(tmp_path)
    async with gateway.running():
        await gateway.take(*(report(name) for name in names))
        await gateway.telemetry.seal_all()
        gateway.now += 2 * DAY_MS
        await gateway.telemetry.rollups.roll()
        path = gateway.telemetry.rollups.path(months.month_of(DAY))
    content = path.read_bytes()
    index_leaf = 0x0A
    leaves = [at for at in range(4_096, len(content), 4_096) if content[at] == index_leaf]
    one, other = [at for at in leaves if b"pump" in content[at : at + 4_096]][1:3]
    path.write_bytes(content[:one] + content[other : other + 4_096] + content[one + 4_096 :])
    gateway = Gateway(tmp_path)
    gateway.now += 2 * DAY_MS
    async with gateway.running():
        assert [name for name in names if await count(gateway, device_id=name) != 1] == []
        await gateway.telemetry.rollups.roll()
        assert path.with_name(f"{path.name}.damaged-1").exists()
