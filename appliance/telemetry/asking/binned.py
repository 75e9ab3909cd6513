"""Rows of bins: numbers are gathered bin by bin, then told column by column, and gaps are filled.

Rules:
- A bin tells of the readings that lie in it and in the range. Only numbers count.
- Filling puts nothing outside of the range and nothing before the first bin of a device that has numbers, but for
  zeros; how many numbers a bin has is never made up.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import chain, compress, pairwise, repeat
from operator import attrgetter, itemgetter
from typing import NamedTuple

from appliance.telemetry.asking.model import Aggregate, Binned, Column, Fill, Order, Percentile, Place, Question, Row
from appliance.telemetry.asking.quantile import quantile, runs
from appliance.telemetry.bin_column import BinColumn, joined
from appliance.telemetry.bins import Bin, Fields, bin_of, deviations, means, number_of
from appliance.telemetry.model import Value
from appliance.telemetry.wanted import Check

Told = float | int | None

ROWS_AT_ONCE = 2_048
"""So many rows, and at least a bin of every key, are made in one step."""

COLUMNS_AT_ONCE = 16
"""So many columns of bins of one key and metric are put together at once."""


class Gathered:
    """What is known of the bins of every key and metric."""

    def __init__(self, edges: Sequence[int]) -> None:
        self.edges = edges
        self._place_of: dict[int, int] | None = None
        """The bin that begins at an edge, once that is asked for."""
        self._columns: dict[tuple[str, str], list[BinColumn]] = {}
        self._whole: dict[tuple[str, str], _Whole] = {}
        self._placed: tuple[Sequence[int], tuple[list[int], list[int]]] = (), ([], [])
        """The moments that were placed last, and what came out."""
        self._numbers: dict[tuple[str, str], dict[int, array[float]]] = {}
        self._sorted: dict[tuple[str, str, int], list[array[float]]] = {}

    def add_bins(self, key: str, metric: str, bins: BinColumn) -> None:
        """Take in bins by the moment at which they begin; each lies within one bin of the question."""
        if not bins:
            return
        columns = self._columns.setdefault((key, metric), [])
        columns.append(bins)
        if len(columns) == COLUMNS_AT_ONCE:
            # However many devices stand behind a key, memory holds a few bins for each one of the question.
            columns[:] = [self._put_together(tuple(columns)).bins.settled()]

    def add_readings(
        self, key: str, metric: str, at: Sequence[int], values: Sequence[Value], *, is_exact: bool
    ) -> None:
        """Take in readings that lie between the first and the last edge, in the order of time.

        Only what is exact keeps every number, which percentiles need.
        """
        if not at:
            return
        numbers = self._numbers.setdefault((key, metric), {})
        found: dict[int, Bin] = {}
        low = 0
        while low < len(at):
            place = bisect_right(self.edges, at[low]) - 1
            high = bisect_left(at, self.edges[place + 1], low)
            each = bin_of(at[low:high], values[low:high])
            if each is not None:
                found[at[low]] = each
                if is_exact:
                    kept = numbers.setdefault(place, array("d"))
                    kept.extend(number for value in values[low:high] if (number := number_of(value)) is not None)
            low = high
        self.add_bins(key, metric, BinColumn.of(found))

    def whole(self, key: str, metric: str) -> dict[int, Bin]:
        """What is known of the bins that have any numbers, by the place of each among all."""
        whole = self._whole_of(key, metric)
        return dict(zip(whole.places, whole.bins.values(), strict=True))

    def rows(self, check: Check, question: Question) -> list[Row]:
        """The rows of the page that is asked for, in their order, and one more when there is one."""
        keys = sorted(question.keys)
        told: list[tuple[str, Collection[int] | None, list[tuple[Told, ...]]]] = []
        for key in keys:
            check()
            columns = [self._column(check, key, column, question.fill) for column in question.columns]
            told.append((key, self._there(key, question), list(zip(*columns, strict=True))))
        rows: list[Row] = []
        places = self._places(question)
        step = max(ROWS_AT_ONCE // max(len(keys), 1), 1)
        for first in range(0, len(places), step):
            check()
            rows += self._rows_of(places[first : first + step], told)
            if question.after is not None and first == 0:
                after = question.after
                rows = [row for row in rows if row.place.at != after.at or row.place.key > after.key]
            if len(rows) > question.limit:
                break
        return rows[: question.limit + 1]

    def _rows_of(
        self, places: range, told: Sequence[tuple[str, Collection[int] | None, Sequence[tuple[Told, ...]]]]
    ) -> Iterable[Row]:
        """The rows of some bins, bin by bin."""
        at = list(map(self.edges.__getitem__, places))
        columns = [
            map(Row, map(Place, at, repeat(key), repeat(0)), map(values.__getitem__, places)) for key, _, values in told
        ]
        rows = chain.from_iterable(zip(*columns, strict=True))
        if all(there is None for _, there, _ in told):
            return rows
        is_there = [
            repeat(True, len(places)) if there is None else map(there.__contains__, places) for _, there, _ in told
        ]
        return compress(rows, chain.from_iterable(zip(*is_there, strict=True)))

    def _places(self, question: Question) -> range:
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
        found = [self._whole_of(key, metric).places for metric in {column.metric for column in question.columns}]
        if any(len(places) == len(self.edges) - 1 for places in found):
            return None
        return set().union(*found)

    def _column(self, check: Check, key: str, column: Column, fill: Fill) -> list[Told]:
        bin_count = len(self.edges) - 1
        if isinstance(column, Percentile):
            told: list[Told] = [None] * bin_count
            for place in self._numbers.get((key, column.metric), {}):
                told[place] = quantile(
                    self._runs(check, key, column.metric, place), column.numerator, column.denominator
                )
            return filled(told, fill, self.edges)
        if not isinstance(column, Binned):
            raise TypeError(f"{column.name} is told of readings, not of bins")
        whole = self._whole_of(key, column.metric)
        found = _TELL[column.aggregate](whole.bins.fields)
        if len(found) == bin_count:
            # As many as there are: there is no gap.
            return list(found)
        told = [None] * bin_count
        for place, each in zip(whole.places, found, strict=True):
            told[place] = each
        return [count or 0 for count in told] if column.aggregate is Aggregate.COUNT else filled(told, fill, self.edges)

    def _whole_of(self, key: str, metric: str) -> "_Whole":
        """The bins of a key and metric, each whole, with their places in rising order."""
        found = self._whole.get((key, metric))
        if found is None:
            found = self._whole[key, metric] = self._put_together(self._columns.get((key, metric), []))
        return found

    def _put_together(self, columns: Sequence[BinColumn]) -> "_Whole":
        known = joined(columns)
        places, starts = self._placed_rows(known.at)
        if len(starts) == len(places):
            # Nearly always: bins of hours for a question about hours.
            return _Whole(places, known)
        places = [places[row] for row in starts]
        return _Whole(places, known.grouped([self.edges[place] for place in places], [*starts, len(known.at)]))

    def _placed_rows(self, at: Sequence[int]) -> tuple[list[int], list[int]]:
        """The place of each of some moments, which rise, and which of them are the first of their place."""
        if at is not self._placed[0] and at != self._placed[0]:
            places = self._places_of(at)
            if len(set(places)) == len(places):
                starts = list(range(len(places)))
            else:
                starts = [row for row, place in enumerate(places) if row == 0 or place != places[row - 1]]
            # Most devices have the same hours.
            self._placed = at, (places, starts)
        return self._placed[1]

    def _places_of(self, at: Sequence[int]) -> list[int]:
        if len(at) == len(self.edges) - 1 and list(at) == list(self.edges[:-1]):
            # A bin of each, and no gap.
            return list(range(len(at)))
        known = self._place_of
        if known is None:
            known = self._place_of = {edge: place for place, edge in enumerate(self.edges)}
        if known.keys() >= set(at):
            return [known[moment] for moment in at]
        return [bisect_right(self.edges, moment) - 1 for moment in at]

    def _runs(self, check: Check, key: str, metric: str, place: int) -> "list[array[float]]":
        """The numbers of a bin in sorted runs, which several percentiles share."""
        known = self._sorted.get((key, metric, place))
        if known is None:
            known = self._sorted[key, metric, place] = runs(self._numbers[key, metric][place], check)
        return known


class _Whole(NamedTuple):
    """Bins, and which of the question's bins each of them is."""

    places: list[int]
    bins: BinColumn


_TELL: Mapping[Aggregate, Callable[[Fields], Sequence[float | int]]] = {
    Aggregate.AVG: means,
    Aggregate.MIN: itemgetter(1),
    Aggregate.MAX: itemgetter(2),
    Aggregate.SUM: itemgetter(3),
    Aggregate.COUNT: itemgetter(0),
    Aggregate.FIRST: itemgetter(6),
    Aggregate.LAST: itemgetter(8),
    Aggregate.STDDEV: deviations,
}

_OF_BIN: Mapping[Aggregate, Callable[[Bin], float | int]] = {
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
    return _OF_BIN[aggregate](each)


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
