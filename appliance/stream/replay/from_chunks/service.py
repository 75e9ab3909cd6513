"""Finds what arrived in a span in memory, in day files and in Parquet.

Rules:
- What came late lies in the day of its own moment: every day that was written since is looked at, and of these the
  chunks with log ids that are new enough. Which days those are is told by log ids, not by clocks, which are set.
- Of days that only Parquet has, those are looked at of which something arrived in the span, as far as that is known.
- Memory is copied before files are read: a chunk that moves in between is seen twice, which is mended.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from pathlib import Path

from appliance.instant import DAY_MS
from appliance.portions import portions_of
from appliance.store.database import Database
from appliance.stream import queries
from appliance.stream.replay.model import Span
from appliance.telemetry import chunk
from appliance.telemetry import queries as telemetry_queries
from appliance.telemetry.cold.model import Arrivals, ColdError
from appliance.telemetry.day_file import DamagedDayError, StoredChunk
from appliance.telemetry.days import queries as day_queries
from appliance.telemetry.model import Report
from appliance.telemetry.packing import ChunkError
from appliance.telemetry.rows import Rows
from appliance.telemetry.service import Telemetry
from appliance.telemetry.wanted import Check

DEVICES_AT_ONCE = 256

Stamp = tuple[tuple[str, int, int, int], ...]
"""The files of a day as they are: another one when anything was written into them."""


class FromChunks:
    """Everything that is stored, by arrival."""

    def __init__(self, database: Database, telemetry: Telemetry, future_ms: int) -> None:
        """`future_ms` is how far the moment of a report may lie after its arrival."""
        self._database = database
        self._telemetry = telemetry
        self._future_ms = future_ms
        self._newest: dict[int, tuple[Stamp, dict[int, int]]] = {}
        """Of each day, as its files were: the newest log id of each tenant."""

    async def arrived(self, span: Span, lacks: Callable[[int, str], object] = lambda *_: None) -> list[Report]:
        """What arrived in a span, in any order, and maybe twice. Raises `TooMuchError`.

        `lacks` hears of each day of which something may have arrived in the span and that cannot be read now, and why.
        """
        tenant_id = span.tenant_id
        after = [0, *await self._database.read(queries.select_mark(tenant_id, span.start))][-1]
        named = span.wanted.device_ids
        device_ids = named or {name for name, _ in self._telemetry.newest_of_all(tenant_id)}
        memory: list[Rows] = []
        for number, device_id in enumerate(device_ids, 1):
            memory += self._telemetry.arrived(tenant_id, device_id, span.start, span.end)
            if number % DEVICES_AT_ONCE == 0:
                await asyncio.sleep(0)
        found = await self._telemetry.aside(self._gathered, span, after, memory)
        moments_end = span.end + self._future_ms
        # After the day files: a day that goes in between is seen twice, too.
        for day in filter(self._telemetry.cold.is_needed, self._telemetry.cold.days_arrived(span.start, span.end)):
            if day * DAY_MS >= moments_end:
                continue
            # Of devices that nothing else is left of, only the file itself knows.
            moments, arrivals = (day * DAY_MS, moments_end), (span.start, span.end)
            asked = Arrivals(tenant_id, tuple(sorted(named)), moments, arrivals, span.limit)
            try:
                parts = await self._telemetry.cold.arrived(day, asked)
            except ColdError as error:
                lacks(day, str(error))
                continue
            span.require_room(sum(rows.count for rows in parts))
            found += await self._telemetry.aside(_reports_of, span, parts)
            span.require_room(len(found))
        return found

    def _gathered(self, check: Check, span: Span, after_log_id: int, memory: Sequence[Rows]) -> list[Report]:
        """Runs in a thread. Whatever arrived in the span has a higher log id than `after_log_id`."""
        found: list[Report] = []
        for day in self._telemetry.day_files.numbers():
            if day * DAY_MS >= span.end + self._future_ms or self._newest_of(day, span.tenant_id) <= after_log_id:
                continue
            for rows in self._rows_of(day, span, after_log_id):
                found += _reports_of(check, span, [rows])
                span.require_room(len(found))
        # What memory holds is newer than what it has sealed.
        for rows in memory:
            found += _reports_of(check, span, [rows])
            span.require_room(len(found))
        return found

    def _newest_of(self, day: int, tenant_id: int) -> int:
        """The newest log id of a tenant in a day."""
        path = self._telemetry.day_files.path(day)
        stamp = _stamp_of(path)
        known = self._newest.get(day)
        if known is None or known[0] != stamp:
            newest: dict[int, int] = {}
            try:
                for each in day_queries.read_devices(path):
                    newest[each.tenant_id] = max(each.last_log_id, newest.get(each.tenant_id, 0))
            except ChunkError as error:
                self._telemetry.day_files.note_damage(str(error))
            known = self._newest[day] = (stamp, newest)
        return known[1].get(tenant_id, 0)

    def _rows_of(self, day: int, span: Span, after_log_id: int) -> Iterator[Rows]:
        """The chunks of a day that may hold what arrived in a span, unpacked."""
        days = self._telemetry.day_files
        path = days.path(day)
        try:
            devices = {
                each.device_id
                for each in day_queries.read_devices(path)
                if each.tenant_id == span.tenant_id and each.last_log_id > after_log_id
            }
        except ChunkError as error:
            days.note_damage(str(error))
            return
        if span.wanted.device_ids:
            devices &= span.wanted.device_ids
        asked = day_queries.read_order(path, [(span.tenant_id, device_id) for device_id in devices])
        for few in portions_of(asked, DEVICES_AT_ONCE):
            blobs: dict[tuple[int, str], list[StoredChunk]] = {device: [] for device in few}
            try:
                day_queries.read_chunks_of_many(path, blobs, 0, span.end + self._future_ms)
            except DamagedDayError as error:
                days.note_damage(str(error))
            for found in blobs.values():
                # Numbers grow in open days, and places, told as negative numbers, in sealed ones.
                in_place = sorted(found, key=lambda each: abs(each.chunk_id))
                unpacked = [rows for _, blob in in_place for rows in self._unpacked(day, blob, after_log_id)]
                yield from sorted(unpacked, key=attrgetter("last_log_id"))

    def _unpacked(self, day: int, blob: bytes, after_log_id: int) -> list[Rows]:
        try:
            if chunk.header(blob).last_log_id <= after_log_id:
                return []
            rows = chunk.decode(blob)
        except ChunkError as error:
            self._telemetry.day_files.note_damage(f"{telemetry_queries.day_name(day)}: {error}")
            return []
        through = self._telemetry.day_files.erased.get((rows.tenant_id, rows.device_id), 0)
        return [rows] if rows.last_log_id > through else []


def _reports_of(check: Check, span: Span, parts: Sequence[Rows]) -> list[Report]:
    """Runs in a thread: what of these rows arrived in a span and is wanted."""
    found: list[Report] = []
    for rows in parts:
        check()
        if rows.count and span.touches(min(rows.arrived_at), max(rows.arrived_at)):
            in_time = [span.start <= arrived_at < span.end for arrived_at in rows.arrived_at]
            found += filter(span.has, rows.reports(in_time))
    return found


def _stamp_of(path: Path) -> Stamp:
    found = []
    for each in sorted(path.parent.glob(f"{path.stem}.*")):
        try:
            stat = each.stat()
        except FileNotFoundError:
            continue  # a day that is sealed just now
        found.append((each.name, stat.st_ino, stat.st_size, stat.st_mtime_ns))
    return tuple(found)
