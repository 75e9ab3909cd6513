"""The event log in gateway.db, and day files.

A chunk's key is the ten minutes of its day in which it begins, then its device, then a number: chunks are
sealed in that order, so a day file grows at its end, and late chunks find room beside the first ones.

At night a day file becomes a sealed one beside it, which is never changed; when readings came late, a day has both.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

from appliance.instant import DAY_MS, day_of, from_text
from appliance.store.database import Select, connect_reader
from appliance.telemetry.keeping import sealed_day
from appliance.telemetry.keeping.layout import PAGE_BYTES, DeviceEntry
from appliance.telemetry.keeping.sealed_day import SealedDay
from appliance.telemetry.packing import ChunkError

T = TypeVar("T")

DAY_VERSION = 1
DAY_NAMES = "????-??-??.db"
"""What the names of day files look like."""
SEALED_NAMES = "????-??-??" + sealed_day.SUFFIX
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


class DamagedDayError(ChunkError):
    """A part of a day cannot be read; `chunks` is what the other part has."""

    def __init__(self, message: str, chunks: "Sequence[StoredChunk]") -> None:
        super().__init__(message)
        self.chunks = list(chunks)


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
    paths = {*folder.glob(DAY_NAMES)}
    paths |= {path.with_suffix(".db") for path in folder.glob(SEALED_NAMES)}
    return sorted(paths, reverse=True)


def has_day(path: Path) -> bool:
    """Whether there is anything of a day: an open part or a sealed one."""
    return path.exists() or sealed_day.sealed_path(path).exists()


def place_of(path: Path, chunk_id: int) -> str:
    """Where a chunk lies, in words."""
    if chunk_id < 0:
        return f"{sealed_day.sealed_path(path).name} page {-chunk_id // PAGE_BYTES}"
    return f"{path.name} chunk {chunk_id}"


def day_number(path: Path) -> int:
    """The day of a day file: whole UTC days since 1970. Raises `ValueError` for any other file."""
    return from_text(path.stem) // DAY_MS


def prepare_day(connection: sqlite3.Connection) -> None:
    """Make the tables of a day file that has none yet. Raises `ChunkError` when a later release wrote it."""
    # What is overwritten once need not be looked for when a device is erased.
    connection.execute("PRAGMA secure_delete = ON")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > DAY_VERSION:
        raise ChunkError(f"a day file has version {version}, this release knows {DAY_VERSION}")
    if version == DAY_VERSION:
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
    """The chunks of a day that may hold readings of a device with `start <= at < end`.

    Opens what there is of the day for itself, in whatever thread. Raises `DamagedDayError` when not all of it can
    be read.
    """
    chunks: list[StoredChunk] = []
    try:
        for found in read_chunks_of_many(path, [(tenant_id, device_id, start, end)]):
            chunks += found
    except DamagedDayError as error:
        raise DamagedDayError(str(error), chunks) from error
    return chunks


def read_chunks_of_many(path: Path, asked: Sequence[tuple[int, str, int, int]]) -> Iterator[list[StoredChunk]]:
    """The chunks of a day for each tenant, device, start and end, in their order.

    Opens what there is of the day for itself, in whatever thread. Raises `DamagedDayError` after the last one when
    not everything could be read.
    """
    troubles: list[str] = []
    with ExitStack() as stack:
        # The open part first: when it is taken into the sealed one meanwhile, its chunks are seen there.
        part = _entered(stack, _opened(path), troubles)
        sealed = _entered(stack, sealed_day.opened_if_there(sealed_day.sealed_path(path)), troubles)
        if part and sealed and sealed.taken == part.identity:
            part = None
        for tenant_id, device_id, start, end in asked:
            chunks: list[StoredChunk] = []
            try:
                if sealed:
                    chunks += _sealed_chunks(sealed, tenant_id, device_id, start, end)
                if part:
                    chunks += _select_chunks(part.connection, tenant_id, device_id, start, end)
            except (ChunkError, sqlite3.Error) as error:
                troubles.append(f"{path.stem} cannot be read: {error}")
            yield chunks
    if troubles:
        raise DamagedDayError("; ".join(dict.fromkeys(troubles)), ())


def _entered(stack: ExitStack, part: AbstractContextManager[T | None], troubles: list[str]) -> T | None:
    try:
        return stack.enter_context(part)
    except ChunkError as error:
        troubles.append(str(error))
        return None


def _latest(sealed: SealedDay, entry: DeviceEntry) -> bytes:
    """The newest values of a device; nothing, which is no log record, when they were damaged."""
    try:
        return sealed.latest(entry)
    except ChunkError:
        return b""


def _sealed_chunks(sealed: SealedDay, tenant_id: int, device_id: str, start: int, end: int) -> list[StoredChunk]:
    entry = sealed.find(tenant_id, device_id)
    extents = entry.extents if entry else ()
    return [
        StoredChunk(-each.offset, sealed.blob(each))
        for each in extents
        if each.first_at < end and each.last_at >= start
    ]


def read_devices(path: Path) -> list[DayDevice]:
    """What a day says of its devices, those of every tenant: what its open part says, and its sealed part.

    Opens the files for itself, in whatever thread. Raises `ChunkError` when they cannot be read.
    """
    with _opened(path) as part:
        devices = _select_devices(part.connection) if part else []
    with sealed_day.opened_if_there(sealed_day.sealed_path(path)) as sealed:
        if sealed:
            devices += [DayDevice(*entry[:5], _latest(sealed, entry)) for entry in sealed.entries()]
    return devices


class _OpenPart(NamedTuple):
    connection: sqlite3.Connection
    identity: int
    """What tells this open part from every other one of its day."""


@contextmanager
def _opened(path: Path) -> Iterator[_OpenPart | None]:
    """The open part of a day; None when there is none, or when it has no tables yet."""
    if not path.exists():
        yield None
        return
    try:
        with closing(connect_reader(path)) as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            (identity,) = connection.execute("PRAGMA application_id").fetchone()
            yield _OpenPart(connection, identity) if version else None
    except sqlite3.Error as error:
        raise ChunkError(f"{path.name} cannot be read: {error}") from error


def _select_devices(connection: sqlite3.Connection) -> list[DayDevice]:
    rows = connection.execute(
        "SELECT tenant_id, device_id, last_log_id, latest_log_id, last_seen_at, latest FROM device"
    )
    return [DayDevice(*row) for row in rows]


def _select_chunks(
    connection: sqlite3.Connection, tenant_id: int, device_id: str, start: int, end: int
) -> list[StoredChunk]:
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
