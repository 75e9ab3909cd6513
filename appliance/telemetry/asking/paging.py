"""Pages of rows, and the text that asks for the next one."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from heapq import merge
from itertools import islice

import msgspec

from appliance.telemetry.asking.model import EARLIEST, LATEST, Answer, Order, Place, Row
from appliance.telemetry.cursor_text import CursorText
from appliance.telemetry.wanted import Check

_ROWS_AT_ONCE = 4_096


class Cursor(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Where a page goes on. It carries the range, so that all pages are of the same one."""

    start: int
    end: int
    after: Place | None
    """None is the first page, which no text asks for."""


_TEXT = CursorText(Cursor, lambda cursor: cursor.after is not None and EARLIEST <= cursor.start <= cursor.end <= LATEST)
written, read = _TEXT.written, _TEXT.read


def order_key(place: Place, order: Order) -> tuple[int, str, int]:
    """What rows are sorted by: their moment in the order that is asked, then the key, then the occurrence."""
    return (place.at if order is Order.OLDEST else -place.at, place.key, place.occurrence)


def first_of(check: Check, runs: Iterable[Sequence[Row]], order: Order, after: Place | None, count: int) -> list[Row]:
    """The first rows in an order that come after a place. In each run they have one key and stand oldest first."""
    in_order = []
    for run in runs:
        check()
        rows = _ordered(run, order)
        first = 0 if after is None else bisect_right(rows, order_key(after, order), key=lambda row: _key(row, order))
        in_order.append(rows[first : first + count])
    if len(in_order) == 1:
        return in_order[0]
    merged = merge(*in_order, key=lambda row: _key(row, order))
    found: list[Row] = []
    while len(found) < count and (some := list(islice(merged, min(_ROWS_AT_ONCE, count - len(found))))):
        check()
        found += some
    return found


def page(rows: Sequence[Row], limit: int) -> Answer:
    """The first of rows that are in order, and where to go on when there are more."""
    found = tuple(rows[:limit])
    return Answer(found, found[-1].place if len(rows) > limit else None)


def _ordered(run: Sequence[Row], order: Order) -> list[Row]:
    if order is Order.OLDEST:
        return list(run)
    found: list[Row] = []
    together: list[Row] = []
    for row in reversed(run):
        # Readings of one moment stay in their order.
        together.append(row)
        if row.place.occurrence == 0:
            found += reversed(together)
            together.clear()
    return found


def _key(row: Row, order: Order) -> tuple[int, str, int]:
    return order_key(row.place, order)
