"""What a file of roll-ups says: nothing that was lost in it looks like hours without readings."""

import contextlib
import sqlite3
from itertools import product
from pathlib import Path

import pytest

from appliance.instant import HOUR_MS
from appliance.telemetry import rollup_record
from appliance.telemetry.bins import Bin
from appliance.telemetry.rollup_record import RollUp
from appliance.telemetry.rollups import metric_days, months, packed_hours, queries, taking
from appliance.telemetry.rollups.model import DamagedRollUpsError, HourRow, Wanted
from appliance.telemetry.rollups.months import NUMBER_MASK
from appliance.telemetry.rollups.reading import queries as reading
from appliance.telemetry.rollups.stale import HOURS_PER_DAY
from tests.appliance.telemetry.reports import DAY
from tests.appliance.telemetry.rollups.test_queries import (
    FIRST,
    MONTH,
    ONE,
    counts,
    day_counts,
    file,
    path,
    read_file,
    records,
    row,
)

__all__ = ["file", "path"]
"""Fixtures."""


METRICS = ("level", "pressure", "state")


def packed_day(file: sqlite3.Connection, *device_ids: str, metrics: tuple[str, ...] = METRICS, day: int = DAY) -> None:
    """A day of some devices that is packed, with two hours of each."""
    record = rollup_record.encode(RollUp(dict.fromkeys(metrics, ONE), {}))
    first = day * HOURS_PER_DAY
    hours = [HourRow(1, name, first + hour, 3, record, is_certain=True) for name in device_ids for hour in (0, 1)]
    queries.update_progress(file, day, 5)
    queries.insert_hours(file, day, hours)
    queries.insert_days(file, day, 0, 99)


def told(path: Path, metric: str, device_id: str = "b", *, is_whole: bool = True) -> list[bool | None]:
    """Of each hour that is known of a device: whether there are numbers of a metric, or None when it was damaged."""
    wanted = Wanted(1, [device_id], [metric])
    stored = reading.read_hours(read_file(path, is_whole=is_whole), wanted, FIRST, FIRST + 24, ())
    found = taking.unpacked(stored.packed, FIRST, FIRST + 24)
    return [metric in rollup_record.decode(record).bins if record else None for _, _, record in found]


def test_of_the_metrics_of_a_day_those_are_read_that_are_asked_for(file: sqlite3.Connection, path: Path) -> None:
    packed_day(file, "a", "b", "c")
    for metrics in (["pressure"], ["state", "level"], METRICS):
        stored = reading.read_hours(read_file(path), Wanted(1, ["b", "c"], metrics), FIRST, FIRST + 24, ())
        assert [(device, place & NUMBER_MASK) for device, _, place, _ in stored.packed] == [
            (device, number) for device in "bc" for number in sorted(map(metric_days.number_of, metrics))
        ]


def test_a_metric_that_had_no_readings_is_no_damage(file: sqlite3.Connection, path: Path) -> None:
    packed_day(file, "a", "b", "c")
    for is_whole in (True, False):
        assert told(path, "unknown", is_whole=is_whole) == [False, False]
        assert told(path, "state", is_whole=is_whole) == [True, True]
        assert told(path, "state", "z", is_whole=is_whole) == []


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM metric_day WHERE metric_day_id = ?",
        "UPDATE metric_day SET metric_day_id = metric_day_id + 1 WHERE metric_day_id = ?",
        "UPDATE metric_day SET tenant_id = 3 WHERE metric_day_id = ?",
    ],
)
def test_a_row_that_is_lost_does_not_pass_as_a_metric_without_readings(
    file: sqlite3.Connection, path: Path, statement: str, metric: str
) -> None:
    packed_day(file, "a", "b", "c")
    place = months.metric_day_key(months.day_key(DAY, MONTH, 2)) | metric_days.number_of(metric)
    assert file.execute(statement, (place,)).rowcount == 1
    for is_whole in (True, False):
        assert told(path, metric, is_whole=is_whole) == [None] * HOURS_PER_DAY
        assert told(path, "unknown", is_whole=is_whole) == [None] * HOURS_PER_DAY
        # The rows that are there are good.
        other = next(each for each in METRICS if each != metric)
        assert told(path, other, is_whole=is_whole) == [True, True]


def test_a_row_in_the_place_of_another_is_not_believed(file: sqlite3.Connection, path: Path) -> None:
    packed_day(file, "a", "b", "c")
    places = [months.metric_day_key(months.day_key(DAY, MONTH, number)) for number in (2, 3)]
    number = metric_days.number_of("state")
    file.execute(
        "UPDATE metric_day SET record = (SELECT record FROM metric_day WHERE metric_day_id = ?)"
        " WHERE metric_day_id = ?",
        (places[1] | number, places[0] | number),
    )
    assert told(path, "state") == [None] * HOURS_PER_DAY
    assert told(path, "level") == [True, True]


def test_a_device_without_a_day_among_many_that_have_it_is_no_damage(file: sqlite3.Connection, path: Path) -> None:
    names = [f"d{number:02}" for number in range(40)]
    for day in (DAY - 2, DAY - 1, DAY):
        packed_day(file, *[name for name in names if day != DAY - 1 or name != "d20"], day=day)
    for is_whole in (True, False):
        stored = reading.read_hours(
            read_file(path, is_whole=is_whole), Wanted(1, names, ["state"]), FIRST - 48, FIRST + 24, ()
        )
        assert len(stored.packed) == 3 * len(names) - 1


SOME = ("pressure", "state")
SERIES = [(device_id, metric) for device_id in "ab" for metric in SOME]


def taken(path: Path) -> dict[tuple[str, str], list[int]]:
    """What a question takes of three days of two devices: by device and metric, hours after the first one."""
    first = FIRST - 48
    stored = reading.read_hours(read_file(path), Wanted(1, ["a", "b"], SOME), first, FIRST + 24, ())
    for device_id in "ab":
        days = [day for each, day, _, _ in stored.packed if each == device_id]
        assert days == sorted(days)
    taker = rollup_record.Taker(frozenset(SOME))
    assert taking.take(taker, stored.packed, first, FIRST + 24) == set()
    found: dict[tuple[str, str], list[int]] = {}
    for device_id, metric, bins in taker.taken():
        assert list(bins.at) == sorted(bins.at)
        hours = found.setdefault((device_id, metric), [])
        hours[:] = sorted([*hours, *(at // HOUR_MS - first for at in bins.at)])
    return found


@pytest.mark.parametrize("lacking", range(3))
def test_days_rise_of_which_one_lacks_a_metric(file: sqlite3.Connection, path: Path, lacking: int) -> None:
    for place in range(3):
        packed_day(file, "a", "b", metrics=("pressure",) if place == lacking else SOME, day=DAY - 2 + place)
    every = [0, 1, 24, 25, 48, 49]
    some = [hour for hour in every if hour // 24 != lacking]
    assert taken(path) == {(device, metric): some if metric == "state" else every for device, metric in SERIES}


@pytest.mark.parametrize("earlier", list(product((False, True), repeat=3)))
def test_days_rise_however_they_are_packed(file: sqlite3.Connection, path: Path, earlier: tuple[bool, ...]) -> None:
    record = rollup_record.encode(RollUp(dict.fromkeys(SOME, ONE), {}))
    for place, is_in_one in enumerate(earlier):
        day = DAY - 2 + place
        packed_day(file, "a", "b", metrics=SOME, day=day)
        keys = [months.day_key(day, MONTH, number) for number in (1, 2)] if is_in_one else []
        for key in keys:
            # As earlier releases packed it.
            first = months.metric_day_key(key)
            file.execute("DELETE FROM metric_day WHERE metric_day_id BETWEEN ? AND ?", (first, first | NUMBER_MASK))
            file.execute("INSERT INTO packed VALUES (?, 1, ?)", (key, packed_hours.pack({0: record, 1: record})))
    assert taken(path) == {each: [0, 1, 24, 25, 48, 49] for each in SERIES}


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
        at
        for at in range(4096, len(content), 4096)
        if content[at : at + 1] == leaf and b"m0" in content[at:][:4096] and b"m1" in content[at:][:4096]
    ]
    assert len(pages) > 60
    copy = path.with_name(f"{MONTH}.copy")
    swapped = bytearray(content)
    for here, there in ((pages[5], pages[50]), (pages[50], pages[5])):
        swapped[here : here + 4096] = content[there : there + 4096]
    copy.write_bytes(swapped)
    answers = []
    for name, is_whole in product(names, (False, True)):
        try:
            found = records(read_file(copy, is_whole=is_whole), FIRST - 48, device_ids=(name,), metric="m1")
            answers.append(len(found))
        except DamagedRollUpsError:
            answers.append(-1)
    assert set(answers) == {-1, 72}
    with pytest.raises(DamagedRollUpsError):
        reading.require_whole(copy, lambda: False)


def test_a_file_that_is_not_there_or_empty_has_nothing(path: Path) -> None:
    assert reading.read_progress(path) == []
    assert counts(path) == []
    assert day_counts(path) == {}
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    assert reading.read_progress(path) == []


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
    assert reading.require_whole(path, lambda: False)
    before = counts(path)
    half_zeroed(path, page)
    with pytest.raises(DamagedRollUpsError, match=path.name):
        reading.require_whole(path, lambda: False)
    # Who reads it meanwhile hears of it or gets nothing, which is why it is looked for; and no value of a wrong kind.
    with contextlib.suppress(DamagedRollUpsError):
        assert counts(path) in ([], before)
    if table == "progress":
        with pytest.raises(DamagedRollUpsError, match="lacks a value"):
            reading.read_progress(path)


def test_looking_at_a_whole_file_ends_when_the_gateway_stops(file: sqlite3.Connection, path: Path) -> None:
    queries.insert_hours(file, DAY, [row(f"d{n}", FIRST + hour) for hour in range(24) for n in range(60)])
    assert queries.checkpoint(file)
    assert not reading.require_whole(path, lambda: True)
    assert reading.require_whole(path, lambda: False)
    assert reading.require_whole(path.with_name("2000-01.db"), lambda: True)


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
            return bool(
                reading.read_hours(
                    read_file(copy, is_whole=False), Wanted(1, [name], ["pressure"]), FIRST, FIRST + 1, ()
                ).records
            )
        except DamagedRollUpsError:
            return None

    answers = [found(name) for name in names]
    assert None in answers
    assert False not in answers
    with pytest.raises(DamagedRollUpsError):
        reading.require_whole(copy, lambda: False)


def root_of(file: sqlite3.Connection, table: str) -> int:
    (page,) = file.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,)).fetchone()
    return int(page)


@pytest.mark.parametrize("is_empty", [True, False])
def test_pages_of_two_tables_that_changed_places_are_damage(
    file: sqlite3.Connection, path: Path, *, is_empty: bool
) -> None:
    """SQLite finds nothing wrong with them: their rows look alike."""
    packed_day(file, "a", "b")
    if not is_empty:
        file.execute("INSERT INTO packed SELECT day_id, tenant_id, record FROM day")
    one, other = root_of(file, "packed"), root_of(file, "metric_day")
    assert reading.require_whole(path, lambda: False)
    file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    file.close()
    content = path.read_bytes()
    size = queries.PAGE_BYTES
    pages = [content[start : start + size] for start in range(0, len(content), size)]
    pages[one - 1], pages[other - 1] = pages[other - 1], pages[one - 1]
    path.write_bytes(b"".join(pages))
    with contextlib.closing(sqlite3.connect(path)) as looked:
        assert looked.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    with pytest.raises(DamagedRollUpsError, match="packed has rows that are none of its own"):
        reading.require_whole(path, lambda: False)
