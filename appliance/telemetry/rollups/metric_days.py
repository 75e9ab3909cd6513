"""The roll-ups of the hours of one device's day, a row for each metric: a chart of a month wants few of them.

The rows of a device's day lie side by side. Each knows its place, how many they are, and which hours have a roll-up: so
a row that is lost, or found elsewhere, is told from a metric that had no readings.
The format is in docs/reference/rollups.md.
"""

import struct
from collections.abc import Mapping, Sequence
from functools import lru_cache
from zlib import crc32

from appliance.telemetry.packing import put_text
from appliance.telemetry.rollup_record import BIN_BYTES, NO_OTHERS, Pieces, joined, names_in, others_bytes, others_in
from appliance.telemetry.rollups import hour_groups
from appliance.telemetry.rollups.hour_groups import Plain

VERSION = 2
"""The first version is the row of all metrics, of `packed_hours.py`."""

NUMBER_BITS = 26
"""A metric's number is so many bits of its name's checksum. Metrics of one number share a row."""

_FIRST = bytes([VERSION])

LOST = b""
"""In the place of the rows of a day of which some are not found."""

_CHECK = struct.Struct("<BI")
"""Version and checksum; the checksum covers everything after itself."""

_HEAD = struct.Struct("<BIqII")
"""The same, then its place in the table, how many rows there are of all metrics, and which hours have a roll-up."""

_PLAIN = struct.Struct("<BIqIIIIII")
"""All of that, and the head of the one group of hours that nearly every row is."""

Row = tuple[int, bytes]
"""Where it lies, and its bytes."""


@lru_cache(maxsize=1_024)
def number_of(metric: str) -> int:
    """The number of a metric, by which its rows are found."""
    return crc32(metric.encode()) >> 32 - NUMBER_BITS


def rows_of(first: int, hours: Mapping[int, Pieces]) -> list[Row]:
    """Hours of a day, by the hour from 0 to 23, as rows, which rise; `first` is where one of the number 0 would lie."""
    parts: dict[int, dict[int, Pieces]] = {}
    for hour, pieces in hours.items():
        for number, part in _by_number(pieces).items():
            parts.setdefault(number, {})[hour] = part
    bits = hour_groups.bits_of(hours)
    return [(first | number, _row(first | number, len(parts), bits, parts[number])) for number in sorted(parts)]


def unpack(rows: Sequence[Row]) -> list[tuple[int, Pieces]] | None:
    """What some rows of a device's day say of each hour that has a roll-up, rising; None when one was damaged."""
    heads: set[tuple[int, int]] = set()
    found: dict[int, list[Pieces]] = {}
    for place, row in rows:
        if not _is_sound(place, row):
            return None
        *_, count, bits = _HEAD.unpack_from(row)
        heads.add((count, bits))
        for hour, pieces in hour_groups.ungrouped(row, _HEAD.size):
            found.setdefault(hour, []).append(pieces)
    if len(heads) != 1:
        return None
    [(_, bits)] = heads
    return [(hour, joined(found.get(hour, ()))) for hour in hour_groups.hours_of(bits)]


def plain(place: int, row: bytes) -> Plain | None:
    """The hours of a row that is easily taken: it is not damaged, and all its hours have the same metrics."""
    if len(row) < _PLAIN.size:
        return None
    # In one step: this is on the way of every series of a chart.
    version, checksum, own_place, _, _, bits, names_size, bins_size, others_size = _PLAIN.unpack_from(row)
    bins_from = _PLAIN.size + names_size
    bins_end = bins_from + bits.bit_count() * bins_size
    if (
        version != VERSION
        or own_place != place
        or not bins_size
        or bins_end + others_size != len(row)
        or checksum != crc32(memoryview(row)[_CHECK.size :])
    ):
        return None
    return bits, row[_PLAIN.size : bins_from], row[bins_from:bins_end]


def alike(rows: Sequence[Row]) -> tuple[int, bytes, list[bytes]] | None:
    """The hours, the names and the bins of rows that are easily taken and differ in nothing else; None for others.

    That takes half of what they take one by one.
    """
    places, records = zip(*rows, strict=True)
    if min(map(len, records)) < _PLAIN.size:
        return None
    versions, checksums, own_places, _, _, *groups = zip(*map(_PLAIN.unpack_from, records), strict=True)
    first = plain(*rows[0])
    if first is None or own_places != places:
        return None
    if any(len(set(each)) > 1 for each in (versions, *groups, map(len, records))):
        return None
    if checksums != tuple([crc32(memoryview(record)[_CHECK.size :]) for record in records]):
        return None
    bits, names, bins = first
    bins_from = _PLAIN.size + len(names)
    bins_end = bins_from + len(bins)
    if {record[_PLAIN.size : bins_from] for record in records} != {names}:
        return None
    return bits, names, [record[bins_from:bins_end] for record in records]


def is_one(row: bytes) -> bool:
    """Whether this is a row of metrics, as its first byte says, or what should be one."""
    return row[:1] == _FIRST


def is_every(rows: Sequence[Row]) -> bool:
    """Whether these are as many rows as a device's day has, as each of them says."""
    return all(len(row) >= _HEAD.size and _HEAD.unpack_from(row)[3] == len(rows) for _, row in rows)


def hours_known(row: bytes) -> int:
    """Which hours of the day have a roll-up, as bits, by a row that is not damaged."""
    return int(_HEAD.unpack_from(row)[4])


def _is_sound(place: int, row: bytes) -> bool:
    """Whether a row lies where it was put, and as it was."""
    if len(row) < _HEAD.size:
        return False
    version, checksum, own_place, _, _ = _HEAD.unpack_from(row)
    return bool(version == VERSION and own_place == place and checksum == crc32(memoryview(row)[_CHECK.size :]))


def _row(place: int, count: int, bits: int, hours: Mapping[int, Pieces]) -> bytes:
    content = _HEAD.pack(VERSION, 0, place, count, bits)[_CHECK.size :] + hour_groups.grouped(hours)
    return _CHECK.pack(VERSION, crc32(content)) + content


def _by_number(pieces: Pieces) -> dict[int, Pieces]:
    """What is known of an hour, by the number of its metrics."""
    found: dict[int, Pieces] = {}
    for place, (number, name) in enumerate(_numbered(pieces.names)):
        each = Pieces(name, pieces.bins[place * BIN_BYTES : (place + 1) * BIN_BYTES], NO_OTHERS)
        found[number] = joined((found[number], each)) if number in found else each
    for metric, count in others_in(pieces.others).items():
        number = number_of(metric)
        each = Pieces(b"", b"", others_bytes({metric: count}))
        found[number] = joined((found[number], each)) if number in found else each
    return found


@lru_cache(maxsize=1_024)
def _numbered(names: bytes) -> list[tuple[int, bytes]]:
    """The numbers of metrics, and their names as a record has them."""
    found = []
    for name in names_in(names):
        text = bytearray()
        put_text(text, name)
        found.append((number_of(name), bytes(text)))
    return found
