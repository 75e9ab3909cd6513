"""Roll-ups on disk: the better one stays, days follow their hours, damage is told apart from other trouble."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.instant import HOUR_MS
from appliance.store.database import connect_writer
from appliance.store.kept_readers import KeptReaders
from appliance.telemetry import rollup_record
from appliance.telemetry.bins import Bin
from appliance.telemetry.packing import ChunkError
from appliance.telemetry.rollup_record import RollUp
from appliance.telemetry.rollups import months, packed_hours, queries, schema
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


def read_file(path: Path, *, is_whole: bool = True) -> MonthFile:
    return MonthFile(path, KeptReaders(0).reader, is_whole)


def row(device_id: str = "a", hour: int = FIRST, count: int = 1, tenant_id: int = 1) -> HourRow:
    at = hour * HOUR_MS
    each = Bin(count, 1.0, 1.0, float(count), 0.0, at, 1.0, at, 1.0)
    record = rollup_record.encode(RollUp({"pressure": each}, {}))
    return HourRow(tenant_id, device_id, hour, count, record, is_certain=True)


def no_row(device_id: str, hour: int) -> HourRow:
    return HourRow(1, device_id, hour, 0, b"", is_certain=True)


def records(
    file: MonthFile,
    first: int = FIRST,
    end: int = FIRST + HOURS_PER_DAY,
    device_ids: tuple[str, ...] = ("a",),
    tenant_id: int = 1,
) -> list[tuple[str, int, bytes]]:
    """Roll-ups, whether or not their day is packed, hour by hour."""
    stored = queries.read_hours(file, tenant_id, device_ids, first, end, ())
    found = [*stored.records, *packed_hours.unpacked(stored.packed, first, end)]
    return sorted(found, key=lambda each: (each[1], each[0]))


def counts(path: Path, device_ids: tuple[str, ...] = ("a",), tenant_id: int = 1) -> list[tuple[str, int, int]]:
    found = records(read_file(path), device_ids=device_ids, tenant_id=tenant_id)
    return [(device, hour - FIRST, rollup_record.decode(record).reading_count) for device, hour, record in found]


def day_counts(path: Path, device_ids: tuple[str, ...] = ("a",)) -> dict[str, int]:
    stored = queries.read_days(read_file(path), 1, device_ids, DAY, DAY + 1)
    return {device: rollup_record.decode(record).reading_count for device, _, record in stored.records}


def test_hours_come_back_by_device_and_tenant(file: sqlite3.Connection, path: Path) -> None:
    queries.insert_hours(file, DAY, [row(), row("b", FIRST + 3, 2), row("a", FIRST, 9, tenant_id=2)])
    assert counts(path) == []
    queries.update_progress(file, DAY, 5)
    assert counts(path, ("b", "a", "unknown")) == [("a", 0, 1), ("b", 3, 2)]
    assert counts(path, tenant_id=2) == [("a", 0, 9)]
    assert queries.read_hours(read_file(path), 1, ["a"], FIRST, FIRST + 1, {DAY}).records == []


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
    assert queries.read_progress(path) == [Progress(DAY, 5, is_whole=False, is_closed=True, is_packed=False)]
    queries.insert_hours(file, DAY, [row(count=9), row(hour=FIRST + 1, count=7)])
    assert counts(path) == [("a", 0, 3), ("a", 1, 7)]
    stored = queries.read_hours(read_file(path), 1, ["a"], FIRST, FIRST + 1, {DAY})
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
    damaged = {0: packed_hours.DAMAGED, 1: row(hour=FIRST + 1).record}
    file.execute("UPDATE packed SET record = ?", (packed_hours.pack(damaged),))
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
        assert queries.read_progress(path)[0].is_packed or is_packed


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
    assert queries.read_progress(path)[1] == Progress(DAY, 5, is_whole=True, is_closed=False, is_packed=True)


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


def test_a_file_of_the_version_before_is_read_and_brought_up_to_date(path: Path) -> None:
    first = connect_writer(path, page_bytes=queries.PAGE_BYTES, cache_kb=100, synchronous="NORMAL")
    with contextlib.closing(first):
        first.executescript(schema.STEPS[0] + "PRAGMA user_version = 1;")
        for number, hour in ((7, 0), (7, 1), (9, 0)):
            first.execute(
                "INSERT INTO hour VALUES (?, 1, 1, ?)",
                (months.hour_key(FIRST + hour, MONTH, number), row(hour=FIRST + hour).record),
            )
        first.execute("INSERT INTO device VALUES (7, 1, 'a'), (9, 1, 'b')")
        first.execute("INSERT INTO progress VALUES (?, 5, 1, 0), (?, 5, 0, 0)", (DAY, DAY - 1))
    every = [("a", 0, 1), ("b", 0, 1), ("a", 1, 1)]
    whole = Progress(DAY, 5, is_whole=True, is_closed=False, is_packed=False)
    assert counts(path, ("a", "b")) == every
    assert queries.read_progress(path)[1] == whole
    with contextlib.closing(
        connect_writer(path, page_bytes=queries.PAGE_BYTES, cache_kb=100, synchronous="NORMAL")
    ) as file:
        queries.prepare(file)
        assert file.execute("PRAGMA user_version").fetchone() == (2,)
        assert counts(path, ("a", "b")) == every
        assert queries.read_progress(path)[1] == whole
        # It is whole: as it was packed in no version, it stays as it is.
        queries.insert_hours(file, DAY, [row(hour=FIRST + 2)])
        assert counts(path, ("a", "b")) == [*every, ("a", 2, 1)]
        assert day_counts(path) == {"a": 3}
        queries.insert_hours(file, DAY - 1, [row(hour=FIRST - 2)])
        queries.insert_days(file, DAY - 1, 0, 9)
        across = records(read_file(path), FIRST - 24)
        assert [hour - FIRST for _, hour, _ in across] == [-2, 0, 1, 2]
        queries.delete_device(file, 1, "a")
        assert counts(path, ("a", "b")) == [("b", 0, 1)]


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


def test_pages_of_packed_hours_that_changed_places_are_found(file: sqlite3.Connection, path: Path) -> None:
    names = [f"d{number:02}" for number in range(40)]
    metrics = {f"m{number}": Bin(1, 1.0, 1.0, 1.0, 0.0, 0, 1.0, 0, 1.0) for number in range(2)}
    each = rollup_record.encode(RollUp(metrics, {}))
    for day in range(DAY - 2, DAY + 1):
        first = day * HOURS_PER_DAY
        queries.update_progress(file, day, 5)
        hours = [HourRow(1, name, first + hour, 2, each, is_certain=True) for hour in range(24) for name in names]
        queries.insert_hours(file, day, hours)
        queries.insert_days(file, day, 0, 99)
    queries.checkpoint(file)
    content = path.read_bytes()
    leaf = b"\x0d"
    pages = [
        at for at in range(4096, len(content), 4096) if content[at : at + 1] == leaf and b"m0" in content[at:][:4096]
    ]
    pages = [at for at in pages if content[at + 3 : at + 5] == b"\0\1"]
    assert len(pages) > 60
    copy = path.with_name(f"{MONTH}.copy")
    swapped = bytearray(content)
    for here, there in ((pages[5], pages[50]), (pages[50], pages[5])):
        swapped[here : here + 4096] = content[there : there + 4096]
    copy.write_bytes(swapped)
    answers = []
    for name in names:
        try:
            answers.append(len(records(read_file(copy, is_whole=False), FIRST - 48, device_ids=(name,))))
        except DamagedRollUpsError:
            answers.append(-1)
    assert set(answers) == {-1, 72}
    with pytest.raises(DamagedRollUpsError):
        queries.require_whole(copy, lambda: False)


def test_an_erased_device_leaves_nothing(file: sqlite3.Connection, path: Path) -> None:
    queries.update_progress(file, DAY, 5)
    queries.insert_hours(file, DAY, [row(hour=FIRST + hour) for hour in range(24)] + [row("b"), row(tenant_id=2)])
    queries.insert_days(file, DAY, 0, 9)
    queries.delete_device(file, 1, "a")
    assert counts(path, ("a", "b")) == [("b", 0, 1)]
    assert counts(path, tenant_id=2) == [("a", 0, 1)]
    assert file.execute("SELECT COUNT(*) FROM hour").fetchone() == (0,)
    assert file.execute("SELECT COUNT(*) FROM packed").fetchone() == (2,)
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
            return bool(queries.read_hours(read_file(copy, is_whole=False), 1, [name], FIRST, FIRST + 1, ()).records)
        except DamagedRollUpsError:
            return None

    answers = [found(name) for name in names]
    assert None in answers
    assert False not in answers
    with pytest.raises(DamagedRollUpsError):
        queries.require_whole(copy, lambda: False)
