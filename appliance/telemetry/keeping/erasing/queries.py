"""Devices deleted from open days, and whether a file that was set aside may hold any of them."""

import sqlite3
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from appliance.store.database import connect_reader, will_pass
from appliance.telemetry import chunk, latest_record, log_record
from appliance.telemetry.day_file import NUMBER_MASK, key_of, turn_of
from appliance.telemetry.keeping.model import DamagedOpenDayError
from appliance.telemetry.keeping.resealing import LeftOut
from appliance.telemetry.packing import ChunkError


def delete_devices(connection: sqlite3.Connection, left_out: LeftOut) -> None:
    """Delete what an open day has of devices, each up to its log id, and overwrite it.

    Raises `DamagedOpenDayError` when it cannot be told what there is.
    """
    # Without this SQLite only forgets where the old bytes lie.
    connection.execute("PRAGMA secure_delete = ON")
    with _damage_told("the open day"):
        for key, through in left_out.items():
            _delete_device(connection, key, through)


def may_hold(path: Path, devices: Collection[tuple[int, str]]) -> bool:
    """Whether a file that was damaged and set aside may have anything of devices.

    It has nothing of them only when its whole list of devices can be read and names none of them.
    """
    try:
        with closing(connect_reader(path)) as connection:
            (found,) = connection.execute("PRAGMA quick_check(device)").fetchone()
            if found != "ok":
                return True
            rows = connection.execute("SELECT tenant_id, device_id FROM device")
            return any(row in devices for row in rows)
    except sqlite3.Error:
        return True


def _delete_device(connection: sqlite3.Connection, key: tuple[int, str], through: int) -> None:
    row = connection.execute(
        "SELECT device_number, latest_log_id, latest FROM device WHERE tenant_id = ? AND device_id = ?", key
    ).fetchone()
    if row is None:
        return
    number, latest_log_id, latest = row
    gone, is_anything_kept = [], False
    for chunk_id, record in _chunks_of(connection, key[0], number):
        if _last_log_id(record) <= through:
            gone.append((key[0], chunk_id))
        else:
            is_anything_kept = True
    connection.executemany("DELETE FROM chunk WHERE tenant_id = ? AND chunk_id = ?", gone)
    if not is_anything_kept:
        connection.execute("DELETE FROM device WHERE tenant_id = ? AND device_number = ?", (key[0], number))
    elif latest_log_id <= through or (key[0], latest_record.chunk_of(latest)) in gone:
        connection.execute(
            "UPDATE device SET latest = ?, last_seen_at = 0 WHERE tenant_id = ? AND device_number = ?",
            (log_record.encode(()), key[0], number),
        )


def _chunks_of(connection: sqlite3.Connection, tenant_id: int, number: int) -> Iterator[tuple[int, bytes]]:
    (last,) = connection.execute("SELECT COALESCE(MAX(chunk_id), 0) FROM chunk").fetchone()
    for turn in range(turn_of(last) + 1):
        first = key_of(turn, number)
        yield from connection.execute(
            "SELECT chunk_id, record FROM chunk WHERE tenant_id = ? AND chunk_id BETWEEN ? AND ?",
            (tenant_id, first, first | NUMBER_MASK),
        ).fetchall()


def _last_log_id(record: bytes) -> int:
    """Up to where a chunk has the log; of a damaged one nobody can say, so it goes."""
    try:
        return chunk.header(record).last_log_id
    except ChunkError:
        return 0


@contextmanager
def _damage_told(name: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        # Of a file that may not be written, whoever knows its path tells why.
        if will_pass(error) or getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_READONLY:
            raise
        raise DamagedOpenDayError(f"{name} was damaged: {error}") from error
