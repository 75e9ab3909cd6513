"""What is known of the numbers of one metric within a length of time.

Rules:
- Numbers are whole and floating-point values that are finite as IEEE 754 doubles. Booleans, text, null, NaN and
  infinities are no numbers here.
- Readings stand in the order of time; of equal moments the order in which they stand decides, so the first of them
  is the first and the last of them the last.
- Bins of parts combine into the bin of the whole: count, minimum, maximum, first and last exactly; total and squares
  but for the rounding of each part (one unit in the last place of its total; of its squares a few).
- Sums beyond the greatest double are infinite, never an error and never NaN.
"""

from collections.abc import Iterable, Sequence
from math import fsum, inf, isfinite, isnan, sqrt
from typing import Any, cast

import msgspec
from msgspec.structs import astuple

from appliance.telemetry.model import Value

Fields = Sequence[Sequence[Any]]
"""Bins as columns of equal length: one for each field of `Bin`, in their order."""

Extent = tuple[int, float, float, float]
"""Count, minimum, maximum and total: the first fields of a bin, and all that most charts need."""


class Bin(msgspec.Struct, frozen=True, gc=False):
    """The numbers of one metric within a length of time; at least one. Moments are UTC milliseconds."""

    count: int
    minimum: float
    maximum: float
    total: float
    squares: float
    """The sum of the squares of each number's distance from the mean. (The sum of the squares of the numbers
    themselves loses the variance of large numbers to rounding; it is `squares + total * mean`.)"""
    first_at: int
    first: float
    last_at: int
    last: float

    @property
    def mean(self) -> float:
        """The arithmetic mean; it never lies outside the numbers."""
        mean = self.total / self.count
        # A chart asks for tens of thousands: two comparisons take half of what `min` and `max` do.
        if mean < self.minimum:
            return self.minimum
        if mean > self.maximum:
            return self.maximum
        return mean

    @property
    def variance(self) -> float:
        """The population variance: the mean square of the distance from the mean."""
        return self.squares / self.count

    @property
    def deviation(self) -> float:
        """The population standard deviation."""
        return sqrt(self.variance)


def number_of(value: Value) -> float | None:
    """A value as a number; None when it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if isfinite(number) else None


def bin_of(at: Sequence[int], values: Sequence[Value]) -> Bin | None:
    """The bin of readings that stand in the order of time, in two columns; None when there is no number."""
    numbers = _floats(values)
    if numbers is None:
        pairs = [
            (moment, number) for moment, number in zip(at, map(number_of, values), strict=True) if number is not None
        ]
        at, numbers = [moment for moment, _ in pairs], [number for _, number in pairs]
    if not numbers:
        return None
    minimum, maximum = min(numbers), max(numbers)
    total = _sum(numbers)
    mean = min(max(total / len(numbers), minimum), maximum)
    squares = 0.0 if minimum == maximum else _sum([(number - mean) * (number - mean) for number in numbers])
    return Bin(len(numbers), minimum, maximum, total, squares, at[0], numbers[0], at[-1], numbers[-1])


def combined(bins: Iterable[Bin]) -> Bin | None:
    """The bin of everything in these, which stand in the order of time; None when there is none."""
    parts = list(bins)
    if len(parts) <= 1:
        return parts[0] if parts else None
    return Bin(*combined_fields(tuple(zip(*map(astuple, parts), strict=True))))


def combined_fields(parts: Fields) -> tuple[Any, ...]:
    """The same of the fields of bins, one column for each of them, with at least one bin; gives the fields of one."""
    counts, minima, maxima, totals, squares, first_at, firsts, last_at, lasts = parts
    if len(counts) == 1:
        return tuple(field[0] for field in parts)
    count, minimum, maximum, total = combined_extent(counts, minima, maxima, totals)
    mean = min(max(total / count, minimum), maximum)
    spread = 0.0
    if minimum != maximum:
        distances = [each - mean for each in means(parts)]
        spread = _sum(
            [part + many * distance * distance for part, many, distance in zip(squares, counts, distances, strict=True)]
        )
    # Of equal moments the first of them is the first, and the last of them the last.
    first, last = first_at.index(min(first_at)), len(last_at) - 1 - last_at[::-1].index(max(last_at))
    return count, minimum, maximum, total, spread, first_at[first], firsts[first], last_at[last], lasts[last]


def combined_extent(
    counts: Sequence[int], minima: Sequence[float], maxima: Sequence[float], totals: Sequence[float]
) -> Extent:
    """The same of the first fields alone."""
    if len(counts) == 1:
        return counts[0], minima[0], maxima[0], totals[0]
    return sum(counts), min(minima), max(maxima), _sum(totals)


def means(parts: Fields) -> list[float]:
    """The arithmetic mean of each bin, as the bin tells it."""
    return [
        mean if minimum <= (mean := total / count) <= maximum else (minimum if mean < minimum else maximum)
        for count, minimum, maximum, total in zip(*parts[:4], strict=True)
    ]


def deviations(parts: Fields) -> list[float]:
    """The population standard deviation of each bin, as the bin tells it."""
    return [sqrt(squares / count) for count, squares in zip(parts[0], parts[4], strict=True)]


def _floats(values: Sequence[Value]) -> list[float] | None:
    """Every value as a number; None when one of them is none."""
    if not set(map(type, values)) <= {int, float}:
        return None
    try:
        numbers = list(map(float, cast("Sequence[float]", values)))
    except OverflowError:
        return None
    return numbers if all(map(isfinite, numbers)) else None


def _sum(numbers: Sequence[float]) -> float:
    try:
        total = fsum(numbers)
    except (OverflowError, ValueError):
        total = sum(numbers)  # beyond the greatest double, or infinities of both signs
    return inf if isnan(total) else total
