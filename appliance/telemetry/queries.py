"""The event log in gateway.db, and day files.

A chunk's key is the ten minutes of its day in which it begins, then its device, then a number: chunks are
sealed in that order, so a day file grows at its end, and late chunks find room beside the first ones.
"""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from appliance.instant import DAY_MS, day_of, from_text
from appliance.store.database import Select
from appliance.telemetry.packing import ChunkError

DAY_VERSION = 1
DAY_NAMES = "????-??-??.db"
"""What the names of day files look like."""
DAY_PAGE_BYTES = 16_384

_SLOT_MS = 600_000
_SLOT_SHIFT = 52
_DEVICE_SHIFT = 24
_NUMBER_MASK = (1 << _DEVICE_SHIFT) - 1


class LogRow(NamedTuple):
    """One record of the event log."""

    log_id: int
    committed_at: int
    record: bytes


class SealedChunk(NamedTuple):
    """One chunk on its way into a day file."""

    report_count: int
    first_at: int
    last_at: int
    blob: bytes


class StoredChunk(NamedTuple):
    """One chunk out of a day file."""

    chunk_id: int
    blob: bytes


class SealedDevice(NamedTuple):
    """What is sealed of one device in one transaction."""

    tenant_id: int
    device_id: str
    last_log_id: int
    """Whatever the log holds of this device and day up to here is in chunks of this day file."""
    latest_log_id: int
    """The newest log record when `latest` was taken."""
    last_seen_at: int
    latest: bytes
    """A log record with the newest reading of each metric."""
    chunks: Sequence[SealedChunk]


class DayDevice(NamedTuple):
    """What a day file says of one device."""

    tenant_id: int
    device_id: str
    last_log_id: int
    latest_log_id: int
    last_seen_at: int
    latest: bytes


def insert_log(
    connection: sqlite3.Connection, tenant_id: int, committed_at: int, message_count: int, record: bytes
) -> int:
    """Append one commit's reports to the event log, and give the log id."""
    cursor = connection.execute(
        "INSERT INTO log (tenant_id, committed_at, message_count, record) VALUES (?, ?, ?, ?)",
        (tenant_id, committed_at, message_count, record),
    )
    log_id = cursor.lastrowid
    if log_id is None:
        raise RuntimeError("an INSERT gave no row id")
    return log_id


def delete_log(connection: sqlite3.Connection, tenants: Sequence[int], log_id: int) -> None:
    """Trim the event log of these tenants up to and with a log id."""
    for tenant_id in tenants:
        connection.execute("DELETE FROM log WHERE tenant_id = ? AND log_id <= ?", (tenant_id, log_id))


def raise_log_id(connection: sqlite3.Connection, log_id: int) -> None:
    """Let no log id up to this one be given again: day files may know more than a restored gateway.db."""
    (highest,) = connection.execute("SELECT COALESCE(MAX(seq), 0) FROM sqlite_sequence WHERE name = 'log'").fetchone()
    if highest < log_id:
        connection.execute("DELETE FROM sqlite_sequence WHERE name = 'log'")
        connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('log', ?)", (log_id,))


def select_tenants() -> Select[int]:
    """Every tenant."""
    return Select("SELECT tenant_id FROM tenant ORDER BY tenant_id", (), int)


def select_log(tenant_id: int, after_log_id: int, count: int) -> Select[LogRow]:
    """The next records of a tenant's event log, in order."""
    return Select(
        "SELECT log_id, committed_at, record FROM log WHERE tenant_id = ? AND log_id > ? ORDER BY log_id LIMIT ?",
        (tenant_id, after_log_id, count),
        LogRow,
    )


def select_oldest_log(tenant_id: int) -> Select[int]:
    """The oldest log id of a tenant; no row when its log is empty."""
    return Select("SELECT log_id FROM log WHERE tenant_id = ? ORDER BY log_id LIMIT 1", (tenant_id,), int)


def day_name(day: int) -> str:
    """The file name of a day, counted since 1970."""
    return f"{day_of(day * DAY_MS)}.db"


def day_number(path: Path) -> int:
    """The day of a day file: whole UTC days since 1970. Raises `ValueError` for any other file."""
    return from_text(path.stem) // DAY_MS


def prepare_day(connection: sqlite3.Connection) -> None:
    """Make the tables of a day file that has none yet. Raises `ChunkError` when a later release wrote it."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > DAY_VERSION:
        raise ChunkError(f"a day file has version {version}, this release knows {DAY_VERSION}")
    if version == DAY_VERSION:
        return
    connection.executescript(
        f"""
        BEGIN IMMEDIATE;
        CREATE TABLE device (
            device_number INTEGER PRIMARY KEY AUTOINCREMENT,
            tenant_id INTEGER NOT NULL,
            device_id TEXT NOT NULL,
            last_log_id INTEGER NOT NULL,
            latest_log_id INTEGER NOT NULL,
            last_seen_at INTEGER NOT NULL,
            latest BLOB NOT NULL,
            UNIQUE (tenant_id, device_id)
        ) STRICT;
        CREATE TABLE chunk (
            chunk_id INTEGER PRIMARY KEY,
            tenant_id INTEGER NOT NULL,
            report_count INTEGER NOT NULL,
            first_at INTEGER NOT NULL,
            last_at INTEGER NOT NULL,
            record BLOB NOT NULL
        ) STRICT;
        PRAGMA user_version = {DAY_VERSION};
        COMMIT;
        """
    )


def insert_sealed(connection: sqlite3.Connection, devices: Sequence[SealedDevice]) -> None:
    """Put chunks into a day file, with how far the log is covered by them."""
    for device in devices:
        (device_number,) = connection.execute(
            "INSERT INTO device (tenant_id, device_id, last_log_id, latest_log_id, last_seen_at, latest)"
            " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (tenant_id, device_id) DO UPDATE SET"
            " last_log_id = MAX(last_log_id, excluded.last_log_id), latest_log_id = excluded.latest_log_id,"
            " last_seen_at = excluded.last_seen_at, latest = excluded.latest RETURNING device_number",
            device[:6],
        ).fetchone()
        for chunk in device.chunks:
            key = _key(chunk.first_at % DAY_MS // _SLOT_MS, device_number)
            connection.execute(
                "INSERT INTO chunk (chunk_id, tenant_id, report_count, first_at, last_at, record) SELECT"
                " COALESCE(MAX(chunk_id) + 1, ?), ?, ?, ?, ?, ?"
                " FROM chunk WHERE tenant_id = ? AND chunk_id BETWEEN ? AND ?",
                (key, device.tenant_id, *chunk, device.tenant_id, key, key | _NUMBER_MASK),
            )


def checkpoint(connection: sqlite3.Connection) -> bool:
    """Put everything committed to a day file on disk; False when a reader was in the way of it."""
    busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return bool(busy == 0)


def read_chunks(path: Path, tenant_id: int, device_id: str, start: int, end: int) -> list[StoredChunk]:
    """The chunks of a day file that may hold readings of a device with `start <= at < end`.

    Opens the file for itself, in whatever thread. Raises `ChunkError` when the file cannot be read.
    """
    try:
        with closing(_connect(path)) as connection:
            return _select_chunks(connection, tenant_id, device_id, start, end)
    except sqlite3.Error as error:
        raise ChunkError(f"{path.name} cannot be read: {error}") from error


def read_devices(path: Path) -> list[DayDevice]:
    """What a day file says of its devices, those of every tenant.

    Opens the file for itself, in whatever thread. Raises `ChunkError` when the file cannot be read.
    """
    try:
        with closing(_connect(path)) as connection:
            if not _is_prepared(connection):
                return []
            rows = connection.execute(
                "SELECT tenant_id, device_id, last_log_id, latest_log_id, last_seen_at, latest FROM device"
            )
            return [DayDevice(*row) for row in rows]
    except sqlite3.Error as error:
        raise ChunkError(f"{path.name} cannot be read: {error}") from error


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
    for pragma in ("query_only = ON", "busy_timeout = 5000", "wal_autocheckpoint = 0"):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def _is_prepared(connection: sqlite3.Connection) -> bool:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return bool(version)


def _select_chunks(
    connection: sqlite3.Connection, tenant_id: int, device_id: str, start: int, end: int
) -> list[StoredChunk]:
    if not _is_prepared(connection):
        return []
    numbers = connection.execute(
        "SELECT device_number FROM device WHERE tenant_id = ? AND device_id = ?", (tenant_id, device_id)
    ).fetchall()
    if not numbers:
        return []
    key = _key(0, numbers[0][0])
    rows = connection.execute(
        "WITH RECURSIVE slot (first_id) AS (SELECT ? UNION ALL SELECT first_id + ? FROM slot WHERE first_id < ?)"
        " SELECT chunk.chunk_id, chunk.record FROM slot CROSS JOIN chunk"
        " ON chunk.chunk_id BETWEEN slot.first_id AND slot.first_id + ?"
        " WHERE chunk.tenant_id = ? AND chunk.first_at < ? AND chunk.last_at >= ?",
        (key, 1 << _SLOT_SHIFT, _key(DAY_MS // _SLOT_MS - 1, numbers[0][0]), _NUMBER_MASK, tenant_id, end, start),
    )
    return [StoredChunk(*row) for row in rows]


def _key(slot: int, device_number: int) -> int:
    return slot << _SLOT_SHIFT | device_number << _DEVICE_SHIFT
