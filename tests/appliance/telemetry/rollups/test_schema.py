"""Each version of a file of roll-ups adds to the one before."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.store.database import connect_writer
from appliance.telemetry import rollup_record
from appliance.telemetry.rollups import months, packed_hours, queries, schema
from appliance.telemetry.rollups.model import DamagedRollUpsError, Progress, Wanted
from appliance.telemetry.rollups.reading import queries as reading
from tests.appliance.telemetry.reports import DAY
from tests.appliance.telemetry.rollups.test_queries import (
    FIRST,
    MONTH,
    counts,
    day_counts,
    no_row,
    path,
    read_file,
    records,
    row,
    two_metrics,
)

__all__ = ["path"]
"""A fixture."""


def test_the_steps_follow_each_other_and_the_last_one_is_the_version() -> None:
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        tables: list[set[str]] = []
        for step in schema.STEPS:
            connection.executescript(step)
            tables.append({name for (name,) in connection.execute("SELECT name FROM pragma_table_list")})
    assert len(tables) == schema.VERSION
    assert {"device", "hour", "day", "progress"} <= tables[0]
    assert tables[1] - tables[0] == {"packed"}
    assert tables[2] - tables[1] == {"metric_day"}
    assert schema.METRIC_DAYS_VERSION == 3


def test_a_value_that_no_table_lets_in_is_damage() -> None:
    schema.require_kind(bytes, [b"", b"x"])
    schema.require_kind(int, [])
    with pytest.raises(DamagedRollUpsError, match="lacks a value"):
        schema.require_kind(bytes, [b"", None])


def test_a_file_of_the_first_version_is_read_and_brought_up_to_date(path: Path) -> None:
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
    assert reading.read_progress(path)[1] == whole
    with contextlib.closing(
        connect_writer(path, page_bytes=queries.PAGE_BYTES, cache_kb=100, synchronous="NORMAL")
    ) as file:
        queries.prepare(file)
        assert file.execute("PRAGMA user_version").fetchone() == (schema.VERSION,)
        assert counts(path, ("a", "b")) == every
        assert reading.read_progress(path)[1] == whole
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


def first_release_that_packed(path: Path) -> None:
    """A file of version 2: of two devices a day is packed, of the day before one is, for the gateway ended then."""
    connection = connect_writer(path, page_bytes=queries.PAGE_BYTES, cache_kb=100, synchronous="NORMAL")
    with contextlib.closing(connection) as file:
        file.executescript(schema.STEPS[0] + schema.STEPS[1] + "PRAGMA user_version = 2;")
        file.execute("INSERT INTO device VALUES (7, 1, 'a'), (9, 1, 'b')")
        file.execute("INSERT INTO progress VALUES (?, 5, 1, 0, 1), (?, 5, 0, 0, 1)", (DAY, DAY - 1))
        for day, number, hours in ((DAY, 7, (0, 1)), (DAY, 9, (0,)), (DAY - 1, 7, (0,))):
            packed = packed_hours.pack({hour: two_metrics("", hour).record for hour in hours})
            file.execute("INSERT INTO packed VALUES (?, 1, ?)", (months.day_key(day, MONTH, number), packed))
            counted = rollup_record.encode(rollup_record.RollUp({}, {"pressure": len(hours)}))
            file.execute("INSERT INTO day VALUES (?, 1, ?)", (months.day_key(day, MONTH, number), counted))
        file.execute(
            "INSERT INTO hour VALUES (?, 1, 2, ?)", (months.hour_key(FIRST - 24, MONTH, 9), two_metrics("", -24).record)
        )


@contextlib.contextmanager
def written(path: Path) -> Iterator[sqlite3.Connection]:
    """A file as this release opens it."""
    connection = connect_writer(path, page_bytes=queries.PAGE_BYTES, cache_kb=100, synchronous="NORMAL")
    with contextlib.closing(connection) as file:
        queries.prepare(file)
        yield file


def tables(file: sqlite3.Connection) -> tuple[int, int]:
    """How many rows there are of whole days, and of metrics."""
    [(whole, split)] = file.execute("SELECT (SELECT COUNT(*) FROM packed), (SELECT COUNT(*) FROM metric_day)")
    return whole, split


def known(path: Path, metric: str = "pressure") -> list[tuple[str, int]]:
    """The hours that have numbers of a metric, from the day before on."""
    found = [
        records(read_file(path, is_whole=each), FIRST - 24, FIRST + 24, ("a", "b"), metric=metric)
        for each in (False, True)
    ]
    assert found[0] == found[1]
    return [(device, hour - FIRST) for device, hour, record in found[0] if metric in rollup_record.decode(record).bins]


def test_a_file_of_the_second_version_is_read_as_it_is(path: Path) -> None:
    first_release_that_packed(path)
    every = [("a", -24), ("b", -24), ("a", 0), ("b", 0), ("a", 1)]
    assert known(path) == known(path, "state") == every
    assert known(path, "unknown") == []
    before = path.read_bytes()
    assert reading.require_whole(path, lambda: False)
    assert path.read_bytes() == before


def test_what_comes_late_for_a_file_of_the_second_version_goes_into_rows_of_metrics(path: Path) -> None:
    first_release_that_packed(path)
    with written(path) as file:
        assert file.execute("PRAGMA user_version").fetchone() == (schema.VERSION,)
        assert tables(file) == (3, 0)
        # Nothing is better than what is there.
        queries.insert_hours(file, DAY, [two_metrics("a", 1), no_row("a", FIRST + 5)])
        assert tables(file) == (3, 0)
        queries.insert_hours(file, DAY, [two_metrics("a", 7)])
        assert tables(file) == (2, 2)
        every = [("a", -24), ("b", -24), ("a", 0), ("b", 0), ("a", 1)]
        assert known(path) == known(path, "state") == [*every, ("a", 7)]
        assert day_counts(path) == {"a": 6}
        # The day that was being packed is packed on.
        queries.insert_days(file, DAY - 1, 0, 9)
        assert tables(file) == (2, 4)
        assert file.execute("SELECT COUNT(*) FROM hour").fetchone() == (0,)
        assert known(path) == known(path, "state") == [*every, ("a", 7)]
        assert known(path, "unknown") == []
        # A row that is not found is in neither of the tables.
        file.execute("DELETE FROM packed WHERE packed_id = ?", (months.day_key(DAY, MONTH, 9),))
        assert ("b", 0) not in known(path)
        queries.delete_device(file, 1, "a")
        assert tables(file) == (0, 2)
        assert known(path) == [("b", -24)]


def test_a_damaged_day_of_the_second_version_stays_told_of_until_it_is_made_again(path: Path) -> None:
    first_release_that_packed(path)
    with written(path) as file:
        file.execute("UPDATE packed SET record = x'0100' WHERE packed_id = ?", (months.day_key(DAY, MONTH, 7),))
        queries.insert_hours(file, DAY, [two_metrics("a", 0)])
        assert tables(file) == (3, 0)
        found = records(read_file(path), metric="state")
        assert [record == packed_hours.DAMAGED for _, _, record in found] == [False] + [True] * 23
        queries.insert_hours(file, DAY, [two_metrics("a", hour) for hour in range(1, 24)])
        assert tables(file) == (2, 2)
        assert len(known(path)) == 24 + 3


def test_pages_of_a_file_of_the_second_version_that_changed_places_are_found(path: Path) -> None:
    first_release_that_packed(path)
    with written(path) as file:
        for number in range(10, 300):
            packed = packed_hours.pack({hour: two_metrics("", hour).record for hour in range(8)})
            file.execute("INSERT INTO device VALUES (?, 1, ?)", (number, f"d{number}"))
            file.execute("INSERT INTO packed VALUES (?, 1, ?)", (months.day_key(DAY, MONTH, number), packed))
        queries.checkpoint(file)
    content = path.read_bytes()
    pages = [
        at for at in range(4096, len(content), 4096) if content[at] == 0x0D and b"state" in content[at : at + 4096]
    ]
    one, other = pages[10], pages[40]
    copy = path.with_name(f"{MONTH}.copy")
    copy.write_bytes(content[:one] + content[other : other + 4096] + content[one + 4096 :])
    answers = set()
    for number in range(10, 300):
        try:
            stored = reading.read_hours(
                read_file(copy, is_whole=False), Wanted(1, [f"d{number}"], ["state"]), FIRST, FIRST + 24, ()
            )
        except DamagedRollUpsError:
            answers.add(-1)
        else:
            answers.add(len(stored.packed))
    assert answers == {-1, 1}
