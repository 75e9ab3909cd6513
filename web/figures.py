"""Small lines drawn from readings: sparklines. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

WIDTH = 100.0
HEIGHT = 28.0
TOP = 2.0
BOTTOM = 26.0
FEWEST = 2
"""Fewer readings than this make no line."""

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
    lowest, highest, limit = extent(lowest, highest, limit)
    spread = (highest - lowest) or 1.0
    length = max(end - start, 1)

    def height(value: float) -> float:
        return BOTTOM - (BOTTOM - TOP) * (value - lowest) / spread

    drawn = [(WIDTH * (at - start) / length, height(value)) for at, value in shown]
    line = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in drawn)
    area = f"{line}L{drawn[-1][0]:.1f} {HEIGHT:g}L{drawn[0][0]:.1f} {HEIGHT:g}Z"
    return Sparkline(line, area, None if limit is None else round(height(limit), 1))


def extent(lowest: float, highest: float, limit: float | None) -> tuple[float, float, float | None]:
    """What a drawing of values between two bounds reaches over, with its limit; None when that lies too far away."""
    if limit is None:
        return lowest, highest, None
    low, high = min(lowest, limit), max(highest, limit)
    if high - low > 3 * max(highest - lowest, abs(limit) / 10):
        return lowest, highest, None
    return low, high, limit
