"""How far the clock of one device is behind the gateway's: the median over its newest messages."""

from array import array
from collections.abc import Sequence
from statistics import median_low

WINDOW = 31
"""So many messages are looked at."""
LIMIT_MS = 2**62
_KEPT = 48
"""Of more, those that nobody looks at any more are let go."""


class Skew:
    """The newest differences between an arrival and the moment that the device told."""

    __slots__ = ("_newest",)

    def __init__(self) -> None:
        self._newest: array[int] = array("q")

    def note(self, behind_ms: Sequence[int]) -> None:
        """Take how far the moments of messages were behind their arrivals; negative when they were ahead."""
        newest = self._newest
        try:
            newest.extend(array("q", behind_ms))
        except OverflowError:
            newest.extend([min(max(each, -LIMIT_MS), LIMIT_MS) for each in behind_ms])
        if len(newest) > _KEPT:
            del newest[:-WINDOW]

    @property
    def count(self) -> int:
        """How many messages it is told from."""
        return min(len(self._newest), WINDOW)

    def median_ms(self) -> int | None:
        """What half of the messages are not above; None when no message told the time."""
        return median_low(self._newest[-WINDOW:]) if self._newest else None
