"""When what is in the files of the cold tier arrived: a replay asks by arrival, and what came late lies in old days.

To find out means to read the file, which only the bucket may have by then, so it is kept beside the files.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from appliance.telemetry.cold.model import ColdDay
from appliance.telemetry.cold.shelf import beside

NAME = "_arrivals.json"


class Arrived(NamedTuple):
    """When the first and the last report in a file arrived, UTC milliseconds."""

    sha256: str
    first: int
    last: int


class ArrivalBook:
    """By day: what is known of its file."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._known: dict[int, Arrived] = {}

    def load(self) -> None:
        """Take up what was written down."""
        self._known = beside.read(self._path, Arrived)

    def note(self, known: ColdDay, first: int, last: int) -> None:
        """Take what is known of a file."""
        self._known[known.day] = Arrived(known.sha256, first, last)

    def save(self, known: Mapping[int, ColdDay]) -> None:
        """Write it down. Raises `OSError` when the disk does not take it: then it is found out again."""
        beside.write(self._path, self._known.copy(), frozenset(known))

    def is_known(self, known: ColdDay) -> bool:
        """Whether it is known when what is in a file arrived."""
        arrived = self._known.get(known.day)
        return arrived is not None and arrived.sha256 == known.sha256

    def may_touch(self, known: ColdDay, start: int, end: int) -> bool:
        """Whether something in a file may have arrived in a span."""
        if not self.is_known(known):
            return True
        arrived = self._known[known.day]
        return arrived.first < end and arrived.last >= start
