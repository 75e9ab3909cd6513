"""The roll-ups of the hours of one device's day in one piece: a chart of a month reads thirty of them, not 720 records.

What is packed comes out as it went in; a record that was damaged comes out as no record at all, which is told apart
from an hour that has none. The format is in docs/reference/rollups.md.
"""

import struct
from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import repeat
from zlib import crc32

from appliance.instant import DAY_MS, HOUR_MS
from appliance.telemetry.packing import ChunkError
from appliance.telemetry.rollup_record import NO_OTHERS, Pieces, Taker, decode, pieces_of, record_of
from appliance.telemetry.rollups.model import HourRow
from appliance.telemetry.rollups.stale import HOURS_PER_DAY

VERSION = 1

DAMAGED = b""
"""In the place of the record of an hour of which nothing can be believed."""

_CHECK = struct.Struct("<BI")
"""Version and checksum; the checksum covers everything after itself."""

_HOURS = struct.Struct("<I")
_SIZE = struct.Struct("<I")
_GROUP = struct.Struct("<IIII")
"""Which hours, then how many bytes the names, the bins of an hour, and the others of all hours take."""

_PLAIN = struct.Struct("<BIIIIII")
"""All of these, one after the other."""

PackedDay = tuple[str, int, bytes]
"""Device, day since 1970, and its hours."""


def pack(records: Mapping[int, bytes]) -> bytes:
    """The records of hours of a day, by the hour from 0 to 23, as bytes."""
    damaged: list[int] = []
    groups: dict[bytes, dict[int, Pieces]] = {}
    for hour in sorted(records):
        try:
            pieces = pieces_of(records[hour])
        except ChunkError:
            damaged.append(hour)
        else:
            groups.setdefault(pieces.names, {})[hour] = pieces
    checked = _HOURS.pack(_bits(damaged)) + b"".join(_group(names, hours) for names, hours in groups.items())
    return _CHECK.pack(VERSION, crc32(checked)) + checked


def unpack(packed: bytes) -> list[tuple[int, bytes]]:
    """The hours that were packed, rising, and the record of each; every hour of the day when these were damaged."""
    try:
        version, checksum = _CHECK.unpack_from(packed)
        if version == VERSION and checksum == crc32(memoryview(packed)[_CHECK.size :]):
            return _unpacked(packed)
    except struct.error:
        pass
    return [(hour, DAMAGED) for hour in range(HOURS_PER_DAY)]


def take(taker: Taker, days: Iterable[PackedDay]) -> list[PackedDay]:
    """Have packed days taken whole; gives those of which that cannot be done, for each hour is different there."""
    left: list[PackedDay] = []
    runs: dict[tuple[str, bytes], tuple[list[int], list[bytes]]] = {}
    for each in days:
        device_id, day, packed = each
        plain = _plain(packed)
        if plain is None:
            left.append(each)
            continue
        bits, names, bins = plain
        of_moments, of_bins = runs.setdefault((device_id, names), ([], []))
        of_moments += _moments(day, bits)
        of_bins.append(bins)
    for (device_id, names), (moments, every) in runs.items():
        taker.take_bins(device_id, names, moments, b"".join(every))
    return left


def unpacked(days: Iterable[PackedDay], first: int, end: int) -> list[tuple[str, int, bytes]]:
    """The hours from `first` on to before `end` of packed days: devices, hours since 1970, and records."""
    found = []
    for device_id, day, packed in days:
        start = day * HOURS_PER_DAY
        found += [(device_id, start + hour, record) for hour, record in unpack(packed)]
    if first % HOURS_PER_DAY or end % HOURS_PER_DAY:
        return [each for each in found if first <= each[1] < end]
    return found


def merged(known: Mapping[int, bytes], rows: Iterable[HourRow], *, is_closed: bool) -> dict[int, bytes]:
    """What is known of the hours of a day, by the hour of the day, with roll-ups that were computed since.

    One that knows of fewer readings than the one before does not take its place, nor does any when the day is closed.
    In the place of one that was damaged comes only what was computed of every chunk: of how many nobody knows any more.
    """
    records = dict(known)
    for row in rows:
        hour = row.hour % HOURS_PER_DAY
        before = known.get(hour)
        if before == DAMAGED and not row.is_certain:
            continue
        if not row.record:
            if before == DAMAGED and not is_closed:
                del records[hour]
        elif before is None or (not is_closed and row.reading_count >= _reading_count(before)):
            records[hour] = row.record
    return records


def _reading_count(record: bytes) -> int:
    try:
        return decode(record).reading_count
    except ChunkError:
        return 0


def _plain(packed: bytes) -> tuple[int, bytes, bytes] | None:
    """Which hours, the names and the bins, when all hours have the same metrics and nothing else; else None."""
    if len(packed) < _PLAIN.size:
        return None
    version, checksum, damaged, bits, names_size, bins_size, others_size = _PLAIN.unpack_from(packed)
    bins_from = _PLAIN.size + names_size
    if (
        version != VERSION
        or damaged
        or others_size
        or not bins_size
        or bins_from + bits.bit_count() * bins_size != len(packed)
        or checksum != crc32(memoryview(packed)[_CHECK.size :])
    ):
        return None
    return bits, packed[_PLAIN.size : bins_from], packed[bins_from:]


def _group(names: bytes, hours: Mapping[int, Pieces]) -> bytes:
    """The hours that have numbers of the same metrics."""
    others = b""
    if any(each.others != NO_OTHERS for each in hours.values()):
        others = b"".join(_SIZE.pack(len(each.others)) + each.others for each in hours.values())
    bins = [each.bins for each in hours.values()]
    return b"".join((_GROUP.pack(_bits(hours), len(names), len(bins[0]), len(others)), names, *bins, others))


def _unpacked(packed: bytes) -> list[tuple[int, bytes]]:
    """The hours and records of something that was not damaged."""
    (damaged,) = _HOURS.unpack_from(packed, _CHECK.size)
    found = [(hour, DAMAGED) for hour in _hours(damaged)]
    position = _CHECK.size + _HOURS.size
    group_count = 0
    while position < len(packed):
        bits, names_size, bins_size, others_size = _GROUP.unpack_from(packed, position)
        hours, names_from = _hours(bits), position + _GROUP.size
        bins_from = names_from + names_size
        others_from = bins_from + len(hours) * bins_size
        position = others_from + others_size
        names = packed[names_from:bins_from]
        bins = [
            packed[bins_from + number * bins_size : bins_from + (number + 1) * bins_size]
            for number in range(len(hours))
        ]
        others = _others(packed[others_from:position], len(hours))
        found += zip(hours, map(record_of, map(Pieces, repeat(names), bins, others)), strict=True)
        group_count += 1
    return sorted(found) if damaged or group_count > 1 else found


def _others(block: bytes, count: int) -> Iterable[bytes]:
    """What is known of other values, hour by hour."""
    if not block:
        return repeat(NO_OTHERS, count)
    found, position = [], 0
    for _ in range(count):
        (size,) = _SIZE.unpack_from(block, position)
        end = position + _SIZE.size + size
        found.append(block[end - size : end])
        position = end
    return found


def _bits(hours: Iterable[int]) -> int:
    return sum(1 << hour for hour in hours)


@lru_cache(maxsize=64)
def _moments(day: int, bits: int) -> list[int]:
    """When the hours of a day begin."""
    return [day * DAY_MS + hour * HOUR_MS for hour in _hours(bits)]


@lru_cache(maxsize=64)
def _hours(bits: int) -> tuple[int, ...]:
    return tuple(hour for hour in range(HOURS_PER_DAY) if bits >> hour & 1)
