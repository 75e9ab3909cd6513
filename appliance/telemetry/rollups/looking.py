"""What chunks reach into that no roll-up knows.

After each start this is asked of every device. Mostly its newest chunks lie in hours that are not over, and then their
headers tell enough: to unpack them takes many times as long.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import msgspec

from appliance.instant import HOUR_MS
from appliance.telemetry.chunk import Header
from appliance.telemetry.merge import Part
from appliance.telemetry.open_chunks import hours_of
from appliance.telemetry.rollups import computing
from appliance.telemetry.rollups.model import Found
from appliance.telemetry.rollups.stale import Device


class Looking(msgspec.Struct, frozen=True):
    """What is looked for in the chunks of a day."""

    known: int
    """The log id up to which every chunk is rolled up."""
    held: Mapping[Device, Collection[int]]
    """The hours of which memory holds something: they are left for later."""
    open_from: int
    """The first hour that is not over: it is left for later too, and so are those after it."""

    def found(
        self,
        headers: Iterable[tuple[Device, Sequence[Header], bool]],
        parts_of: Callable[[Collection[Device], int], Iterable[tuple[Device, Sequence[Part], bool]]],
    ) -> list[Found]:
        """What is found of each device, with the headers of all its chunks.

        Of those of which something is due, `parts_of` gives the chunks that reach beyond a moment, and whether these
        are all.
        """
        found, due = [], dict[Device, int]()
        for device, of_device, _ in headers:
            newer = [each for each in of_device if each.last_log_id > self.known]
            hours = {hour for each in newer for hour in _hours_reached(each)}
            if hours == self._left(device, hours):
                found.append(Found(device, [], hours, min((each.last_log_id for each in newer), default=0)))
            else:
                due[device] = min(hours)
        if due:
            for device, parts, is_whole in parts_of(due, min(due.values()) * HOUR_MS):
                found.append(self._computed(device, parts, is_whole=is_whole))
        return found

    def _computed(self, device: Device, parts: Sequence[Part], *, is_whole: bool) -> Found:
        newer = [part for part in parts if part.last_log_id > self.known]
        hours = hours_of(newer)
        left = self._left(device, hours)
        rows = computing.hour_rows(device, parts, hours - left, is_certain=is_whole)
        return Found(device, rows, left, min((part.last_log_id for part in newer), default=0))

    def _left(self, device: Device, hours: Iterable[int]) -> set[int]:
        return {hour for hour in hours if hour >= self.open_from or hour in self.held[device]}


def _hours_reached(header: Header) -> range:
    """The hours from the first report of a chunk to its last one, counted since 1970."""
    return range(header.first_at // HOUR_MS, header.last_at // HOUR_MS + 1)
