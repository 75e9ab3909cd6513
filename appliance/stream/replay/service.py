"""Gives what was received in an interval once more: out of the log while that reaches back so far, else out of chunks.

Rules:
- What is asked for is by arrival, and so is the order. What came late lies in the day of its own moment, so every day
  is looked at that was written since, and of these the chunks with log ids that are new enough.
- Memory is copied before files are read: a chunk that moves in between is seen twice, which is mended.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from operator import attrgetter

import msgspec

from appliance.errors import InvalidInputError
from appliance.instant import DAY_MS, HOUR_MS, to_text
from appliance.stream import queries
from appliance.stream.model import Position
from appliance.stream.replay.model import CHUNKS, LOG, Interval, Slice
from appliance.stream.replay.ordering import Ordering
from appliance.stream.replay.width import FIRST_MS, TOO_MANY, next_width
from appliance.stream.service import Stream
from appliance.stream.wanted import EVERYTHING, Wanted
from appliance.telemetry import chunk
from appliance.telemetry import queries as telemetry_queries
from appliance.telemetry.day_file import DamagedDayError, StoredChunk
from appliance.telemetry.days import queries as day_queries
from appliance.telemetry.model import Report
from appliance.telemetry.packing import ChunkError
from appliance.telemetry.rows import Rows
from appliance.telemetry.wanted import Check

DEVICES_AT_ONCE = 256
_WRITTEN_MARGIN_MS = HOUR_MS
"""A file may have been written this much before the clock says so."""


class Replay:
    """What was received, once more."""

    def __init__(self, stream: Stream, future_tolerance_ms: int) -> None:
        """`future_tolerance_ms` is how far the moment of a report may lie after its arrival."""
        self.stream = stream
        """Everything that comes."""
        self._database = stream.database
        self._telemetry = stream.telemetry
        self._clock = stream.clock
        self.too_many = TOO_MANY
        """So many reports are never in memory at once, unless they arrived in one millisecond."""
        self._future_ms = max(future_tolerance_ms, DAY_MS)

    def now(self) -> int:
        """The present moment."""
        return self._clock()

    def interval(self, tenant_id: int, start: int, end: int, wanted: Wanted = EVERYTHING) -> Interval:
        """An interval up to the present at most. Raises `InvalidInputError`."""
        if start >= end:
            raise InvalidInputError(f"from is {to_text(start)}, which is not before until, {to_text(end)}")
        return Interval(tenant_id, start, min(end, self._clock()), wanted)

    async def source(self, interval: Interval) -> str:
        """Where the next reports of an interval come from."""
        start = max(interval.start, interval.after.arrived_at)
        for trimmed in await self._database.read(queries.select_trimmed(interval.tenant_id)):
            if start <= trimmed.at:
                return CHUNKS
        return LOG

    async def slices(self, interval: Interval) -> AsyncGenerator[Slice, None]:
        """The reports of an interval, slice by slice."""
        if await self.source(interval) == LOG:
            reached = interval.after
            async for piece in self._from_log(interval):
                if piece is None:
                    # The log was trimmed meanwhile: what is left is in chunks by now.
                    interval = msgspec.structs.replace(interval, after=reached)
                    break
                reached = piece.reports[-1].place if piece.reports else reached
                yield piece
            else:
                return
        async for piece in self._from_chunks(interval):
            yield piece

    async def _from_log(self, interval: Interval) -> AsyncGenerator[Slice | None, None]:
        """Slices out of the log; None when it was trimmed."""
        tenant_id = interval.tenant_id
        start = max(interval.start, interval.after.arrived_at)
        end = await self.stream.end()
        first = await self._database.read(queries.select_first(tenant_id, start))
        position = Position(first[0]) if first else end
        ordering = Ordering(interval.after)
        while position.log_id < end.log_id:
            batch = await self.stream.read(tenant_id, position, interval.wanted)
            if batch.gap is not None:
                yield None
                return
            if batch.is_empty:
                break
            position = batch.end
            arrived = [taken.report for taken in batch.reports if start <= taken.report.arrived_at < interval.end]
            yield Slice(LOG, tuple(ordering.take(arrived)), arrived[-1].arrived_at if arrived else start)
            if batch.reports and batch.reports[0].report.arrived_at >= interval.end + HOUR_MS:
                break
        yield Slice(LOG, tuple(ordering.rest()), interval.end)

    async def _from_chunks(self, interval: Interval) -> AsyncGenerator[Slice, None]:
        ordering = Ordering(interval.after)
        start, width = max(interval.start, interval.after.arrived_at), FIRST_MS
        while start < interval.end:
            end = min(start + width, interval.end)
            found = await self._arrived(interval, start, end)
            if found is None:
                width = max(1, width // 4)
                continue
            placed = [*ordering.take(sorted(found, key=attrgetter("arrived_at"))), *ordering.rest()]
            yield Slice(CHUNKS, tuple(placed), end)
            start, width = end, next_width(width, len(found))

    async def _arrived(self, interval: Interval, start: int, end: int) -> list[Report] | None:
        """What arrived in a span, in any order; None when that is too much at once."""
        tenant_id, wanted = interval.tenant_id, interval.wanted
        marks = await self._database.read(queries.select_mark(tenant_id, start))
        span = _Span(tenant_id, start, end, wanted, marks[0] if marks else 0, end + self._future_ms)
        memory: list[Rows] = []
        for number, device_id in enumerate(self._telemetry.latest_of_all(tenant_id)):
            if number % DEVICES_AT_ONCE == DEVICES_AT_ONCE - 1:
                await asyncio.sleep(0)
            if not wanted.device_ids or device_id in wanted.device_ids:
                memory += self._telemetry.arrived(tenant_id, device_id, start, end)
        return await self._telemetry.aside(self._gathered, span, memory)

    def _gathered(self, check: Check, span: "_Span", memory: Sequence[Rows]) -> list[Report] | None:
        """Runs in a thread."""
        found: list[Report] = []
        for day in self._telemetry.day_files.numbers():
            if day * DAY_MS >= span.moments_end or not self._was_written(day, span.start):
                continue
            for rows in self._rows_of(day, span):
                check()
                found += span.reports_of(rows)
                if len(found) > self.too_many and span.end - span.start > 1:
                    return None
        # What memory holds is newer than what it has sealed.
        for rows in memory:
            found += span.reports_of(rows)
        return found

    def _was_written(self, day: int, since: int) -> bool:
        """Whether anything was put into a day since a moment."""
        path = self._telemetry.day_files.path(day)
        written = [each.stat().st_mtime for each in path.parent.glob(f"{path.stem}.*")]
        return max(written, default=0.0) * 1_000 >= since - _WRITTEN_MARGIN_MS

    def _rows_of(self, day: int, span: "_Span") -> Iterator[Rows]:
        """The chunks of a day that may hold what arrived in a span, unpacked."""
        days = self._telemetry.day_files
        path = days.path(day)
        try:
            devices = {
                each.device_id
                for each in day_queries.read_devices(path)
                if each.tenant_id == span.tenant_id and each.last_log_id > span.after_log_id
            }
        except ChunkError as error:
            days.note_damage(str(error))
            return
        if span.wanted.device_ids:
            devices &= span.wanted.device_ids
        asked = day_queries.read_order(path, [(span.tenant_id, device_id) for device_id in devices])
        for few in (asked[first : first + DEVICES_AT_ONCE] for first in range(0, len(asked), DEVICES_AT_ONCE)):
            blobs: dict[tuple[int, str], list[StoredChunk]] = {device: [] for device in few}
            try:
                day_queries.read_chunks_of_many(path, blobs, 0, span.moments_end)
            except DamagedDayError as error:
                days.note_damage(str(error))
            for found in blobs.values():
                # Numbers grow in open days, and places, told as negative numbers, in sealed ones.
                in_place = sorted(found, key=lambda each: abs(each.chunk_id))
                unpacked = [rows for _, blob in in_place for rows in self._unpacked(day, blob, span)]
                yield from sorted(unpacked, key=attrgetter("last_log_id"))

    def _unpacked(self, day: int, blob: bytes, span: "_Span") -> list[Rows]:
        try:
            if chunk.header(blob).last_log_id <= span.after_log_id:
                return []
            rows = chunk.decode(blob)
        except ChunkError as error:
            self._telemetry.day_files.note_damage(f"{telemetry_queries.day_name(day)}: {error}")
            return []
        through = self._telemetry.day_files.erased.get((rows.tenant_id, rows.device_id), 0)
        return [rows] if rows.last_log_id > through and span.touches(rows) else []


class _Span(msgspec.Struct, frozen=True):
    tenant_id: int
    start: int
    end: int
    wanted: Wanted
    after_log_id: int
    """Whatever arrived in the span has a higher log id."""
    moments_end: int
    """No report that arrived in the span is of this moment or a later one."""

    def touches(self, rows: Rows) -> bool:
        """Whether any of the rows arrived in the span."""
        return bool(rows.count) and min(rows.arrived_at) < self.end and max(rows.arrived_at) >= self.start

    def reports_of(self, rows: Rows) -> list[Report]:
        """Those of the rows that arrived in the span and are wanted."""
        return [
            report
            for report in rows.reports()
            if self.start <= report.arrived_at < self.end and self.wanted.has(report)
        ]
