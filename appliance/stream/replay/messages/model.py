"""The nouns of messages that are given once more."""

import re
from typing import NamedTuple

import msgspec

from appliance.stream.model import BadPositionError
from appliance.stream.replay import ordering
from appliance.stream.replay.ordering import Place

JOURNAL = "journal"

_JOURNAL_PLACE = re.compile(r"j(.+)", re.DOTALL)


class GivenMessage(msgspec.Struct, frozen=True):
    """A message once more."""

    topic: str
    client_id: str
    arrived_at: int
    """UTC milliseconds."""
    content_type: str
    """Empty when the message did not say."""
    payload: bytes


class Mark(NamedTuple):
    """Where a message stands in a replay of messages."""

    place: Place
    is_raw: bool = False
    """Whether it is a place in the journal: those are counted otherwise than reports are."""


class PlacedMessage(NamedTuple):
    """A message and where it stands."""

    place: Place
    message: GivenMessage
    mark: Mark


class MessageSlice(msgspec.Struct, frozen=True):
    """Messages in the order in which they came, and where they came from; maybe none."""

    source: str
    messages: tuple[PlacedMessage, ...]
    reached_at: int
    """Everything that arrived before this was given."""


START = Mark(Place(0, 0))


def printed(mark: Mark) -> str:
    """A mark as it is told to readers."""
    return f"j{ordering.printed(mark.place)}" if mark.is_raw else ordering.printed(mark.place)


def parsed(text: str) -> Mark:
    """The mark that `printed` wrote. Raises `BadPositionError`."""
    found = _JOURNAL_PLACE.fullmatch(text)
    try:
        return Mark(ordering.parsed(found[1] if found else text), found is not None)
    except BadPositionError:
        raise BadPositionError(f"{text[:64]!r} is no place in a replay: give one that this gateway has told") from None
