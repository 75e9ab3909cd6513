"""What a question takes of days that are packed, however they are: easily, or hour by hour where that cannot be."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from appliance.telemetry.rollup_record import Taker, record_of
from appliance.telemetry.rollups import hour_groups, metric_days, packed_hours
from appliance.telemetry.rollups.hour_groups import Plain
from appliance.telemetry.rollups.metric_days import Row
from appliance.telemetry.rollups.model import DeviceDay, PackedRow
from appliance.telemetry.rollups.months import NUMBER_MASK
from appliance.telemetry.rollups.stale import HOURS_PER_DAY

_MANY = 8
"""Rows of so many devices are looked at together."""


class _Block(NamedTuple):
    """What many devices have of the same hours of a day."""

    day: int
    bits: int
    names: bytes
    bins: dict[str, bytes]
    """By device."""


def take(taker: Taker, rows: Sequence[PackedRow], first: int, end: int) -> set[DeviceDay]:
    """Have the hours from `first` on to before `end` taken of whole days, of which rows of a device rise by the day.

    Gives the days of which that cannot be done, for hours are different there or were damaged.
    """
    blocks, rest = _blocks(rows, first, end)
    found = [_plain(place, row) for _, _, place, row in rest]
    left = {(row[0], row[1]) for row, each in zip(rest, found, strict=True) if each is None} if None in found else set()
    runs: dict[tuple[str, bytes], list[tuple[int, int, bytes]]] = {}
    for (device_id, day, _, _), each in zip(rest, found, strict=True):
        if each is None or (left and (device_id, day) in left):
            continue
        bits, names, bins = hour_groups.within(each, _bits_within(day, first, end))
        if bits:
            runs.setdefault((device_id, names), []).append((day, bits, bins))
    for (device_id, names), pieces in runs.items():
        moments = [at for day, bits, _ in pieces for at in hour_groups.moments_of(day, bits)]
        taker.take_bins(device_id, names, moments, b"".join([bins for _, _, bins in pieces]))
    for block in blocks:
        there = [(device, bins) for device, bins in block.bins.items() if (device, block.day) not in left]
        if there:
            devices, every = zip(*there, strict=True)
            taker.take_many(devices, block.names, hour_groups.moments_of(block.day, block.bits), every)
    return left


def _blocks(rows: Sequence[PackedRow], first: int, end: int) -> tuple[list[_Block], Sequence[PackedRow]]:
    """Rows of one metric and day of many devices that differ in nothing but their numbers, and all other rows."""
    days = {row[1] for row in rows}
    if len(days) != 1 or len(rows) < _MANY:
        return [], rows
    [day] = days
    if not first <= day * HOURS_PER_DAY <= (day + 1) * HOURS_PER_DAY <= end:
        return [], rows
    groups: dict[tuple[int, int], list[PackedRow]] = {}
    for row in rows:
        groups.setdefault((row[2] & NUMBER_MASK, len(row[3])), []).append(row)
    blocks: list[_Block] = []
    rest: list[PackedRow] = []
    for group in groups.values():
        found = metric_days.alike([row[2:] for row in group]) if len(group) >= _MANY else None
        if found is None:
            rest += group
        else:
            bits, names, bins = found
            blocks.append(_Block(day, bits, names, dict(zip([row[0] for row in group], bins, strict=True))))
    return blocks, rest


def unpacked(rows: Iterable[PackedRow], first: int, end: int) -> list[tuple[str, int, bytes]]:
    """The hours from `first` on to before `end` of packed days: devices, hours since 1970, and records."""
    found = []
    for (device_id, day), of_day in by_day(rows).items():
        start = day * HOURS_PER_DAY
        found += [(device_id, start + hour, record) for hour, record in unpack(of_day)]
    return [each for each in found if first <= each[1] < end]


def by_day(rows: Iterable[PackedRow]) -> dict[DeviceDay, list[Row]]:
    """The rows of each device's day."""
    found: dict[DeviceDay, list[Row]] = {}
    for device_id, day, place, row in rows:
        found.setdefault((device_id, day), []).append((place, row))
    return found


def unpack(rows: Sequence[Row]) -> list[tuple[int, bytes]]:
    """What rows of a device's day say of its hours, rising; every hour of the day when one of them was damaged."""
    if len(rows) == 1 and not metric_days.is_one(rows[0][1]):
        return packed_hours.unpack(rows[0][1])
    hours = metric_days.unpack(rows)
    return packed_hours.ALL_DAMAGED if hours is None else [(hour, record_of(pieces)) for hour, pieces in hours]


def unpack_all(rows: Sequence[Row]) -> list[tuple[int, bytes]]:
    """The same of rows that should be all there are of the day, perhaps none."""
    if not rows:
        return []
    is_lost = any(metric_days.is_one(row) for _, row in rows) and not metric_days.is_every(rows)
    return packed_hours.ALL_DAMAGED if is_lost else unpack(rows)


def hours_known(day: int, rows: Sequence[Row]) -> list[int]:
    """The hours since 1970 that have a roll-up, of a day that was taken whole."""
    _, row = rows[0]
    bits = metric_days.hours_known(row) if metric_days.is_one(row) else packed_hours.hours_known(row)
    return [day * HOURS_PER_DAY + hour for hour in hour_groups.hours_of(bits)]


def _plain(place: int, row: bytes) -> Plain | None:
    return metric_days.plain(place, row) or packed_hours.plain(row)


def _bits_within(day: int, first: int, end: int) -> int:
    """The hours of a day that lie in a range, as bits."""
    start = day * HOURS_PER_DAY
    return hour_groups.bits_of(range(max(first - start, 0), min(end - start, HOURS_PER_DAY)))
