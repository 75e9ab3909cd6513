"""The order of a replay: by arrival, and where several reports arrived in the same millisecond always the same.

So a report has the same number whether it comes out of the log or out of chunks, and a reader can go on after it.
"""

import re
from collections.abc import Iterable, Iterator
from operator import attrgetter
from typing import NamedTuple

from appliance.stream.model import BadPositionError
from appliance.telemetry.model import Report
from appliance.telemetry.rows import Identity, identity_of

_WRITTEN = re.compile(r"(0|[1-9][0-9]{0,15})\.(0|[1-9][0-9]{0,9})")


class Place(NamedTuple):
    """Where a report stands in a replay."""

    arrived_at: int
    number: int
    """Among those that arrived in the same millisecond, from 1."""


class Placed(NamedTuple):
    """A report and its place."""

    place: Place
    report: Report


def printed(place: Place) -> str:
    """A place as it is told to readers."""
    return f"{place.arrived_at}.{place.number}"


def parsed(text: str) -> Place:
    """The place that `printed` wrote. Raises `BadPositionError`."""
    found = _WRITTEN.fullmatch(text)
    if found is None:
        raise BadPositionError(f"{text[:64]!r} is no place in a replay: give one that this gateway has told")
    return Place(int(found[1]), int(found[2]))


class Ordering:
    """Puts reports that come by arrival into the order of a replay."""

    def __init__(self, after: Place) -> None:
        """Nothing is given up to and with this place."""
        self._after = after
        self._waiting: list[Report] = []

    def take(self, reports: Iterable[Report]) -> Iterator[Placed]:
        """Give what can be placed; the last millisecond waits for company."""
        for report in reports:
            if self._waiting and self._waiting[0].arrived_at != report.arrived_at:
                yield from self.rest()
            self._waiting.append(report)

    def rest(self) -> Iterator[Placed]:
        """Give what waits."""
        waiting, self._waiting = self._waiting, []
        # A report that was delivered twice, or is seen in memory and on the disk, is one.
        alike: dict[tuple[str, Identity], Report] = {}
        for report in waiting:
            alike.setdefault((report.device_id, identity_of(report)), report)
        # Those of one device and moment stay in the order of the log, which chunks have, too.
        for number, report in enumerate(sorted(alike.values(), key=attrgetter("device_id", "at")), 1):
            placed = Placed(Place(report.arrived_at, number), report)
            if placed.place > self._after:
                yield placed


def due_s(at: int, start: int, speed: float) -> float:
    """When a moment is reached, in seconds since a replay from `start` on began; 0 is as fast as possible."""
    return (at - start) / (speed * 1_000) if speed else 0.0
