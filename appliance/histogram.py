"""How long things take: counted in buckets that are fixed and spaced evenly on a logarithmic scale.

Lengths of time are whole microseconds. To observe one costs the same however many were observed before.
"""

import math
from array import array
from bisect import bisect_left, bisect_right
from typing import Self

MICROSECONDS_PER_MS = 1_000
MICROSECONDS_PER_S = 1_000_000

_STEPS = (100, 160, 250, 400, 630)
"""Five to the decade, rounded as preferred numbers are (ISO 3, R5): each is about 1.58 times the one before."""


def spaced(first_us: int, decades: int) -> tuple[int, ...]:
    """Bounds from a power of ten of microseconds, at least 100, over so many decades; both ends are among them."""
    return (
        *(first_us * 10**decade * step // _STEPS[0] for decade in range(decades) for step in _STEPS),
        first_us * 10**decades,
    )


BRIEF = spaced(100, 6)
"""From 100 microseconds to 100 seconds, for what the gateway itself does."""
LONG = spaced(1_000, 9)
"""From a millisecond to 11 days and a half, for what devices may keep to themselves for long."""


class Histogram:
    """How many lengths of time there were up to each bound, and above the one before it."""

    __slots__ = ("bounds", "counts", "sum_us")

    def __init__(self, bounds: tuple[int, ...] = BRIEF) -> None:
        self.bounds = bounds
        """The greatest length of each bucket, microseconds, ascending; one more bucket holds what is longer."""
        self.counts = array("Q", bytes(8 * (len(bounds) + 1)))
        self.sum_us = 0

    def observe(self, length_us: int, count: int = 1) -> None:
        """Count a length of time, or several of that length. One below zero, by a clock that was set, is none."""
        if length_us < 0:  # noqa: PLR1730  max() takes a third as long as all the rest
            length_us = 0
        self.counts[bisect_left(self.bounds, length_us)] += count
        self.sum_us += length_us * count

    def observe_all(self, lengths: list[int], unit_us: int = 1) -> None:
        """Count many lengths of time, in units of so many microseconds. The list is sorted."""
        if not lengths:
            return
        lengths.sort()
        counted = bisect_right(lengths, 0)
        self.counts[0] += counted
        self.sum_us += sum(lengths[counted:]) * unit_us
        for place, bound in enumerate(self.bounds):
            until = bisect_right(lengths, bound // unit_us, counted)
            self.counts[place] += until - counted
            counted = until
            if counted == len(lengths):
                return
        self.counts[-1] += len(lengths) - counted

    @property
    def count(self) -> int:
        """How many lengths of time were counted."""
        return sum(self.counts)

    def cumulative(self) -> list[int]:
        """How many were up to each bound; the last number is of all of them."""
        total = 0
        return [total := total + count for count in self.counts]

    def quantile_us(self, part: float) -> float | None:
        """The bound that this part of the lengths, above 0 and at most 1, did not pass; None when there are none.

        The length itself lies in the bucket below that bound. Infinity stands for what is longer than all bounds.
        """
        cumulative = self.cumulative()
        if not cumulative[-1]:
            return None
        place = bisect_left(cumulative, max(1, math.ceil(part * cumulative[-1])))
        return self.bounds[place] if place < len(self.bounds) else math.inf

    def copy(self) -> Self:
        """The same, that later lengths are not counted in."""
        twin = type(self)(self.bounds)
        twin.counts = self.counts[:]
        twin.sum_us = self.sum_us
        return twin

    def since(self, earlier: Self) -> Self:
        """What was counted after an earlier copy of this."""
        rest = type(self)(self.bounds)
        rest.counts = array("Q", map(int.__sub__, self.counts, earlier.counts))
        rest.sum_us = self.sum_us - earlier.sum_us
        return rest
