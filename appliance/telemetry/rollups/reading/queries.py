"""What a file of roll-ups says, in whatever thread."""

import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

from appliance.store.head import tables_version
from appliance.store.kept_readers import once
from appliance.telemetry.packing import ChunkError
from appliance.telemetry.rollups import metric_days, months, schema
from appliance.telemetry.rollups.metric_days import NUMBER_BITS
from appliance.telemetry.rollups.model import (
    DamagedRollUpsError,
    MonthFile,
    PackedRow,
    Progress,
    Reader,
    Stored,
    Wanted,
)
from appliance.telemetry.rollups.months import DEVICE_MASK, DEVICE_SHIFT, METRIC_DAY_MASK, NUMBER_MASK
from appliance.telemetry.rollups.page_order import AROUND, is_in_order, is_missing_in_order, is_rising
from appliance.telemetry.rollups.stale import HOURS_PER_DAY

_SPARSE = 4
"""As long as one of so many devices is asked for, all of them are passed over."""

_STEPS_BETWEEN = 10_000
"""Of SQLite's own, between two looks at whether the gateway stops: some milliseconds."""

_DAY_KEY_OF: Mapping[str, Callable[[int], int]] = {
    "hour": months.day_key_of_hour,
    "day": lambda key: key,
    "packed": lambda key: key,
    "metric_day": months.day_key_of,
}
"""Where the roll-up of the day lies, by the key of a row, in each table."""


def require_whole(path: Path, is_stopping: Callable[[], bool]) -> bool:
    """Raise `DamagedRollUpsError` when something is wrong with any page; give whether no stop came in between."""
    with _opened(path) as connection:
        if connection is None:
            return True
        connection.set_progress_handler(lambda: int(is_stopping()), _STEPS_BETWEEN)
        try:
            (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if found == "ok":
                # A device that the index does not find would be one of which nothing was rolled up.
                (found,) = connection.execute("PRAGMA integrity_check(device)").fetchone()
            if found == "ok":
                _require_own_keys(connection, path)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
                return False
            raise
    if found != "ok":
        raise DamagedRollUpsError(f"{path.name} was damaged: {found}")
    return True


def _require_own_keys(connection: sqlite3.Connection, path: Path) -> None:
    """Raise `DamagedRollUpsError` when the first or the last key of a table can be none of its own.

    SQLite takes pages for those of another table whose rows look alike, when they lie where its own should be.
    """
    given = connection.execute("SELECT COALESCE(MAX(seq), 0) FROM sqlite_sequence WHERE name = 'device'")
    (last_number,) = given.fetchone()
    version = version_of(connection)
    for table, day_key_of in _DAY_KEY_OF.items():
        if version < schema.SINCE.get(table, 1):
            continue
        ends = connection.execute(f"SELECT MIN({table}_id), MAX({table}_id) FROM {table}").fetchone()
        if not all(key is None or months.is_day_key(day_key_of(key), path.stem, last_number) for key in ends):
            raise DamagedRollUpsError(f"{path.name} was damaged: {table} has rows that are none of its own")


def read_progress(path: Path, reader: Reader = once) -> list[Progress]:
    """How far each day of a month is rolled up. Raises `ChunkError` when the file cannot be read."""
    with _opened(path, reader) as connection:
        return list(_progress(connection).values()) if connection else []


def read_hours(file: MonthFile, wanted: Wanted, first: int, end: int, but_days: Collection[int]) -> Stored:
    """The roll-ups of some hours of a month, but for those of days that are not closed. Raises `ChunkError`.

    Of days that are packed there are all hours, and perhaps metrics that are not wanted. Those of a device rise.
    """
    month = file.path.stem
    with _opened(file.path, file.reader) as connection:
        if connection is None:
            return Stored({}, [], [])
        progress = _progress(connection)
        over = [progress[day] for day in range(first // HOURS_PER_DAY, -(-end // HOURS_PER_DAY)) if day in progress]
        asked = [each for each in over if each.is_closed or each.day not in but_days]
        loose = {each.day for each in asked if not (each.is_packed and each.is_whole)}
        numbers = _known_numbers(connection, file, wanted.tenant_id, wanted.device_ids)
        hours = [hour for hour in range(first, end) if hour // HOURS_PER_DAY in loose]
        table = _Table(connection, "hour", wanted.tenant_id, file.is_whole)
        found = _records(table, numbers, hours, months.first_day(month) * HOURS_PER_DAY)
        first_day = months.first_day(month)
        days = [(each.day - first_day) << DEVICE_SHIFT for each in asked if each.is_packed]
        packed = _packed(table._replace(name="packed"), numbers, days, wanted.metrics, first_day)
        return Stored(progress, found, packed)


def read_days(file: MonthFile, tenant_id: int, device_ids: Sequence[str], first: int, end: int) -> Stored:
    """The roll-ups of some days of a month, of devices that have them. Raises `ChunkError`."""
    month = file.path.stem
    with _opened(file.path, file.reader) as connection:
        if connection is None:
            return Stored({}, [], [])
        progress = _progress(connection)
        days = [day for day in range(first, end) if day in progress]
        numbers = _known_numbers(connection, file, tenant_id, device_ids)
        table = _Table(connection, "day", tenant_id, file.is_whole)
        return Stored(progress, _records(table, numbers, days, months.first_day(month)), [])


class _Table(NamedTuple):
    """The roll-ups of hours or of days."""

    connection: sqlite3.Connection
    name: str
    tenant_id: int
    is_whole: bool


def _records(
    stored: _Table, numbers: Mapping[int, str], places: Sequence[int], first_place: int
) -> list[tuple[str, int, bytes]]:
    """Roll-ups by their places since 1970; `first_place` is the first one of the month."""
    if not numbers or not places:
        return []
    shifted = [(place - first_place) << DEVICE_SHIFT for place in places]
    found = _rows(stored, numbers, shifted)
    around = partial(_around, stored.connection, stored.name)
    if not is_in_order([key for key, _ in found], list(numbers), shifted, around, is_whole=stored.is_whole):
        raise _disorder()
    return [
        (device_id, (key >> DEVICE_SHIFT) + first_place, record)
        for key, record in found
        if (device_id := numbers.get(key & DEVICE_MASK)) is not None
    ]


def _rows(stored: _Table, numbers: Mapping[int, str], shifted: Sequence[int]) -> list[tuple[int, bytes]]:
    """Rows of devices, and perhaps of some others; `shifted` are places without a device."""
    table = stored.name
    low, high = min(numbers), max(numbers)
    if low < high < low + len(numbers) * _SPARSE:
        # Most of the devices in between are asked for: to pass the others over takes less than to look for each.
        statement = (
            f"SELECT {table}_id, record FROM json_each(?) AS asked CROSS JOIN {table}"
            f" ON {table}.{table}_id BETWEEN asked.value + ? AND asked.value + ? WHERE {table}.tenant_id = ?"
        )
        return _fetched(stored, statement, shifted, low, high)
    statement = (
        f"SELECT {table}_id, record FROM json_each(?) AS asked CROSS JOIN {table}"
        f" ON {table}.{table}_id = asked.value WHERE {table}.tenant_id = ?"
    )
    return _fetched(stored, statement, [place | number for place in shifted for number in numbers])


def _packed(
    stored: _Table, numbers: Mapping[int, str], days: Sequence[int], metrics: Collection[str], first_day: int
) -> list[PackedRow]:
    """What is packed of devices' days: all hours in one row, or in those of metrics."""
    if not numbers or not days:
        return []
    found = _rows(stored, numbers, days)
    if not is_rising([key for key, _ in found]):
        raise _disorder()
    packed = [
        (device_id, (key >> DEVICE_SHIFT) + first_day, key, record)
        for key, record in found
        if (device_id := numbers.get(key & DEVICE_MASK)) is not None
    ]
    whole = {key for _, _, key, _ in packed}
    nowhere = {key for day in days for number in numbers if (key := day | number) not in whole}
    if nowhere and version_of(stored.connection) >= schema.METRIC_DAYS_VERSION:
        table = stored._replace(name="metric_day")
        rows, missing, lost = _of_metrics(table, sorted(map(months.metric_day_key, nowhere)), metrics)
        packed += [
            (numbers[place >> NUMBER_BITS & METRIC_DAY_MASK], months.day_of_place(place) + first_day, place, record)
            for place, record in rows
        ]
        nowhere = {months.day_key_of(first) for first in missing}
        firsts = [months.metric_day_key(day) for day in days]
        _require_order(table, missing | lost, [number << NUMBER_BITS for number in numbers], firsts)
        # Days that lack a metric came last, and those that are packed in one row first.
        packed.sort(key=itemgetter(1))
    _require_order(stored, nowhere, list(numbers), days)
    return packed


def _of_metrics(
    stored: _Table, firsts: Sequence[int], metrics: Collection[str]
) -> tuple[list[tuple[int, bytes]], set[int], set[int]]:
    """The rows of metrics of devices' days, by where they lie; the days that have none, and those that have too few.

    Of a day that lacks one of the metrics, or without any, come all its rows; when these are too few, one that says so.
    """
    numbers = sorted(set(map(metric_days.number_of, metrics)))
    statement = (
        "SELECT metric_day_id, record FROM json_each(?) AS asked CROSS JOIN metric_day"
        " ON metric_day.metric_day_id = asked.value WHERE metric_day.tenant_id = ?"
    )
    rows = _fetched(stored, statement, [first | number for first in firsts for number in numbers])
    if numbers and len(rows) == len(firsts) * len(numbers):
        # Nearly always: every device has every metric.
        return rows, set(), set()
    counts = Counter(key & ~NUMBER_MASK for key, _ in rows)
    short: dict[int, list[tuple[int, bytes]]] = {first: [] for first in firsts if counts[first] < max(len(numbers), 1)}
    rows = [row for row in rows if row[0] & ~NUMBER_MASK not in short]
    for key, record in _all_of(stored, list(short)):
        short[key & ~NUMBER_MASK].append((key, record))
    missing = {first for first, of_day in short.items() if not of_day}
    lost = {first for first, of_day in short.items() if not metric_days.is_every(of_day)}
    for first, of_day in short.items():
        rows += [(first, metric_days.LOST)] if first in lost else of_day
    return rows, missing, lost


def _all_of(stored: _Table, firsts: Sequence[int]) -> list[tuple[int, bytes]]:
    """All rows of metrics of some devices' days."""
    rows = _fetched(
        stored,
        "SELECT metric_day_id, record FROM json_each(?) AS asked CROSS JOIN metric_day"
        f" ON metric_day.metric_day_id BETWEEN asked.value AND asked.value + {NUMBER_MASK}"
        " WHERE metric_day.tenant_id = ?",
        firsts,
    )
    keys = [key for key, _ in rows]
    if not is_rising(keys) or not set(firsts).issuperset(key & ~NUMBER_MASK for key in keys):
        raise _disorder()
    return rows


def _fetched(stored: _Table, statement: str, keys: Sequence[int], *bound: int) -> list[tuple[int, bytes]]:
    """Rows by keys, with their records."""
    found = stored.connection.execute(statement, (json.dumps(keys), *bound, stored.tenant_id)).fetchall()
    schema.require_kind(bytes, [record for _, record in found])
    return found


def _require_order(stored: _Table, missing: AbstractSet[int], numbers: Sequence[int], places: Sequence[int]) -> None:
    """Raise `DamagedRollUpsError` when a row that is missing seems to be elsewhere."""
    if not missing:
        return
    there = {place | number for place in places for number in numbers}.difference(missing)
    around = partial(_around, stored.connection, stored.name)
    if not is_missing_in_order(there, numbers, places, around, is_whole=stored.is_whole):
        raise _disorder()


def _disorder() -> DamagedRollUpsError:
    return DamagedRollUpsError("rows of a file of roll-ups do not stand in order, so its pages were damaged")


def _around(connection: sqlite3.Connection, table: str, key: int) -> tuple[list[int], list[int]]:
    """The keys below one that is not there and those above, as they lie in the file, whosoever they are."""
    below, above = (
        connection.execute(
            f"SELECT {table}_id FROM {table} WHERE {table}_id {side} ? ORDER BY {table}_id {direction} LIMIT ?",
            (key, AROUND),
        ).fetchall()
        for side, direction in (("<", "DESC"), (">", "ASC"))
    )
    return [each for (each,) in reversed(below)], [each for (each,) in above]


def _known_numbers(
    connection: sqlite3.Connection, file: MonthFile, tenant_id: int, device_ids: Sequence[str]
) -> dict[int, str]:
    """The devices that the file knows. Raises `DamagedRollUpsError` when one is listed that the index does not find."""
    numbers = numbers_of(connection, tenant_id, device_ids)
    if not file.is_whole and len(numbers) < len(device_ids):
        missing = set(device_ids).difference(numbers.values())
        # Not by the index: that is what is in doubt.
        listed = connection.execute("SELECT device_id FROM device NOT INDEXED WHERE tenant_id = ?", (tenant_id,))
        if not missing.isdisjoint(device_id for (device_id,) in listed):
            raise DamagedRollUpsError(f"{file.path.name} lists a device that is not found, so its pages were damaged")
    return numbers


def numbers_of(connection: sqlite3.Connection, tenant_id: int, device_ids: Sequence[str]) -> dict[int, str]:
    """The devices that the file knows, by number, in the order of their numbers."""
    rows = connection.execute(
        "SELECT device_number, device_id FROM json_each(?) AS asked CROSS JOIN device"
        " ON device.tenant_id = ? AND device.device_id = asked.value ORDER BY device_number",
        (json.dumps(list(device_ids)), tenant_id),
    )
    return dict(rows.fetchall())


def _progress(connection: sqlite3.Connection) -> dict[int, Progress]:
    rows = connection.execute(
        "SELECT day, last_log_id, is_whole, is_closed, 0 FROM progress"
        if version_of(connection) == 1
        else "SELECT day, last_log_id, is_whole, is_closed, is_packed FROM progress"
    ).fetchall()
    schema.require_kind(int, [value for row in rows for value in row])
    return {day: Progress(day, log_id, *map(bool, states)) for day, log_id, *states in rows}


def version_of(connection: sqlite3.Connection) -> int:
    """The version of a file; 0 while it has no tables.

    Raises `DamagedRollUpsError` when it has tables that its version lacks: what they hold must not count as nothing.
    """
    version = tables_version(connection)
    if version < schema.VERSION:
        newer = [table for table, since in schema.SINCE.items() if since > version]
        found = connection.execute(
            "SELECT name FROM sqlite_schema WHERE name IN (SELECT value FROM json_each(?))", (json.dumps(newer),)
        ).fetchone()
        # Asked once more, for it may have been brought up to date in between.
        if found is not None and version == (version := tables_version(connection)):
            raise DamagedRollUpsError(f"a file of roll-ups says that it is of version {version}, and has {found[0]}")
    return version


@contextmanager
def _opened(path: Path, reader: Reader = once) -> Iterator[sqlite3.Connection | None]:
    """A file for reading; None when there is none, or when it has no tables yet."""
    if not path.exists():
        yield None
        return
    try:
        with reader(path) as connection:
            version = version_of(connection)
            if version > schema.VERSION:
                raise ChunkError(f"{path.name} has version {version}, this release knows {schema.VERSION}")
            yield connection if version else None
    except (sqlite3.Error, FileNotFoundError) as error:
        kind = DamagedRollUpsError if is_damage(error) else ChunkError
        raise kind(f"{path.name} cannot be read: {error}") from error


def is_damage(error: Exception) -> bool:
    """Whether an error says that a file was damaged."""
    # The low byte is its kind.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
