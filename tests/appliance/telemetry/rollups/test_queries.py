"""Roll-ups on disk: the better one stays, days follow their hours, damage is told apart from other trouble."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.instant import HOUR_MS
from appliance.store.database import connect_writer
from appliance.telemetry import rollup_record
from appliance.telemetry.bins import Bin
from appliance.telemetry.packing import ChunkError
from appliance.telemetry.rollup_record import RollUp
from appliance.telemetry.rollups import months, queries
from appliance.telemetry.rollups.model import DamagedRollUpsError, HourRow, MonthFile, Progress
from appliance.telemetry.rollups.stale import HOURS_PER_DAY
from tests.appliance.telemetry.reports import DAY

MONTH = months.month_of(DAY)
FIRST = DAY * HOURS_PER_DAY


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / months.file_name(MONTH)


@pytest.fixture
def file(path: Path) -> Iterator[sqlite3.Connection]:
    connection = connect_writer(path, page_bytes=queries.PAGE_BYTES, cache_kb=100, synchronous="NORMAL")
    with contextlib.closing(connection):
        queries.prepare(connection)
        yield connection


def row(device_id: str = "a", hour: int = FIRST, count: int = 1, tenant_id: int = 1) -> HourRow:
    at = hour * HOUR_MS
    each = Bin(count, 1.0, 1.0, float(count), 0.0, at, 1.0, at, 1.0)
    return HourRow(tenant_id, device_id, hour, count, rollup_record.encode(RollUp({"pressure": each}, {})))


def counts(path: Path, device_ids: tuple[str, ...] = ("a",), tenant_id: int = 1) -> list[tuple[str, int, int]]:
    stored = queries.read_hours(MonthFile(path, is_whole=True), tenant_id, device_ids, FIRST, FIRST + HOURS_PER_DAY, ())
    return [
        (device, hour - FIRST, rollup_record.decode(record).reading_count) for device, hour, record in stored.records
    ]


def day_counts(path: Path, device_ids: tuple[str, ...] = ("a",)) -> dict[str, int]:
    stored = queries.read_days(MonthFile(path, is_whole=True), 1, device_ids, DAY, DAY + 1)
    return {device: rollup_record.decode(record).reading_count for device, _, record in stored.records}


def test_hours_come_back_by_device_and_tenant(file: sqlite3.Connection, path: Path) -> None:
    queries.insert_hours(file, DAY, [row(), row("b", FIRST + 3, 2), row("a", FIRST, 9, tenant_id=2)])
    assert counts(path) == []
    queries.update_progress(file, DAY, 5)
    assert counts(path, ("b", "a", "unknown")) == [("a", 0, 1), ("b", 3, 2)]
    assert counts(path, tenant_id=2) == [("a", 0, 9)]
    assert queries.read_hours(MonthFile(path, is_whole=True), 1, ["a"], FIRST, FIRST + 1, {DAY}).records == []


def test_a_roll_up_that_knows_of_fewer_readings_does_not_replace_one_that_knows_of_more(
    file: sqlite3.Connection, path: Path
) -> None:
    queries.update_progress(file, DAY, 5)
    for count, expected in ((3, 3), (2, 3), (4, 4)):
        queries.insert_hours(file, DAY, [row(count=count)])
        assert counts(path) == [("a", 0, expected)]


def test_what_comes_late_for_a_closed_day_is_added_only_where_nothing_is(file: sqlite3.Connection, path: Path) -> None:
    queries.update_progress(file, DAY, 5)
    queries.insert_hours(file, DAY, [row(count=3)])
    queries.close_day(file, DAY)
    assert queries.read_progress(path) == [Progress(DAY, 5, is_whole=False, is_closed=True)]
    queries.insert_hours(file, DAY, [row(count=9), row(hour=FIRST + 1, count=7)])
    assert counts(path) == [("a", 0, 3), ("a", 1, 7)]
    stored = queries.read_hours(MonthFile(path, is_whole=True), 1, ["a"], FIRST, FIRST + 1, {DAY})
    assert len(stored.records) == 1


def test_a_day_is_made_of_its_hours_and_follows_them(file: sqlite3.Connection, path: Path) -> None:
    queries.update_progress(file, DAY, 5)
    queries.insert_hours(file, DAY, [row(), row("a", FIRST + 1), row("b"), row("c")])
    assert day_counts(path) == {}
    assert queries.insert_days(file, DAY, 0, 2) == 2
    assert queries.read_progress(path)[0].is_whole is False
    queries.insert_hours(file, DAY, [row("a", FIRST + 2, 5), row("c", FIRST + 2, 5)])
    assert day_counts(path, ("a", "b", "c")) == {"a": 7, "b": 1}
    assert queries.insert_days(file, DAY, 2, 2) is None
    assert queries.read_progress(path)[0].is_whole is True
    queries.insert_hours(file, DAY, [row("d", FIRST + 2, 4)])
    assert day_counts(path, ("a", "b", "c", "d")) == {"a": 7, "b": 1, "c": 6, "d": 4}


def test_a_day_with_a_damaged_hour_has_no_roll_up_until_the_hour_has_a_good_one(
    file: sqlite3.Connection, path: Path
) -> None:
    queries.update_progress(file, DAY, 5)
    queries.insert_hours(file, DAY, [row(), row(hour=FIRST + 1)])
    queries.insert_days(file, DAY, 0, 9)
    file.execute("UPDATE hour SET record = X'0100' WHERE hour_id = ?", (months.hour_key(FIRST, MONTH, 1),))
    queries.insert_hours(file, DAY, [row(hour=FIRST + 2)])
    assert day_counts(path) == {}
    queries.insert_hours(file, DAY, [row()])
    assert day_counts(path) == {"a": 3}


def test_an_erased_device_leaves_nothing(file: sqlite3.Connection, path: Path) -> None:
    queries.update_progress(file, DAY, 5)
    queries.insert_hours(file, DAY, [row(hour=FIRST + hour) for hour in range(24)] + [row("b"), row(tenant_id=2)])
    queries.insert_days(file, DAY, 0, 9)
    queries.delete_device(file, 1, "a")
    assert counts(path, ("a", "b")) == [("b", 0, 1)]
    assert counts(path, tenant_id=2) == [("a", 0, 1)]
    assert file.execute("SELECT COUNT(*) FROM hour").fetchone() == (2,)
    assert file.execute("SELECT COUNT(*) FROM day").fetchone() == (2,)
    queries.insert_hours(file, DAY, [row(hour=FIRST + 5)])
    assert counts(path) == [("a", 5, 1)]


def test_a_file_that_is_not_there_or_empty_has_nothing(path: Path) -> None:
    assert queries.read_progress(path) == []
    assert counts(path) == []
    assert day_counts(path) == {}
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    assert queries.read_progress(path) == []


def test_a_damaged_file_is_told_by_reader_and_writer(file: sqlite3.Connection, path: Path) -> None:
    queries.update_progress(file, DAY, 5)
    queries.insert_hours(file, DAY, [row(hour=FIRST + hour) for hour in range(24)])
    assert queries.checkpoint(file)
    pages = path.read_bytes()
    path.write_bytes(pages[: queries.PAGE_BYTES] + b"\xff" * (len(pages) - queries.PAGE_BYTES))
    with pytest.raises(DamagedRollUpsError):
        counts(path)
    file.execute("PRAGMA cache_size = 0")
    file.execute("PRAGMA shrink_memory")
    with contextlib.closing(sqlite3.connect(path)) as other, pytest.raises(DamagedRollUpsError):
        queries.insert_hours(other, DAY, [row()])
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(DamagedRollUpsError):
        queries.read_progress(path)


def half_zeroed(path: Path, page: int) -> None:
    """A page of which a disk wrote only the first half."""
    content = bytearray(path.read_bytes())
    end = page * queries.PAGE_BYTES
    content[end - queries.PAGE_BYTES // 2 : end] = bytes(queries.PAGE_BYTES // 2)
    path.write_bytes(content)


@pytest.mark.parametrize("table", ["progress", "device", "hour"])
def test_half_a_page_that_is_lost_is_found_by_looking_at_the_whole_file(
    file: sqlite3.Connection, path: Path, table: str
) -> None:
    queries.update_progress(file, DAY, 5)
    queries.insert_hours(file, DAY, [row(hour=FIRST + hour) for hour in range(4)])
    [(page,)] = file.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,)).fetchall()
    assert queries.checkpoint(file)
    assert queries.require_whole(path, lambda: False)
    before = counts(path)
    half_zeroed(path, page)
    with pytest.raises(DamagedRollUpsError, match=path.name):
        queries.require_whole(path, lambda: False)
    # Who reads it meanwhile hears of it or gets nothing, which is why it is looked for; and no value of a wrong kind.
    with contextlib.suppress(DamagedRollUpsError):
        assert counts(path) in ([], before)
    if table == "progress":
        with pytest.raises(DamagedRollUpsError, match="lacks a value"):
            queries.read_progress(path)


def test_looking_at_a_whole_file_ends_when_the_gateway_stops(file: sqlite3.Connection, path: Path) -> None:
    queries.insert_hours(file, DAY, [row(f"d{n}", FIRST + hour) for hour in range(24) for n in range(60)])
    assert queries.checkpoint(file)
    assert not queries.require_whole(path, lambda: True)
    assert queries.require_whole(path, lambda: False)
    assert queries.require_whole(path.with_name("2000-01.db"), lambda: True)


def test_other_trouble_is_not_damage(file: sqlite3.Connection, path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError):
        queries.insert_days(sqlite3.connect(":memory:"), DAY, 0, 1)
    file.execute("PRAGMA user_version = 99")
    with pytest.raises(ChunkError, match="version 99"):
        queries.read_progress(path)
    with pytest.raises(ChunkError, match="version 99"):
        queries.prepare(file)
    path.with_name("folder.db").mkdir()
    with pytest.raises(ChunkError, match="cannot be read") as caught:
        queries.read_progress(path.with_name("folder.db"))
    assert not isinstance(caught.value, DamagedRollUpsError)


def test_a_page_of_device_names_in_the_place_of_another_is_found_by_whoever_misses_a_device(
    file: sqlite3.Connection, path: Path
) -> None:
    names = [f"pump-of-the-northern-field-{number:04}" for number in range(400)]
    queries.insert_hours(file, DAY, [row(name) for name in names])
    queries.update_progress(file, DAY, 1)
    queries.checkpoint(file)
    content = bytearray(path.read_bytes())
    index_leaf = 0x0A
    leaves = [
        at for at in range(4096, len(content), 4096) if content[at] == index_leaf and b"pump" in content[at : at + 4096]
    ]
    content[leaves[1] : leaves[1] + 4096] = content[leaves[2] : leaves[2] + 4096]
    copy = path.with_name(f"{MONTH}.copy")
    copy.write_bytes(content)

    def found(name: str) -> bool | None:
        try:
            return bool(queries.read_hours(MonthFile(copy, is_whole=False), 1, [name], FIRST, FIRST + 1, ()).records)
        except DamagedRollUpsError:
            return None

    answers = [found(name) for name in names]
    assert None in answers
    assert False not in answers
    with pytest.raises(DamagedRollUpsError):
        queries.require_whole(copy, lambda: False)
