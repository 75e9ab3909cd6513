"""Rows of readings themselves, with what their windows tell beside them."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice, repeat, tee
from operator import lt
from typing import TypeVar

from appliance.telemetry.asking.model import Aggregate, Column, Place, Plain, Rolling, Row, ZScore
from appliance.telemetry.asking.rolling import Window, windows
from appliance.telemetry.bins import number_of
from appliance.telemetry.merge import Readings
from appliance.telemetry.model import Value
from appliance.telemetry.wanted import Check

READINGS_AT_ONCE = 1_024
"""After so many readings it is asked whether the rest is wanted: a window may be a costly thing to compute."""

T = TypeVar("T")

_Cells = dict[tuple[int, int], tuple[Value, ...]]
"""By moment, and by which of the readings of that moment it is: a value of each column of a metric."""


def longest_window_ms(columns: Sequence[Column]) -> int:
    """How far before a reading its windows reach."""
    return max((column.window_ms for column in columns if isinstance(column, Rolling | ZScore)), default=0)


def rows_of(
    check: Check, key: str, readings: Mapping[str, Readings], columns: Sequence[Column], start: int
) -> list[Row]:
    """The rows of a device from a moment on, oldest first. What lies before is only looked at by windows.

    Readings of several metrics that have the same moment stand in one row; one that is not there is null.
    """
    metrics = list(dict.fromkeys(column.metric for column in columns))
    of_metric = {metric: [column for column in columns if column.metric == metric] for metric in metrics}
    tables = {metric: _table(check, readings[metric], of_metric[metric], start) for metric in metrics}
    if len(metrics) == 1:
        [table] = tables.values()
        at, numbers, values = table
        return list(map(Row, map(Place, at, repeat(key), numbers), values))
    cells: dict[str, _Cells] = {
        metric: dict(zip(zip(at, numbers, strict=True), values, strict=True))
        for metric, (at, numbers, values) in tables.items()
    }
    order = [(column.metric, of_metric[column.metric].index(column)) for column in columns]
    nothing = {metric: (None,) * len(of_metric[metric]) for metric in metrics}
    rows = []
    for place in _watched(check, sorted(set().union(*cells.values()))):
        found = {metric: cells[metric].get(place, nothing[metric]) for metric in metrics}
        rows.append(Row(Place(place[0], key, place[1]), tuple(found[metric][number] for metric, number in order)))
    return rows


def _table(
    check: Check, readings: Readings, columns: Sequence[Column], start: int
) -> tuple[Sequence[int], Iterable[int], Iterable[tuple[Value, ...]]]:
    """The readings of one metric from a moment on: their moments, which of that moment each is, and what columns tell.

    Nothing here is done reading by reading that a step over many of them can do.
    """
    first = bisect_left(readings.at, start)
    at = readings.at[first:]
    table = islice(_watched(check, zip(*_told(check, readings, columns), strict=True)), first, None)
    return at, _occurrences(at), table


def _occurrences(at: Sequence[int]) -> Iterable[int]:
    """Of each reading: which of those of its moment it is, from 0."""
    if all(map(lt, at, islice(at, 1, None))):
        return repeat(0, len(at))
    found: list[int] = []
    for before, moment in zip(chain([None], at), at, strict=False):
        found.append(found[-1] + 1 if moment == before else 0)
    return found


def _told(check: Check, readings: Readings, columns: Sequence[Column]) -> list[Iterable[Value]]:
    """What each column tells of every reading, those before the range too. Equal windows are computed once."""
    lengths = [column.window_ms for column in columns if isinstance(column, Rolling | ZScore)]
    found = {
        length: iter(tee(windows(readings.at, readings.values, length, check), lengths.count(length)))
        for length in set(lengths)
    }
    told: list[Iterable[Value]] = []
    for column in columns:
        match column:
            case Plain():
                told.append(readings.values)
            case Rolling():
                told.append(_aggregated(next(found[column.window_ms]), column.aggregate))
            case ZScore():
                told.append(map(_score, next(found[column.window_ms]), readings.values))
            case _:
                raise TypeError(f"{column.name} is told of bins, not of readings")
    return told


def _aggregated(found: Iterable[Window | None], aggregate: Aggregate) -> Iterator[Value]:
    return (None if window is None else window.told(aggregate) for window in found)


def _score(window: Window | None, value: Value) -> float | None:
    number = number_of(value)
    return None if window is None or number is None else window.score(number)


def _watched(check: Check, things: Iterable[T]) -> Iterator[T]:
    """The same, asking now and then whether the rest is wanted."""
    each = iter(things)

    def some() -> list[T]:
        check()
        return list(islice(each, READINGS_AT_ONCE))

    return chain.from_iterable(iter(some, []))
