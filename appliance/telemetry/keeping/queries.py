"""What sealing reads of an open day file, and how far the erasing of devices has come."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

from appliance.store.database import Select, connect_reader
from appliance.store.head import tables_version
from appliance.telemetry import chunk, latest_record
from appliance.telemetry.day_file import DEVICE_MASK, DEVICE_SHIFT
from appliance.telemetry.keeping import files, sealed_day
from appliance.telemetry.keeping.model import DamagedOpenDayError, Erasure, Listed, StoppedError
from appliance.telemetry.keeping.resealing import OpenChunkRow, OpenDevice
from appliance.telemetry.packing import ChunkError

ZERO_PAGES_AT_ONCE = 256
"""One transaction fills a megabyte: others wait for it."""
_STEPS_BETWEEN = 10_000
"""Of SQLite's own, between two looks at whether the gateway stops: some milliseconds."""


_BEFORE_ALL = -1 << 63
_SOME_CHUNKS = (
    "SELECT chunk_id, tenant_id, report_count, first_at, last_at, record FROM chunk WHERE chunk_id > ?"
    " ORDER BY chunk_id LIMIT 1000"
)


class OpenDay:
    """The open part of a day, while its file is open for reading."""

    def __init__(self, connection: sqlite3.Connection, size_bytes: int) -> None:
        self._connection = connection
        self.size_bytes = size_bytes

    @property
    def identity(self) -> int:
        """What tells this file from every other one of its day."""
        (identity,) = self._connection.execute("PRAGMA application_id").fetchone()
        return int(identity)

    def require_whole(
        self, name: str, is_stopping: Callable[[], bool], breather: Callable[[], Callable[[], None]]
    ) -> None:
        """Raise `DamagedOpenDayError` when something is wrong with the file, `StoppedError` on a stop.

        What `breather` gives is called now and then, when nothing is kept from being put on the disk.
        """
        self._connection.set_progress_handler(lambda: int(is_stopping()), _STEPS_BETWEEN)
        try:
            (found,) = self._connection.execute("PRAGMA integrity_check(1)").fetchone()
            if found == "ok":
                # Made only now: to sleep afterwards as long as SQLite took would spare nobody, and hold the day up.
                found = self._disagreement(breather()) and self._disagreement_of_one_moment()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
                raise StoppedError from error
            raise
        finally:
            self._connection.set_progress_handler(None, _STEPS_BETWEEN)
        if found:
            raise DamagedOpenDayError(f"{name} was damaged: {found}")

    def _disagreement_of_one_moment(self) -> str:
        """The same while nobody writes: who does may have changed one part and not yet the other."""
        self._connection.execute("BEGIN")
        found = self._disagreement(lambda: None)
        self._connection.execute("ROLLBACK")
        return found

    def _disagreement(self, breathe: Callable[[], None]) -> str:
        """The first rows that do not agree, in words; nothing when all do. No page has a checksum, but chunks have.

        A chunk that does not match it is no defect here: whoever reads it names it, and it is kept as it is.
        """
        rows = self._connection.execute("SELECT device_number, tenant_id, last_log_id FROM device")
        lacking = {number: (tenant_id, last_log_id) for number, tenant_id, last_log_id in rows}
        tenants = {number: tenant_id for number, (tenant_id, _) in lacking.items()}
        last, is_more = _BEFORE_ALL, True
        while is_more:
            is_more = False
            for chunk_id, tenant_id, *said, record in self._connection.execute(_SOME_CHUNKS, (last,)):
                number = chunk_id >> DEVICE_SHIFT & DEVICE_MASK
                if chunk_id < max(last, 0) or tenants.get(number) != tenant_id:
                    return f"chunk {chunk_id} belongs to no device"
                last, is_more = chunk_id, True
                try:
                    head = chunk.header(record)
                except ChunkError:
                    lacking.pop(number, None)
                    continue
                if said != [*head[:3]]:
                    return f"chunk {chunk_id} is not what is said of it"
                if number in lacking and head.last_log_id >= lacking[number][1]:
                    del lacking[number]
            breathe()
        return f"chunks of {len(lacking)} devices are missing" if lacking else ""

    def root_pages(self) -> Sequence[int]:
        """The first page of every table and index; that of the table of tables is 1."""
        rows = self._connection.execute("SELECT rootpage FROM sqlite_schema WHERE rootpage > 0")
        return [1, *(root for (root,) in rows)]

    def devices(self) -> Sequence[OpenDevice]:
        """Every device, by its number."""
        rows = self._connection.execute(
            "SELECT device_number, tenant_id, device_id, last_log_id, latest_log_id, last_seen_at, latest FROM device"
            " ORDER BY device_number"
        )
        devices = [OpenDevice(*row) for row in rows]
        return [
            each._replace(
                latest=latest_record.filled(each.latest, partial(_record_of, self._connection, each.tenant_id))
            )
            for each in devices
        ]

    def chunks(self, first: int, last: int) -> Sequence[OpenChunkRow]:
        """The chunks of the devices with numbers from `first` to `last`. Reads the file from front to back."""
        rows = self._connection.execute(
            "SELECT chunk_id >> ? & ? AS device_number, report_count, first_at, last_at, record FROM chunk"
            " WHERE chunk_id >> ? & ? BETWEEN ? AND ? ORDER BY chunk_id",
            (DEVICE_SHIFT, DEVICE_MASK, DEVICE_SHIFT, DEVICE_MASK, first, last),
        )
        return [OpenChunkRow(*row) for row in rows]


def _record_of(connection: sqlite3.Connection, tenant_id: int, chunk_id: int) -> object:
    """The chunk of a key; None where there is none, or where it cannot be read."""
    try:
        row = connection.execute(
            "SELECT record FROM chunk WHERE tenant_id = ? AND chunk_id = ?", (tenant_id, chunk_id)
        ).fetchone()
    except sqlite3.Error:
        return None
    return row[0] if row else None


@contextmanager
def opened_day(path: Path) -> Iterator[OpenDay | None]:
    """The open part of a day; None when there is none. Raises `DamagedOpenDayError` when it cannot be read."""
    if not path.exists():
        yield None
        return
    try:
        with closing(connect_reader(path)) as connection:
            yield OpenDay(connection, path.stat().st_size) if tables_version(connection) else None
    except sqlite3.Error as error:
        raise DamagedOpenDayError(f"{path.name} cannot be read: {error}") from error


def remove_leftovers(folder: Path) -> None:
    """Remove what a sealing that was broken off left behind: unfinished files, and open days that were taken in.

    Nobody may have the files open.
    """
    for unfinished in folder.glob(f"*{sealed_day.UNFINISHED}"):
        unfinished.unlink()
    for sealed_path in folder.glob(f"*{sealed_day.SUFFIX}"):
        open_path = sealed_path.with_suffix(".db")
        try:
            with opened_day(open_path) as part, sealed_day.opened(sealed_path) as sealed:
                is_taken = part is not None and part.identity == sealed.taken
        except ChunkError:
            # Whoever reads the day names what is damaged.
            continue
        if is_taken:
            files.remove_open_day(open_path)


def select_erasures() -> Select[Erasure]:
    """The erasing of devices that is not done yet, of every tenant; of each device what reaches furthest is last."""
    return Select(
        "SELECT erasure_number, tenant_id, device_id, through_log_id, asked_at FROM erasure"
        " WHERE done_at IS NULL ORDER BY through_log_id, erasure_number",
        (),
        Erasure,
    )


def select_ever_erased() -> Select[Listed]:
    """What was ever to be erased, of every tenant, done or not."""
    return Select("SELECT tenant_id, device_id, through_log_id, asked_at FROM erasure", (), Listed)


def insert_again(connection: sqlite3.Connection, tenant_id: int, erased: Sequence[Listed]) -> list[Erasure]:
    """Say once more that what was received of some devices of a tenant is to go, each up to its log id.

    Of a tenant that this file does not know nobody can ask for anything.
    """
    erasures = []
    for each in erased:
        row = connection.execute(
            "INSERT INTO erasure (tenant_id, device_id, through_log_id, asked_at)"
            " SELECT tenant_id, ?, ?, ? FROM tenant WHERE tenant_id = ? RETURNING erasure_number",
            (each.device_id, each.through_log_id, each.asked_at, tenant_id),
        ).fetchone()
        if row is not None:
            erasures.append(Erasure(row[0], tenant_id, each.device_id, each.through_log_id, each.asked_at))
    return erasures


def insert_erasures(
    connection: sqlite3.Connection, tenant_id: int, device_ids: Sequence[str], now: int
) -> list[Erasure]:
    """Say that everything that was received of some devices up to now is to go."""
    (through,) = connection.execute("SELECT log_id FROM log_end").fetchone()
    erasures = []
    for device_id in device_ids:
        (number,) = connection.execute(
            "INSERT INTO erasure (tenant_id, device_id, through_log_id, asked_at) VALUES (?, ?, ?, ?)"
            " RETURNING erasure_number",
            (tenant_id, device_id, through, now),
        ).fetchone()
        erasures.append(Erasure(number, tenant_id, device_id, through, now))
    return erasures


def select_log_of(tenant_id: int, after_log_id: int, through_log_id: int, count: int) -> Select[tuple[int, bytes]]:
    """The next records of a tenant's event log, up to a log id."""
    return Select(
        "SELECT log_id, record FROM log WHERE tenant_id = ? AND log_id > ? AND log_id <= ? ORDER BY log_id LIMIT ?",
        (tenant_id, after_log_id, through_log_id, count),
        lambda log_id, record: (log_id, record),
    )


def update_log(connection: sqlite3.Connection, tenant_id: int, records: Sequence[tuple[int, int, bytes]]) -> None:
    """Put others in the place of records of the event log: log id, count of messages, record."""
    # Without this SQLite only forgets where the old bytes lie.
    connection.execute("PRAGMA secure_delete = ON")
    connection.executemany(
        "UPDATE log SET message_count = ?, record = ? WHERE tenant_id = ? AND log_id = ?",
        [(count, record, tenant_id, log_id) for log_id, count, record in records],
    )


def select_free_pages() -> Select[int]:
    """How many pages of the file hold nothing; what lay there before may still be read from the disk."""
    return Select("PRAGMA freelist_count", (), int)


def insert_zeros(connection: sqlite3.Connection, tenant_id: int) -> None:
    """Fill some of the pages that hold nothing with zeros; those that come free from now on are made zero at once."""
    connection.execute("PRAGMA secure_delete = ON")
    (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
    # A page of what does not fit into a row's own page holds four bytes less than all.
    count = min(free, ZERO_PAGES_AT_ONCE) * (page_bytes - 4)
    connection.execute("INSERT INTO zeros (tenant_id, content) VALUES (?, zeroblob(?))", (tenant_id, count))


def delete_some_zeros(connection: sqlite3.Connection, tenant_id: int) -> bool:
    """Give the pages back that one transaction has filled; whether there were any."""
    # They are zero already: to make them zero once more is a megabyte for nothing.
    connection.execute("PRAGMA secure_delete = FAST")
    try:
        cursor = connection.execute(
            "DELETE FROM zeros WHERE tenant_id = ? AND zeros_number = (SELECT MAX(zeros_number) FROM zeros)",
            (tenant_id,),
        )
    finally:
        connection.execute("PRAGMA secure_delete = ON")
    return cursor.rowcount > 0


def update_erasures_done(connection: sqlite3.Connection, erasures: Sequence[Erasure], now: int) -> None:
    """Say that nothing of devices is left of what was to be erased."""
    connection.executemany(
        "UPDATE erasure SET done_at = ? WHERE tenant_id = ? AND erasure_number = ?",
        [(now, each.tenant_id, each.erasure_number) for each in erasures],
    )
    connection.execute("PRAGMA secure_delete = FAST")


def checkpoint(connection: sqlite3.Connection) -> None:
    """Let nothing of what was changed be left in the write-ahead log, as far as readers allow."""
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
