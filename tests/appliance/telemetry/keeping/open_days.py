"""Open parts of days for tests."""

import random
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from appliance.store.database import connect_writer
from appliance.telemetry import queries as day_queries
from appliance.telemetry.day_file import SealedChunk, SealedDevice
from tests.appliance.telemetry.keeping.days import piece
from tests.appliance.telemetry.reports import NOON, report

SLOT_MS = 600_000
MIDNIGHT = NOON - 12 * 3_600_000


@contextmanager
def writing(path: Path) -> Iterator[sqlite3.Connection]:
    """An open part, for writing; whole on the disk afterwards."""
    connection = connect_writer(path, page_bytes=day_queries.DAY_PAGE_BYTES, cache_kb=1_000, synchronous="NORMAL")
    try:
        day_queries.prepare_day(connection)
        yield connection
        day_queries.checkpoint(connection)
    finally:
        connection.close()


def marked(chance: random.Random, size: int) -> tuple[bytes, bytes]:
    """Bytes that can be found again wherever a part of them is, and how."""
    mark = chance.randbytes(12)
    return mark, (mark * (size // 12 + 1))[: max(size, 12)]


def fill(connection: sqlite3.Connection, seed: int, count: int, largest: int) -> dict[str, list[bytes]]:
    """Chunks of twenty devices in any order, which are none; the marks in them by device."""
    chance = random.Random(seed)  # noqa: S311  nothing is secret here
    marks: dict[str, list[bytes]] = {}
    for number in range(count):
        name = f"device-{chance.randrange(20)}"
        at = MIDNIGHT + chance.randrange(144) * SLOT_MS
        first, latest = marked(chance, chance.randrange(12, 400))
        second, record = marked(chance, chance.randrange(12, largest))
        marks.setdefault(name, []).extend([first, second])
        chunk = SealedChunk(1, at, at, record)
        with connection:
            connection.execute("BEGIN")
            device = SealedDevice(1, name, number, number, number, latest, [chunk])
            day_queries.insert_sealed(connection, [device])
    return marks


def put(connection: sqlite3.Connection, device_id: str, log_ids: list[int], latest: bytes = b"latest") -> None:
    """Real chunks of a device, one report and one log id each, ten minutes apart."""
    for log_id in log_ids:
        made = piece([report(device_id, MIDNIGHT + log_id % 144 * SLOT_MS, values={"pressure": log_id})], log_id)
        chunk = SealedChunk(1, made.first_at, made.last_at, made.blob)
        device = SealedDevice(1, device_id, log_id, log_id, log_id, latest, [chunk])
        day_queries.insert_sealed(connection, [device])


def patch(path: Path, name: str, before: bytes, after: bytes) -> None:
    """Overwrite the last place of some bytes on the first page of a table or an index; the file is closed."""
    with writing(path) as connection:
        (root,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (name,)).fetchone()
    content = path.read_bytes()
    start = content.rindex(before, (root - 1) * day_queries.DAY_PAGE_BYTES, root * day_queries.DAY_PAGE_BYTES)
    path.write_bytes(content[:start] + after + content[start + len(after) :])


def forget_tables(path: Path) -> None:
    """Let a file say of itself that it has no tables, as one flipped bit does."""
    content = path.read_bytes()
    path.write_bytes(content[:63] + b"\0" + content[64:])


def rows(path: Path) -> list[list[tuple[object, ...]]]:
    """Everything that a file holds."""
    with writing(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return [list(connection.execute(f"SELECT * FROM {table} ORDER BY 1")) for table in ("device", "chunk")]
