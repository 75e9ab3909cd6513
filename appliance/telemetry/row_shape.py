"""What reports have in common that lie side by side, packed row by row."""

import struct
from functools import lru_cache
from types import NoneType

from appliance.telemetry.model import Report, Value

SHAPES_LIMIT = 1_024
"""Of more shapes, those that were not met for longest are made anew: that costs time, and no memory."""
NAMES_LIMIT = 64
"""Wider reports are filed one by one."""
MOMENT, ARRIVAL, NUMBER = range(3)
HEADS = 3
"""What stands before the values in each row: moment, arrival, sequence number."""

_CODES: dict[type, str] = {float: "d", int: "q", bool: "q"}


class Shape:
    """The metrics that a report names, in their order, and the kinds of its sequence number and its values.

    Devices that are alike share one.
    """

    __slots__ = ("has_booleans", "is_numbered", "kinds", "names", "pack", "row_bytes", "unpack_from", "width")

    def __init__(self, names: tuple[str, ...], kinds: tuple[type, ...]) -> None:
        self.names = names
        self.kinds = list(kinds)
        """That of the sequence number comes first."""
        self.is_numbered = kinds[0] is not NoneType
        self.has_booleans = bool in kinds
        row = struct.Struct("=" + "q" * HEADS + "".join(map(_CODES.__getitem__, kinds[1:])))
        self.pack = row.pack
        """Makes a row. Raises `struct.error` for an integer beyond 64 bits."""
        self.unpack_from = row.unpack_from
        """Gives the row at a place of a buffer; a boolean comes as an integer."""
        self.row_bytes = row.size
        self.width = HEADS + len(names)
        """How many cells a row has."""

    def is_like(self, other: "Shape") -> bool:
        """Whether the rows of both are alike: of very many shapes, one may have been made anew."""
        return self.names == other.names and self.kinds == other.kinds

    def packed(self, report: Report) -> bytes | None:
        """A report of this shape as a row; None when an integer is beyond 64 bits."""
        try:
            return self.pack(report.at, report.arrived_at, report.sequence or 0, *report.values.values())
        except struct.error:
            return None

    def unpacked(self, buffer: bytes | bytearray, start: int = 0) -> tuple[int, int, int | None, dict[str, Value]]:
        """Moment, arrival, sequence number and values of the row that begins there."""
        at, arrived_at, number, *values = self.unpack_from(buffer, start)
        if self.has_booleans:
            values = [kind(value) for kind, value in zip(self.kinds[1:], values, strict=True)]
        return at, arrived_at, number if self.is_numbered else None, dict(zip(self.names, values, strict=True))


@lru_cache(SHAPES_LIMIT)
def shape_of(names: tuple[str, ...], kinds: tuple[type, ...]) -> Shape | None:
    """The shape of such reports, the very same for the same; None where they cannot lie side by side.

    `kinds` begins with that of the sequence number, an integer or None.
    """
    is_packable = 0 < len(names) <= NAMES_LIMIT and all(kind in _CODES for kind in kinds[1:])
    return Shape(names, kinds) if is_packable else None
