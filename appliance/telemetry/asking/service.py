"""Answers questions about many readings, a piece at a time.

Rules:
- No piece of work keeps the loop or other threads: files are read and numbers are counted in threads of their own, a
  few milliseconds at a time. Between two pieces the question may be given up, as it is when whoever asked has gone;
  it is over when its thread is out of it.
- A few questions are worked on at once, and a few more wait; beyond that, who asks is sent away for a while.
- What one question may cost is bounded: bins, readings, reads and time. Beyond it the question is refused with what
  would be less; a part of the answer is never given for the whole.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import product
from typing import Concatenate, NamedTuple, ParamSpec, Protocol, TypeVar

from appliance.instant import DAY_MS, HOUR_MS, SECOND_MS
from appliance.portions import portions_of
from appliance.telemetry.asking.binned import Gathered
from appliance.telemetry.asking.edges import edges, least_ms
from appliance.telemetry.asking.model import (
    CELLS_LIMIT,
    READINGS_AT_ONCE_LIMIT,
    READINGS_LIMIT,
    READS_LIMIT,
    Answer,
    Order,
    Percentile,
    Question,
    Row,
    TooManyQuestionsError,
    TooMuchError,
    Width,
)
from appliance.telemetry.asking.paging import first_of, page
from appliance.telemetry.asking.pieces import Pieces, Span, clipped, cut, pieces_of, shorter
from appliance.telemetry.asking.readings import longest_window_ms, rows_of
from appliance.telemetry.bin_column import BinColumn
from appliance.telemetry.merge import Readings
from appliance.telemetry.model import Series
from appliance.telemetry.wanted import Check, is_wanted

P = ParamSpec("P")
T = TypeVar("T")

QUESTIONS_AT_ONCE = 2
WAITING_LIMIT = 8
TIME_LIMIT_S = 30.0

SMALL_CELLS = 1_000
"""Bins of so many hours and columns are counted on the loop, those of each device counted: about a millisecond, which
is less than threads take to be woken for it."""

DEVICES_AT_ONCE = 250
"""Of how many devices roll-ups are asked for in one go."""

_MONTH_MS = 31 * DAY_MS
_FIRST_STEP_MS = HOUR_MS
_LONGEST_STEP_MS = 16 * DAY_MS
_USUAL_INTERVAL_MS = 10 * SECOND_MS
"""The first step is as long as a page of readings of devices that measure this often."""
_ROWS_BEYOND = 20_000
"""So many rows more than a page has are held before those that are too many are thrown away."""

Bins = dict[str, dict[str, BinColumn]]


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

    async def aside(self, function: Callable[Concatenate[Check, P], T], *arguments: P.args, **named: P.kwargs) -> T:
        """What `function(check, …)` makes of them, in a thread, as long as the caller waits for it."""


class Asking:
    """Questions and their answers."""

    def __init__(self, source: Source, time_limit_s: float = TIME_LIMIT_S) -> None:
        self._source = source
        self._time_limit_s = time_limit_s
        self._turn = asyncio.Semaphore(QUESTIONS_AT_ONCE)
        self._asked_count = 0

    async def answer(self, question: Question) -> Answer:
        """A page of rows. Raises `TooMuchError`, `TooManyQuestionsError`."""
        async with self.turn():
            work = _Work(self._source, question)
            return await (work.readings() if question.width is None else work.bins())

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """A place among the questions that are worked on, for as long as one question may take. Raises as above."""
        async with self._admitted(), self._limited():
            yield

    async def gathered(self, question: Question, bounds: Sequence[int]) -> Gathered:
        """What is known of the numbers between each two bounds, which is what bins are told from.

        For who has a turn. Raises `TooMuchError`.
        """
        return await _Work(self._source, question).gathered(bounds)

    @asynccontextmanager
    async def _limited(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._time_limit_s):
                yield
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
        self._is_small = _is_small(question)

    async def bins(self) -> Answer:
        """Rows of bins."""
        question = self._question
        if not question.keys:
            return page([], question.limit)
        plan = await self._counted(_planned, question)
        metrics = {column.metric for column in question.columns}
        exact = {column.metric for column in question.columns if isinstance(column, Percentile)}
        if exact:
            await self._gather_raw(plan, sorted(exact), plan.whole, is_exact=True)
        if metrics - exact:
            await self._gather(plan, sorted(metrics - exact))
        return page(await self._counted(plan.gathered.rows, question), question.limit)

    async def gathered(self, bounds: Sequence[int]) -> Gathered:
        """What is known of the numbers between bounds."""
        plan = await self._source.aside(_planned_between, self._question, bounds)
        await self._gather(plan, sorted({column.metric for column in self._question.columns}))
        return plan.gathered

    async def _gather(self, plan: "_Plan", metrics: Sequence[str]) -> None:
        """Bins out of roll-ups, and out of readings where these do not reach."""
        devices = list(plan.keys)
        if not devices:
            return
        groups = list(portions_of(devices, DEVICES_AT_ONCE))
        for ask, spans in ((self._source.days, plan.pieces.days), (self._source.hours, plan.pieces.hours)):
            for start, end in shorter(spans, _MONTH_MS):
                for group in groups:
                    found = await ask(self._question.tenant_id, group, metrics, start, end)
                    await self._counted(_take_bins, plan.gathered, plan.keys, found)
        await self._gather_raw(plan, metrics, plan.pieces.raw, is_exact=False)

    async def _gather_raw(
        self, plan: "_Plan", metrics: Sequence[str], spans: Sequence[Span], *, is_exact: bool
    ) -> None:
        for device, keys in plan.keys.items():
            for span in cut(spans, DAY_MS):
                await self._gather_span(plan.gathered, keys, (device, metrics, span), is_exact=is_exact)

    async def _gather_span(
        self, gathered: Gathered, keys: Sequence[str], asked: tuple[str, Sequence[str], Span], *, is_exact: bool
    ) -> None:
        device, metrics, span = asked
        found = await self._read(device, metrics, span)
        if found is None:
            # Too many to hold at once: half and half, the older one first.
            for half in _halves(span):
                await self._gather_span(gathered, keys, (device, metrics, half), is_exact=is_exact)
        elif any(readings.at for readings in found.values()):
            await self._source.aside(_take_readings, gathered, keys, found, is_exact=is_exact)

    async def readings(self) -> Answer:
        """Rows of readings: from the near end of the range on, in steps that grow, until the page is full."""
        question = self._question
        if not question.keys:
            return page([], question.limit)
        rows: list[Row] = []
        start, end = question.start, question.end
        if question.after is not None:
            start, end = _rest(question, question.after.at)
        step = min(max(_FIRST_STEP_MS, question.limit * _USUAL_INTERVAL_MS // len(question.keys)), _LONGEST_STEP_MS)
        while start < end and len(rows) <= question.limit:
            is_newest = question.order is Order.NEWEST
            span = (max(end - step, start), end) if is_newest else (start, min(start + step, end))
            found = await self._rows_within(span)
            if found is None:
                step = (span[1] - span[0]) // 2
                continue
            # What the steps before have found comes before all of it.
            rows += found
            start, end = (start, span[0]) if is_newest else (span[1], end)
            step = min(step * 4, _LONGEST_STEP_MS)
        return page(rows, question.limit)

    async def _rows_within(self, span: Span) -> list[Row] | None:
        """The rows of this page out of a span, and one more if there is one; None when they are too many to hold."""
        question = self._question
        runs: list[list[Row]] = []
        for key, [device] in question.keys.items():
            run = await self._rows(key, device, span)
            if run is None:
                return None
            runs.append(run)
            if sum(map(len, runs)) > question.limit + _ROWS_BEYOND:
                runs = _by_key(await self._first(runs))
        return await self._first(runs)

    async def _first(self, runs: list[list[Row]]) -> list[Row]:
        question = self._question
        return await self._source.aside(first_of, runs, question.order, question.after, question.limit + 1)

    async def _rows(self, key: str, device: str, span: Span) -> list[Row] | None:
        columns = self._question.columns
        start, end = span
        metrics = sorted({column.metric for column in columns})
        found = await self._read(device, metrics, (start - longest_window_ms(columns), end))
        if found is None:
            if longest_window_ms(columns) > end - start:
                raise TooMuchError(
                    f"windows over more than {READINGS_AT_ONCE_LIMIT:,} readings at once are too long: ask for shorter"
                    " ones, or for bins"
                )
            return None
        if not any(each.at for each in found.values()):
            return []
        return await self._source.aside(rows_of, key, found, columns, start)

    async def _read(self, device: str, metrics: Sequence[str], span: Span) -> dict[str, Readings] | None:
        """The readings of a device within a span; None when they are too many to hold. Raises `TooMuchError`."""
        self._read_count += 1
        at_once = READINGS_AT_ONCE_LIMIT // len(metrics)
        left = min(READINGS_LIMIT - self._reading_count, at_once)
        found = await self._source.series(self._question.tenant_id, device, metrics, *span, max(left, 0))
        is_cut = any(series.truncated for series in found)
        if is_cut and left == at_once and span[1] - span[0] > 1:
            return None
        self._reading_count += sum(len(series.at) for series in found)
        if self._reading_count > READINGS_LIMIT or is_cut:
            raise TooMuchError(
                f"this looks at more than {READINGS_LIMIT:,} readings one by one: ask for fewer devices, a shorter"
                " range, or aggregates other than percentiles in bins of whole hours"
            )
        if self._read_count > READS_LIMIT:
            raise TooMuchError(
                f"this takes more than {READS_LIMIT:,} looks into the days of devices: ask for fewer devices,"
                " a shorter range, or bins of whole hours"
            )
        return {series.metric: Readings(series.at, series.values) for series in found}

    async def _counted(self, function: Callable[Concatenate[Check, P], T], *arguments: P.args, **named: P.kwargs) -> T:
        """What `function(check, …)` makes of bins; in a thread, unless little is behind them."""
        if self._is_small:
            return function(is_wanted, *arguments, **named)
        return await self._source.aside(function, *arguments, **named)


class _Plan(NamedTuple):
    """What a question about bins is answered from."""

    gathered: Gathered
    """Nothing yet."""
    keys: dict[str, list[str]]
    """By device: the rows that it counts for."""
    whole: list[Span]
    """All that the bins cover, in one."""
    pieces: Pieces
    """What each bin is to be combined from."""


def _is_small(question: Question) -> bool:
    """Whether all that is done with the bins of a question takes about as long as to wake a thread for it.

    It is done with those that are asked for and with the hours, or days, that these are combined from.
    """
    if question.width is None or any(isinstance(column, Percentile) for column in question.columns):
        return False
    device_count = max(len(question.keys), sum(map(len, question.keys.values())))
    hour_count = (question.end - question.start) // HOUR_MS + 1
    bin_count = max(_bin_count(question, question.width), hour_count)
    return device_count * len(question.columns) * bin_count <= SMALL_CELLS


def _bin_count(question: Question, width: Width) -> int:
    """How many bins a series has, roughly."""
    return (question.end - question.start) // least_ms(width) + 1


def _planned(check: Check, question: Question) -> _Plan:
    """The bins of a question, empty yet, and what each is to be combined from. Raises `TooMuchError`."""
    if question.width is None:
        raise TypeError("a question without a width has no bins")
    series_count = len(question.keys) * len({column.metric for column in question.columns})
    _require_few(series_count, _bin_count(question, question.width))
    bounds = edges(question.start, question.end, question.width, question.zone, check)
    # Bins that do not divide the day begin anew at midnight: there may be twice as many.
    _require_few(series_count, len(bounds) - 1)
    check()
    return _plan(question, bounds, clipped(bounds, question.start, question.end))


def _require_few(series_count: int, bin_count: int) -> None:
    if series_count * bin_count > CELLS_LIMIT:
        raise TooMuchError(
            f"{bin_count:,} bins of {series_count:,} series are more than {CELLS_LIMIT:,}:"
            " ask for wider bins, a shorter range or fewer devices"
        )


def _planned_between(check: Check, question: Question, bounds: Sequence[int]) -> _Plan:
    check()
    return _plan(question, bounds, clipped(bounds, bounds[0], bounds[-1]))


def _plan(question: Question, bounds: Sequence[int], within: Sequence[int]) -> _Plan:
    """`within` are the bounds as far as they lie in the range."""
    keys: dict[str, list[str]] = {}
    for key, devices in question.keys.items():
        for device in devices:
            keys.setdefault(device, []).append(key)
    return _Plan(Gathered(bounds), keys, [(within[0], within[-1])] if within else [], pieces_of(within))


def _take_bins(check: Check, gathered: Gathered, keys: Mapping[str, Sequence[str]], found: Bins) -> None:
    for device, of_device in found.items():
        check()
        for key, metric in product(keys[device], of_device):
            gathered.add_bins(key, metric, of_device[metric])


def _take_readings(
    check: Check, gathered: Gathered, keys: Sequence[str], found: Mapping[str, Readings], *, is_exact: bool
) -> None:
    for metric, readings in found.items():
        for key in keys:
            check()
            gathered.add_readings(key, metric, readings.at, readings.values, is_exact=is_exact)


def _by_key(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows of a page as runs of one key each, oldest first."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row.place.key, []).append(row)
    for run in found.values():
        run.sort(key=lambda row: (row.place.at, row.place.occurrence))
    return list(found.values())


def _halves(span: Span) -> list[Span]:
    middle = (span[0] + span[1]) // 2
    return [(span[0], middle), (middle, span[1])]


def _rest(question: Question, at: int) -> Span:
    """The part of the range in which rows after a moment, and those of it, lie."""
    if question.order is Order.NEWEST:
        return question.start, min(question.end, at + 1)
    return max(question.start, at), question.end
