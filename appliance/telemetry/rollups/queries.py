"""The files of roll-ups, one a month: written in one thread, read in whatever thread."""

import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

from appliance.telemetry import rollup_record
from appliance.telemetry.packing import ChunkError
from appliance.telemetry.rollups import computing, metric_days, months, packed_hours, schema, taking
from appliance.telemetry.rollups.model import DamagedRollUpsError, HourRow
from appliance.telemetry.rollups.months import DEVICE_SHIFT, NUMBER_MASK
from appliance.telemetry.rollups.page_order import is_rising
from appliance.telemetry.rollups.reading.queries import is_damage, numbers_of, version_of
from appliance.telemetry.rollups.stale import HOURS_PER_DAY, Device

PAGE_BYTES = 4_096
"""Small, because a chart of one device reads one roll-up of each page."""


def prepare(connection: sqlite3.Connection) -> None:
    """Make the tables that a file does not have yet.

    Raises `ChunkError` when a later release wrote it, `DamagedRollUpsError` when its head was damaged.
    """
    # What is deleted, or makes room for something newer, is not to stay in pages that are free.
    connection.execute("PRAGMA secure_delete = ON")
    with _damage_told():
        version = version_of(connection)
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
            if not any(row.record for row in each) and not numbers_of(connection, device[0], [device[1]]):
                continue
            number = _number_of(connection, *device)
            key = months.day_key(day, month, number)
            known = _packed(connection, device[0], key) if is_packed else {}
            records = packed_hours.merged(known, each, is_closed=bool(is_closed))
            if records == known:
                continue
            if known or (is_packed and is_whole):
                if not _put_packed(connection, device[0], key, records):
                    continue
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


def delete_devices(connection: sqlite3.Connection, devices: Collection[Device]) -> None:
    """Delete whatever is there of devices, each with its tenant. Raises `DamagedRollUpsError`."""
    for tenant_id, device_id in devices:
        delete_device(connection, tenant_id, device_id)


def delete_device(connection: sqlite3.Connection, tenant_id: int, device_id: str) -> None:
    """Delete whatever is there of a device. Raises `DamagedRollUpsError`."""
    with _damage_told():
        for number in numbers_of(connection, tenant_id, [device_id]):
            for table, places in (("hour", 31 * HOURS_PER_DAY), ("day", 31), ("packed", 31)):
                keys = json.dumps([place << DEVICE_SHIFT | number for place in range(places)])
                connection.execute(
                    f"DELETE FROM {table} WHERE tenant_id = ? AND {table}_id IN (SELECT value FROM json_each(?))",
                    (tenant_id, keys),
                )
            firsts = json.dumps([months.metric_day_key(place << DEVICE_SHIFT | number) for place in range(31)])
            connection.execute(
                "DELETE FROM metric_day WHERE tenant_id = ? AND metric_day_id IN (SELECT metric_day_id"
                " FROM json_each(?) AS asked CROSS JOIN metric_day"
                f" ON metric_day_id BETWEEN asked.value AND asked.value + {NUMBER_MASK})",
                (tenant_id, firsts),
            )
            connection.execute("DELETE FROM device WHERE tenant_id = ? AND device_number = ?", (tenant_id, number))


def checkpoint(connection: sqlite3.Connection) -> bool:
    """Put everything committed on disk; False when a reader was in the way. Raises `DamagedRollUpsError`."""
    with _damage_told():
        busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return bool(busy == 0)


def left_unsynced(paths: Iterable[Path]) -> set[str]:
    """The months whose file was not closed in order."""
    logs = [(path, path.with_name(f"{path.name}-wal")) for path in paths]
    return {path.stem for path, wal in logs if wal.exists() and wal.stat().st_size}


def _number_of(connection: sqlite3.Connection, tenant_id: int, device_id: str) -> int:
    known = next(iter(numbers_of(connection, tenant_id, [device_id])), None)
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


def _put_packed(connection: sqlite3.Connection, tenant_id: int, key: int, records: Mapping[int, bytes]) -> bool:
    """Have the hours of a device's day packed; False when they lie there just so, and nothing is written."""
    before, after = _packed_rows(connection, tenant_id, key), _as_rows(key, records)
    statements = {
        "packed": "INSERT INTO packed (packed_id, tenant_id, record) VALUES (?, ?, ?)"
        " ON CONFLICT (packed_id) DO UPDATE SET record = excluded.record",
        "metric_day": "INSERT INTO metric_day (metric_day_id, tenant_id, record) VALUES (?, ?, ?)"
        " ON CONFLICT (metric_day_id) DO UPDATE SET record = excluded.record",
    }
    for table, statement in statements.items():
        connection.executemany(
            f"DELETE FROM {table} WHERE tenant_id = ? AND {table}_id = ?",
            [(tenant_id, place) for place in before[table] if place not in after[table]],
        )
        new = [
            (place, tenant_id, record) for place, record in after[table].items() if before[table].get(place) != record
        ]
        connection.executemany(statement, new)
    return before != after


def _as_rows(key: int, records: Mapping[int, bytes]) -> dict[str, dict[int, bytes]]:
    """The rows that hours of a device's day are packed in, by their table and place."""
    try:
        hours = {hour: rollup_record.pieces_of(record) for hour, record in records.items()}
    except ChunkError:
        # That an hour was damaged is said of all metrics at once.
        return {"packed": {key: packed_hours.pack(records)}, "metric_day": {}}
    return {"packed": {}, "metric_day": dict(metric_days.rows_of(months.metric_day_key(key), hours))}


def _packed_rows(connection: sqlite3.Connection, tenant_id: int, key: int) -> dict[str, dict[int, bytes]]:
    """The rows in which a device's day is packed, by their table and place: they are all in one of the two."""
    first = months.metric_day_key(key)
    of_metrics = connection.execute(
        "SELECT metric_day_id, record FROM metric_day WHERE tenant_id = ? AND metric_day_id BETWEEN ? AND ?",
        (tenant_id, first, first | NUMBER_MASK),
    ).fetchall()
    whole = connection.execute(
        "SELECT packed_id, record FROM packed WHERE tenant_id = ? AND packed_id = ?", (tenant_id, key)
    ).fetchall()
    schema.require_kind(bytes, [record for _, record in chain(whole, of_metrics)])
    if not is_rising([first - 1, *(place for place, _ in of_metrics), first + NUMBER_MASK + 1]):
        raise DamagedRollUpsError("rows of a file of roll-ups do not stand in order, so its pages were damaged")
    return {"packed": dict(whole), "metric_day": dict(of_metrics)}


def _packed(connection: sqlite3.Connection, tenant_id: int, key: int) -> dict[int, bytes]:
    """What is packed of a device's day, by the hour of the day."""
    rows = _packed_rows(connection, tenant_id, key)
    return dict(taking.unpack_all([*rows["packed"].items(), *rows["metric_day"].items()]))


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
def _damage_told() -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        if is_damage(error):
            raise DamagedRollUpsError(f"roll-ups cannot be written: {error}") from error
        raise
