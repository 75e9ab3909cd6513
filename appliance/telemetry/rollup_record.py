"""The roll-up of one device's hour or day as bytes, and back, exactly.

A thousand of them are read for one chart, so what each metric has lies in a fixed form that is taken in one step.
The format is in docs/reference/rollups.md.
"""

import struct
import zlib
from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from itertools import starmap
from typing import NamedTuple

from msgspec.structs import astuple

from appliance.telemetry.bins import Bin
from appliance.telemetry.packing import ChunkError, Reader, put_text, put_varint

VERSION = 1

_CHECK = struct.Struct("<BI")
"""Version and checksum; the checksum covers everything after itself."""

_NAMES_SIZE = struct.Struct("<I")
_HEAD = struct.Struct("<BII")
_NAMES_FROM = _HEAD.size
_BIN = struct.Struct("<I4dqdqd")
"""The fields of a bin, in their order."""

_FEW = 4
"""To look for one metric costs as much as to take this many."""


class RollUp(NamedTuple):
    """What is known of one device within an hour or a day."""

    bins: Mapping[str, Bin]
    """By metric, of those that had numbers."""
    others: Mapping[str, int]
    """By metric: how many of its values were no numbers; those that had none are left out."""

    @property
    def reading_count(self) -> int:
        """How many readings went into it."""
        return sum(each.count for each in self.bins.values()) + sum(self.others.values())


def encode(rollup: RollUp) -> bytes:
    """A roll-up as bytes."""
    names = bytearray()
    for metric in rollup.bins:
        put_text(names, metric)
    bodies = [_BIN.pack(*astuple(each)) for each in rollup.bins.values()]
    others = bytearray()
    put_varint(others, len(rollup.others))
    for metric, count in rollup.others.items():
        put_text(others, metric)
        put_varint(others, count)
    checked = b"".join((_NAMES_SIZE.pack(len(names)), names, *bodies, others))
    return _CHECK.pack(VERSION, zlib.crc32(checked)) + checked


def decode(record: bytes) -> RollUp:
    """The roll-up that `encode` was given.

    Raises `ChunkError`, and nothing else, when the bytes are not such a record or were damaged.
    """
    names, bodies_from, others_from = _places(record)
    bins = dict(zip(names, starmap(Bin, _BIN.iter_unpack(record[bodies_from:others_from])), strict=True))
    return RollUp(bins, _others(record[others_from:]))


def decode_bins(record: bytes, metrics: Collection[str]) -> Iterable[tuple[str, Bin]]:
    """The bins of a roll-up with their metrics: at least those of these metrics, as far as there are any.

    Raises `ChunkError` like `decode`.
    """
    names, bodies_from, others_from = _places(record)
    if len(metrics) * _FEW < len(names):
        return [
            (name, Bin(*_BIN.unpack_from(record, bodies_from + names.index(name) * _BIN.size)))
            for name in metrics
            if name in names
        ]
    return zip(names, starmap(Bin, _BIN.iter_unpack(record[bodies_from:others_from])), strict=True)


def _places(record: bytes) -> tuple[tuple[str, ...], int, int]:
    """The metrics that have bins, and where these begin and end."""
    if len(record) < _NAMES_FROM:
        raise ChunkError(f"a roll-up has {len(record)} bytes, expected at least {_NAMES_FROM}")
    version, checksum, size = _HEAD.unpack_from(record)
    if version != VERSION:
        raise ChunkError(f"a roll-up of version {version} is not known, expected {VERSION}")
    if checksum != zlib.crc32(memoryview(record)[_CHECK.size :]):
        raise ChunkError("a roll-up does not match its checksum")
    bodies_from = _NAMES_FROM + size
    names = _names(record[_NAMES_FROM:bodies_from])
    others_from = bodies_from + len(names) * _BIN.size
    if others_from >= len(record):
        raise ChunkError("a roll-up ends too early")
    return names, bodies_from, others_from


@lru_cache(maxsize=1_024)
def _names(block: bytes) -> tuple[str, ...]:
    """The names of metrics: devices have the same ones hour after hour."""
    reader = Reader(block)
    names = []
    while reader.position < len(block):
        names.append(reader.text())
    return tuple(names)


def _others(block: bytes) -> dict[str, int]:
    if block == b"\0":
        return {}
    reader = Reader(block)
    others = {}
    for _ in range(reader.count()):
        metric = reader.text()
        others[metric] = reader.varint()
    reader.end()
    return others
