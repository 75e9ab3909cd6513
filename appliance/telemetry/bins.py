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
from typing import cast

import msgspec

from appliance.telemetry.model import Value


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
    minimum = min([part.minimum for part in parts])
    maximum = max([part.maximum for part in parts])
    count = sum([part.count for part in parts])
    total = _sum([part.total for part in parts])
    mean = min(max(total / count, minimum), maximum)
    first = min(parts, key=lambda part: part.first_at)
    last = max(reversed(parts), key=lambda part: part.last_at)
    squares = 0.0
    if minimum != maximum:
        squares = _sum([part.squares + part.count * (part.mean - mean) * (part.mean - mean) for part in parts])
    return Bin(count, minimum, maximum, total, squares, first.first_at, first.first, last.last_at, last.last)


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
