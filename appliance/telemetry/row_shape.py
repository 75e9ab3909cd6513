"""What reports have in common that lie side by side, row by row."""

from array import array
from functools import lru_cache
from types import NoneType

from appliance.telemetry.model import Value

SHAPES_LIMIT = 1_024
"""Of more shapes, those that were not met for longest are made anew: that costs time, and no memory."""


class Shape:
    """The metrics that a report names, in their order, and the kinds of its sequence number and its values.

    Devices that are alike share one.
    """

    __slots__ = ("_is_fractions", "is_numbered", "kinds", "names")

    def __init__(self, names: tuple[str, ...], kinds: tuple[type, ...]) -> None:
        self.names = names
        self.kinds = list(kinds)
        """That of the sequence number comes first."""
        self.is_numbered = kinds[0] is not NoneType
        self._is_fractions = set(kinds[1:]) == {float}

    def cells(self) -> "array[float] | list[Value]":
        """Where the values of such reports can lie; nothing yet."""
        return array("d") if self._is_fractions else []


@lru_cache(SHAPES_LIMIT)
def shape_of(names: tuple[str, ...], kinds: tuple[type, ...]) -> Shape:
    """The shape of such reports: the very same for the same."""
    return Shape(names, kinds)
