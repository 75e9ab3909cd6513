"""The numbers of the window that ends with each reading.

Rules:
- The window of a reading at `t` holds the numbers of the moments above `t - length` up to and with `t`.
- Sums are exact until they are rounded once, however long the window runs: nothing adds up from one to the next.
- Windows come one after the other: what is held of all of them at once is what their readings take.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import inf, isfinite, sqrt
from operator import attrgetter, ge, le

import msgspec

from appliance.telemetry.asking.model import Aggregate
from appliance.telemetry.bins import number_of
from appliance.telemetry.model import Value
from appliance.telemetry.wanted import Check, is_wanted

_NUMBERS_AT_ONCE = 4_096


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


def windows(
    at: Sequence[int], values: Sequence[Value], length_ms: int, check: Check = is_wanted
) -> Iterator[Window | None]:
    """The window of each reading; None where it holds no number. Moments never fall."""
    numbers: list[float | None] = []
    scale = 1
    for first in range(0, len(values), _NUMBERS_AT_ONCE):
        check()
        some = list(map(number_of, values[first : first + _NUMBERS_AT_ONCE]))
        numbers += some
        scale = max([scale, *(number.as_integer_ratio()[1] for number in some if number is not None)])
    sums = _Sums(scale)
    least, greatest = _Extreme(le), _Extreme(ge)
    low = high = 0
    for moment in at:
        while high < len(at) and at[high] <= moment:
            number = numbers[high]
            if number is not None:
                sums.add(number)
                least.add(high, number)
                greatest.add(high, number)
            high += 1
        while at[low] <= moment - length_ms:
            gone = numbers[low]
            if gone is not None:
                sums.take(gone)
            low += 1
        if sums.count == 0:
            yield None
        else:
            yield Window(sums.count, least.since(low), greatest.since(low), *sums.told())


class _Sums:
    """Exact sums of numbers, as whole numbers of the smallest part that any of them has."""

    __slots__ = ("_scale", "_squares", "_total", "count")

    def __init__(self, scale: int) -> None:
        self._scale = scale
        self.count = self._total = self._squares = 0

    def add(self, number: float) -> None:
        whole = self._scaled(number)
        self.count += 1
        self._total += whole
        self._squares += whole * whole

    def take(self, number: float) -> None:
        whole = self._scaled(number)
        self.count -= 1
        self._total -= whole
        self._squares -= whole * whole

    def told(self) -> tuple[float, float, float]:
        """Total, mean and deviation."""
        deviation = sqrt(_quotient(self.count * self._squares - self._total**2, (self.count * self._scale) ** 2))
        return _quotient(self._total, self._scale), _quotient(self._total, self.count * self._scale), deviation

    def _scaled(self, number: float) -> int:
        numerator, denominator = number.as_integer_ratio()
        return numerator * (self._scale // denominator)


class _Extreme:
    """The number of a window that beats all others."""

    __slots__ = ("_beats", "_best")

    def __init__(self, beats: Callable[[float, float], bool]) -> None:
        self._beats = beats
        self._best: deque[tuple[int, float]] = deque()

    def add(self, place: int, number: float) -> None:
        best = self._best
        while best and self._beats(number, best[-1][1]):
            best.pop()
        best.append((place, number))

    def since(self, place: int) -> float:
        """The best of those from a place on: there is one."""
        best = self._best
        while best[0][0] < place:
            best.popleft()
        return best[0][1]


def _quotient(numerator: int, denominator: int) -> float:
    try:
        return numerator / denominator
    except OverflowError:
        return inf if numerator > 0 else -inf
