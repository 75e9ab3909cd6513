"""Histograms as bars of a drawing, and lengths of time in words. Pure."""

import math
from typing import NamedTuple

from appliance.histogram import MICROSECONDS_PER_MS, MICROSECONDS_PER_S, Histogram

WIDTH = 100.0
HEIGHT = 40.0
GAP = 0.15
"""The part of a bar's place that stays empty."""
FEWEST = 8
"""So many places at least, so that one bar does not fill the drawing."""
_WHOLE = 100
"""From here on numbers are told without a fraction."""
_LONGER = ((86_400, "d"), (3_600, "h"), (60, "min"))


class Bar(NamedTuple):
    """One bucket, in a box of 100 by 40 whose upper edge is 0."""

    x: float
    y: float
    width: float
    height: float
    told: str
    """The lengths of time that it stands for, and how many there were."""


class Drawing(NamedTuple):
    """The buckets that hold something, and those between them."""

    bars: tuple[Bar, ...]
    least: str
    """Where the drawing begins, in words."""
    greatest: str


def drawing(histogram: Histogram) -> Drawing | None:
    """The histogram as bars; None when nothing was counted."""
    filled = [place for place, count in enumerate(histogram.counts) if count]
    if not filled:
        return None
    first, last = _range(filled[0], filled[-1], len(histogram.counts))
    step, most = WIDTH / (last - first + 1), max(histogram.counts)
    bars = []
    for place in range(first, last + 1):
        count = histogram.counts[place]
        # What was counted is seen, however few there were.
        height = max(HEIGHT * count / most, 1.0) if count else 0.0
        told = f"{_edge(histogram, place - 1)} to {_edge(histogram, place)}: {count}"
        x = (place - first + GAP / 2) * step
        bars.append(Bar(round(x, 2), round(HEIGHT - height, 2), round(step * (1 - GAP), 2), round(height, 2), told))
    return Drawing(tuple(bars), _edge(histogram, first - 1), _edge(histogram, last))


def length_in_words(length_us: float | None) -> str:
    """A length of time in microseconds as people read it, for example 6.3 ms or 2.8 d."""
    if length_us is None:
        return "none yet"
    if math.isinf(length_us):
        return "longer"
    for seconds, unit in _LONGER:
        if length_us >= 2 * seconds * MICROSECONDS_PER_S:
            return f"{_rounded(length_us / (seconds * MICROSECONDS_PER_S))} {unit}"
    if length_us >= MICROSECONDS_PER_S:
        return f"{_rounded(length_us / MICROSECONDS_PER_S)} s"
    return f"{_rounded(length_us / MICROSECONDS_PER_MS)} ms" if length_us else "0"


def _range(first: int, last: int, count: int) -> tuple[int, int]:
    """The places that are drawn: those that hold something, and as many around them as make enough."""
    missing = max(0, FEWEST - (last - first + 1))
    first = max(0, first - missing // 2)
    last = min(count - 1, max(last, first + FEWEST - 1))
    return max(0, min(first, last - FEWEST + 1)), last


def _edge(histogram: Histogram, place: int) -> str:
    if place < 0:
        return "0"
    return length_in_words(histogram.bounds[place] if place < len(histogram.bounds) else math.inf)


def _rounded(number: float) -> str:
    return f"{number:.0f}" if number >= _WHOLE else f"{number:.3g}"
