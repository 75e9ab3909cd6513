"""Readings of one device and one day, out of chunks and memory, in the order of time, each once."""

from array import array
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from heapq import merge as merged
from itertools import chain, compress, islice, pairwise
from operator import attrgetter, lt
from typing import NamedTuple, Protocol, TypeVar

from appliance.telemetry.column import MISSING
from appliance.telemetry.glance import Glance
from appliance.telemetry.growing import Column, Runs
from appliance.telemetry.model import Series, TimeSource, Value
from appliance.telemetry.rows import Rows
from appliance.telemetry.wanted import Check, is_wanted

T = TypeVar("T")

_PLACES_AT_ONCE = 4_096


class Part(Protocol):
    """Reports of a device and day in the order of the log, with some of their metrics."""

    @property
    def at(self) -> Sequence[int]:
        """The moment of each report."""

    @property
    def columns(self) -> Mapping[str, Column]:
        """The metrics that were asked for, as far as they are there."""

    @property
    def time_sources(self) -> Runs[TimeSource]:
        """Where the moment of each report comes from."""

    @property
    def last_log_id(self) -> int:
        """The newest log record of which there is a report."""

    def whole(self) -> Rows:
        """The same reports with every metric."""


class Readings(NamedTuple):
    """Readings of one metric, oldest first, in two columns of equal length."""

    at: Sequence[int]
    values: Sequence[Value]
    sources: bytes | None = None
    """Where each moment comes from, as the number of a `TimeSource`; None when all are the device's own."""


Found = Mapping[str, list[Readings]]
"""What was found so far, by metric: one piece after the other."""

Place = tuple[int, int, int]
"""Moment, part and row of a report."""


def merge(
    parts: Sequence[Part], metrics: Sequence[str], start: int, end: int, check: Check = is_wanted
) -> dict[str, Readings]:
    """The readings of some metrics with `start <= at < end`.

    A report that was delivered twice (same moment, sequence number and values) counts once, the first. To
    tell that, parts are asked for as a whole, and only those in which reports have the same moment.
    """
    found: Found = {metric: [] for metric in metrics}
    for group in _groups(parts):
        check()
        if len(group) == 1 and _is_rising(group[0]):
            _add_in_order(found, group[0], start, end)
        else:
            _add_mixed(found, sorted(group, key=attrgetter("last_log_id")), (start, end), check)
    return {metric: _joined(pieces) for metric, pieces in found.items()}


def newest(metric: str, days: Sequence[Readings], limit: int) -> Series:
    """The newest readings of days that are in the order of time."""
    found = _joined(days)
    first = max(len(found.at) - limit, 0)
    at, values, sources = beginning_at(found, first)
    return Series(metric, at, values, first > 0, sources)


def beginning_at(found: Readings, first: int) -> Readings:
    """Readings without the first few."""
    if not first:
        return found
    return Readings(found.at[first:], found.values[first:], found.sources and found.sources[first:])


def sources_of(pieces: Sequence[Readings]) -> bytes | None:
    """Where the moments of readings one after the other come from."""
    if all(piece.sources is None for piece in pieces):
        return None
    return b"".join([bytes(len(piece.at)) if piece.sources is None else piece.sources for piece in pieces])


def _joined(pieces: Sequence[Readings]) -> Readings:
    """Readings one after the other."""
    if len(pieces) == 1:
        return pieces[0]
    at, values = _concatenated([piece.at for piece in pieces]), _concatenated([piece.values for piece in pieces])
    return Readings(at, values, sources_of(pieces))


def _concatenated(pieces: Sequence[Sequence[T]]) -> Sequence[T]:
    """Columns as one: those of numbers, which lie side by side, are copied as they lie."""
    arrays = [piece for piece in pieces if isinstance(piece, array)]
    if len(arrays) < len(pieces) or len({piece.typecode for piece in arrays}) != 1:
        return list(chain.from_iterable(pieces))
    joined = arrays[0][:]
    for piece in arrays[1:]:
        joined.extend(piece)
    return joined


def _is_rising(part: Part) -> bool:
    if isinstance(part, Glance) and part.is_rising:
        return True
    at = part.at
    return all(map(lt, at, islice(at, 1, None)))


def _reach(part: Part) -> tuple[int, int]:
    """The first moment and the last one."""
    at = part.at
    return (at[0], at[-1]) if _is_rising(part) else (min(at), max(at))


def _groups(parts: Sequence[Part]) -> Iterator[list[Part]]:
    """The parts in the order of time; those that reach into each other are one group."""
    spans = sorted((*_reach(part), place) for place, part in enumerate(parts) if part.at)
    group: list[int] = []
    reach = 0
    for first, last, place in spans:
        if group and first > reach:
            yield [parts[each] for each in sorted(group)]
            group = []
        reach = max(reach, last) if group else last
        group.append(place)
    if group:
        yield [parts[each] for each in sorted(group)]


def _add_in_order(found: Found, part: Part, start: int, end: int) -> None:
    at = part.at
    low, high = bisect_left(at, start), bisect_left(at, end)
    if low == high:
        return
    sources = _sources(part)
    of_span = sources and sources[low:high]
    for metric, pieces in found.items():
        column = part.columns.get(metric)
        if column is None:
            continue
        cells = column.cells[low:high]
        at_of_span, sources = at[low:high], of_span
        # A column of one kind has a value in every row.
        if column.kind is None and MISSING in cells:
            there = [cell is not MISSING for cell in cells]
            at_of_span, cells = array("q", compress(at_of_span, there)), list(compress(cells, there))
            sources = sources and bytes(compress(sources, there))
        pieces.append(Readings(at_of_span, cells, sources))


def _sources(part: Part) -> bytes | None:
    """Where the moment of each row comes from; None when all are the device's own, as nearly always."""
    runs = part.time_sources
    return bytes(runs.expanded(len(part.at))) if any(runs.values) else None


def _add_mixed(found: Found, group: Sequence[Part], span: tuple[int, int], check: Check) -> None:
    places = _once(group, _places(group, *span, check), check)
    sources = [_sources(part) for part in group]
    is_all_the_devices = not any(sources)
    for first in range(0, len(places), _PLACES_AT_ONCE):
        check()
        some = places[first : first + _PLACES_AT_ONCE]
        for metric, pieces in found.items():
            moments, values, of_moments = array("q"), list[Value](), bytearray()
            columns = [part.columns.get(metric) for part in group]
            for at, number, row in some:
                column = columns[number]
                if column is not None and (cell := column.cells[row]) is not MISSING:
                    moments.append(at)
                    values.append(cell)
                    if not is_all_the_devices:
                        told = sources[number]
                        of_moments.append(told[row] if told else 0)
            pieces.append(Readings(moments, values, None if is_all_the_devices else bytes(of_moments)))


def _places(group: Sequence[Part], start: int, end: int, check: Check) -> list[Place]:
    """Where each report of a span is, in the order of time; at equal moments in that of the log."""
    runs = []
    for number, part in enumerate(group):
        check()
        runs.append(sorted((at, number, row) for row, at in enumerate(part.at) if start <= at < end))
    ordered = merged(*runs)
    places: list[Place] = []
    while some := list(islice(ordered, _PLACES_AT_ONCE)):
        check()
        places += some
    return places


def _once(group: Sequence[Part], places: list[Place], check: Check) -> list[Place]:
    """The same without redeliveries."""
    equal = {one[0] for one, other in pairwise(places) if one[0] == other[0]}
    if not equal:
        return places
    concerned = {number for at, number, _ in places if at in equal}
    wholes: dict[int, Rows] = {}
    for number in concerned:
        check()
        wholes[number] = group[number].whole()
    kept = []
    seen = set()
    for place in places:
        at, number, row = place
        if at in equal:
            identity = wholes[number].identity(row)
            if identity in seen:
                continue
            seen.add(identity)
        kept.append(place)
    return kept
