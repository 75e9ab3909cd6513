"""Answers questions about many readings, a piece at a time.

Rules:
- No piece of work keeps the loop: files are read and numbers are counted in threads, and between two pieces the
  question may be given up, as it is when whoever asked has gone.
- A few questions are worked on at once, and a few more wait; beyond that, who asks is sent away for a while.
- What one question may cost is bounded: bins, readings, reads and time. Beyond it the question is refused with what
  would be less; a part of the answer is never given for the whole.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

from appliance.instant import DAY_MS, HOUR_MS
from appliance.telemetry.asking.binned import Gathered
from appliance.telemetry.asking.edges import edges, least_ms
from appliance.telemetry.asking.model import (
    CELLS_LIMIT,
    READINGS_LIMIT,
    READS_LIMIT,
    Answer,
    Order,
    Percentile,
    Question,
    Row,
    TooManyQuestionsError,
    TooMuchError,
)
from appliance.telemetry.asking.paging import following, page
from appliance.telemetry.asking.pieces import Pieces, Span, clipped, cut, pieces_of
from appliance.telemetry.asking.readings import longest_window_ms, rows_of
from appliance.telemetry.bins import Bin
from appliance.telemetry.merge import Readings
from appliance.telemetry.model import Series

QUESTIONS_AT_ONCE = 2
WAITING_LIMIT = 8
TIME_LIMIT_S = 30.0

DEVICES_AT_ONCE = 250
"""Of how many devices roll-ups are asked for in one go."""

_MONTH_MS = 31 * DAY_MS
_FIRST_STEP_MS = HOUR_MS
_LONGEST_STEP_MS = 16 * DAY_MS
_ROWS_BEYOND = 20_000
"""So many rows more than a page has are held before those that are too many are thrown away."""

Bins = dict[str, dict[str, dict[int, Bin]]]


class Source(Protocol):
    """Where readings and the bins of whole hours and days come from."""

    async def series(
        self, tenant_id: int, device_id: str, metrics: Sequence[str], start: int, end: int, limit: int
    ) -> list[Series]:
        """The newest readings of each metric in a range."""

    async def hours(
        self, tenant_id: int, device_ids: Sequence[str], metrics: Sequence[str], start: int, end: int
    ) -> Bins:
        """The bins of whole UTC hours, by device, metric and beginning."""

    async def days(
        self, tenant_id: int, device_ids: Sequence[str], metrics: Sequence[str], start: int, end: int
    ) -> Bins:
        """The same of whole UTC days."""


class Asking:
    """Questions and their answers."""

    def __init__(self, source: Source, time_limit_s: float = TIME_LIMIT_S) -> None:
        self._source = source
        self._time_limit_s = time_limit_s
        self._turn = asyncio.Semaphore(QUESTIONS_AT_ONCE)
        self._asked_count = 0

    async def answer(self, question: Question) -> Answer:
        """A page of rows. Raises `TooMuchError`, `TooManyQuestionsError`."""
        async with self._admitted():
            try:
                async with asyncio.timeout(self._time_limit_s):
                    work = _Work(self._source, question)
                    return await (work.readings() if question.width is None else work.bins())
            except TimeoutError:
                raise TooMuchError(
                    f"this took more than {self._time_limit_s:g} s: ask for fewer devices or a shorter range"
                ) from None

    async def gathered(self, question: Question, bounds: Sequence[int]) -> Gathered:
        """What is known of the numbers between each two bounds, which is what bins are told from.

        Raises as `answer` does.
        """
        async with self._admitted():
            try:
                async with asyncio.timeout(self._time_limit_s):
                    return await _Work(self._source, question).gathered(bounds)
            except TimeoutError:
                raise TooMuchError(
                    f"this took more than {self._time_limit_s:g} s: ask for fewer devices or a shorter range"
                ) from None

    @asynccontextmanager
    async def _admitted(self) -> AsyncIterator[None]:
        if self._asked_count >= QUESTIONS_AT_ONCE + WAITING_LIMIT:
            raise TooManyQuestionsError("too many questions are being answered: ask again in a few seconds")
        self._asked_count += 1
        try:
            async with self._turn:
                yield
        finally:
            self._asked_count -= 1


class _Work:
    """One question at work, and what it has cost."""

    def __init__(self, source: Source, question: Question) -> None:
        self._source = source
        self._question = question
        self._reading_count = 0
        self._read_count = 0

    async def bins(self) -> Answer:
        """Rows of bins."""
        question = self._question
        bounds = await asyncio.to_thread(self._bounds)
        gathered = Gathered(bounds)
        bins = clipped(bounds, question.start, question.end)
        metrics = {column.metric for column in question.columns}
        exact = {column.metric for column in question.columns if isinstance(column, Percentile)}
        if exact:
            await self._gather_raw(gathered, sorted(exact), bins, is_exact=True)
        if metrics - exact:
            await self._gather(gathered, sorted(metrics - exact), await asyncio.to_thread(pieces_of, bins))
        rows = await asyncio.to_thread(gathered.rows, question)
        return page(await asyncio.to_thread(self._first, rows), question.limit)

    async def gathered(self, bounds: Sequence[int]) -> Gathered:
        """What is known of the numbers between bounds."""
        gathered = Gathered(bounds)
        metrics = sorted({column.metric for column in self._question.columns})
        pieces = await asyncio.to_thread(pieces_of, clipped(bounds, bounds[0], bounds[-1]))
        await self._gather(gathered, metrics, pieces)
        return gathered

    def _bounds(self) -> list[int]:
        question = self._question
        if question.width is None:
            raise TypeError("a question without a width has no bins")
        series_count = len(question.keys) * len({column.metric for column in question.columns})
        bin_count = (question.end - question.start) // least_ms(question.width) + 1
        if series_count * bin_count > CELLS_LIMIT:
            raise TooMuchError(
                f"{bin_count:,} bins of {series_count:,} series are more than {CELLS_LIMIT:,}:"
                " ask for wider bins, a shorter range or fewer devices"
            )
        return edges(question.start, question.end, question.width, question.zone)

    async def _gather(self, gathered: Gathered, metrics: Sequence[str], pieces: Pieces) -> None:
        """Bins out of roll-ups, and out of readings where these do not reach."""
        tenant_id = self._question.tenant_id
        for ask, spans in ((self._source.days, pieces.days), (self._source.hours, pieces.hours)):
            for start, end in cut(spans, _MONTH_MS):
                for devices in self._some_devices():
                    found = await ask(tenant_id, devices, metrics, start, end)
                    await asyncio.to_thread(self._take_bins, gathered, found)
        await self._gather_raw(gathered, metrics, pieces.raw, is_exact=False)

    def _take_bins(self, gathered: Gathered, found: Bins) -> None:
        for key, devices in self._question.keys.items():
            for device in devices:
                for metric, bins in found.get(device, {}).items():
                    gathered.add_bins(key, metric, bins)

    async def _gather_raw(
        self, gathered: Gathered, metrics: Sequence[str], spans: Iterable[Span], *, is_exact: bool
    ) -> None:
        parts = cut(_joined(spans), DAY_MS)
        for device, keys in self._keys_by_device().items():
            for span in parts:
                found = await self._read(device, metrics, span)
                if any(readings.at for readings in found.values()):
                    await asyncio.to_thread(_take_readings, gathered, keys, found, is_exact=is_exact)

    async def readings(self) -> Answer:
        """Rows of readings: from the near end of the range on, in steps that grow, until the page is full."""
        question = self._question
        rows: list[Row] = []
        start, end = question.start, question.end
        if question.after is not None:
            start, end = _rest(question, question.after.at)
        step = _FIRST_STEP_MS
        while start < end and len(rows) <= question.limit:
            if question.order is Order.NEWEST:
                span = (max(end - step, start), end)
                end = span[0]
            else:
                span = (start, min(start + step, end))
                start = span[1]
            # What the steps before have found comes before all of it.
            rows += await self._rows_within(span)
            step = min(step * 4, _LONGEST_STEP_MS)
        return page(rows, question.limit)

    async def _rows_within(self, span: Span) -> list[Row]:
        rows: list[Row] = []
        for key, [device] in self._question.keys.items():
            rows += await self._rows(key, device, span)
            if len(rows) > self._question.limit + _ROWS_BEYOND:
                rows = await asyncio.to_thread(self._first, rows)
        return await asyncio.to_thread(self._first, rows)

    def _first(self, rows: Sequence[Row]) -> list[Row]:
        """The rows of this page out of rows in any order, and one more if there is one."""
        question = self._question
        return following(rows, question.order, question.after)[: question.limit + 1]

    async def _rows(self, key: str, device: str, span: Span) -> list[Row]:
        columns = self._question.columns
        start, end = span
        metrics = sorted({column.metric for column in columns})
        readings = await self._read(device, metrics, (start - longest_window_ms(columns), end))
        if not any(each.at for each in readings.values()):
            return []
        return await asyncio.to_thread(rows_of, key, readings, columns, start)

    async def _read(self, device: str, metrics: Sequence[str], span: Span) -> dict[str, Readings]:
        """The readings of a device within a span. Raises `TooMuchError`."""
        self._read_count += 1
        left = READINGS_LIMIT - self._reading_count
        found = await self._source.series(self._question.tenant_id, device, metrics, *span, max(left, 0))
        self._reading_count += sum(len(series.at) for series in found)
        if self._reading_count > READINGS_LIMIT or any(series.truncated for series in found):
            raise TooMuchError(
                f"this looks at more than {READINGS_LIMIT:,} readings one by one: ask for fewer devices, a shorter"
                " range, or aggregates other than percentiles in bins of whole hours"
            )
        if self._read_count > READS_LIMIT:
            raise TooMuchError(
                f"this takes more than {READS_LIMIT:,} looks into the days of devices: ask for fewer devices,"
                " a shorter range, or bins of whole hours"
            )
        return {series.metric: Readings(list(series.at), list(series.values)) for series in found}

    def _keys_by_device(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for key, devices in self._question.keys.items():
            for device in devices:
                found.setdefault(device, []).append(key)
        return found

    def _some_devices(self) -> Iterable[list[str]]:
        devices = list(self._keys_by_device())
        for first in range(0, len(devices), DEVICES_AT_ONCE):
            yield devices[first : first + DEVICES_AT_ONCE]


def _take_readings(gathered: Gathered, keys: Sequence[str], found: Mapping[str, Readings], *, is_exact: bool) -> None:
    for metric, readings in found.items():
        for key in keys:
            gathered.add_readings(key, metric, *readings, is_exact=is_exact)


def _rest(question: Question, at: int) -> Span:
    """The part of the range in which rows after a moment, and those of it, lie."""
    if question.order is Order.NEWEST:
        return question.start, min(question.end, at + 1)
    return max(question.start, at), question.end


def _joined(spans: Iterable[Span]) -> list[Span]:
    """The same with those that touch each other as one."""
    joined: list[Span] = []
    for span in spans:
        if joined and joined[-1][1] == span[0]:
            joined[-1] = (joined[-1][0], span[1])
        else:
            joined.append(span)
    return joined
