"""The roll-up of one device's hour or day as bytes, and back, exactly.

A thousand of them are read for one chart, so what each metric has lies in a fixed form that is taken in one step.
The format is in docs/reference/rollups.md.
"""

import struct
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import starmap
from typing import NamedTuple
from zlib import crc32

from msgspec.structs import astuple

from appliance.telemetry.bin_column import BinColumn
from appliance.telemetry.bins import Bin
from appliance.telemetry.packing import ChunkError, Reader, put_text, put_varint

VERSION = 1

_CHECK = struct.Struct("<BI")
"""Version and checksum; the checksum covers everything after itself."""

_NAMES_SIZE = struct.Struct("<I")
_HEAD = struct.Struct("<BII")
_NAMES_FROM = _HEAD.size
_BIN_FORM = "I4dqdqd"
"""The fields of a bin, in their order."""
_BIN = struct.Struct(f"<{_BIN_FORM}")
_FIELD_COUNT = len(Bin.__struct_fields__)


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
        self._layouts: dict[tuple[bytes, int], _Layout] = {}
        """By the names in a roll-up, and its length."""
        self._runs: dict[str, _Run] = {}
        """The last one of each device."""
        self._every: list[tuple[str, _Run]] = []

    def take(self, records: Iterable[tuple[str, int, bytes]], unit_ms: int) -> list[tuple[str, int]]:
        """Take roll-ups: of which device, of which hour or day since 1970, and the bytes. Those of a device only rise.

        Gives device and hour or day of those that `decode` would not take; nothing of these is taken.
        """
        damaged = []
        layout, runs = _NO_LAYOUT, self._runs
        for device_id, place, record in records:
            # This is on the way of every roll-up of a chart: most are laid out like the one before.
            if len(record) != layout.size or not record.startswith(layout.names, _CHECK.size):
                found = self._layout_of(record)
                if found is None:
                    damaged.append((device_id, place))
                    continue
                layout = found
            if _CHECK.unpack_from(record) != (VERSION, crc32(record[_CHECK.size :])):
                damaged.append((device_id, place))
                continue
            run = runs.get(device_id)
            if run is None or run.layout is not layout:
                run = runs[device_id] = _Run(layout, [], [])
                self._every.append((device_id, run))
            run.at.append(place * unit_ms)
            run.records.append(record)
        return damaged

    def taken(self) -> Iterator[tuple[str, str, BinColumn]]:
        """What was taken: devices, metrics and their bins. Of a device whose metrics changed, some stand twice."""
        for device_id, (layout, at, records) in self._every:
            fields = list(zip(*layout.body.iter_unpack(b"".join(records)), strict=True))
            for number, metric in enumerate(layout.metrics):
                first = number * _FIELD_COUNT
                yield device_id, metric, BinColumn(at, tuple(fields[first : first + _FIELD_COUNT]))

    def _layout_of(self, record: bytes) -> "_Layout | None":
        """How a roll-up is laid out; None when it was damaged."""
        try:
            names, bodies_from, others_from = _places(record)
        except ChunkError:
            return None
        key = record[_CHECK.size : bodies_from], len(record)
        known = self._layouts.get(key)
        if known is None:
            form = "".join(_BIN_FORM if name in self._metrics else f"{_BIN.size}x" for name in names)
            body = struct.Struct(f"<{bodies_from}x{form}{len(record) - others_from}x")
            known = _Layout(*key, body, [name for name in names if name in self._metrics])
            self._layouts[key] = known
        return known


class _Layout(NamedTuple):
    """Where the bins of the metrics that are wanted lie in a roll-up."""

    names: bytes
    """The names of the metrics, with their size before them."""
    size: int
    body: struct.Struct
    metrics: list[str]


_NO_LAYOUT = _Layout(b"", 0, _HEAD, [])


class _Run(NamedTuple):
    """Roll-ups of a device of one layout, one after the other."""

    layout: _Layout
    at: list[int]
    records: list[bytes]


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
