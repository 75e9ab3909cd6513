"""Decimal fractions as the whole numbers that they are written as: a quarter of the memory, and nothing is divided.

They are for a column of which nobody may ever ask more than one or two values before it is sealed.
"""

import struct
from array import array
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple, final, overload

NUMBERS = 1 << 16
"""So many whole numbers there are in a window."""
FRACTIONS_LIMIT = 2_048
"""So many fractions of a window are kept: those of a few dozen windows are some megabytes."""


class Window(NamedTuple):
    """Whole numbers that follow each other, and what they are divided by."""

    lowest: int
    scale: float


class _Fractions(dict[int, float]):
    """Those of one window that were asked for: columns of one metric are like each other."""

    def __init__(self, window: Window) -> None:
        self._window = window

    def __missing__(self, beyond: int) -> float:
        lowest, scale = self._window
        fraction = (lowest + beyond) / scale
        if len(self) < FRACTIONS_LIMIT:
            self[beyond] = fraction
        return fraction


_fractions = lru_cache(maxsize=32)(_Fractions)


@final
class Scaled(Sequence[float]):
    """Fractions of one window. Nobody changes them."""

    __slots__ = ("beyond", "window")

    def __init__(self, beyond: "array[int]", window: Window) -> None:
        self.beyond = beyond
        """By how much each is greater than the lowest of the window: unsigned numbers of 16 bits."""
        self.window = window

    def doubles(self) -> "array[float]":
        """The fractions, side by side."""
        fractions = map(_fractions(self.window).__getitem__, self.beyond)
        return array("d", struct.pack(f"<{len(self.beyond)}d", *fractions))

    def __len__(self) -> int:
        return len(self.beyond)

    @overload
    def __getitem__(self, place: int) -> float: ...

    @overload
    def __getitem__(self, place: slice) -> "Scaled": ...

    def __getitem__(self, place: int | slice) -> "float | Scaled":
        if isinstance(place, slice):
            return Scaled(self.beyond[place], self.window)
        lowest, scale = self.window
        return (lowest + self.beyond[place]) / scale

    def __iter__(self) -> Iterator[float]:
        return iter(self.doubles())
