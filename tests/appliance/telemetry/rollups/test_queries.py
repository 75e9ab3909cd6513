"""Roll-ups on disk: the better one stays, days follow their hours, damage is told apart from other trouble."""

import contextlib
import sqlite3
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path

import msgspec
import pytest

from appliance.instant import HOUR_MS
from appliance.store.database import connect_writer
from appliance.store.kept_readers import KeptReaders
from appliance.telemetry import rollup_record
from appliance.telemetry.bins import Bin
from appliance.telemetry.packing import ChunkError
from appliance.telemetry.rollup_record import RollUp
from appliance.telemetry.rollups import metric_days, months, packed_hours, queries, schema, taking
from appliance.telemetry.rollups.model import DamagedRollUpsError, HourRow, MonthFile, Progress, Wanted
from appliance.telemetry.rollups.months import NUMBER_MASK
from appliance.telemetry.rollups.reading import queries as reading
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


def read_file(path: Path, *, is_whole: bool = True) -> MonthFile:
    return MonthFile(path, KeptReaders(0).reader, is_whole)


def row(device_id: str = "a", hour: int = FIRST, count: int = 1, tenant_id: int = 1) -> HourRow:
    at = hour * HOUR_MS
    each = Bin(count, 1.0, 1.0, float(count), 0.0, at, 1.0, at, 1.0)
    record = rollup_record.encode(RollUp({"pressure": each}, {}))
    return HourRow(tenant_id, device_id, hour, count, record, is_certain=True)


ONE = Bin(1, 1.0, 1.0, 1.0, 0.0, 0, 1.0, 0, 1.0)
STATE = metric_days.number_of("state")


def two_metrics(device_id: str, hour: int) -> HourRow:
    record = rollup_record.encode(RollUp({"pressure": ONE, "state": ONE}, {}))
    return HourRow(1, device_id, FIRST + hour, 2, record, is_certain=True)


def no_row(device_id: str, hour: int) -> HourRow:
    return HourRow(1, device_id, hour, 0, b"", is_certain=True)


def records(
    file: MonthFile,
    first: int = FIRST,
    end: int = FIRST + HOURS_PER_DAY,
    device_ids: tuple[str, ...] = ("a",),
    tenant_id: int = 1,
    metric: str = "pressure",
) -> list[tuple[str, int, bytes]]:
    """Roll-ups, whether or not their day is packed, hour by hour."""
    stored = reading.read_hours(file, Wanted(tenant_id, device_ids, [metric]), first, end, ())
    found = [*stored.records, *taking.unpacked(stored.packed, first, end)]
    return sorted(found, key=lambda each: (each[1], each[0]))


def counts(path: Path, device_ids: tuple[str, ...] = ("a",), tenant_id: int = 1) -> list[tuple[str, int, int]]:
    found = records(read_file(path), device_ids=device_ids, tenant_id=tenant_id)
    return [(device, hour - FIRST, rollup_record.decode(record).reading_count) for device, hour, record in found]


def day_counts(path: Path, device_ids: tuple[str, ...] = ("a",)) -> dict[str, int]:
    stored = reading.read_days(read_file(path), 1, device_ids, DAY, DAY + 1)
    return {device: rollup_record.decode(record).reading_count for device, _, record in stored.records}


def test_hours_come_back_by_device_and_tenant(file: sqlite3.Connection, path: Path) -> None:
    queries.insert_hours(file, DAY, [row(), row("b", FIRST + 3, 2), row("a", FIRST, 9, tenant_id=2)])
    assert counts(path) == []
    queries.update_progress(file, DAY, 5)
    assert counts(path, ("b", "a", "unknown")) == [("a", 0, 1), ("b", 3, 2)]
    assert counts(path, tenant_id=2) == [("a", 0, 9)]
    assert reading.read_hours(read_file(path), Wanted(1, ["a"], ["pressure"]), FIRST, FIRST + 1, {DAY}).records == []


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
    assert reading.read_progress(path) == [Progress(DAY, 5, is_whole=False, is_closed=True, is_packed=False)]
    queries.insert_hours(file, DAY, [row(count=9), row(hour=FIRST + 1, count=7)])
    assert counts(path) == [("a", 0, 3), ("a", 1, 7)]
    stored = reading.read_hours(read_file(path), Wanted(1, ["a"], ["pressure"]), FIRST, FIRST + 1, {DAY})
    assert len(stored.records) == 1


def test_a_day_is_made_of_its_hours_and_follows_them(file: sqlite3.Connection, path: Path) -> None:
    queries.update_progress(file, DAY, 5)
    queries.insert_hours(file, DAY, [row(), row("a", FIRST + 1), row("b"), row("c")])
    assert day_counts(path) == {}
    assert queries.insert_days(file, DAY, 0, 2) == 2
    assert reading.read_progress(path)[0].is_whole is False
    queries.insert_hours(file, DAY, [row("a", FIRST + 2, 5), row("c", FIRST + 2, 5)])
    assert day_counts(path, ("a", "b", "c")) == {"a": 7, "b": 1}
    assert queries.insert_days(file, DAY, 2, 2) is None
    assert reading.read_progress(path)[0].is_whole is True
    queries.insert_hours(file, DAY, [row("d", FIRST + 2, 4)])
    assert day_counts(path, ("a", "b", "c", "d")) == {"a": 7, "b": 1, "c": 6, "d": 4}


def test_a_day_with_a_damaged_hour_has_no_roll_up_until_the_hour_has_a_good_one(
    file: sqlite3.Connection, path: Path
) -> None:
    queries.update_progress(file, DAY, 5)
    queries.insert_hours(file, DAY, [row(), row(hour=FIRST + 1)])
    queries.insert_days(file, DAY, 0, 9)
    damaged = {0: packed_hours.DAMAGED, 1: row(hour=FIRST + 1).record}
    file.execute("DELETE FROM metric_day")
    file.execute("INSERT INTO packed VALUES (?, 1, ?)", (months.day_key(DAY, MONTH, 1), packed_hours.pack(damaged)))
    queries.insert_hours(file, DAY, [row(hour=FIRST + 2)])
    assert day_counts(path) == {}
    queries.insert_hours(file, DAY, [row()])
    assert day_counts(path) == {"a": 3}


def test_an_hour_that_was_damaged_before_its_day_is_over_stays_told_of(file: sqlite3.Connection, path: Path) -> None:
    queries.update_progress(file, DAY, 5)
    queries.insert_hours(file, DAY, [row(), row(hour=FIRST + 1)])
    file.execute("UPDATE hour SET record = X'0100' WHERE hour_id = ?", (months.hour_key(FIRST, MONTH, 1),))
    queries.insert_days(file, DAY, 0, 9)
    assert day_counts(path) == {}
    found = records(read_file(path), FIRST, FIRST + 2)
    assert found == [("a", FIRST, packed_hours.DAMAGED), ("a", FIRST + 1, row(hour=FIRST + 1).record)]
    queries.insert_hours(file, DAY, [row()])
    assert day_counts(path) == {"a": 2}


def test_another_tenant_sees_and_changes_nothing_that_is_packed(file: sqlite3.Connection, path: Path) -> None:
    queries.update_progress(file, DAY, 5)
    queries.insert_hours(file, DAY, [row(), row(tenant_id=2, count=4)])
    queries.insert_days(file, DAY, 0, 9)
    queries.insert_hours(file, DAY, [row(tenant_id=2, count=9)])
    assert counts(path) == [("a", 0, 1)]
    assert counts(path, tenant_id=2) == [("a", 0, 9)]
    number = file.execute("SELECT device_number FROM device WHERE tenant_id = 1").fetchone()[0]
    assert queries._packed(file, 1, months.day_key(DAY, MONTH, number)) == {0: row().record}
    assert queries._packed(file, 2, months.day_key(DAY, MONTH, number)) == {}


def test_a_device_of_which_nothing_was_found_stays_unknown(file: sqlite3.Connection, path: Path) -> None:
    for is_packed in (False, True):
        queries.update_progress(file, DAY, 5)
        queries.insert_hours(file, DAY, [row("a"), no_row("a", FIRST + 1), no_row("b", FIRST)])
        assert counts(path, ("a", "b")) == [("a", 0, 1)]
        assert file.execute("SELECT device_id FROM device").fetchall() == [("a",)]
        queries.insert_days(file, DAY, 0, 9)
        assert day_counts(path, ("a", "b")) == {"a": 1}
        assert reading.read_progress(path)[0].is_packed or is_packed


def test_while_a_day_is_being_packed_every_hour_is_found_once(file: sqlite3.Connection, path: Path) -> None:
    queries.update_progress(file, DAY, 5)
    queries.update_progress(file, DAY - 1, 5)
    queries.insert_hours(file, DAY, [row(name, FIRST + hour) for hour in (0, 1) for name in "abc"])
    queries.insert_hours(file, DAY - 1, [row(hour=FIRST - 1)])
    every = [(name, hour, 1) for hour in (0, 1) for name in "abc"]
    assert counts(path, ("a", "b", "c")) == every
    for after, left in ((0, 4), (1, 2), (2, 0), (3, 0)):
        queries.insert_days(file, DAY, after, 1)
        assert counts(path, ("a", "b", "c")) == every
        assert file.execute("SELECT COUNT(*) FROM hour").fetchone() == (left + 1,)
    across = records(read_file(path), FIRST - 9, FIRST + 1)
    assert [hour - FIRST for _, hour, _ in across] == [-1, 0]
    assert reading.read_progress(path)[1] == Progress(DAY, 5, is_whole=True, is_closed=False, is_packed=True)


def test_what_comes_late_goes_where_the_hours_of_its_device_are(file: sqlite3.Connection, path: Path) -> None:
    queries.update_progress(file, DAY, 5)
    queries.insert_hours(file, DAY, [row(count=3), row("b", count=3)])
    queries.insert_days(file, DAY, 0, 1)
    queries.insert_hours(file, DAY, [row(count=2), row(hour=FIRST + 1), row("b", FIRST + 1)])
    assert counts(path, ("a", "b")) == [("a", 0, 3), ("b", 0, 3), ("a", 1, 1), ("b", 1, 1)]
    assert file.execute("SELECT COUNT(*) FROM hour").fetchone() == (2,)
    queries.insert_days(file, DAY, 1, 2)
    queries.insert_hours(file, DAY, [row(count=4), row("c", FIRST + 5)])
    assert counts(path, ("a", "b", "c")) == [("a", 0, 4), ("b", 0, 3), ("a", 1, 1), ("b", 1, 1), ("c", 5, 1)]
    assert day_counts(path, ("a", "b", "c")) == {"a": 5, "b": 4, "c": 1}
    queries.close_day(file, DAY)
    queries.insert_hours(file, DAY, [row(count=9), row(hour=FIRST + 2)])
    assert counts(path) == [("a", 0, 4), ("a", 1, 1), ("a", 2, 1)]


def test_what_was_packed_leaves_nothing_in_free_pages(file: sqlite3.Connection, path: Path) -> None:
    queries.update_progress(file, DAY, 5)
    queries.insert_hours(file, DAY, [row(f"d{number}", FIRST + hour) for hour in range(24) for number in range(60)])
    queries.insert_days(file, DAY, 0, 99)
    queries.checkpoint(file)
    assert path.read_bytes().count(b"pressure") == 2 * 60
    for number in range(60):
        queries.delete_device(file, 1, f"d{number}")
    queries.checkpoint(file)
    assert b"pressure" not in path.read_bytes()


def test_an_erased_device_leaves_nothing(file: sqlite3.Connection, path: Path) -> None:
    queries.update_progress(file, DAY, 5)
    queries.insert_hours(file, DAY, [row(hour=FIRST + hour) for hour in range(24)] + [row("b"), row(tenant_id=2)])
    queries.insert_days(file, DAY, 0, 9)
    queries.delete_device(file, 1, "a")
    assert counts(path, ("a", "b")) == [("b", 0, 1)]
    assert counts(path, tenant_id=2) == [("a", 0, 1)]
    assert file.execute("SELECT COUNT(*) FROM hour").fetchone() == (0,)
    assert file.execute("SELECT COUNT(*) FROM metric_day").fetchone() == (2,)
    assert file.execute("SELECT COUNT(*) FROM day").fetchone() == (2,)
    queries.insert_hours(file, DAY, [row(hour=FIRST + 5)])
    assert counts(path) == [("a", 5, 1)]


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
        reading.read_progress(path)


@pytest.mark.parametrize("version", range(schema.VERSION))
def test_a_head_that_says_less_than_the_file_has_is_damage(file: sqlite3.Connection, path: Path, version: int) -> None:
    queries.update_progress(file, DAY, 5)
    queries.insert_hours(file, DAY, [row(hour=FIRST + hour) for hour in range(24)])
    queries.insert_days(file, DAY, 0, 9)
    file.execute(f"PRAGMA user_version = {version}")
    with pytest.raises(DamagedRollUpsError):
        counts(path)
    with pytest.raises(DamagedRollUpsError):
        reading.read_progress(path)
    with pytest.raises(DamagedRollUpsError):
        queries.prepare(file)


def test_other_trouble_is_not_damage(file: sqlite3.Connection, path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError):
        queries.insert_days(sqlite3.connect(":memory:"), DAY, 0, 1)
    file.execute("PRAGMA user_version = 99")
    with pytest.raises(ChunkError, match="version 99"):
        reading.read_progress(path)
    with pytest.raises(ChunkError, match="version 99"):
        queries.prepare(file)
    path.with_name("folder.db").mkdir()
    with pytest.raises(ChunkError, match="cannot be read") as caught:
        reading.read_progress(path.with_name("folder.db"))
    assert not isinstance(caught.value, DamagedRollUpsError)


def test_hours_of_which_one_is_damaged_are_in_one_row_until_it_is_made_again(
    file: sqlite3.Connection, path: Path
) -> None:
    def tables() -> tuple[int, int]:
        [(whole, split)] = file.execute("SELECT (SELECT COUNT(*) FROM packed), (SELECT COUNT(*) FROM metric_day)")
        return whole, split

    queries.update_progress(file, DAY, 5)
    queries.insert_hours(file, DAY, [two_metrics("a", hour) for hour in (0, 1)])
    file.execute("UPDATE hour SET record = X'0100' WHERE hour_id = ?", (months.hour_key(FIRST, MONTH, 1),))
    queries.insert_days(file, DAY, 0, 9)
    assert tables() == (1, 0)
    # Whichever metric is asked for, the hour is known to be damaged.
    for metric in ("pressure", "state", "unknown"):
        stored = reading.read_hours(read_file(path), Wanted(1, ["a"], [metric]), FIRST, FIRST + 24, ())
        assert taking.unpacked(stored.packed, FIRST, FIRST + 1) == [("a", FIRST, packed_hours.DAMAGED)]
    queries.insert_hours(file, DAY, [two_metrics("a", 0)])
    assert tables() == (0, 2)
    assert counts(path) == [("a", 0, 1), ("a", 1, 1)]
    file.execute("UPDATE metric_day SET record = X'02' WHERE metric_day_id & ? = ?", (NUMBER_MASK, STATE))
    # One hour is made again; what was in the row that was damaged stays told of.
    queries.insert_hours(file, DAY, [two_metrics("a", 0)])
    assert tables() == (1, 0)
    assert [record == packed_hours.DAMAGED for _, _, record in records(read_file(path))] == [False] + [True] * 23


def test_rows_of_metrics_are_written_only_where_they_are_not_as_they_were(file: sqlite3.Connection, path: Path) -> None:
    queries.update_progress(file, DAY, 5)
    queries.insert_hours(file, DAY, [two_metrics("a", hour) for hour in range(3)])
    queries.insert_days(file, DAY, 0, 9)
    before, stored = file.total_changes, file.execute("SELECT * FROM metric_day").fetchall()
    # The same in another order of the metrics.
    other = RollUp({"state": ONE, "pressure": ONE}, {})
    queries.insert_hours(file, DAY, [HourRow(1, "a", FIRST, 2, rollup_record.encode(other), is_certain=True)])
    assert file.total_changes == before
    more = RollUp({"state": ONE, "pressure": ONE, "level": ONE}, {"pressure": 1})
    queries.insert_hours(file, DAY, [HourRow(1, "a", FIRST, 4, rollup_record.encode(more), is_certain=True)])
    assert file.execute("SELECT COUNT(*) FROM metric_day").fetchone() == (3,)
    assert not set(stored).intersection(file.execute("SELECT * FROM metric_day").fetchall())
    numbers = [key for (key,) in file.execute("SELECT metric_day_id & ? FROM metric_day", (NUMBER_MASK,))]
    assert numbers == sorted(map(metric_days.number_of, ("state", "pressure", "level")))
    [(_, _, record)] = records(read_file(path), FIRST, FIRST + 1)
    # Only of what was asked for, with what else is known of it.
    assert rollup_record.decode(record) == RollUp({"pressure": ONE}, {"pressure": 1})


def test_a_row_of_another_day_among_those_of_a_day_is_damage(file: sqlite3.Connection) -> None:
    queries.update_progress(file, DAY, 5)
    queries.insert_hours(file, DAY, [two_metrics("a", 0)])
    queries.insert_days(file, DAY, 0, 9)
    file.execute(
        "UPDATE metric_day SET metric_day_id = metric_day_id + 1 WHERE metric_day_id & ? = ?", (NUMBER_MASK, STATE)
    )
    key = months.day_key(DAY, MONTH, 1)
    assert queries._packed(file, 1, key) == dict(packed_hours.ALL_DAMAGED)
    file.execute("DELETE FROM metric_day WHERE metric_day_id & ? = ?", (NUMBER_MASK, STATE + 1))
    assert queries._packed(file, 1, key) == dict(packed_hours.ALL_DAMAGED)


def test_where_pages_changed_places_no_day_gets_hours_of_another(file: sqlite3.Connection, path: Path) -> None:
    names = [f"d{number:02}" for number in range(60)]
    queries.update_progress(file, DAY, 5)
    for number, name in enumerate(names):
        each = RollUp({f"m{metric}": msgspec.structs.replace(ONE, count=number + 1) for metric in range(3)}, {})
        record = rollup_record.encode(each)
        queries.insert_hours(file, DAY, [HourRow(1, name, FIRST + 1, 3, record, is_certain=True)])
    queries.insert_days(file, DAY, 0, 99)
    queries.checkpoint(file)
    content = path.read_bytes()
    leaves = [at for at in range(4096, len(content), 4096) if content[at] == 0x0D]
    pages = [at for at in leaves if content[at : at + 4096].count(b"m1") > 9 and b"m2" in content[at : at + 4096]]
    own = {number: queries._packed(file, 1, months.day_key(DAY, MONTH, number)) for number in range(1, 61)}
    outcomes = set()
    copy = path.with_name(f"{MONTH}.copy")
    for here, there in permutations(pages, 2):
        copy.write_bytes(content[:here] + content[there : there + 4096] + content[here + 4096 :])
        with contextlib.closing(sqlite3.connect(copy)) as damaged:
            for number, expected in own.items():
                try:
                    found = queries._packed(damaged, 1, months.day_key(DAY, MONTH, number))
                except DamagedRollUpsError:
                    outcomes.add("told")
                else:
                    assert found in (expected, {}, dict(packed_hours.ALL_DAMAGED))
                    outcomes.add("damaged" if packed_hours.DAMAGED in found.values() else "found")
    assert "told" in outcomes
