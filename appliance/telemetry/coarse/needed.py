"""Which readings an answer needs one by one: of bins what fills no hour and all of percentiles, and rows of readings.

Of an answer that goes on only what its page tells of counts: the page after it names the rest.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from appliance.instant import HOUR_MS
from appliance.telemetry.asking.edges import edges, least_ms
from appliance.telemetry.asking.model import Answer, Column, Order, Percentile, Plain, Question, Rolling, Width, ZScore
from appliance.telemetry.asking.pieces import Span, clipped, pieces_of
from appliance.telemetry.coarse.model import Needed
from appliance.telemetry.paging.model import Cursor, Place
from appliance.telemetry.rollup_record import RollUp
from appliance.telemetry.wanted import Check


def needed(check: Check, question: Question, answer: Answer) -> list[Needed]:
    """What a page of an answer needs."""
    if question.width is None:
        return _of_readings(question, answer)
    return _of_bins(check, question, question.width, answer)


def needed_between(metrics: Sequence[str], bounds: Sequence[int], bins: Sequence[Span]) -> Needed:
    """What bins need that lie between bounds: from the place of one of these to that of another, rising."""
    spans: list[Span] = []
    for first, behind in _joined(bins):
        spans += pieces_of(bounds[first : behind + 1]).raw
    return Needed(metrics, spans, is_of_numbers=True)


def needed_on(metrics: Sequence[str], cursor: Cursor, following: Cursor | None) -> list[Needed]:
    """What a page needs of metrics that begins at a cursor, and after which another one follows."""
    found: dict[Span, list[str]] = {}
    for metric in metrics:
        before, next_before = _place(metric, cursor), None if following is None else _place(metric, following)
        if before is not None:
            # Of the moment where a page ends, some readings may stand on the next one.
            start = cursor.start if next_before is None else next_before.at
            found.setdefault((start, before.at + (before.occurrence > 0)), []).append(metric)
    return [Needed(tuple(some), (span,), is_of_numbers=False) for span, some in found.items()]


def extent(what: Sequence[Needed]) -> Span:
    """From the first moment that is needed up to the last one; nothing when none is."""
    spans = [each.spans for each in what if each.spans]
    return min((each[0][0] for each in spans), default=0), max((each[-1][1] for each in spans), default=0)


def is_lacking(rollup: RollUp, what: Needed, span: Span) -> bool:
    """Whether a roll-up knows of readings that are needed within a span; those between its first and last may be."""
    start, end = span
    for metric in what.metrics or (*rollup.bins, *rollup.others):
        known = rollup.bins.get(metric)
        if known is not None and known.first_at < end and known.last_at >= start:
            return True
        if not what.is_of_numbers and rollup.others.get(metric):
            return True
    return False


def _place(metric: str, cursor: Cursor) -> Place | None:
    """Before which place a page has readings of a metric; None when it has none."""
    return next((each.before for each in cursor.going if metric in each.metrics or not each.metrics), None)


def _of_readings(question: Question, answer: Answer) -> list[Needed]:
    start, end = question.start, question.end
    is_oldest = question.order is Order.OLDEST
    if question.after is not None:
        start, end = (question.after.at, end) if is_oldest else (start, question.after.at + 1)
    if answer.next is not None:
        start, end = (start, answer.next.at + 1) if is_oldest else (answer.next.at, end)
    oldest = min((answer.rows[0].place.at, answer.rows[-1].place.at)) if answer.rows else end
    # A window reaches back from a row, so without rows none does.
    return [
        Needed((column.metric,), [(min(start, oldest - _window_ms(column)), end)], not isinstance(column, Plain))
        for column in question.columns
    ]


def _of_bins(check: Check, question: Question, width: Width, answer: Answer) -> list[Needed]:
    if answer.next is None and question.after is None and least_ms(width) < HOUR_MS:
        # No bin has a whole hour, and there may be very many.
        metrics = sorted({column.metric for column in question.columns})
        return [Needed(metrics, [(question.start, question.end)], is_of_numbers=True)]
    bounds = edges(question.start, question.end, width, question.zone, check)
    after, last = question.after, answer.next
    if question.order is Order.NEWEST:
        after, last = last, after
    low = 0 if after is None else bisect_left(bounds, after.at)
    high = len(bounds) if last is None else bisect_right(bounds, last.at) + 1
    within = clipped(bounds[low:high], question.start, question.end)
    if not within:
        return []
    exact = {column.metric for column in question.columns if isinstance(column, Percentile)}
    others = {column.metric for column in question.columns} - exact
    found = [
        Needed(sorted(exact), [(within[0], within[-1])], is_of_numbers=True),
        Needed(sorted(others), pieces_of(within).raw, is_of_numbers=True),
    ]
    return [each for each in found if each.metrics and each.spans]


def _joined(spans: Sequence[Span]) -> list[Span]:
    """Spans that rise, without those that lie in others or touch them."""
    found: list[Span] = []
    for start, end in spans:
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return found


def _window_ms(column: Column) -> int:
    return column.window_ms if isinstance(column, Rolling | ZScore) else 0
