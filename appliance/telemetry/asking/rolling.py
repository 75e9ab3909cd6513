"""The numbers of the window that ends with each reading.

Rules:
- The window of a reading at `t` holds the numbers of the moments above `t - length` up to and with `t`.
- Sums are exact until they are rounded once, however long the window runs: nothing adds up from one to the next.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from math import inf, isfinite, sqrt
from operator import attrgetter, ge, le

import msgspec

from appliance.telemetry.asking.model import Aggregate
from appliance.telemetry.bins import number_of
from appliance.telemetry.model import Value


class Window(msgspec.Struct, frozen=True, gc=False):
    """The numbers of a window; at least one."""

    count: int
    minimum: float
    maximum: float
    total: float
    mean: float
    deviation: float

    def told(self, aggregate: Aggregate) -> float | int:
        """One aggregate. Raises `KeyError` for what windows do not tell."""
        return _TELL[aggregate](self)

    def score(self, number: float) -> float | None:
        """How many standard deviations a number lies from the mean; None when they do not deviate."""
        score = (number - self.mean) / self.deviation if self.deviation else inf
        return score if isfinite(score) else None


_TELL: Mapping[Aggregate, Callable[[Window], float | int]] = {
    Aggregate.AVG: attrgetter("mean"),
    Aggregate.MIN: attrgetter("minimum"),
    Aggregate.MAX: attrgetter("maximum"),
    Aggregate.SUM: attrgetter("total"),
    Aggregate.COUNT: attrgetter("count"),
    Aggregate.STDDEV: attrgetter("deviation"),
}


def windows(at: Sequence[int], values: Sequence[Value], length_ms: int) -> list[Window | None]:
    """The window of each reading; None where it holds no number. Moments never fall."""
    numbers = list(map(number_of, values))
    scale = max((number.as_integer_ratio()[1] for number in numbers if number is not None), default=1)
    whole = [0 if number is None else _scaled(number, scale) for number in numbers]
    ends = [bisect_right(at, moment, lo=place) for place, moment in enumerate(at)]
    starts = _starts(at, length_ms)
    least, greatest = _extremes(numbers, starts, ends, le), _extremes(numbers, starts, ends, ge)
    found: list[Window | None] = []
    count = total = squares = low = high = 0
    for place, (start, end) in enumerate(zip(starts, ends, strict=True)):
        while high < end:
            count += numbers[high] is not None
            total += whole[high]
            squares += whole[high] ** 2
            high += 1
        while low < start:
            count -= numbers[low] is not None
            total -= whole[low]
            squares -= whole[low] ** 2
            low += 1
        if count == 0:
            found.append(None)
            continue
        deviation = sqrt(_quotient(count * squares - total**2, (count * scale) ** 2))
        mean = _quotient(total, count * scale)
        found.append(Window(count, least[place], greatest[place], _quotient(total, scale), mean, deviation))
    return found


def _starts(at: Sequence[int], length_ms: int) -> list[int]:
    starts, low = [], 0
    for moment in at:
        while at[low] <= moment - length_ms:
            low += 1
        starts.append(low)
    return starts


def _extremes(
    numbers: Sequence[float | None], starts: Sequence[int], ends: Sequence[int], beats: Callable[[float, float], bool]
) -> list[float]:
    """The number of each window that beats all others; infinite where it holds none."""
    best: deque[tuple[int, float]] = deque()
    found, high = [], 0
    for start, end in zip(starts, ends, strict=True):
        while high < end:
            number = numbers[high]
            if number is not None:
                while best and beats(number, best[-1][1]):
                    best.pop()
                best.append((high, number))
            high += 1
        while best and best[0][0] < start:
            best.popleft()
        found.append(best[0][1] if best else inf)
    return found


def _scaled(number: float, scale: int) -> int:
    numerator, denominator = number.as_integer_ratio()
    return numerator * (scale // denominator)


def _quotient(numerator: int, denominator: int) -> float:
    try:
        return numerator / denominator
    except OverflowError:
        return inf if numerator > 0 else -inf
