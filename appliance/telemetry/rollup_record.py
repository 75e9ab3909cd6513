"""The roll-up of one device's hour or day as bytes, and back, exactly.

A thousand of them are read for one chart, so what each metric has lies in a fixed form that is taken in one step.
The format is in docs/reference/rollups.md.
"""

import struct
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from itertools import repeat, starmap
from typing import NamedTuple
from zlib import crc32

from msgspec.structs import astuple

from appliance.telemetry.bin_column import EXTENT_COUNT, OTHERS_COUNT, BinColumn, LaterFields
from appliance.telemetry.bins import Bin, Fields
from appliance.telemetry.packing import ChunkError, Reader, put_text, put_varint

VERSION = 1

_CHECK = struct.Struct("<BI")
"""Version and checksum; the checksum covers everything after itself."""

_NAMES_SIZE = struct.Struct("<I")
_HEAD = struct.Struct("<BII")
_NAMES_FROM = _HEAD.size
_EXTENT_FORM = "I3d"
_OTHERS_FORM = "dqdqd"
"""The fields of a bin, in their order: first those of its extent."""
_BIN = struct.Struct(f"<{_EXTENT_FORM}{_OTHERS_FORM}")
_EXTENT_SIZE = struct.calcsize(f"<{_EXTENT_FORM}")
_OTHERS_SIZE = _BIN.size - _EXTENT_SIZE


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
        self._every: list[_Run] = []

    def take(self, records: Iterable[tuple[str, int, bytes]], unit_ms: int) -> list[tuple[str, int]]:
        """Take roll-ups: of which device, of which hour or day since 1970, and the bytes. Those of a device only rise.

        Gives device and hour or day of those that `decode` would not take; nothing of these is taken.
        """
        damaged = []
        for device_id, places, each in _of_devices(records):
            damaged += [(device_id, place) for place in self._take(device_id, places, each, unit_ms)]
        return damaged

    def taken(self) -> Iterator[tuple[str, str, BinColumn]]:
        """What was taken: devices, metrics and their bins. Of a device whose metrics changed, some stand twice."""
        for device_id, layout, at, records in self._every:
            for metric, extent, others in layout.metrics:
                fields = LaterFields(
                    partial(_unpacked, extent, EXTENT_COUNT, records), partial(_unpacked, others, OTHERS_COUNT, records)
                )
                yield device_id, metric, BinColumn(at, fields)

    def _take(self, device_id: str, places: Sequence[int], records: Sequence[bytes], unit_ms: int) -> list[int]:
        """Take roll-ups of a device; give the places of those that were damaged."""
        layout = self._layout_of(records[0])
        joined = b"".join(records)
        if layout and {layout.size}.issuperset(map(len, records)) and layout.is_of_all(joined):
            # Nearly always: this is on the way of every roll-up of a chart.
            self._every.append(_Run(device_id, layout, [place * unit_ms for place in places], joined))
            return []
        if len(records) == 1:
            return list(places)
        half = len(records) // 2
        damaged = self._take(device_id, places[:half], records[:half], unit_ms)
        return damaged + self._take(device_id, places[half:], records[half:], unit_ms)

    def _layout_of(self, record: bytes) -> "_Layout | None":
        """How a roll-up is laid out; None when it was damaged."""
        try:
            names, bodies_from, _ = _places(record)
        except ChunkError:
            return None
        key = record[_CHECK.size : bodies_from], len(record)
        known = self._layouts.get(key)
        if known is None:
            checked = struct.Struct(f"{_CHECK.format}{len(record) - _CHECK.size}s")
            known = self._layouts[key] = _Layout(*key, checked, [])
            for number, name in enumerate(names):
                if name in self._metrics:
                    before = bodies_from + number * _BIN.size
                    after = len(record) - before - _BIN.size
                    extent = f"{before}x{_EXTENT_FORM}{_OTHERS_SIZE + after}x"
                    others = f"{before + _EXTENT_SIZE}x{_OTHERS_FORM}{after}x"
                    known.metrics.append((name, extent, others))
        return known


class _Layout(NamedTuple):
    """Where the bins of the metrics that are wanted lie in a roll-up."""

    names: bytes
    """The names of the metrics, with their size before them."""
    size: int
    checked: struct.Struct
    metrics: list[tuple[str, str, str]]
    """Those that are wanted, with the forms of a roll-up of which their extent is taken, and their other fields."""

    def is_of_all(self, records: bytes) -> bool:
        """Whether roll-ups of this size, one after the other, are laid out like this, and none was damaged."""
        versions, checksums, checked = zip(*self.checked.iter_unpack(records), strict=True)
        return (
            {VERSION}.issuperset(versions)
            and tuple(map(crc32, checked)) == checksums
            and all(map(bytes.startswith, checked, repeat(self.names)))
        )


class _Run(NamedTuple):
    """Roll-ups of a device of one layout, one after the other."""

    device_id: str
    layout: _Layout
    at: list[int]
    records: bytes


def _of_devices(records: Iterable[tuple[str, int, bytes]]) -> Iterable[tuple[str, Sequence[int], Sequence[bytes]]]:
    """The places and roll-ups of each device."""
    found = list(records)
    devices, places, every = zip(*found, strict=True) if found else ((), (), ())
    if devices and devices.count(devices[0]) == len(devices):
        return [(devices[0], places, every)]
    of_device: dict[str, tuple[list[int], list[bytes]]] = {device_id: ([], []) for device_id in devices}
    for device_id, place, record in found:
        of_places, of_records = of_device[device_id]
        of_places.append(place)
        of_records.append(record)
    return [(device_id, *each) for device_id, each in of_device.items()]


def _unpacked(form: str, field_count: int, records: bytes) -> Fields:
    """Some fields out of roll-ups of one form, one after the other."""
    size = struct.calcsize(f"<{form}")
    values = _repeated(form, len(records) // size).unpack(records)
    return [values[number::field_count] for number in range(field_count)]


@lru_cache(maxsize=64)
def _repeated(form: str, count: int) -> struct.Struct:
    """So many of a form at once: that takes half of what one after the other does."""
    return struct.Struct(f"<{form * count}")


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
