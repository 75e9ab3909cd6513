"""The event log in gateway.db, and day files.

At night a day file becomes a sealed one beside it, which is never changed; when readings came late, a day has both.
"""

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

from appliance.instant import DAY_MS, day_of
from appliance.registry.model import DEFAULT_TENANT
from appliance.store.database import Select, UnwritableError
from appliance.telemetry import latest_record
from appliance.telemetry.day_file import (
    NUMBER_MASK,
    TURN_MS,
    TURNS_LIMIT,
    SealedDevice,
    is_day,
    is_device_number,
    key_of,
    rank_of,
    turn_of,
)
from appliance.telemetry.keeping import sealed_day
from appliance.telemetry.keeping.layout import PAGE_BYTES
from appliance.telemetry.keeping.model import DamagedOpenDayError

T = TypeVar("T")

DAY_VERSION = 2
"""Version 1 had no chunk in the place of newest values, and the ten minutes in which a chunk begins as its turn."""
DAY_NAMES = "????-??-??.db"
"""What the names of day files look like."""
SEALED_NAMES = "????-??-??" + sealed_day.SUFFIX
DAY_PAGE_BYTES = 8_192
"""Of files that are made from now on."""

_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR}
"""Kinds of errors. The last one says that a table is not there, or there although the file is new."""
_DAMAGE_EXACTLY = {
    sqlite3.SQLITE_IOERR_READ,
    sqlite3.SQLITE_IOERR_SHORT_READ,
    sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY,
    sqlite3.SQLITE_CONSTRAINT_ROWID,
    sqlite3.SQLITE_CONSTRAINT_UNIQUE,
}
"""A disk that does not give back what was written, and trees that say two things."""
_FORBIDDEN = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR}
"""Kinds of errors by which SQLite tells, among other things, that it may not write a file or not even read it."""

_REMEDY = "give it the owner and the permissions of its neighbours"


class ForbiddenDayError(UnwritableError):
    """The gateway may not write a day file, which is no damage: it can once somebody gives it the right to."""


class LogRow(NamedTuple):
    """One record of the event log."""

    log_id: int
    committed_at: int
    record: bytes


def insert_log(
    connection: sqlite3.Connection, tenant_id: int, committed_at: int, message_count: int, record: bytes
) -> int:
    """Append one commit's reports to the event log, and give the log id."""
    cursor = connection.execute(
        "INSERT INTO log (log_id, tenant_id, committed_at, message_count, record)"
        " VALUES ((SELECT log_id + 1 FROM log_end), ?, ?, ?, ?)",
        (tenant_id, committed_at, message_count, record),
    )
    log_id = cursor.lastrowid
    if log_id is None:
        raise RuntimeError("an INSERT gave no row id")
    return log_id


def delete_log(connection: sqlite3.Connection, tenants: Sequence[int], log_id: int) -> None:
    """Trim the event log of these tenants up to and with a log id."""
    for tenant_id in tenants:
        (last,) = connection.execute(
            "SELECT MAX(log_id) FROM log WHERE tenant_id = ? AND log_id <= ?", (tenant_id, log_id)
        ).fetchone()
        if last is not None:
            raise_floor(connection, tenant_id, last)
            connection.execute("DELETE FROM log WHERE tenant_id = ? AND log_id <= ?", (tenant_id, last))


def raise_log_id(connection: sqlite3.Connection, log_id: int) -> bool:
    """Let no log id up to this one be given again: day files may know more than a restored gateway.db.

    Tells whether they do: then the log lacks what they know beyond it.
    """
    (highest,) = connection.execute("SELECT log_id FROM log_end").fetchone()
    if highest >= log_id:
        return False
    raise_floor(connection, DEFAULT_TENANT, log_id)
    return True


def raise_floor(connection: sqlite3.Connection, tenant_id: int, log_id: int) -> None:
    """Let no log id up to this one be given again; said before what is known of it goes."""
    connection.execute(
        "INSERT INTO log_floor (tenant_id, log_id) VALUES (?, ?)"
        " ON CONFLICT (tenant_id) DO UPDATE SET log_id = MAX(log_id, excluded.log_id)",
        (tenant_id, log_id),
    )


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
    """The oldest log id of a tenant that day files need; no row when they need none."""
    return Select(
        "SELECT log_id FROM log WHERE tenant_id = ? AND log_id > COALESCE("
        "(SELECT released_log_id FROM log_trim WHERE tenant_id = ?), 0) ORDER BY log_id LIMIT 1",
        (tenant_id, tenant_id),
        int,
    )


def select_released(tenant_id: int) -> Select[int]:
    """Up to which log id day files need nothing, though somebody who reads the log may."""
    return Select("SELECT COALESCE(MAX(released_log_id), 0) FROM log_trim WHERE tenant_id = ?", (tenant_id,), int)


def day_name(day: int) -> str:
    """The file name of a day, counted since 1970."""
    return f"{day_of(day * DAY_MS)}.db"


def day_paths(folder: Path) -> list[Path]:
    """The day files of a folder, the last day first; of one that is sealed, where its open part lies or would lie."""
    return sorted({path.with_suffix(".db") for path in _like_days(folder) if is_day(path)}, reverse=True)


def stray_names(folder: Path) -> list[str]:
    """The files of a folder that look like day files and are named for no day."""
    return sorted(path.name for path in _like_days(folder) if not is_day(path))


def _like_days(folder: Path) -> list[Path]:
    return [*folder.glob(DAY_NAMES), *folder.glob(SEALED_NAMES)]


def has_day(path: Path) -> bool:
    """Whether there is anything of a day: an open part or a sealed one."""
    return path.exists() or sealed_day.sealed_path(path).exists()


def place_of(path: Path, chunk_id: int) -> str:
    """Where a chunk lies, in words."""
    if chunk_id < 0:
        return f"{sealed_day.sealed_path(path).name} page {-chunk_id // PAGE_BYTES}"
    return f"{path.name} chunk {chunk_id}"


def prepare_day(connection: sqlite3.Connection) -> None:
    """Make the tables of a day file that has none yet.

    Raises `DamagedOpenDayError` when it was damaged, or a later release wrote it: that cannot be told apart.
    """
    # What is overwritten once need not be looked for when a device is erased.
    connection.execute("PRAGMA secure_delete = ON")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > DAY_VERSION:
        raise DamagedOpenDayError(f"a day file has version {version}, this release knows {DAY_VERSION}")
    if version == DAY_VERSION:
        return
    if version:
        _bring_up_to_date(connection)
        return
    # Tells this file from the next one of the same day, so that one that was taken into the sealed day is known.
    (identity,) = connection.execute("SELECT 1 + ABS(RANDOM() % 2147483647)").fetchone()
    connection.executescript(
        f"""
        BEGIN IMMEDIATE;
        PRAGMA application_id = {identity};
        CREATE TABLE device (
            device_number INTEGER PRIMARY KEY AUTOINCREMENT,
            tenant_id INTEGER NOT NULL,
            device_id TEXT NOT NULL,
            last_log_id INTEGER NOT NULL,
            latest_log_id INTEGER NOT NULL,
            last_seen_at INTEGER NOT NULL,
            latest BLOB NOT NULL,
            rank INTEGER NOT NULL
        ) STRICT;
        CREATE UNIQUE INDEX device_by_rank ON device (rank, tenant_id, device_id);
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


def _bring_up_to_date(connection: sqlite3.Connection) -> None:
    """Make a file of version 1 one of this version.

    Raises `DamagedOpenDayError` when the names in it cannot be read: then what can be is saved, as from any such file.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute("ALTER TABLE device ADD COLUMN rank INTEGER NOT NULL DEFAULT 0")
        rows = connection.execute("SELECT device_id, tenant_id, device_number FROM device").fetchall()
        connection.executemany(
            "UPDATE device SET rank = ? WHERE tenant_id = ? AND device_number = ?",
            [(rank_of(device_id), tenant_id, number) for device_id, tenant_id, number in rows],
        )
        connection.execute("CREATE UNIQUE INDEX device_by_rank ON device (rank, tenant_id, device_id)")
        connection.execute(f"PRAGMA user_version = {DAY_VERSION}")
        connection.execute("COMMIT")
    except BaseException as error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        if is_damage(error) or isinstance(error, AttributeError):
            raise DamagedOpenDayError(f"a day file of an earlier release was damaged: {error}") from error
        raise


def insert_sealed(connection: sqlite3.Connection, devices: Sequence[SealedDevice]) -> None:
    """Put chunks into a day file, with how far the log is covered by them.

    Raises `DamagedOpenDayError` when the file says of devices or chunks what cannot be.
    """
    numbers = _numbers(connection, devices)
    turn = _turn(connection, devices, numbers)
    for device, number in zip(devices, numbers, strict=True):
        key, last = key_of(turn, number), 0
        for chunk in device.chunks:
            (last,) = connection.execute(
                "INSERT INTO chunk (chunk_id, tenant_id, report_count, first_at, last_at, record) SELECT"
                " COALESCE(MAX(chunk_id) + 1, ?), ?, ?, ?, ?, ?"
                " FROM chunk WHERE tenant_id = ? AND chunk_id BETWEEN ? AND ? RETURNING chunk_id",
                (key, device.tenant_id, *chunk, device.tenant_id, key, key | NUMBER_MASK),
            ).fetchone()
        latest = latest_record.in_chunk(last) if device.latest is None else device.latest
        updated = connection.execute(
            "UPDATE device SET last_log_id = MAX(last_log_id, ?), latest_log_id = ?, last_seen_at = ?, latest = ?"
            " WHERE tenant_id = ? AND device_number = ? AND device_id = ?",
            (*device[2:5], latest, device.tenant_id, number, device.device_id),
        )
        if updated.rowcount != 1:
            raise DamagedOpenDayError("a day file was damaged: its index gives a device the number of another")
    if turn_of(_last_key(connection)) < turn:
        # Who reads looks into no turn beyond that of the greatest key.
        raise DamagedOpenDayError("a day file was damaged: its last chunk is not the one with the greatest key")


def _numbers(connection: sqlite3.Connection, devices: Sequence[SealedDevice]) -> list[int]:
    """The numbers of devices in a day file, given to those that have none."""
    found = [_number_of(connection, device) for device in devices]
    unknown = {
        (device.tenant_id, device.device_id) for device, number in zip(devices, found, strict=True) if not number
    }
    for tenant_id in {tenant_id for tenant_id, _ in unknown}:
        # Where the index was damaged, it does not find what is there, and who had a number would get another.
        rows = connection.execute("SELECT device_id FROM device NOT INDEXED WHERE tenant_id = ?", (tenant_id,))
        if any((tenant_id, device_id) in unknown for (device_id,) in rows):
            raise DamagedOpenDayError("a day file was damaged: its index does not find a device that it has")
    return [number or _given_number(connection, device) for number, device in zip(found, devices, strict=True)]


def _number_of(connection: sqlite3.Connection, device: SealedDevice) -> int | None:
    """The number of a device in a day file; None when it has none."""
    found = connection.execute(
        "SELECT device_number FROM device WHERE tenant_id = ? AND device_id = ? AND rank = ?",
        (device.tenant_id, device.device_id, rank_of(device.device_id)),
    ).fetchone()
    if found is None:
        return None
    if not is_device_number(found[0]):
        raise DamagedOpenDayError("a day file was damaged: a device has a number that none has")
    return int(found[0])


def _given_number(connection: sqlite3.Connection, device: SealedDevice) -> int:
    """The number that a device gets, unless it came twice and has it by now."""
    number = _number_of(connection, device)
    if number is not None:
        return number
    (given,) = connection.execute(
        "INSERT INTO device (tenant_id, device_id, rank, last_log_id, latest_log_id, last_seen_at, latest)"
        " VALUES (?, ?, ?, 0, 0, 0, x'') RETURNING device_number",
        (device.tenant_id, device.device_id, rank_of(device.device_id)),
    ).fetchone()
    if _number_of(connection, device) != given:
        raise DamagedOpenDayError("a day file was damaged: its index does not find a device that it has")
    return int(given)


def _turn(connection: sqlite3.Connection, devices: Sequence[SealedDevice], numbers: Sequence[int]) -> int:
    """The turn in which chunks are sealed: a new one begins when most of their devices have had theirs."""
    turn = turn_of(_last_key(connection))
    minute = max((chunk.last_at % DAY_MS // TURN_MS for device in devices for chunk in device.chunks), default=0)
    if turn >= min(minute, TURNS_LIMIT - 1):
        return turn
    had = 0
    for device, number in zip(devices, numbers, strict=True):
        key = key_of(turn, number)
        had += connection.execute(
            "SELECT COUNT(*) FROM (SELECT 1 FROM chunk WHERE tenant_id = ? AND chunk_id BETWEEN ? AND ? LIMIT 1)",
            (device.tenant_id, key, key | NUMBER_MASK),
        ).fetchone()[0]
    return turn + (had * 2 > len(devices))


def _last_key(connection: sqlite3.Connection) -> int:
    """The greatest key of a chunk; 0 when there is none. Raises `DamagedOpenDayError` when no chunk has such a key."""
    (last,) = connection.execute("SELECT COALESCE(MAX(chunk_id), 0) FROM chunk").fetchone()
    if last < 0:
        raise DamagedOpenDayError("a day file was damaged: its last chunk has a key that none has")
    return int(last)


def checkpoint(connection: sqlite3.Connection) -> bool:
    """Put everything committed to a day file on disk; False when a reader was in the way of it."""
    busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return bool(busy == 0)


@contextmanager
def damage_told(path: Path) -> Iterator[None]:
    """Raise `DamagedOpenDayError` when SQLite cannot write a day file because of what is in it.

    Raises `ForbiddenDayError` when nobody gave the gateway the right to write it.
    """
    try:
        yield
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", 0)
        if code & 0xFF in _FORBIDDEN and (name := _forbidden_name(path, os.W_OK)):
            raise ForbiddenDayError(f"{name} may not be written by the gateway: {_REMEDY}") from error
        # One that may be written, and is only read: its head says that only later releases may write it.
        if code != sqlite3.SQLITE_READONLY and not is_damage(error):
            raise
        raise DamagedOpenDayError(f"{path.name} was damaged: {error}") from error


def require_readable(path: Path) -> None:
    """Raise `ForbiddenDayError` when there is a day file that nobody gave the gateway the right to read."""
    if name := _forbidden_name(path, os.R_OK):
        raise ForbiddenDayError(f"{name} may not be read by the gateway: {_REMEDY}")


def may_be_written(path: Path) -> bool:
    """Whether the gateway has the right to write a day file, or to make it where there is none."""
    return not _forbidden_name(path, os.W_OK)


def _forbidden_name(path: Path, wanted: int) -> str:
    """Which of the files of a day is there and may not be used like this; empty when each may."""
    parts = [path.with_name(path.name + suffix) for suffix in ("", "-wal", "-shm")]
    return next((each.name for each in parts if each.exists() and not os.access(each, wanted, effective_ids=True)), "")


def is_damage(error: BaseException) -> bool:
    """Whether an error is one of SQLite that says that a file is damaged; a text that is none has no number at all."""
    if not isinstance(error, sqlite3.DatabaseError):
        return False
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return isinstance(error, sqlite3.OperationalError)
    return code & 0xFF in _DAMAGE or code in _DAMAGE_EXACTLY
