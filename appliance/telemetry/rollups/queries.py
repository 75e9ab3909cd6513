"""The files of roll-ups, one a month: written in one thread, read in whatever thread."""

import json
import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from appliance.store.kept_readers import once
from appliance.telemetry import rollup_record
from appliance.telemetry.packing import ChunkError
from appliance.telemetry.rollups import computing, months, packed_hours, schema
from appliance.telemetry.rollups.model import DamagedRollUpsError, HourRow, MonthFile, Progress, Reader, Stored
from appliance.telemetry.rollups.months import DEVICE_SHIFT
from appliance.telemetry.rollups.page_order import AROUND, is_in_order
from appliance.telemetry.rollups.stale import HOURS_PER_DAY

PAGE_BYTES = 4_096
"""Small, because a chart of one device reads one roll-up of each page."""

_SPARSE = 4
"""As long as one of so many devices is asked for, all of them are passed over."""

_NUMBER_MASK = (1 << DEVICE_SHIFT) - 1

_STEPS_BETWEEN = 10_000
"""Of SQLite's own, between two looks at whether the gateway stops: some milliseconds."""


def prepare(connection: sqlite3.Connection) -> None:
    """Make the tables that a file does not have yet. Raises `ChunkError` when a later release wrote it."""
    # What is deleted, or makes room for something newer, is not to stay in pages that are free.
    connection.execute("PRAGMA secure_delete = ON")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > schema.VERSION:
        raise ChunkError(f"a file of roll-ups has version {version}, this release knows {schema.VERSION}")
    if version == schema.VERSION:
        return
    connection.executescript(
        "\n".join(("BEGIN IMMEDIATE;", *schema.STEPS[version:], f"PRAGMA user_version = {schema.VERSION};", "COMMIT;"))
    )


def insert_hours(connection: sqlite3.Connection, day: int, rows: Sequence[HourRow]) -> None:
    """Put roll-ups of hours of one day in the place of older ones, and bring those of the day up to date.

    Readings are only ever added to an hour, so a roll-up that knows of fewer than the one before was computed
    without some that were lost since: the older one stays. So it does when the readings of the day were let go.
    Where nothing is better than before, nothing is written. Raises `DamagedRollUpsError`.
    """
    with _damage_told():
        month = months.month_of(day)
        states = "SELECT is_whole, is_packed, is_closed FROM progress WHERE day = ?"
        is_whole, is_packed, is_closed = connection.execute(states, (day,)).fetchone() or (False,) * 3
        for device, each in computing.by_device(rows).items():
            if not any(row.record for row in each) and not _numbers(connection, device[0], [device[1]]):
                continue
            number = _number_of(connection, *device)
            key = months.day_key(day, month, number)
            known = _packed(connection, device[0], key) if is_packed else {}
            records = packed_hours.merged(known, each, is_closed=bool(is_closed))
            if records == known:
                continue
            if known or (is_packed and is_whole):
                _put_packed(connection, device[0], key, records)
            else:
                _put_hours(connection, number, each, is_closed)
            has_day = "SELECT 1 FROM day WHERE tenant_id = ? AND day_id = ?"
            if is_whole or connection.execute(has_day, (device[0], key)).fetchone():
                _put_day(connection, device[0], day, number)


def insert_days(connection: sqlite3.Connection, day: int, after_number: int, count: int) -> int | None:
    """Compute the roll-ups of a day of some devices out of those of its hours, and pack these.

    Goes by the order of the devices' numbers, and gives the number to go on after; None when there are no more.
    Raises `DamagedRollUpsError`.
    """
    with _damage_told():
        connection.execute("UPDATE progress SET is_packed = 1 WHERE day = ?", (day,))
        rows = connection.execute(
            "SELECT device_number, tenant_id FROM device WHERE device_number > ? ORDER BY device_number LIMIT ?",
            (after_number, count),
        ).fetchall()
        for number, tenant_id in rows:
            if records := _loose(connection, tenant_id, day, number):
                key = months.day_key(day, months.month_of(day), number)
                _put_packed(connection, tenant_id, key, _packed(connection, tenant_id, key) | records)
                connection.execute(
                    "DELETE FROM hour WHERE tenant_id = ? AND hour_id IN (SELECT value FROM json_each(?))",
                    (tenant_id, json.dumps(months.hour_keys(day, number))),
                )
            _put_day(connection, tenant_id, day, number)
        if len(rows) == count:
            return int(rows[-1][0])
        connection.execute("UPDATE progress SET is_whole = 1 WHERE day = ?", (day,))
        return None


def update_progress(connection: sqlite3.Connection, day: int, last_log_id: int) -> bool:
    """Say up to which log id the chunks of a day are rolled up; give whether the day itself is.

    Raises `DamagedRollUpsError`.
    """
    with _damage_told():
        (is_whole,) = connection.execute(
            "INSERT INTO progress (day, last_log_id) VALUES (?, ?)"
            " ON CONFLICT (day) DO UPDATE SET last_log_id = excluded.last_log_id RETURNING is_whole",
            (day, last_log_id),
        ).fetchone()
        return bool(is_whole)


def close_day(connection: sqlite3.Connection, day: int) -> bool:
    """Say that the readings of a day are let go: what its roll-ups say is all there will be. False without any."""
    with _damage_told():
        return connection.execute("UPDATE progress SET is_closed = 1 WHERE day = ?", (day,)).rowcount > 0


def delete_device(connection: sqlite3.Connection, tenant_id: int, device_id: str) -> None:
    """Delete whatever is there of a device. Raises `DamagedRollUpsError`."""
    with _damage_told():
        for number in _numbers(connection, tenant_id, [device_id]):
            for table, places in (("hour", 31 * HOURS_PER_DAY), ("day", 31), ("packed", 31)):
                keys = json.dumps([place << DEVICE_SHIFT | number for place in range(places)])
                connection.execute(
                    f"DELETE FROM {table} WHERE tenant_id = ? AND {table}_id IN (SELECT value FROM json_each(?))",
                    (tenant_id, keys),
                )
            connection.execute("DELETE FROM device WHERE tenant_id = ? AND device_number = ?", (tenant_id, number))


def checkpoint(connection: sqlite3.Connection) -> bool:
    """Put everything committed on disk; False when a reader was in the way. Raises `DamagedRollUpsError`."""
    with _damage_told():
        busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return bool(busy == 0)


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
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
                return False
            raise
    if found != "ok":
        raise DamagedRollUpsError(f"{path.name} was damaged: {found}")
    return True


def read_progress(path: Path) -> list[Progress]:
    """How far each day of a month is rolled up. Raises `ChunkError` when the file cannot be read."""
    with _opened(path) as connection:
        return list(_progress(connection).values()) if connection else []


def read_hours(
    file: MonthFile, tenant_id: int, device_ids: Sequence[str], first: int, end: int, but_days: Collection[int]
) -> Stored:
    """The roll-ups of some hours of a month, but for those of days that are not closed. Raises `ChunkError`.

    Of days that are packed there are all hours. Those of a device rise.
    """
    month = file.path.stem
    with _opened(file.path, file.reader) as connection:
        if connection is None:
            return Stored({}, [], [])
        progress = _progress(connection)
        days = [progress[day] for day in range(first // HOURS_PER_DAY, -(-end // HOURS_PER_DAY)) if day in progress]
        asked = [each for each in days if each.is_closed or each.day not in but_days]
        loose = {each.day for each in asked if not (each.is_packed and each.is_whole)}
        numbers = _known_numbers(connection, file, tenant_id, device_ids)
        hours = [hour for hour in range(first, end) if hour // HOURS_PER_DAY in loose]
        table = _Table(connection, "hour", tenant_id, file.is_whole)
        found = _records(table, numbers, hours, months.first_day(month) * HOURS_PER_DAY)
        packed_days = [each.day for each in asked if each.is_packed]
        table = _Table(connection, "packed", tenant_id, file.is_whole)
        return Stored(progress, found, _records(table, numbers, packed_days, months.first_day(month)))


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
    connection, table, tenant_id, is_whole = stored
    shifted = [(place - first_place) << DEVICE_SHIFT for place in places]
    low, high = min(numbers), max(numbers)
    if low < high < low + len(numbers) * _SPARSE:
        # Most of the devices in between are asked for: to pass the others over takes less than to look for each.
        rows = connection.execute(
            f"SELECT {table}_id, record FROM json_each(?) AS asked CROSS JOIN {table}"
            f" ON {table}.{table}_id BETWEEN asked.value + ? AND asked.value + ? WHERE {table}.tenant_id = ?",
            (json.dumps(shifted), low, high, tenant_id),
        )
    else:
        rows = connection.execute(
            f"SELECT {table}_id, record FROM json_each(?) AS asked CROSS JOIN {table}"
            f" ON {table}.{table}_id = asked.value WHERE {table}.tenant_id = ?",
            (json.dumps([place | number for place in shifted for number in numbers]), tenant_id),
        )
    found = rows.fetchall()
    schema.require_kind(bytes, [record for _, record in found])
    around = partial(_around, connection, table)
    if not is_in_order([key for key, _ in found], list(numbers), shifted, around, is_whole=is_whole):
        raise DamagedRollUpsError("rows of a file of roll-ups do not stand in order, so its pages were damaged")
    return [
        (device_id, (key >> DEVICE_SHIFT) + first_place, record)
        for key, record in found
        if (device_id := numbers.get(key & _NUMBER_MASK)) is not None
    ]


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
    numbers = _numbers(connection, tenant_id, device_ids)
    if not file.is_whole and len(numbers) < len(device_ids):
        missing = set(device_ids).difference(numbers.values())
        # Not by the index: that is what is in doubt.
        listed = connection.execute("SELECT device_id FROM device NOT INDEXED WHERE tenant_id = ?", (tenant_id,))
        if not missing.isdisjoint(device_id for (device_id,) in listed):
            raise DamagedRollUpsError(f"{file.path.name} lists a device that is not found, so its pages were damaged")
    return numbers


def _numbers(connection: sqlite3.Connection, tenant_id: int, device_ids: Sequence[str]) -> dict[int, str]:
    """The devices that the file knows, by number, in the order of their numbers."""
    rows = connection.execute(
        "SELECT device_number, device_id FROM json_each(?) AS asked CROSS JOIN device"
        " ON device.tenant_id = ? AND device.device_id = asked.value ORDER BY device_number",
        (json.dumps(list(device_ids)), tenant_id),
    )
    return dict(rows.fetchall())


def _progress(connection: sqlite3.Connection) -> dict[int, Progress]:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    rows = connection.execute(
        "SELECT day, last_log_id, is_whole, is_closed, 0 FROM progress"
        if version == 1
        else "SELECT day, last_log_id, is_whole, is_closed, is_packed FROM progress"
    ).fetchall()
    schema.require_kind(int, [value for row in rows for value in row])
    return {day: Progress(day, log_id, *map(bool, states)) for day, log_id, *states in rows}


def _number_of(connection: sqlite3.Connection, tenant_id: int, device_id: str) -> int:
    known = next(iter(_numbers(connection, tenant_id, [device_id])), None)
    if known is not None:
        return known
    insert = "INSERT INTO device (tenant_id, device_id) VALUES (?, ?) RETURNING device_number"
    return int(connection.execute(insert, (tenant_id, device_id)).fetchone()[0])


def _put_hours(connection: sqlite3.Connection, number: int, rows: Sequence[HourRow], is_closed: int) -> None:
    """Put roll-ups of hours of a device each in a row of its own."""
    month = months.month_of(rows[0].hour // HOURS_PER_DAY)
    # One that was damaged stays, which tells that it was, until there is a good one.
    connection.executemany(
        "INSERT INTO hour (hour_id, tenant_id, reading_count, record) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (hour_id) DO UPDATE SET reading_count = excluded.reading_count, record = excluded.record"
        " WHERE excluded.reading_count >= reading_count AND NOT ?",
        [
            (months.hour_key(row.hour, month, number), row.tenant_id, row.reading_count, row.record, is_closed)
            for row in rows
            if row.record
        ],
    )


def _put_day(connection: sqlite3.Connection, tenant_id: int, day: int, number: int) -> None:
    """Compute the roll-up of a day; it has none while that of an hour is damaged, unless its readings were let go."""
    key = months.day_key(day, months.month_of(day), number)
    records = _packed(connection, tenant_id, key) | _loose(connection, tenant_id, day, number)
    if not records:
        return
    try:
        rollup = computing.of_day(rollup_record.decode(records[hour]) for hour in sorted(records))
    except ChunkError:
        # Whoever asks for the day asks for its hours then, and so finds the damage. Of a closed day it is all there is.
        is_open = "NOT EXISTS (SELECT 1 FROM progress WHERE day = ? AND is_closed)"
        connection.execute(f"DELETE FROM day WHERE tenant_id = ? AND day_id = ? AND {is_open}", (tenant_id, key, day))
        return
    connection.execute(
        "INSERT INTO day (day_id, tenant_id, record) VALUES (?, ?, ?)"
        " ON CONFLICT (day_id) DO UPDATE SET record = excluded.record",
        (key, tenant_id, rollup_record.encode(rollup)),
    )


def _put_packed(connection: sqlite3.Connection, tenant_id: int, key: int, records: Mapping[int, bytes]) -> None:
    if not records:
        connection.execute("DELETE FROM packed WHERE tenant_id = ? AND packed_id = ?", (tenant_id, key))
        return
    connection.execute(
        "INSERT INTO packed (packed_id, tenant_id, record) VALUES (?, ?, ?)"
        " ON CONFLICT (packed_id) DO UPDATE SET record = excluded.record",
        (key, tenant_id, packed_hours.pack(records)),
    )


def _packed(connection: sqlite3.Connection, tenant_id: int, key: int) -> dict[int, bytes]:
    """What is packed of a device's day, by the hour of the day."""
    rows = connection.execute("SELECT record FROM packed WHERE tenant_id = ? AND packed_id = ?", (tenant_id, key))
    records = [record for (record,) in rows.fetchall()]
    schema.require_kind(bytes, records)
    return dict(chain.from_iterable(map(packed_hours.unpack, records)))


def _loose(connection: sqlite3.Connection, tenant_id: int, day: int, number: int) -> dict[int, bytes]:
    """What lies of a device's day in rows of single hours, by the hour of the day."""
    rows = connection.execute(
        "SELECT asked.key, record FROM json_each(?) AS asked CROSS JOIN hour ON hour.hour_id = asked.value"
        " WHERE hour.tenant_id = ?",
        (json.dumps(months.hour_keys(day, number)), tenant_id),
    ).fetchall()
    schema.require_kind(bytes, [record for _, record in rows])
    return dict(rows)


@contextmanager
def _opened(path: Path, reader: Reader = once) -> Iterator[sqlite3.Connection | None]:
    """A file for reading; None when there is none, or when it has no tables yet."""
    if not path.exists():
        yield None
        return
    try:
        with reader(path) as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version > schema.VERSION:
                raise ChunkError(f"{path.name} has version {version}, this release knows {schema.VERSION}")
            yield connection if version else None
    except (sqlite3.Error, FileNotFoundError) as error:
        kind = DamagedRollUpsError if _is_damage(error) else ChunkError
        raise kind(f"{path.name} cannot be read: {error}") from error


@contextmanager
def _damage_told() -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        if _is_damage(error):
            raise DamagedRollUpsError(f"roll-ups cannot be written: {error}") from error
        raise


def _is_damage(error: Exception) -> bool:  # The low byte is its kind.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
