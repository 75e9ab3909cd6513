"""Rows of bins: numbers are gathered bin by bin, then told column by column, and gaps are filled.

Rules:
- A bin tells of the readings that lie in it and in the range. Only numbers count.
- Filling puts nothing outside of the range and nothing before the first bin of a device that has numbers, but for
  zeros; how many numbers a bin has is never made up.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import pairwise
from operator import attrgetter

from appliance.telemetry.asking.model import Aggregate, Binned, Column, Fill, Order, Percentile, Place, Question, Row
from appliance.telemetry.asking.quantile import quantile, runs
from appliance.telemetry.bins import Bin, bin_of, combined, number_of
from appliance.telemetry.model import Value
from appliance.telemetry.wanted import Check

Told = float | int | None


class Gathered:
    """What is known of the bins of every key and metric."""

    def __init__(self, edges: Sequence[int]) -> None:
        self.edges = edges
        self._place_of = {edge: place for place, edge in enumerate(edges)}
        self._bins: dict[tuple[str, str], dict[int, Bin]] = {}
        """The first that is known of each bin, by its place among all."""
        self._more: dict[tuple[str, str], dict[int, list[Bin]]] = {}
        """What else is known of it."""
        self._numbers: dict[tuple[str, str], dict[int, array[float]]] = {}
        self._sorted: dict[tuple[str, str, int], list[array[float]]] = {}

    def add_bins(self, key: str, metric: str, bins: Mapping[int, Bin]) -> None:
        """Take in bins by the moment at which they begin; each lies within one bin of the question."""
        known = self._place_of
        if (key, metric) not in self._bins and known.keys() >= bins.keys():
            # Nearly always: bins of hours for a question about hours, all at once.
            self._bins[key, metric] = {known[at]: each for at, each in bins.items()}
            return
        cells = self._bins.setdefault((key, metric), {})
        for at, each in bins.items():
            # Most come whole and alone: a list for each would cost more than what is in it.
            place = bisect_right(self.edges, at) - 1
            if cells.setdefault(place, each) is not each:
                self._more.setdefault((key, metric), {}).setdefault(place, []).append(each)

    def add_readings(
        self, key: str, metric: str, at: Sequence[int], values: Sequence[Value], *, is_exact: bool
    ) -> None:
        """Take in readings that lie between the first and the last edge, in the order of time.

        Only what is exact keeps every number, which percentiles need.
        """
        if not at:
            return
        numbers = self._numbers.setdefault((key, metric), {})
        low = 0
        while low < len(at):
            place = bisect_right(self.edges, at[low]) - 1
            high = bisect_left(at, self.edges[place + 1], low)
            each = bin_of(at[low:high], values[low:high])
            if each is not None:
                self.add_bins(key, metric, {at[low]: each})
                if is_exact:
                    kept = numbers.setdefault(place, array("d"))
                    kept.extend(number for value in values[low:high] if (number := number_of(value)) is not None)
            low = high

    def rows(self, check: Check, question: Question) -> list[Row]:
        """The rows of the page that is asked for, in their order, and one more when there is one."""
        keys = sorted(question.keys)
        told: list[tuple[str, Collection[int] | None, list[tuple[Told, ...]]]] = []
        for key in keys:
            check()
            columns = [self._column(check, key, column, question.fill) for column in question.columns]
            told.append((key, self._there(key, question), list(zip(*columns, strict=True))))
        rows: list[Row] = []
        for place in self._places(question):
            check()
            at = self.edges[place]
            for key, there, values in told:
                if (there is None or place in there) and _is_after(at, key, question.after):
                    rows.append(Row(Place(at, key, 0), values[place]))
            if len(rows) > question.limit:
                break
        return rows[: question.limit + 1]

    def _places(self, question: Question) -> Iterable[int]:
        """The bins from the place on at which the page before has ended."""
        first, stop = 0, len(self.edges) - 1
        if question.order is Order.OLDEST:
            return range(first if question.after is None else bisect_left(self.edges, question.after.at), stop)
        if question.after is not None:
            stop = min(stop, bisect_right(self.edges, question.after.at))
        return range(stop - 1, first - 1, -1)

    def _there(self, key: str, question: Question) -> Collection[int] | None:
        """The bins of a key that have rows; None for all."""
        if question.fill is not Fill.NONE:
            return None
        found = [self._bins.get((key, metric), {}) for metric in {column.metric for column in question.columns}]
        return found[0] if len(found) == 1 else set().union(*found)

    def _column(self, check: Check, key: str, column: Column, fill: Fill) -> list[Told]:
        told: list[Told] = [None] * (len(self.edges) - 1)
        if isinstance(column, Percentile):
            for place in self._numbers.get((key, column.metric), {}):
                told[place] = quantile(
                    self._runs(check, key, column.metric, place), column.numerator, column.denominator
                )
            return filled(told, fill, self.edges)
        if not isinstance(column, Binned):
            raise TypeError(f"{column.name} is told of readings, not of bins")
        tell = _TELL[column.aggregate]
        more = self._more.get((key, column.metric), {})
        for place, each in self._bins.get((key, column.metric), {}).items():
            whole = combined([each, *more[place]]) if place in more else each
            if whole is not None:
                told[place] = tell(whole)
        return [count or 0 for count in told] if column.aggregate is Aggregate.COUNT else filled(told, fill, self.edges)

    def _runs(self, check: Check, key: str, metric: str, place: int) -> "list[array[float]]":
        """The numbers of a bin in sorted runs, which several percentiles share."""
        known = self._sorted.get((key, metric, place))
        if known is None:
            known = self._sorted[key, metric, place] = runs(self._numbers[key, metric][place], check)
        return known


def _is_after(at: int, key: str, after: Place | None) -> bool:
    return after is None or at != after.at or key > after.key


_TELL: Mapping[Aggregate, Callable[[Bin], float | int]] = {
    Aggregate.AVG: attrgetter("mean"),
    Aggregate.MIN: attrgetter("minimum"),
    Aggregate.MAX: attrgetter("maximum"),
    Aggregate.SUM: attrgetter("total"),
    Aggregate.COUNT: attrgetter("count"),
    Aggregate.FIRST: attrgetter("first"),
    Aggregate.LAST: attrgetter("last"),
    Aggregate.STDDEV: attrgetter("deviation"),
}


def aggregate_of(each: Bin, aggregate: Aggregate) -> float | int:
    """One aggregate of a bin."""
    return _TELL[aggregate](each)


def filled(told: Sequence[Told], fill: Fill, at: Sequence[int]) -> list[Told]:
    """The same with its gaps filled; `at` is where each bin begins."""
    match fill:
        case Fill.NONE | Fill.NULL:
            return list(told)
        case Fill.ZERO:
            return [0 if each is None else each for each in told]
        case Fill.PREVIOUS:
            return _previous(told)
        case Fill.LINEAR:
            return _linear(told, at)


def _previous(told: Sequence[Told]) -> list[Told]:
    found: list[Told] = []
    for each in told:
        found.append(each if each is not None or not found else found[-1])
    return found


def _linear(told: Sequence[Told], at: Sequence[int]) -> list[Told]:
    found = list(told)
    known = [(place, each) for place, each in enumerate(told) if each is not None]
    for (low, before), (high, after) in pairwise(known):
        for place in range(low + 1, high):
            share = (at[place] - at[low]) / (at[high] - at[low])
            # Each part first: the difference of great numbers could have no double.
            between = before * (1 - share) + after * share
            found[place] = min(max(between, min(before, after)), max(before, after))
    return found
