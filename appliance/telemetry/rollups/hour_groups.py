"""Hours of a day with the same metrics, in one piece of bytes: the bins of all, one after the other, named once.

The format is in docs/reference/rollups.md.
"""

import struct
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import repeat

from appliance.instant import DAY_MS, HOUR_MS
from appliance.telemetry.rollup_record import NO_OTHERS, Pieces
from appliance.telemetry.rollups.stale import HOURS_PER_DAY

_SIZE = struct.Struct("<I")
_GROUP = struct.Struct("<IIII")
"""Which hours, then how many bytes the names, the bins of an hour, and the others of all hours take."""


Plain = tuple[int, bytes, bytes]
"""All the hours of something that is one group: which these are, as bits, the names, and the bins."""


def grouped(hours: Mapping[int, Pieces]) -> bytes:
    """Groups of hours, by the hour from 0 to 23."""
    groups: dict[bytes, dict[int, Pieces]] = {}
    for hour in sorted(hours):
        groups.setdefault(hours[hour].names, {})[hour] = hours[hour]
    return b"".join(_group(names, of_names) for names, of_names in groups.items())


def ungrouped(packed: bytes, position: int) -> list[tuple[int, Pieces]]:
    """The hours of groups that begin at a position and were not damaged, rising."""
    found: list[tuple[int, Pieces]] = []
    while position < len(packed):
        bits, names_size, bins_size, others_size = _GROUP.unpack_from(packed, position)
        hours, names_from = hours_of(bits), position + _GROUP.size
        bins_from = names_from + names_size
        others_from = bins_from + len(hours) * bins_size
        position = others_from + others_size
        names = packed[names_from:bins_from]
        bins = [
            packed[bins_from + number * bins_size : bins_from + (number + 1) * bins_size]
            for number in range(len(hours))
        ]
        others = _others(packed[others_from:position], len(hours))
        found += zip(hours, map(Pieces, repeat(names), bins, others), strict=False)
    found.sort()
    return found


def plain(packed: bytes, position: int) -> Plain | None:
    """What a single group of hours that have bins holds; None when there is something else.

    What is known of values that are no numbers is passed over.
    """
    names_from = position + _GROUP.size
    if len(packed) < names_from:
        return None
    bits, names_size, bins_size, others_size = _GROUP.unpack_from(packed, position)
    bins_from = names_from + names_size
    bins_end = bins_from + bits.bit_count() * bins_size
    if not bins_size or not bits or bins_end + others_size != len(packed):
        return None
    return bits, packed[names_from:bins_from], packed[bins_from:bins_end]


def within(found: Plain, wanted: int) -> Plain:
    """Those of the hours that are among some others, which follow each other."""
    bits, names, bins = found
    there = bits & wanted
    if there == bits:
        return found
    before = bits & ((there & -there) - 1)
    size = len(bins) // bits.bit_count()
    first = before.bit_count() * size
    return there, names, bins[first : first + there.bit_count() * size]


def bits_of(hours: Iterable[int]) -> int:
    """Hours of a day as bits."""
    return sum(1 << hour for hour in hours)


@lru_cache(maxsize=64)
def hours_of(bits: int) -> tuple[int, ...]:
    """Hours of a day that were given as bits."""
    return tuple(hour for hour in range(HOURS_PER_DAY) if bits >> hour & 1)


@lru_cache(maxsize=64)
def moments_of(day: int, bits: int) -> list[int]:
    """When the hours of a day begin."""
    return [day * DAY_MS + hour * HOUR_MS for hour in hours_of(bits)]


def _group(names: bytes, hours: Mapping[int, Pieces]) -> bytes:
    """The hours that have numbers of the same metrics."""
    others = b""
    if any(each.others != NO_OTHERS for each in hours.values()):
        others = b"".join(_SIZE.pack(len(each.others)) + each.others for each in hours.values())
    bins = [each.bins for each in hours.values()]
    return b"".join((_GROUP.pack(bits_of(hours), len(names), len(bins[0]), len(others)), names, *bins, others))


def _others(block: bytes, count: int) -> Iterator[bytes]:
    """What is known of other values, hour by hour."""
    if not block:
        yield from repeat(NO_OTHERS, count)
        return
    position = 0
    for _ in range(count):
        (size,) = _SIZE.unpack_from(block, position)
        end = position + _SIZE.size + size
        yield block[end - size : end]
        position = end
