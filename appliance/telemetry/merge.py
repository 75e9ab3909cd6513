"""Readings of one device and one day, out of chunks and memory, in the order of time, each once."""

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import chain, islice
from operator import attrgetter, lt
from typing import NamedTuple

from appliance.telemetry.column import MISSING
from appliance.telemetry.model import Series, Value
from appliance.telemetry.rows import Rows


class Readings(NamedTuple):
    """Readings of one metric, oldest first, in two columns of equal length."""

    at: list[int]
    values: list[Value]


Whole = Callable[[], Sequence[Rows]]
"""Gives the same parts with every metric in them."""


def merge(parts: Sequence[Rows], metrics: Sequence[str], start: int, end: int, whole: Whole) -> dict[str, Readings]:
    """The readings of some metrics with `start <= at < end`.

    A report that was delivered twice (same moment, sequence number and values) counts once, the first. To
    tell that, `whole` is asked, and only when two reports have the same moment.
    """
    parts = sorted((part for part in parts if part.count), key=lambda part: part.at[0])
    moments = list(chain.from_iterable(part.at for part in parts))
    if all(map(lt, moments, islice(moments, 1, None))):
        return {metric: _in_order(parts, metric, start, end) for metric in metrics}
    parts = sorted(whole(), key=attrgetter("last_log_id"))
    places = _places(parts, start, end)
    return {metric: _at_places(parts, places, metric) for metric in metrics}


def newest(metric: str, days: Sequence[Readings], limit: int) -> Series:
    """The newest readings of days that are in the order of time."""
    moments = list(chain.from_iterable(day.at for day in days))
    values = list(chain.from_iterable(day.values for day in days))
    first = max(len(moments) - limit, 0)
    return Series(metric, tuple(moments[first:]), tuple(values[first:]), truncated=first > 0)


def _in_order(parts: Sequence[Rows], metric: str, start: int, end: int) -> Readings:
    readings = Readings([], [])
    for part in parts:
        column = part.columns.get(metric)
        if column is None:
            continue
        if start <= part.at[0] and part.at[-1] < end and MISSING not in column.cells:
            readings.at.extend(part.at)
            readings.values.extend(column.cells)
            continue
        for at, cell in zip(part.at, column.cells, strict=True):
            if start <= at < end and cell is not MISSING:
                readings.at.append(at)
                readings.values.append(cell)
    return readings


def _places(parts: Sequence[Rows], start: int, end: int) -> list[tuple[int, int, int]]:
    """Moment, part and row of every report in the order of time, without redeliveries."""
    places = sorted(
        (at, number, row) for number, part in enumerate(parts) for row, at in enumerate(part.at) if start <= at < end
    )
    counts = Counter(at for at, _, _ in places)
    kept = []
    seen = set()
    for place in places:
        at, number, row = place
        if counts[at] > 1:
            identity = parts[number].identity(row)
            if identity in seen:
                continue
            seen.add(identity)
        kept.append(place)
    return kept


def _at_places(parts: Sequence[Rows], places: Sequence[tuple[int, int, int]], metric: str) -> Readings:
    columns = [part.columns.get(metric) for part in parts]
    readings = Readings([], [])
    for at, number, row in places:
        column = columns[number]
        if column is not None and (cell := column.cells[row]) is not MISSING:
            readings.at.append(at)
            readings.values.append(cell)
    return readings
