"""Percentiles as `statistics.quantiles(…, method="inclusive")` gives them: on a straight line between neighbours.

The numbers are not sorted as a whole: to sort a million of them is one step that nothing can interrupt, and every
thread of the process waits for its end. They are sorted in runs, and the place is found among these.
"""

import struct
from array import array
from bisect import bisect_right
from collections.abc import Callable, Sequence

RUN_LENGTH = 8_192
"""So many numbers are sorted in one step."""

_DOUBLE = struct.Struct("<d")
_WHOLE = struct.Struct("<q")
_SIGN = 1 << 63


def runs(numbers: Sequence[float], check: Callable[[], None]) -> "list[array[float]]":
    """The numbers in runs that are sorted."""
    found = []
    for first in range(0, len(numbers), RUN_LENGTH):
        check()
        found.append(array("d", sorted(numbers[first : first + RUN_LENGTH])))
    return found


def quantile(ordered: Sequence[Sequence[float]], numerator: int, denominator: int) -> float:
    """What a share, `numerator / denominator` of 0 to 1, of at least one number lies below. The runs are sorted."""
    place, rest = divmod(numerator * (sum(map(len, ordered)) - 1), denominator)
    low = _at(ordered, place)
    if rest == 0:
        return low
    high = _at(ordered, place + 1)
    # Each part first: a sum of great numbers could have no double.
    between = low * ((denominator - rest) / denominator) + high * (rest / denominator)
    return min(max(between, low), high)


def _at(ordered: Sequence[Sequence[float]], place: int) -> float:
    """What would stand at a place, from 0, if all the runs were one."""
    if len(ordered) == 1:
        return ordered[0][place]
    # Of the two zeros, which are equal, either may be given.
    least, greatest = _rank(min(run[0] for run in ordered)), _rank(max(run[-1] for run in ordered))
    # The least number of which more than `place` are not above: there are 2^64 doubles, so 64 halvings find it.
    while least < greatest:
        middle = (least + greatest) // 2
        if _count(ordered, _number(middle)) > place:
            greatest = middle
        else:
            least = middle + 1
    return _number(least)


def _count(ordered: Sequence[Sequence[float]], number: float) -> int:
    """How many numbers are not above one."""
    return sum(bisect_right(run, number) for run in ordered)


def _rank(number: float) -> int:
    """A whole number for each finite double, in their order."""
    (bits,) = _WHOLE.unpack(_DOUBLE.pack(number))
    return int(bits) if bits >= 0 else -_SIGN - int(bits) - 1


def _number(rank: int) -> float:
    bits = rank if rank >= 0 else -_SIGN - rank - 1
    (number,) = _DOUBLE.unpack(_WHOLE.pack(bits))
    return float(number)
