"""Gives what was received in an interval once more: out of the log while that reaches back so far, else out of chunks.

Rules:
- What is asked for is by arrival, and so is the order, wherever it comes from: each piece of the interval is gathered
  whole and put in order. So both sources give the same, and a reader that comes back goes on at the same place.
- A piece is as long as suits memory: where too much arrived at once, a shorter one is taken.
- A day that may have something of the interval and cannot be read is told, not passed over in silence.
"""

from collections.abc import AsyncGenerator
from itertools import starmap
from operator import attrgetter

from appliance.errors import InvalidInputError
from appliance.instant import DAY_MS, to_text
from appliance.stream.replay.from_chunks.service import FromChunks
from appliance.stream.replay.from_log.service import FromLog
from appliance.stream.replay.model import CHUNKS, LOG, Interval, Lack, Slice, Span, TooMuchError
from appliance.stream.replay.ordering import Ordering
from appliance.stream.replay.width import FIRST_MS, TOO_MANY, next_width
from appliance.stream.service import Stream
from appliance.stream.wanted import EVERYTHING, Wanted
from appliance.telemetry.model import Report


class Replay:
    """What was received, once more."""

    def __init__(self, stream: Stream, future_tolerance_ms: int) -> None:
        """`future_tolerance_ms` is how far the moment of a report may lie after its arrival."""
        self.stream = stream
        """Everything that comes."""
        self._clock = stream.clock
        self._log = FromLog(stream.database, stream.telemetry)
        self._chunks = FromChunks(stream.database, stream.telemetry, max(future_tolerance_ms, DAY_MS))
        self.too_many = TOO_MANY
        """So many reports are never in memory at once, unless they arrived in one millisecond."""

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
        return LOG if await self._log.reaches(interval.tenant_id, interval.begins_at) else CHUNKS

    async def slices(self, interval: Interval) -> AsyncGenerator[Slice, None]:
        """The reports of an interval, slice by slice."""
        ordering, lacking = Ordering(interval.after), dict[int, str]()
        start, width, told = interval.begins_at, FIRST_MS, 0
        while start < interval.end:
            end = min(start + width, interval.end)
            span = Span(interval.tenant_id, start, end, interval.wanted, self.too_many)
            try:
                source, found = await self._arrived(span, lacking)
            except TooMuchError:
                width = max(1, (end - start) // 4)
                continue
            placed = [*ordering.take(sorted(found, key=attrgetter("arrived_at"))), *ordering.rest()]
            yield Slice(source, tuple(placed), end, tuple(starmap(Lack, list(lacking.items())[told:])))
            told = len(lacking)
            start, width = end, next_width(width, len(found))

    async def _arrived(self, span: Span, lacking: dict[int, str]) -> tuple[str, list[Report]]:
        """What arrived in a span, in any order, and out of what. Raises `TooMuchError`.

        The days that are lacking are added, and why.
        """
        found = await self._log.arrived(span)
        return (LOG, found) if found is not None else (CHUNKS, await self._chunks.arrived(span, lacking.setdefault))
