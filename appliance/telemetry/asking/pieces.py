"""Of what a range of bins is answered: whole UTC days, whole UTC hours, and readings at the edges."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, pairwise
from operator import sub
from typing import NamedTuple

from appliance.instant import DAY_MS, HOUR_MS

Span = tuple[int, int]
"""`start <= at < end`, UTC milliseconds."""

_ONE_BIN = 2
"""So many edges are those of one bin."""


class Pieces(NamedTuple):
    """Spans that do not touch each other, in the order of time; together they are the range."""

    days: list[Span]
    hours: list[Span]
    raw: list[Span]


def clipped(edges: Sequence[int], start: int, end: int) -> list[int]:
    """The edges of bins as far as these lie in a range: but for the first and the last they do."""
    return [max(edges[0], start), *edges[1:-1], min(edges[-1], end)] if edges else []


def pieces_of(edges: Sequence[int]) -> Pieces:
    """What the bins between edges are combined from."""
    found = Pieces([], [], [])
    # But for the first and the last, which the range clips, bins are mostly alike.
    for some in (edges[:2], edges[1:-1], edges[-2:] if len(edges) > _ONE_BIN else ()):
        if len(some) < _ONE_BIN:
            continue
        if _are_of_hours(some):
            _add(found.hours, (some[0], some[-1]))
        else:
            _add_each(found, pairwise(some))
    return found


def _are_of_hours(edges: Sequence[int]) -> bool:
    """Whether every bin is of whole hours and shorter than a day. There may be thousands."""
    return {edge % HOUR_MS for edge in edges} == {0} and max(map(sub, edges[1:], edges)) < DAY_MS


def _add_each(found: Pieces, bins: Iterable[Span]) -> None:
    for start, end in bins:
        first, stop = _whole((start, end), HOUR_MS)
        if first >= stop:
            _add(found.raw, (start, end))
            continue
        _add(found.raw, (start, first))
        low, high = _whole((first, stop), DAY_MS)
        if low < high:
            _add(found.hours, (first, low))
            _add(found.days, (low, high))
            _add(found.hours, (high, stop))
        else:
            _add(found.hours, (first, stop))
        _add(found.raw, (stop, end))


def cut(spans: Iterable[Span], length_ms: int) -> Iterator[Span]:
    """The same in parts, each within one stretch of this length since 1970."""
    for start, end in spans:
        yield from pairwise(chain([start], range((start // length_ms + 1) * length_ms, end, length_ms), [end]))


def shorter(spans: Iterable[Span], length_ms: int) -> Iterator[Span]:
    """The same in parts, none of which is longer than this."""
    return ((first, min(first + length_ms, end)) for start, end in spans for first in range(start, end, length_ms))


def _whole(span: Span, length_ms: int) -> Span:
    """The longest span within one that begins and ends at multiples of a length."""
    return -(-span[0] // length_ms) * length_ms, span[1] // length_ms * length_ms


def _add(spans: list[Span], span: Span) -> None:
    if span[0] >= span[1]:
        return
    if spans and spans[-1][1] == span[0]:
        spans[-1] = (spans[-1][0], span[1])
    else:
        spans.append(span)
