"""Many measured times as the few numbers that people compare."""

from collections.abc import Sequence
from statistics import median as _median

import msgspec


class Spread(msgspec.Struct, frozen=True):
    """Times in milliseconds: half of them, 95 and 99 of a hundred, and all were at most this long."""

    count: int
    p50: float
    p95: float
    p99: float
    longest: float


def spread(nanoseconds: Sequence[int]) -> Spread:
    """Sum up measured times; all zero when there are none."""
    if not nanoseconds:
        return Spread(0, 0.0, 0.0, 0.0, 0.0)
    ordered = sorted(nanoseconds)
    return Spread(len(ordered), *(_at(ordered, share) for share in (0.50, 0.95, 0.99, 1.0)))


def median(values: Sequence[float]) -> float:
    """The middle one of what several rounds gave."""
    return _median(values)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown, in columns that line up."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    lines = [head, ["-" * width for width in widths], *rows]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    )


def _at(ordered: Sequence[int], share: float) -> float:
    """The nearest-rank percentile, in milliseconds."""
    place = min(len(ordered) - 1, max(0, -int(-len(ordered) * share // 1) - 1))
    return ordered[place] / 1e6
