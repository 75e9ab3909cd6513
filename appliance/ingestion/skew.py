"""How far the clock of one device is behind the gateway's: the median over its newest messages."""

from array import array
from statistics import median_low

WINDOW = 31
"""So many messages are looked at."""
LIMIT_MS = 2**62


class Skew:
    """The newest differences between an arrival and the moment that the device told."""

    __slots__ = ("_next", "_window")

    def __init__(self) -> None:
        self._window: array[int] = array("q")
        self._next = 0

    def note(self, behind_ms: int) -> None:
        """Take how far a message's moment was behind its arrival; negative when it was ahead."""
        if not -LIMIT_MS <= behind_ms <= LIMIT_MS:
            behind_ms = LIMIT_MS if behind_ms > 0 else -LIMIT_MS
        window, place = self._window, self._next
        if place == len(window):
            window.append(behind_ms)
        else:
            window[place] = behind_ms
        self._next = place + 1 if place < WINDOW - 1 else 0

    @property
    def count(self) -> int:
        """How many messages it is told from."""
        return len(self._window)

    def median_ms(self) -> int | None:
        """What half of the messages are not above; None when no message told the time."""
        return median_low(self._window) if self._window else None
