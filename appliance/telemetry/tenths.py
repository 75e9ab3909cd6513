"""Columns of decimal fractions that lie near each other, as those of most sensors do, without a look at each.

They are whole numbers divided by a power of ten. Where all of them are among 256 that follow each other, each is a
byte; what the 256 are as fractions is computed once, and the bytes are exchanged for those of the fractions, all for
the lowest byte of a fraction first, then all for the next one.
"""

import struct
from array import array
from functools import lru_cache

from appliance.telemetry.lanes import near
from appliance.telemetry.packing import Reader

FEW = 256
"""For so many no fractions are computed beforehand."""

_FRACTION_BYTES = 8
_FORM_BYTES = 0x01
_FORM_STEPS = 0x11
"""How whole numbers of one byte each are stored (docs/reference/chunks.md), and steps of one byte each."""


def take_tenths(reader: Reader, count: int, scale: float) -> "array[float] | None":
    """Whole numbers divided by `scale`; None, and nothing is read, where they do not lie near each other."""
    position = reader.position
    found = _take_near(reader, count) if count > FEW else None
    if found is None:
        reader.position = position
        return None
    lowest, beyond = found
    raw = bytearray(count * _FRACTION_BYTES)
    for plane, exchanged in enumerate(_fractions(lowest, scale)):
        raw[plane::_FRACTION_BYTES] = beyond.translate(exchanged)
    return array("d", raw)


def _take_near(reader: Reader, count: int) -> tuple[int, bytes] | None:
    form = reader.byte()
    if form == _FORM_BYTES:
        return reader.signed(), reader.take(count)
    if form == _FORM_STEPS:
        first, least = reader.signed(), reader.signed()
        return near(reader.take(count - 1), first, least)
    return None


@lru_cache(maxsize=128)
def _fractions(lowest: int, scale: float) -> list[bytes]:
    """256 fractions: the lowest byte of each, then the next of each, and so on."""
    raw = struct.pack("<256d", *[whole / scale for whole in range(lowest, lowest + 256)])
    return [raw[plane::_FRACTION_BYTES] for plane in range(_FRACTION_BYTES)]
