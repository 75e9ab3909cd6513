"""What damage leaves: the good copy that is still there, and a word about what is lost; and nothing of the erased."""

import contextlib
import struct
from collections.abc import Iterator
from pathlib import Path
from sqlite3 import Connection

import pytest

from appliance.instant import DAY_MS, HOUR_MS, MINUTE_MS
from appliance.store.database import connect_writer
from appliance.store.kept_readers import KeptReaders
from appliance.telemetry import queries as day_queries
from appliance.telemetry import rollup_record
from appliance.telemetry.bins import Bin
from appliance.telemetry.keeping.model import StoppedError
from appliance.telemetry.rollup_record import RollUp
from appliance.telemetry.rollups import months, packed_hours, queries, taking
from appliance.telemetry.rollups.model import HourRow, MonthFile, Wanted
from appliance.telemetry.rollups.reading import queries as reading
from appliance.telemetry.rollups.service import DEVICES_PER_TRANSACTION
from appliance.telemetry.rollups.stale import HOURS_PER_DAY
from tests.appliance.telemetry.reports import DAY, NOON, report
from tests.appliance.telemetry.test_service import Gateway

MONTH = months.month_of(DAY)
FIRST = DAY * HOURS_PER_DAY
NOON_OF_DAY = NOON // HOUR_MS - FIRST
SPAN = (DAY * DAY_MS, (DAY + 1) * DAY_MS)
SIX_METRICS = tuple(f"metric-{number}" for number in range(6))
MARK = 12345.678
"""A value that is in no other place of a file."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / months.file_name(MONTH)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Connection]:
    """A file as the gateway opens it."""
    connection = connect_writer(path, page_bytes=queries.PAGE_BYTES, cache_kb=100, synchronous="NORMAL")
    with contextlib.closing(connection):
        queries.prepare(connection)
        yield connection


def row(device_id: str, hour: int, count: int = 1, total: float = 1.0, metrics: tuple[str, ...] = ("t",)) -> HourRow:
    each = Bin(count, 1.0, 1.0, total, 0.0, 0, 1.0, 0, 1.0)
    record = rollup_record.encode(RollUp(dict.fromkeys(metrics, each), {}))
    return HourRow(1, device_id, FIRST + hour, count * len(metrics), record, is_certain=True)


def no_row(device_id: str, hour: int) -> HourRow:
    return HourRow(1, device_id, FIRST + hour, 0, b"", is_certain=True)


def day_counts(path: Path) -> list[int]:
    """How many readings the roll-up of the day knows of."""
    found = reading.read_days(MonthFile(path, KeptReaders(0).reader, is_whole=True), 1, ["a"], DAY, DAY + 1).records
    return [rollup_record.decode(record).reading_count for _, _, record in found]


def changes(file: Connection, *rows: HourRow) -> int:
    """How many rows are written for these roll-ups."""
    before = file.total_changes
    queries.insert_hours(file, DAY, rows)
    return file.total_changes - before


@pytest.mark.parametrize("is_packed", [True, False])
def test_a_closed_day_keeps_its_roll_up_when_a_damaged_hour_is_looked_at(path: Path, *, is_packed: bool) -> None:
    with opened(path) as file:
        queries.update_progress(file, DAY, 5)
        queries.insert_hours(file, DAY, [row("a", 0), row("a", 1)])
        queries.insert_days(file, DAY, 0, 9)
        if is_packed:
            file.execute("UPDATE metric_day SET record = x'0100'")
        else:
            # As a file of the version before has it.
            file.execute("DELETE FROM metric_day")
            file.execute("UPDATE progress SET is_packed = 0")
            queries.insert_hours(file, DAY, [row("a", 0), row("a", 1)])
            file.execute("UPDATE hour SET record = x'0100' WHERE hour_id = ?", (months.hour_key(FIRST, MONTH, 1),))
        queries.close_day(file, DAY)
        assert day_counts(path) == [2]
        assert changes(file, no_row("a", 0), no_row("a", 1)) == 0
        # What comes late for another hour takes nothing away either.
        queries.insert_hours(file, DAY, [row("a", 5)])
        queries.insert_days(file, DAY, 0, 9)
        assert day_counts(path) == [2]


def test_what_is_not_better_than_before_is_not_written(path: Path) -> None:
    with opened(path) as file:
        queries.update_progress(file, DAY, 5)
        queries.insert_hours(file, DAY, [row("a", 0, 2)])
        queries.insert_days(file, DAY, 0, 9)
        assert changes(file, row("a", 0, 2), no_row("a", 1)) == 0
        assert changes(file, row("a", 0, 1)) == 0
        assert changes(file, row("a", 0, 3)) > 0
        assert day_counts(path) == [3]


def test_hours_without_any_readings_take_no_row(path: Path) -> None:
    with opened(path) as file:
        queries.update_progress(file, DAY, 5)
        queries.update_progress(file, DAY - 1, 5)
        queries.insert_hours(file, DAY, [row("a", 0)])
        for day in (DAY - 1, DAY):
            queries.insert_days(file, day, 0, 9)
        yesterday = no_row("a", -1)
        queries.insert_hours(file, DAY - 1, [yesterday])
        assert file.execute("SELECT COUNT(*) FROM metric_day").fetchone() == (1,)
        # A row that was damaged, of a day of which every chunk was read and none has anything.
        file.execute("UPDATE metric_day SET record = x'0100'")
        queries.insert_hours(file, DAY, [no_row("a", hour) for hour in range(HOURS_PER_DAY)])
        assert file.execute("SELECT COUNT(*) FROM metric_day").fetchone() == (0,)


def test_what_took_the_place_of_packed_hours_leaves_nothing_in_free_pages(path: Path) -> None:
    mark = struct.pack("<d", MARK)
    with opened(path) as file:
        queries.update_progress(file, DAY, 5)
        for name, total in (("a", 1.0), ("gone", MARK), ("z", 1.0)):
            hours = range(HOURS_PER_DAY - 1)
            queries.insert_hours(file, DAY, [row(name, hour, 1, total, SIX_METRICS) for hour in hours])
        queries.insert_days(file, DAY, 0, 9)
        queries.checkpoint(file)
    assert path.read_bytes().count(mark) >= (HOURS_PER_DAY - 1) * len(SIX_METRICS)
    with opened(path) as file:
        # One hour more, so it needs other pages.
        queries.insert_hours(file, DAY, [row("gone", HOURS_PER_DAY - 1, 1, MARK, SIX_METRICS)])
        queries.delete_device(file, 1, "gone")
        queries.checkpoint(file)
    assert path.read_bytes().count(mark) == 0


async def rolled(gateway: Gateway, count: int) -> None:
    """Take readings of one hour in two chunks, and let their day pass."""
    for first in (0, 30):
        await gateway.take(*[report("a", NOON + (first + minute) * MINUTE_MS) for minute in range(count)])
        await gateway.telemetry.seal_all()
    gateway.now = NOON + 2 * DAY_MS
    await gateway.telemetry.rollups.roll()


async def damage_packed(gateway: Gateway) -> None:
    file = await gateway.telemetry.rollups._files.writer(months.file_name(MONTH))
    await file.write(lambda connection: connection.execute("UPDATE metric_day SET record = x'0100'"))


async def damage_chunks(gateway: Gateway, count: int) -> None:
    """Damage so many chunks of the day, the oldest first."""
    file = await gateway.telemetry._files.writer(day_queries.day_name(DAY))
    await file.write(
        lambda connection: connection.execute(
            "UPDATE chunk SET record = x'00' WHERE chunk_id IN (SELECT chunk_id FROM chunk ORDER BY first_at LIMIT ?)",
            (count,),
        )
    )


async def look(gateway: Gateway) -> int:
    """Ask for the hours of the day; gives how many readings were found."""
    found = await gateway.telemetry.hours(1, ["a"], ["pressure"], *SPAN)
    return sum(each.count for each in found["a"]["pressure"].values())


def told(gateway: Gateway) -> list[int]:
    return gateway.telemetry.day_files.missing.between(1, ["a"], *SPAN)


def noon_record(gateway: Gateway) -> bytes | None:
    path = gateway.telemetry.rollups.path(MONTH)
    stored = reading.read_hours(
        MonthFile(path, KeptReaders(0).reader, is_whole=True),
        Wanted(1, ["a"], ["pressure"]),
        FIRST,
        FIRST + HOURS_PER_DAY,
        (),
    )
    return {
        hour - FIRST: record for _, hour, record in taking.unpacked(stored.packed, FIRST, FIRST + HOURS_PER_DAY)
    }.get(NOON_OF_DAY)


@pytest.mark.parametrize(("damaged_count", "left_count"), [(1, 3), (2, 0)])
async def test_a_damaged_hour_whose_chunks_cannot_all_be_read_stays_told_of(
    tmp_path: Path, damaged_count: int, left_count: int
) -> None:
    gateway = Gateway(tmp_path)
    async with gateway.running():
        await rolled(gateway, 3)
        await damage_packed(gateway)
        await damage_chunks(gateway, damaged_count)
        assert await look(gateway) == left_count
        await gateway.telemetry.rollups.roll()
        assert noon_record(gateway) == packed_hours.DAMAGED
    async with gateway.running():
        assert await look(gateway) == left_count
        assert told(gateway) == [DAY]
        await gateway.telemetry.rollups.roll()
        assert noon_record(gateway) == packed_hours.DAMAGED


async def test_a_damaged_hour_of_a_day_whose_file_is_lost_stays_told_of(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    async with gateway.running():
        await rolled(gateway, 3)
        await damage_packed(gateway)
        await gateway.telemetry._files.close(day_queries.day_name(DAY))
        gateway.telemetry.day_files.path(DAY).unlink()
        assert await look(gateway) == 0
        await gateway.telemetry.rollups.roll()
    async with gateway.running():
        assert noon_record(gateway) == packed_hours.DAMAGED
        assert await look(gateway) == 0
        assert told(gateway) == [DAY]


async def test_a_damaged_hour_is_made_again_from_chunks_that_can_all_be_read(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    async with gateway.running():
        await rolled(gateway, 3)
        before = noon_record(gateway)
        await damage_packed(gateway)
        assert await look(gateway) == 6
        await gateway.telemetry.rollups.roll()
        assert noon_record(gateway) == before
        assert told(gateway) == []


async def test_many_devices_are_forgotten_at_once_and_others_and_what_came_later_stay(tmp_path: Path) -> None:
    names = [f"s-{number}" for number in range(DEVICES_PER_TRANSACTION + 3)]
    async with Gateway(tmp_path).running() as gateway:
        rollups, erased = gateway.telemetry.rollups, [(1, name) for name in names]
        await gateway.take(*[report(name) for name in [*names, "other"]])
        await gateway.telemetry.seal_all()
        await gateway.take(*[report(name, NOON + HOUR_MS) for name in [*names, "other"]])
        await gateway.telemetry.seal_all()
        gateway.now = NOON + DAY_MS
        await rollups.roll()
        with pytest.raises(StoppedError):
            await rollups.forget(erased, lambda: True)
        gateway.telemetry.day_files.erased.update(dict.fromkeys(erased, 1))
        await rollups.forget(erased, lambda: False)
        gateway.telemetry.day_files.erased.clear()
        for start, expected in ((NOON, 0), (NOON + HOUR_MS, 1)):
            found = await gateway.telemetry.hours(1, [*names, "other"], ["pressure"], start, start + HOUR_MS)
            counted = {name: sum(each.count for each in found[name]["pressure"].values()) for name in found}
            assert counted == {**dict.fromkeys(names, expected), "other": 1}
