"""What a peer of the gateway is asked, and how it answers."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from appliance.instant import DAY_MS, HOUR_MS
from bench.message import device_ids
from bench.numbers import Spread
from bench.telemetry_walk import INTERVAL_MS, Walk

ROUNDS = 20
EVENTS_PER_COMMIT = 200
"""What the gateway commits at once at 2,000 events a second."""

Event = tuple[str, int, Sequence[float]]
"""Device, moment in UTC milliseconds, and a value of each metric."""


class AbsentError(Exception):
    """A peer is not installed here; the message says what was looked for."""


class Days(msgspec.Struct, frozen=True):
    """The same readings that the gateway keeps: days of few, and after them one of many."""

    device_count: int
    day: int
    past_days: int
    past_interval_ms: int
    hours: int
    """How long the day of many readings lasts: 24, or less to see that it works."""
    fleet_count: int
    """How many devices there are of which the latest values are asked for, with one event each."""
    durable_count: int
    """How many events are taken in small commits, to see how fast that goes."""

    @property
    def span(self) -> tuple[int, int]:
        """The day of many readings."""
        return self.day * DAY_MS, (self.day + 1) * DAY_MS

    @property
    def whole_span(self) -> tuple[int, int]:
        """All days."""
        return (self.day - self.past_days) * DAY_MS, (self.day + 1) * DAY_MS

    def events(self) -> Iterator[Event]:
        """All of them, in the order of time."""
        start, end = self.whole_span
        today = end - DAY_MS
        until = today + self.hours * HOUR_MS
        walks = [Walk(number, is_full=False) for number in range(self.device_count)]
        names = device_ids(self.device_count)
        for first, last, interval in ((start, today, self.past_interval_ms), (today, until, INTERVAL_MS)):
            for at in range(first, last, interval):
                for name, walk in zip(names, walks, strict=True):
                    yield (name, *walk.step(at))

    def fleet(self) -> Iterator[Event]:
        """One event of each of many devices."""
        for number, name in enumerate(device_ids(self.fleet_count)):
            yield (name, *Walk(number, is_full=False).step(self.whole_span[1] - 2 * INTERVAL_MS))

    def durable(self) -> Iterator[list[Event]]:
        """Commits of few events of many devices."""
        walks = [Walk(number, is_full=False) for number in range(EVENTS_PER_COMMIT)]
        names = device_ids(EVENTS_PER_COMMIT)
        for number in range(self.durable_count // EVENTS_PER_COMMIT):
            at = self.whole_span[0] + number * INTERVAL_MS
            yield [(name, *walk.step(at)) for name, walk in zip(names, walks, strict=True)]


class Peered(msgspec.Struct, frozen=True):
    """What a peer came to."""

    bytes_each: float
    """On the disk, for each reading of all days."""
    durable_rate: float
    """Readings a second, in commits of 200 events, one after the other."""
    raw: Spread
    month: Spread
    wide: Spread
    latest: Spread


class Peer(msgspec.Struct, frozen=True):
    """Something that keeps readings, too."""

    name: str
    promise: str
    """What is so of a reading when it has been taken."""
    keep: Callable[[Path, Days], Peered]
    """Takes a folder of its own; raises `AbsentError`."""
