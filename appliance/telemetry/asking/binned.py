"""Rows of bins: numbers are gathered bin by bin, then told column by column, and gaps are filled.

Rules:
- A bin tells of the readings that lie in it and in the range. Only numbers count.
- Filling puts nothing outside of the range and nothing before the first bin of a device that has numbers, but for
  zeros; how many numbers a bin has is never made up.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from operator import attrgetter

from appliance.telemetry.asking.model import Aggregate, Binned, Column, Fill, Percentile, Place, Question, Row
from appliance.telemetry.asking.quantile import quantile
from appliance.telemetry.bins import Bin, bin_of, combined, number_of
from appliance.telemetry.model import Value

Told = float | int | None


class Gathered:
    """What is known of the bins of every key and metric."""

    def __init__(self, edges: Sequence[int]) -> None:
        self.edges = edges
        self._bins: dict[tuple[str, str], dict[int, Bin]] = {}
        """The first that is known of each bin, by its place among all."""
        self._more: dict[tuple[str, str], dict[int, list[Bin]]] = {}
        """What else is known of it."""
        self._numbers: dict[tuple[str, str], dict[int, array[float]]] = {}

    def add_bins(self, key: str, metric: str, bins: Mapping[int, Bin]) -> None:
        """Take in bins by the moment at which they begin; each lies within one bin of the question."""
        for at, each in bins.items():
            self._add(key, metric, bisect_right(self.edges, at) - 1, each)

    def _add(self, key: str, metric: str, place: int, each: Bin) -> None:
        # Nearly every bin comes whole: a list for each would cost more than what is in it.
        cells = self._bins.setdefault((key, metric), {})
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
                self._add(key, metric, place, each)
                if is_exact:
                    kept = numbers.setdefault(place, array("d"))
                    kept.extend(number for value in values[low:high] if (number := number_of(value)) is not None)
            low = high

    def whole(self, key: str, metric: str) -> dict[int, Bin]:
        """What is known of the bins that have any numbers, by the place of each among all."""
        more = self._more.get((key, metric), {})
        bins = self._bins.get((key, metric), {})
        return {place: combined([each, *more.get(place, ())]) or each for place, each in bins.items()}

    def rows(self, question: Question) -> list[Row]:
        """The rows of the question, oldest first, those of a bin in the order of their keys."""
        count = len(self.edges) - 1
        table: list[list[Row]] = [[] for _ in range(count)]
        for key in sorted(question.keys):
            columns = [self._column(key, column, question.fill) for column in question.columns]
            for place in range(count):
                if question.fill is not Fill.NONE or self._has(key, question.columns, place):
                    values = tuple(column[place] for column in columns)
                    table[place].append(Row(Place(self.edges[place], key, 0), values))
        return [row for rows in table for row in rows]

    def _has(self, key: str, columns: Sequence[Column], place: int) -> bool:
        return any(place in self._bins.get((key, column.metric), ()) for column in columns)

    def _column(self, key: str, column: Column, fill: Fill) -> list[Told]:
        told: list[Told] = [None] * (len(self.edges) - 1)
        if isinstance(column, Percentile):
            for place, numbers in self._numbers.get((key, column.metric), {}).items():
                told[place] = quantile(sorted(numbers), column.numerator, column.denominator)
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
