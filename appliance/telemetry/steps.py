"""How numbers go on from one to the next, where that is worth knowing."""

from collections.abc import Sequence
from itertools import islice
from operator import sub
from typing import TypeVar

N = TypeVar("N", int, float)

FEW = 32
"""So many numbers are looked at first."""


def steps(values: Sequence[N], spread: float) -> list[N]:
    """The differences between neighbours; none where the first few of them already spread as far as that.

    So it is where each number is of another device: then the others need not be taken. There are two numbers at least.
    """
    first = list(map(sub, islice(values, 1, FEW), values))
    if max(first) - min(first) >= spread:
        return []
    return list(map(sub, islice(values, 1, None), values)) if len(values) > FEW else first
