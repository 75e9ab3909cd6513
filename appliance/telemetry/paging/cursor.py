"""Where the first page begins, and the text that asks for the next one."""

import base64
import binascii

import msgspec

from appliance.errors import InvalidInputError
from appliance.telemetry.paging.model import Cursor, Going, Place

_DECODER = msgspec.json.Decoder(Cursor)


def beginning(start: int, end: int) -> Cursor:
    """The cursor of the first page of a range, `start <= at < end`."""
    return Cursor(start, end, (Going(Place(end, 0), ()),))


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
    if not all(cursor.start <= each.before.at <= cursor.end for each in cursor.going):
        raise InvalidInputError("cursor is not the next_cursor of an answer")
    return cursor
