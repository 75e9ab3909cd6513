"""Decimal fractions as the whole numbers that they are written as: a quarter of the memory, and nothing is divided.

They are for a column of which nobody may ever ask more than one or two values before it is sealed.
"""

import struct
from array import array
from collections.abc import Iterator, Sequence
from itertools import repeat
from operator import add, truediv
from typing import NamedTuple, final, overload

NUMBERS = 1 << 16
"""So many whole numbers there are in a window."""


class Window(NamedTuple):
    """Whole numbers that follow each other, and what they are divided by."""

    lowest: int
    scale: float


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
        lowest, scale = self.window
        fractions = map(truediv, map(add, self.beyond, repeat(lowest)), repeat(scale))
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
