"""The nouns of a replay."""

import msgspec

from appliance.stream.replay.ordering import Place, Placed
from appliance.stream.wanted import EVERYTHING, Wanted

LOG = "log"
CHUNKS = "chunks"


class Interval(msgspec.Struct, frozen=True):
    """What is to be given once more: what arrived with `start <= arrived_at < end`."""

    tenant_id: int
    start: int
    end: int
    wanted: Wanted = EVERYTHING
    after: Place = Place(0, 0)
    """Nothing up to and with this place."""


class Slice(msgspec.Struct, frozen=True):
    """Reports in the order of their arrival, and where they came from; maybe none, to tell how far it has come."""

    source: str
    reports: tuple[Placed, ...]
    reached_at: int
    """Everything that arrived before this was given."""
