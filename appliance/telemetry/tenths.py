"""Columns of decimal fractions that lie near each other, as those of most sensors do, without a division of each.

They are whole numbers divided by a power of ten. Where all of them are among 256 that follow each other, each is a
byte; what the 256 are as fractions is computed once, and the bytes are exchanged for those of the fractions, all for
the lowest byte of a fraction first, then all for the next one.
"""

import struct
from array import array
from collections.abc import Sequence
from functools import lru_cache
from itertools import repeat
from operator import truediv

from appliance.telemetry.lanes import lowest_near, near
from appliance.telemetry.packing import Reader

FEW = 96
"""So many are sooner divided one by one."""
NUMBERS = 256
"""So many different bytes there are."""

_FRACTION_BYTES = 8
FORM_BYTES = 0x01
FORM_STEPS = 0x11
"""How whole numbers of one byte each are stored (docs/reference/chunks.md), and steps of one byte each."""


def take_tenths(reader: Reader, count: int, scale: float) -> "array[float] | None":
    """Whole numbers divided by `scale`; None, and nothing is read, where that is sooner done one by one."""
    if count <= FEW:
        return None
    position = reader.position
    form = reader.byte()
    found: bytes | None = None
    planes: Sequence[bytes] = ()
    if form == FORM_BYTES:
        planes = _fractions(reader.signed(), scale).planes(count)
        found = reader.take(count) if planes else None
    elif form == FORM_STEPS:
        first, least = reader.signed(), reader.signed()
        planes = _fractions(lowest_near(first), scale).planes(count)
        found = near(reader.take(count - 1), first, least) if planes else None
    if found is None:
        reader.position = position
        return None
    raw = bytearray(count * _FRACTION_BYTES)
    for plane, exchanged in enumerate(planes):
        raw[plane::_FRACTION_BYTES] = found.translate(exchanged)
    return array("d", raw)


class _Fractions:
    """256 fractions. They are computed when as many were asked for: columns of one file or log are like each other."""

    __slots__ = ("_asked", "_lowest", "_planes", "_scale")

    def __init__(self, lowest: int, scale: float) -> None:
        self._lowest = lowest
        self._scale = scale
        self._asked = 0
        self._planes: Sequence[bytes] = ()

    def planes(self, count: int) -> Sequence[bytes]:
        """The lowest byte of each, then the next of each, and so on; nothing as long as few were asked for."""
        if not self._planes:
            self._asked += count
            if self._asked >= NUMBERS:
                wholes = range(self._lowest, self._lowest + NUMBERS)
                raw = struct.pack(f"<{NUMBERS}d", *map(truediv, wholes, repeat(self._scale)))
                self._planes = [raw[plane::_FRACTION_BYTES] for plane in range(_FRACTION_BYTES)]
        return self._planes


_fractions = lru_cache(maxsize=512)(_Fractions)
