"""What can still be read of the open part of a day that was damaged."""

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from appliance.store.database import connect_reader
from appliance.telemetry import chunk, latest_record, log_record
from appliance.telemetry.day_file import DEVICE_MASK, LOG_IDS_LIMIT, TURN_SHIFT, TURNS_LIMIT
from appliance.telemetry.keeping.resealing import OpenChunkRow, OpenDevice
from appliance.telemetry.packing import ChunkError

_HIGHEST_KEY = (TURNS_LIMIT << TURN_SHIFT) - 1
"""Of a chunk: docs/reference/chunks.md."""

_FRUITLESS_SPLITS = 8
"""A range of keys is halved so often without finding a row in it until it is given up."""


class SavedPart:
    """What can be read of an open part, while its file is open: chunks that match their checksum, by device.

    Whose a chunk is, it says itself: its checksum covers that, and nothing covers the list of devices.
    """

    def __init__(self, connection: sqlite3.Connection | None, size_bytes: int, breathe: Callable[[], None]) -> None:
        self._connection = connection
        self._breathe = breathe
        self.size_bytes = size_bytes
        self._numbers: dict[tuple[int, str], int] = {}
        """By tenant and device as chunks name them: in a damaged file one may have two numbers, or that of another."""
        self._devices = self._found_devices()

    @property
    def identity(self) -> int:
        """What tells this file from every other one of its day; 0 when it cannot be read."""
        try:
            return int(self._connection.execute("PRAGMA application_id").fetchone()[0]) if self._connection else 0
        except sqlite3.DatabaseError:
            return 0

    @property
    def chunk_count(self) -> int:
        """How many chunks can be read."""
        return sum(1 for _ in self._chunks())

    def devices(self) -> Sequence[OpenDevice]:
        """Every device of which anything can be read, by its number."""
        return self._devices

    def chunks(self, first: int, last: int) -> Sequence[OpenChunkRow]:
        """The chunks of the devices with numbers from `first` to `last`."""
        return [row for row in self._chunks() if first <= row.number <= last]

    def _found_devices(self) -> list[OpenDevice]:
        lines: dict[tuple[int, str], OpenDevice] = {}
        for line in self._listed():
            known = lines.get(line[1:3])
            if known is None or line.latest_log_id > known.latest_log_id:
                lines[line[1:3]] = line
        newest: dict[int, int] = defaultdict(int)
        for row in self._chunks():
            newest[row.number] = max(newest[row.number], chunk.header(row.blob).last_log_id)
            self._breathe()
        found = []
        for name, number in self._numbers.items():
            line = lines.get(name) or OpenDevice(number, *name, 0, 0, 0, log_record.encode(()))
            # What the chunks hold, and not what the list says: the log may still have what is beyond that.
            found.append(line._replace(number=number, last_log_id=newest[number]))
        return found

    def _listed(self) -> Iterator[OpenDevice]:
        sql = (
            "SELECT device_number, tenant_id, device_id, last_log_id, latest_log_id, last_seen_at, latest FROM device"
            " WHERE device_number BETWEEN ? AND ? ORDER BY device_number"
        )
        kinds = (int, int, str, int, int, int, bytes)
        for row in self._readable(sql, DEVICE_MASK):
            if tuple(map(type, row)) == kinds and self._connection is not None:
                device = OpenDevice(*row)
                if not 0 <= device.latest_log_id < LOG_IDS_LIMIT:
                    continue
                find = partial(_record_of, self._connection, device.tenant_id)
                yield device._replace(latest=latest_record.filled(device.latest, find))

    def _chunks(self) -> Iterator[OpenChunkRow]:
        sql = "SELECT chunk_id, record FROM chunk WHERE chunk_id BETWEEN ? AND ? ORDER BY chunk_id"
        for _, record in self._readable(sql, _HIGHEST_KEY):
            try:
                head, name = chunk.header(record), chunk.owner(record)
            except (ChunkError, TypeError):
                continue
            number = self._numbers.setdefault(name, len(self._numbers))
            yield OpenChunkRow(number, head.report_count, head.first_at, head.last_at, record)

    def _readable(self, sql: str, highest: int) -> Iterator[tuple[Any, ...]]:
        """The rows of a table whose key comes first, without those on pages that cannot be read.

        From both ends of a range of keys up to the damage, then the same in each half of what is between.
        """
        ranges = [(0, highest, _FRUITLESS_SPLITS)] if self._connection else []
        while ranges:
            low, high, patience = ranges.pop()
            before = (low, high)
            for row in self._rows(sql, low, high):
                low = max(low, row[0] + 1)
                yield row
            for row in self._rows(f"{sql} DESC", low, high):
                high = min(high, row[0] - 1)
                yield row
            patience = _FRUITLESS_SPLITS if (low, high) != before else patience - 1
            if low < high and patience and not self._is_readable(sql, low, high):
                middle = (low + high) // 2
                ranges += [(middle + 1, high, patience), (low, middle, patience)]

    def _rows(self, sql: str, low: int, high: int) -> Iterator[tuple[Any, ...]]:
        """The rows of a range up to the first that cannot be read."""
        if self._connection is None:
            return
        try:
            yield from self._connection.execute(sql, (low, high))
        except sqlite3.DatabaseError:
            return

    def _is_readable(self, sql: str, low: int, high: int) -> bool:
        if self._connection is None:
            return True
        try:
            self._connection.execute(sql, (low, high)).fetchall()
        except sqlite3.DatabaseError:
            return False
        return True


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
def saved_day(path: Path, breathe: Callable[[], None]) -> Iterator[SavedPart]:
    """What can be read of a damaged open part; nothing, when not even its head can."""
    try:
        connection = connect_reader(path)
    except sqlite3.Error:
        yield SavedPart(None, 0, breathe)
        return
    with closing(connection):
        yield SavedPart(connection, path.stat().st_size, breathe)
