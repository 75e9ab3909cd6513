"""What of the readings that were found stands on a page, and where the next page goes on.

Rules:
- Readings of a metric stand in the order of their moments, and those of one moment in the order of their receipt. What
  comes late for a moment stands behind what is there already: it moves nobody's place.
- Each metric goes on where it ended. If these are too many places for a cursor, all of them are cut at the newest one.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import chain

from appliance.telemetry.merge import Readings, beginning_at, sources_of
from appliance.telemetry.model import Series
from appliance.telemetry.paging.model import NAMES_LIMIT, PLACES_LIMIT, Cursor, Cut, Going, Page, Place
from appliance.telemetry.wanted import Check

Found = dict[str, Readings]
"""Readings by metric."""


def up_to(check: Check, older: Found, there: Found, count: int) -> Found:
    """Older readings, and the first ones of the moment that comes after them."""
    found = {}
    for metric, readings in older.items():
        check()
        at, values, sources = there[metric]
        found[metric] = _joined(readings, Readings(at[:count], values[:count], sources and sources[:count]))
    return found


def split_moment(found: Readings, limit: int) -> int | None:
    """The moment of which a page of so many would have only some readings; None when it has all or none of each."""
    start = len(found.at) - limit
    return found.at[start] if start > 0 and found.at[start - 1] == found.at[start] else None


def with_moment(check: Check, found: Found, there: Found, at: int) -> Found:
    """The readings of a moment, of which only some were found, and those after it."""
    whole = {}
    for metric, readings in found.items():
        check()
        after = bisect_right(readings.at, at)
        whole[metric] = _joined(there[metric], beginning_at(readings, after))
    return whole


def cut(check: Check, found: Found, limit: int) -> dict[str, Cut]:
    """The newest of readings, at most so many of each metric. The moment at which one is cut is all there."""
    cuts = {}
    for metric, readings in found.items():
        check()
        start = max(len(readings.at) - limit, 0)
        place = None
        if start:
            at = readings.at[start]
            place = Place(at, start - bisect_left(readings.at, at))
        some = beginning_at(readings, start)
        cuts[metric] = Cut(metric, some.at, some.values, place, some.sources)
    return cuts


def paged(check: Check, cuts: Sequence[Cut], start: int, end: int) -> Page:
    """What was cut as a page."""
    going: dict[Place, list[str]] = {}
    for each in cuts:
        if each.next is not None:
            going.setdefault(each.next, []).append(each.metric)
    if not going:
        return Page([_series(each) for each in cuts], None)
    if len(going) <= PLACES_LIMIT and sum(map(len, chain.from_iterable(going.values()))) <= NAMES_LIMIT:
        found = tuple(Going(place, tuple(metrics)) for place, metrics in going.items())
        return Page([_series(each) for each in cuts], Cursor(start, end, found))
    newest = max(going)
    return Page(list(_from(check, cuts, newest)), Cursor(start, end, (Going(newest, ()),)))


def _from(check: Check, cuts: Sequence[Cut], place: Place) -> Iterator[Series]:
    """The series without what stands before a place."""
    for each in cuts:
        check()
        first = bisect_left(each.at, place.at)
        # Of the moment of the place itself the first readings may be left out already.
        left_out = each.next.occurrence if each.next is not None and each.next.at == place.at else 0
        first = min(first + max(place.occurrence - left_out, 0), bisect_right(each.at, place.at))
        truncated = first > 0 or each.next is not None
        yield Series(
            each.metric, each.at[first:], each.values[first:], truncated, each.sources and each.sources[first:]
        )


def _series(each: Cut) -> Series:
    return Series(each.metric, each.at, each.values, each.next is not None, each.sources)


def _joined(older: Readings, newer: Readings) -> Readings:
    if not newer.at:
        return older
    return Readings([*older.at, *newer.at], [*older.values, *newer.values], sources_of((older, newer)))
