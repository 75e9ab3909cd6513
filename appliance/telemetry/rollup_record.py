"""The roll-up of one device's hour or day as bytes, and back, exactly.

A thousand of them are read for one chart, so what each metric has lies in a fixed form that is taken in one step.
The format is in docs/reference/rollups.md.
"""

import struct
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from itertools import repeat, starmap
from typing import Any, NamedTuple
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
BIN_BYTES = _BIN.size
_EXTENT_SIZE = struct.calcsize(f"<{_EXTENT_FORM}")
_OTHERS_SIZE = _BIN.size - _EXTENT_SIZE


_TOGETHER = 744
"""As many roll-ups are unpacked at once as a month has hours."""


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


class Pieces(NamedTuple):
    """What the bytes of a roll-up are made of."""

    names: bytes
    """Of the metrics that have bins."""
    bins: bytes
    others: bytes
    """`NO_OTHERS`, or what is known of values that are no numbers."""


NO_OTHERS = b"\0"


def encode(rollup: RollUp) -> bytes:
    """A roll-up as bytes."""
    names = bytearray()
    for metric in rollup.bins:
        put_text(names, metric)
    bodies = [_BIN.pack(*astuple(each)) for each in rollup.bins.values()]
    return record_of(Pieces(bytes(names), b"".join(bodies), others_bytes(rollup.others)))


def record_of(pieces: Pieces) -> bytes:
    """The bytes of a roll-up out of their pieces."""
    checked = _NAMES_SIZE.pack(len(pieces.names)) + b"".join(pieces)
    return _CHECK.pack(VERSION, crc32(checked)) + checked


def joined(pieces: Sequence[Pieces]) -> Pieces:
    """What several pieces say, of which no two say anything of the same metric."""
    if len(pieces) == 1:
        return pieces[0]
    names, bins = b"".join([each.names for each in pieces]), b"".join([each.bins for each in pieces])
    if all(each.others == NO_OTHERS for each in pieces):
        return Pieces(names, bins, NO_OTHERS)
    return Pieces(names, bins, others_bytes({k: v for each in pieces for k, v in others_in(each.others).items()}))


def pieces_of(record: bytes) -> Pieces:
    """The pieces of the bytes of a roll-up. Raises `ChunkError` as `decode` does."""
    _, bodies_from, others_from = _places(record)
    return Pieces(record[_NAMES_FROM:bodies_from], record[bodies_from:others_from], record[others_from:])


def decode(record: bytes) -> RollUp:
    """The roll-up that `encode` was given.

    Raises `ChunkError`, and nothing else, when the bytes are not such a record or were damaged.
    """
    names, bodies_from, others_from = _places(record)
    bins = dict(zip(names, starmap(Bin, _BIN.iter_unpack(record[bodies_from:others_from])), strict=True))
    return RollUp(bins, others_in(record[others_from:]))


class Taker:
    """Takes the bins of some metrics out of many roll-ups, most of which name the same metrics."""

    def __init__(self, metrics: Collection[str]) -> None:
        self._metrics = metrics
        self._layouts: dict[tuple[bytes, int], _Layout] = {}
        """By the names in a roll-up, and its length."""
        self._layouts_of_bins: dict[tuple[bytes, int], _Layout] = {}
        """By the names of the metrics, and how many bytes the bins of one hour take."""
        self._every: list[_Run] = []
        self._blocks: list[_Block] = []
        self._at: tuple[Sequence[int], list[int]] = (), []
        """Of which hours or days bins were taken last, and at which moments these begin: most devices have the same."""

    def take(self, records: Iterable[tuple[str, int, bytes]], unit_ms: int) -> list[tuple[str, int]]:
        """Take roll-ups: of which device, of which hour or day since 1970, and the bytes. Those of a device only rise.

        Gives device and hour or day of those that `decode` would not take; nothing of these is taken.
        """
        damaged = []
        for device_id, places, each in _of_devices(records):
            damaged += [(device_id, place) for place in self._take(device_id, places, each, unit_ms)]
        return damaged

    def take_bins(self, device_id: str, names: bytes, at: list[int], bins: bytes) -> None:
        """Take bins of `Pieces` of a device: for each of these moments, which rise, those of all names.

        They are known not to be damaged.
        """
        self._every.append(_Run(device_id, self._layout_of_bins(names, len(bins) // len(at)), at, bins))

    def take_many(self, device_ids: Sequence[str], names: bytes, at: list[int], bins: Sequence[bytes]) -> None:
        """The same of many devices that have bins of the same moments."""
        layout = self._layout_of_bins(names, len(bins[0]) // len(at))
        count = max(_TOGETHER // len(at), 1)
        for first in range(0, len(device_ids), count):
            records = b"".join(bins[first : first + count])
            self._blocks.append(_Block(device_ids[first : first + count], layout, at, records))

    def taken(self) -> Iterator[tuple[str, str, BinColumn]]:
        """What was taken: devices, metrics and their bins. Of a device whose metrics changed, some stand twice."""
        for device_id, layout, at, records in self._every:
            yield from _columns([device_id], layout, at, records)
        for block in self._blocks:
            yield from _columns(*block)

    def _layout_of_bins(self, names: bytes, size: int) -> "_Layout":
        key = names, size
        layout = self._layouts_of_bins.get(key)
        if layout is None:
            layout = self._layouts_of_bins[key] = self._layout(*key, 0, struct.Struct(f"{size}s"))
        return layout

    def _take(self, device_id: str, places: Sequence[int], records: Sequence[bytes], unit_ms: int) -> list[int]:
        """Take roll-ups of a device; give the places of those that were damaged."""
        layout = self._layout_of(records[0])
        joined = b"".join(records)
        if layout and {layout.size}.issuperset(map(len, records)) and layout.is_of_all(joined):
            # Nearly always: this is on the way of every roll-up of a chart.
            if places != self._at[0]:
                self._at = places, [place * unit_ms for place in places]
            self._every.append(_Run(device_id, layout, self._at[1], joined))
            return []
        if len(records) == 1:
            return list(places)
        half = len(records) // 2
        damaged = self._take(device_id, places[:half], records[:half], unit_ms)
        return damaged + self._take(device_id, places[half:], records[half:], unit_ms)

    def _layout_of(self, record: bytes) -> "_Layout | None":
        """How a roll-up is laid out; None when it was damaged."""
        try:
            _, bodies_from, _ = _places(record)
        except ChunkError:
            return None
        key = record[_CHECK.size : bodies_from], len(record)
        known = self._layouts.get(key)
        if known is None:
            checked = struct.Struct(f"{_CHECK.format}{len(record) - _CHECK.size}s")
            known = self._layouts[key] = self._layout(*key, bodies_from, checked)
        return known

    def _layout(self, names: bytes, size: int, bins_from: int, checked: struct.Struct) -> "_Layout":
        block = names[_NAMES_SIZE.size :] if bins_from else names
        wanted = [(number, name) for number, name in enumerate(names_in(block)) if name in self._metrics]
        places = [bins_from + number * _BIN.size for number, _ in wanted]
        extents = _form(places, _EXTENT_FORM, size)
        others = _form([place + _EXTENT_SIZE for place in places], _OTHERS_FORM, size)
        return _Layout(names, size, checked, [name for _, name in wanted], extents, others)


class _Layout(NamedTuple):
    """Where the bins of the metrics that are wanted lie in a roll-up."""

    names: bytes
    """The names of the metrics, with their size before them."""
    size: int
    checked: struct.Struct
    metrics: list[str]
    """Those that are wanted."""
    extents: str
    """The form of a roll-up of which all their extents are taken."""
    others: str
    """And that for their other fields."""

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


class _Block(NamedTuple):
    """Bins of many devices of one layout, all of the same moments, one device after the other."""

    device_ids: Sequence[str]
    layout: _Layout
    at: list[int]
    records: bytes


class _Unpacked:
    """Some fields of every metric that is wanted, out of roll-ups of one form, one after the other."""

    __slots__ = ("_field_count", "_form", "_metric_count", "_records", "_values")

    def __init__(self, form: str, metric_count: int, field_count: int, records: bytes) -> None:
        self._form = form
        self._metric_count = metric_count
        self._field_count = field_count
        self._records = records
        self._values: tuple[Any, ...] | None = None

    def of(self, number: int, begin: int, end: int) -> Fields:
        """The fields of one of the metrics, of some of the roll-ups.

        Who asks for one asks for the others, so all are unpacked at once.
        """
        values = self._values
        if values is None:
            count = len(self._records) // struct.calcsize(f"<{self._form}")
            values = self._values = _repeated(self._form, count).unpack(self._records)
        step = self._metric_count * self._field_count
        first = begin * step + number * self._field_count
        return [values[place : end * step : step] for place in range(first, first + self._field_count)]


def _columns(
    device_ids: Sequence[str], layout: _Layout, at: Sequence[int], records: bytes
) -> Iterator[tuple[str, str, BinColumn]]:
    """The bins of devices that all have them at these moments."""
    extents = _Unpacked(layout.extents, len(layout.metrics), EXTENT_COUNT, records)
    others = _Unpacked(layout.others, len(layout.metrics), OTHERS_COUNT, records)
    for first, device_id in zip(range(0, len(device_ids) * len(at), len(at)), device_ids, strict=True):
        end = first + len(at)
        for number, metric in enumerate(layout.metrics):
            later = LaterFields(partial(extents.of, number, first, end), partial(others.of, number, first, end))
            yield device_id, metric, BinColumn(at, later)


def _form(places: Sequence[int], fields: str, size: int) -> str:
    """The form of something of this size that has the same fields at some places."""
    form, end = "", 0
    for place in places:
        form += f"{place - end}x{fields}"
        end = place + struct.calcsize(f"<{fields}")
    return f"{form}{size - end}x"


def _of_devices(records: Iterable[tuple[str, int, bytes]]) -> Iterable[tuple[str, Sequence[int], Sequence[bytes]]]:
    """The places and roll-ups of each device."""
    found = list(records)
    if not found:
        return []
    devices, places, every = zip(*found, strict=True)
    count = places.count(places[0])
    first = devices[:count]
    if len(set(first)) == count and devices == first * (len(devices) // count):
        # Nearly always: hour by hour, and each has those of the same devices.
        return [(device_id, places[number::count], every[number::count]) for number, device_id in enumerate(first)]
    of_device: dict[str, tuple[list[int], list[bytes]]] = {device_id: ([], []) for device_id in devices}
    for device_id, place, record in found:
        of_places, of_records = of_device[device_id]
        of_places.append(place)
        of_records.append(record)
    return [(device_id, *each) for device_id, each in of_device.items()]


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
    names = names_in(record[_NAMES_FROM:bodies_from])
    others_from = bodies_from + len(names) * _BIN.size
    if others_from >= len(record):
        raise ChunkError("a roll-up ends too early")
    return names, bodies_from, others_from


@lru_cache(maxsize=1_024)
def names_in(block: bytes) -> tuple[str, ...]:
    """The names of metrics, out of `Pieces`: devices have the same ones hour after hour."""
    reader = Reader(block)
    names = []
    while reader.position < len(block):
        names.append(reader.text())
    return tuple(names)


def others_in(block: bytes) -> dict[str, int]:
    """How many values were no numbers, by metric, out of `Pieces`."""
    if block == NO_OTHERS:
        return {}
    reader = Reader(block)
    others = {}
    for _ in range(reader.count()):
        metric = reader.text()
        others[metric] = reader.varint()
    reader.end()
    return others


def others_bytes(others: Mapping[str, int]) -> bytes:
    """The same as bytes."""
    if not others:
        return NO_OTHERS
    block = bytearray()
    put_varint(block, len(others))
    for metric, count in others.items():
        put_text(block, metric)
        put_varint(block, count)
    return bytes(block)
