"""The nouns of a replay."""

from typing import NamedTuple

import msgspec

from appliance.errors import ApplianceError
from appliance.stream.replay.ordering import Place, Placed
from appliance.stream.wanted import EVERYTHING, Wanted
from appliance.telemetry.model import Report

LOG = "log"
CHUNKS = "chunks"


class TooMuchError(ApplianceError):
    """More arrived in a span than is held in memory at once: a shorter one is to be asked for."""

    code = "replay_too_much"


class Interval(msgspec.Struct, frozen=True):
    """What is to be given once more: what arrived with `start <= arrived_at < end`."""

    tenant_id: int
    start: int
    end: int
    wanted: Wanted = EVERYTHING
    after: Place = Place(0, 0)
    """Nothing up to and with this place."""

    @property
    def begins_at(self) -> int:
        """From where on there may be anything to be given."""
        return max(self.start, self.after.arrived_at)


class Span(msgspec.Struct, frozen=True):
    """A piece of an interval, which is read in one go."""

    tenant_id: int
    start: int
    end: int
    wanted: Wanted
    most: int
    """With more reports than these it is too much, unless it is a single millisecond."""

    def touches(self, first: int, last: int) -> bool:
        """Whether anything that arrived from a moment up to and with another one may have arrived in it."""
        return first < self.end and last >= self.start

    def has(self, report: Report) -> bool:
        """Whether a report arrived in it and is wanted."""
        return self.start <= report.arrived_at < self.end and self.wanted.has(report)

    @property
    def limit(self) -> int:
        """How many reports are not too many; 0 when none are."""
        return self.most if self.end - self.start > 1 else 0

    def require_room(self, count: int) -> None:
        """Raise `TooMuchError` when so many reports are too many."""
        if self.limit and count > self.limit:
            raise TooMuchError(f"more than {self.most:,} reports arrived within {self.end - self.start:,} ms")


class Lack(NamedTuple):
    """A day of which something may be missing from a replay."""

    day: int
    """Whole UTC days since 1970."""
    why: str


class Slice(msgspec.Struct, frozen=True):
    """Reports in the order of their arrival, and where they came from; maybe none, to tell how far it has come."""

    source: str
    reports: tuple[Placed, ...]
    reached_at: int
    """Everything that arrived before this was given."""
    lacks: tuple[Lack, ...] = ()
    """But for what may be of these days. Each is told once."""
