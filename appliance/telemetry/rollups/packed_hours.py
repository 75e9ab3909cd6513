"""The roll-ups of the hours of one device's day in one piece, with all metrics.

So days were packed by earlier releases, and so those are of which an hour was damaged. The others have a row for each
metric, which `metric_days.py` is about.

What is packed comes out as it went in; a record that was damaged comes out as no record at all, which is told apart
from an hour that has none. The format is in docs/reference/rollups.md.
"""

import struct
from collections.abc import Iterable, Mapping
from zlib import crc32

from appliance.telemetry.packing import ChunkError
from appliance.telemetry.rollup_record import Pieces, decode, pieces_of, record_of
from appliance.telemetry.rollups import hour_groups
from appliance.telemetry.rollups.hour_groups import Plain
from appliance.telemetry.rollups.model import HourRow
from appliance.telemetry.rollups.stale import HOURS_PER_DAY

VERSION = 1

DAMAGED = b""
"""In the place of the record of an hour of which nothing can be believed."""

ALL_DAMAGED = [(hour, DAMAGED) for hour in range(HOURS_PER_DAY)]

_CHECK = struct.Struct("<BI")
"""Version and checksum; the checksum covers everything after itself."""

_HOURS = struct.Struct("<I")
_HEAD = struct.Struct("<BII")
"""Both, one after the other."""


def pack(records: Mapping[int, bytes]) -> bytes:
    """The records of hours of a day, by the hour from 0 to 23, as bytes."""
    damaged: list[int] = []
    hours: dict[int, Pieces] = {}
    for hour in sorted(records):
        try:
            hours[hour] = pieces_of(records[hour])
        except ChunkError:
            damaged.append(hour)
    checked = _HOURS.pack(hour_groups.bits_of(damaged)) + hour_groups.grouped(hours)
    return _CHECK.pack(VERSION, crc32(checked)) + checked


def unpack(packed: bytes) -> list[tuple[int, bytes]]:
    """The hours that were packed, rising, and the record of each; every hour of the day when these were damaged."""
    if not _is_sound(packed):
        return ALL_DAMAGED
    (damaged,) = _HOURS.unpack_from(packed, _CHECK.size)
    found = [(hour, record_of(pieces)) for hour, pieces in hour_groups.ungrouped(packed, _HEAD.size)]
    return sorted([*found, *((hour, DAMAGED) for hour in hour_groups.hours_of(damaged))]) if damaged else found


def plain(packed: bytes) -> Plain | None:
    """The hours of a day that is easily taken: none was damaged, and all have the same metrics."""
    if not _is_sound(packed) or any(packed[_CHECK.size : _HEAD.size]):
        return None
    return hour_groups.plain(packed, _HEAD.size)


def hours_known(packed: bytes) -> int:
    """Which hours of a day have a roll-up, as bits, when it is easily taken."""
    found = plain(packed)
    return found[0] if found else 0


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


def _is_sound(packed: bytes) -> bool:
    if len(packed) < _HEAD.size:
        return False
    version, checksum, _ = _HEAD.unpack_from(packed)
    return bool(version == VERSION and checksum == crc32(memoryview(packed)[_CHECK.size :]))
