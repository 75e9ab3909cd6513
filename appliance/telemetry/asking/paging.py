"""Pages of rows, and the text that asks for the next one."""

import base64
import binascii
from collections.abc import Sequence

import msgspec

from appliance.errors import InvalidInputError
from appliance.telemetry.asking.model import EARLIEST, LATEST, Answer, Order, Place, Row


class Cursor(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Where a page goes on. It carries the range, so that all pages are of the same one."""

    start: int
    end: int
    after: Place | None
    """None is the first page, which no text asks for."""


_DECODER = msgspec.json.Decoder(Cursor)


def written(cursor: Cursor) -> str:
    """A cursor as text for an address."""
    return base64.urlsafe_b64encode(msgspec.json.encode(cursor)).decode().rstrip("=")


def read(text: str) -> Cursor:
    """The cursor that was written. Raises `InvalidInputError`."""
    try:
        # Padded more than enough, which does no harm.
        cursor = _DECODER.decode(base64.urlsafe_b64decode(text.encode() + b"=="))
    except (msgspec.MsgspecError, binascii.Error, ValueError):
        raise InvalidInputError("cursor is not the next_cursor of an answer") from None
    if cursor.after is None or not EARLIEST <= cursor.start <= cursor.end <= LATEST:
        raise InvalidInputError("cursor is not the next_cursor of an answer")
    return cursor


def order_key(place: Place, order: Order) -> tuple[int, str, int]:
    """What rows are sorted by: their moment in the order that is asked, then the key, then the occurrence."""
    return (place.at if order is Order.OLDEST else -place.at, place.key, place.occurrence)


def following(rows: Sequence[Row], order: Order, after: Place | None) -> list[Row]:
    """The rows in their order, those only that come after a place."""
    rest = sorted(rows, key=lambda row: order_key(row.place, order))
    if after is None:
        return rest
    last = order_key(after, order)
    return [row for row in rest if order_key(row.place, order) > last]


def page(rows: Sequence[Row], limit: int) -> Answer:
    """The first of rows that are in order, and where to go on when there are more."""
    found = tuple(rows[:limit])
    return Answer(found, found[-1].place if len(rows) > limit else None)
