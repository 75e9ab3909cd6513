"""The nouns of messages that are given once more."""

import re
from typing import NamedTuple

import msgspec

from appliance.stream.model import BadPositionError
from appliance.stream.replay import ordering
from appliance.stream.replay.model import Lack
from appliance.stream.replay.ordering import Place
from appliance.telemetry.journal.model import Standing

JOURNAL = "journal"

_JOURNAL_PLACE = re.compile(r"j([^-]+)(?:-([1-9][0-9]{0,9})\.([1-9][0-9]{0,9}))?", re.DOTALL)


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
    standing: Standing | None = None
    """Where it lies in the journal; None of what was told before that was."""


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
    lacks: tuple[Lack, ...] = ()
    """But for what may be of these days. Each is told once."""


START = Mark(Place(0, 0))


def printed(mark: Mark) -> str:
    """A mark as it is told to readers."""
    if not mark.is_raw:
        return ordering.printed(mark.place)
    standing = f"-{mark.standing.segment}.{mark.standing.number}" if mark.standing else ""
    return f"j{ordering.printed(mark.place)}{standing}"


def parsed(text: str) -> Mark:
    """The mark that `printed` wrote. Raises `BadPositionError`."""
    found = _JOURNAL_PLACE.fullmatch(text)
    try:
        place = ordering.parsed(found[1] if found else text)
    except BadPositionError:
        raise BadPositionError(f"{text[:64]!r} is no place in a replay: give one that this gateway has told") from None
    standing = Standing(int(found[2]), int(found[3])) if found and found[2] else None
    return Mark(place, found is not None, standing)
