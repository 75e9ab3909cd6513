"""Lines drawn from readings: sparklines, and charts thinned to what a screen can show. Pure."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

WIDTH = 100.0
HEIGHT = 28.0
TOP = 2.0
BOTTOM = 26.0
FEWEST = 2
"""Fewer readings than this make no line."""

GAP_FACTOR = 5
"""A silence this many times the usual distance between readings is drawn as a gap."""

Point = tuple[int, float]


class Sparkline(NamedTuple):
    """A small line in a box of 100 by 28, as SVG path data."""

    line: str
    area: str
    limit: float | None
    """How high the limit lies in the box, when it is near enough to be drawn."""


def sparkline(points: Sequence[Point], start: int, end: int, limit: float | None = None) -> Sparkline | None:
    """Draw readings of the time from `start` to `end`; None when there are fewer than two.

    The limit is drawn only if that leaves the readings at least a third of the height.
    """
    shown = [point for point in points if start <= point[0] <= end]
    if len(shown) < FEWEST:
        return None
    lowest = min(value for _, value in shown)
    highest = max(value for _, value in shown)
    if limit is not None:
        low, high = min(lowest, limit), max(highest, limit)
        if high - low > 3 * max(highest - lowest, abs(limit) / 10):
            limit = None
        else:
            lowest, highest = low, high
    spread = (highest - lowest) or 1.0
    length = max(end - start, 1)

    def height(value: float) -> float:
        return BOTTOM - (BOTTOM - TOP) * (value - lowest) / spread

    drawn = [(WIDTH * (at - start) / length, height(value)) for at, value in shown]
    line = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in drawn)
    area = f"{line}L{drawn[-1][0]:.1f} {HEIGHT:g}L{drawn[0][0]:.1f} {HEIGHT:g}Z"
    return Sparkline(line, area, None if limit is None else round(height(limit), 1))


def thinned(points: Sequence[Point], start: int, end: int, count: int) -> list[Point]:
    """At most `count` points that keep the shape: the mean of each of `count` equal lengths of time."""
    if len(points) <= count:
        return list(points)
    width = max((end - start) / count, 1)
    sums: dict[int, tuple[int, float, int]] = {}
    for at, value in points:
        index = int((at - start) / width)
        moments, values, size = sums.get(index, (0, 0.0, 0))
        sums[index] = (moments + at, values + value, size + 1)
    return [(moments // size, values / size) for _, (moments, values, size) in sorted(sums.items())]


def with_gaps(points: Sequence[Point]) -> list[tuple[int, float | None]]:
    """The points with a None wherever the device was silent for much longer than usual."""
    if len(points) < FEWEST:
        return list(points)
    distances = sorted(later[0] - earlier[0] for earlier, later in itertools.pairwise(points))
    longest = GAP_FACTOR * max(distances[len(distances) // 2], 1)
    drawn: list[tuple[int, float | None]] = []
    for at, value in points:
        if drawn and at - drawn[-1][0] > longest:
            drawn.append((drawn[-1][0] + 1, None))
        drawn.append((at, value))
    return drawn
