"""Rows of readings themselves, with what their windows tell beside them."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import groupby

from appliance.telemetry.asking.model import Column, Place, Plain, Rolling, Row, ZScore
from appliance.telemetry.asking.rolling import Window, windows
from appliance.telemetry.bins import number_of
from appliance.telemetry.merge import Readings
from appliance.telemetry.model import Value

_Cells = dict[tuple[int, int], Value]
"""By moment, and by which of the readings of that moment it is."""


def longest_window_ms(columns: Sequence[Column]) -> int:
    """How far before a reading its windows reach."""
    return max((column.window_ms for column in columns if isinstance(column, Rolling | ZScore)), default=0)


def rows_of(key: str, readings: Mapping[str, Readings], columns: Sequence[Column], start: int) -> list[Row]:
    """The rows of a device from a moment on, oldest first. What lies before is only looked at by windows.

    Readings of several metrics that have the same moment stand in one row; one that is not there is null.
    """
    known: dict[tuple[str, int], list[Window | None]] = {}
    metrics = {column.metric for column in columns}
    if len(metrics) == 1:
        return _rows_of_one(key, readings[next(iter(metrics))], columns, start)
    cells = [_cells(readings[column.metric], column, start, known) for column in columns]
    places = sorted(set().union(*cells))
    return [Row(Place(at, key, number), tuple(each.get((at, number)) for each in cells)) for at, number in places]


def _rows_of_one(key: str, readings: Readings, columns: Sequence[Column], start: int) -> list[Row]:
    """The rows of one metric: no other one has to be found a place among them."""
    known: dict[tuple[str, int], list[Window | None]] = {}
    first = bisect_left(readings.at, start)
    table = zip(*(_values(readings, column, known)[first:] for column in columns), strict=True)
    rows: list[Row] = []
    before, occurrence = None, 0
    for at, values in zip(readings.at[first:], table, strict=True):
        occurrence = occurrence + 1 if at == before else 0
        before = at
        rows.append(Row(Place(at, key, occurrence), values))
    return rows


def _cells(readings: Readings, column: Column, start: int, known: dict[tuple[str, int], list[Window | None]]) -> _Cells:
    values = _values(readings, column, known)
    return {
        (moment, number): value
        for moment, same in groupby(zip(readings.at, values, strict=True), key=lambda pair: pair[0])
        if moment >= start
        for number, (_, value) in enumerate(same)
    }


def _values(readings: Readings, column: Column, known: dict[tuple[str, int], list[Window | None]]) -> Sequence[Value]:
    if isinstance(column, Plain):
        return readings.values
    if not isinstance(column, Rolling | ZScore):
        raise TypeError(f"{column.name} is told of bins, not of readings")
    key = column.metric, column.window_ms
    if key not in known:
        known[key] = windows(readings.at, readings.values, column.window_ms)
    if isinstance(column, Rolling):
        return [None if window is None else window.told(column.aggregate) for window in known[key]]
    numbers = map(number_of, readings.values)
    return [
        None if window is None or number is None else window.score(number)
        for window, number in zip(known[key], numbers, strict=True)
    ]
