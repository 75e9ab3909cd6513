"""Cursors as text: what an answer gives as `next_cursor`, and what is asked with it."""

import base64
import binascii
from collections.abc import Callable
from typing import Generic, TypeVar

import msgspec

from appliance.errors import InvalidInputError

T = TypeVar("T", bound=msgspec.Struct)


class CursorText(Generic[T]):
    """How the cursors of one kind are written, and read again."""

    def __init__(self, kind: type[T], may_be: Callable[[T], bool]) -> None:
        """`may_be` tells whether an answer can have had such a cursor."""
        self._decoder = msgspec.json.Decoder(kind)
        self._may_be = may_be

    def written(self, cursor: T) -> str:
        """A cursor as text for an address."""
        return base64.urlsafe_b64encode(msgspec.json.encode(cursor)).decode().rstrip("=")

    def read(self, text: str) -> T:
        """The cursor that was written. Raises `InvalidInputError`."""
        try:
            # Padded more than enough, which does no harm.
            cursor = self._decoder.decode(base64.urlsafe_b64decode(text.encode() + b"=="))
        except (msgspec.MsgspecError, binascii.Error, ValueError):
            raise _none() from None
        if not self._may_be(cursor):
            raise _none()
        return cursor


def _none() -> InvalidInputError:
    return InvalidInputError("cursor is not the next_cursor of an answer")
