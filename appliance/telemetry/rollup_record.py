"""The roll-up of one device's hour or day as bytes, and back, exactly.

A thousand of them are read for one chart, so what each metric has lies in a fixed form that is taken in one step.
The format is in docs/reference/rollups.md.
"""

import struct
from collections.abc import Collection, Mapping
from functools import lru_cache
from itertools import starmap
from typing import NamedTuple
from zlib import crc32

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
    return _CHECK.pack(VERSION, crc32(checked)) + checked


def decode(record: bytes) -> RollUp:
    """The roll-up that `encode` was given.

    Raises `ChunkError`, and nothing else, when the bytes are not such a record or were damaged.
    """
    names, bodies_from, others_from = _places(record)
    bins = dict(zip(names, starmap(Bin, _BIN.iter_unpack(record[bodies_from:others_from])), strict=True))
    return RollUp(bins, _others(record[others_from:]))


class Taker:
    """Takes the bins of some metrics out of many roll-ups, most of which name the same metrics."""

    def __init__(self, metrics: Collection[str]) -> None:
        self._metrics = metrics
        self._known: dict[tuple[bytes, int], list[tuple[str, int]]] = {}
        """By the names in a roll-up, and its length: the metrics that are wanted, and where their bins are."""

    def bins(self, record: bytes) -> list[tuple[str, Bin]]:
        """The bins of a roll-up, as far as there are any. Raises `ChunkError` like `decode`."""
        if len(record) < _NAMES_FROM:
            raise ChunkError(f"a roll-up has {len(record)} bytes, expected at least {_NAMES_FROM}")
        version, checksum, size = _HEAD.unpack_from(record)
        if version != VERSION or checksum != crc32(record[_CHECK.size :]):
            _places(record)  # says what is wrong with it
        names = record[_NAMES_FROM : _NAMES_FROM + size]
        places = self._known.get((names, len(record)))
        if places is None:
            places = self._known[names, len(record)] = self._found(record)
        return [(metric, Bin(*_BIN.unpack_from(record, place))) for metric, place in places]

    def _found(self, record: bytes) -> list[tuple[str, int]]:
        names, bodies_from, _ = _places(record)
        return [(name, bodies_from + number * _BIN.size) for number, name in enumerate(names) if name in self._metrics]


def _places(record: bytes) -> tuple[tuple[str, ...], int, int]:
    """The metrics that have bins, and where these begin and end."""
    if len(record) < _NAMES_FROM:
        raise ChunkError(f"a roll-up has {len(record)} bytes, expected at least {_NAMES_FROM}")
    version, checksum, size = _HEAD.unpack_from(record)
    if version != VERSION:
        raise ChunkError(f"a roll-up of version {version} is not known, expected {VERSION}")
    if checksum != crc32(memoryview(record)[_CHECK.size :]):
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
