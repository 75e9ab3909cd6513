"""Answers for whole UTC hours and days: out of roll-ups where these are good, out of chunks and memory elsewhere.

Rules:
- The roll-up of an hour is taken only when memory holds nothing of the hour, it is not stale, and its day is not in
  doubt; else its readings are read. So no reading counts twice or never.
- What an answer needs of memory it takes in one step of the loop, before it reads any file. A chunk that moves to its
  day file in between is then seen twice, which is mended, and not missed, which could not be.
- The bin of a day is always the one that its hours combine into, so both ways give the same.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeVar

from appliance.instant import DAY_MS, HOUR_MS
from appliance.telemetry import rollup_record
from appliance.telemetry.bins import Bin
from appliance.telemetry.days.service import Days
from appliance.telemetry.open_chunks import OpenChunks, hours_of
from appliance.telemetry.packing import ChunkError
from appliance.telemetry.rollups import computing, months, queries
from appliance.telemetry.rollups.queries import DamagedRollUpsError, Stored
from appliance.telemetry.rollups.service import RollUps
from appliance.telemetry.rollups.stale import HOURS_PER_DAY
from appliance.telemetry.rows import Rows

Bins = dict[str, dict[str, dict[int, Bin]]]
"""By device, by metric, by the moment at which the hour or day begins, in the order of time."""

ROLLUPS_AT_ONCE = 10_000
"""How many are read in one go; between two goes the caller may have left."""

DEVICE_DAYS_AT_ONCE = 16
"""Of how many devices and days readings are read in one go."""

S = TypeVar("S")
T = TypeVar("T")


class _Asked(NamedTuple):
    """A question about hours or days, counted since 1970."""

    tenant_id: int
    metrics: frozenset[str]
    raw: dict[str, set[int]]
    """By device: what roll-ups must not be asked for."""
    found: Bins


class Hourly:
    """Bins of whole hours and days."""

    def __init__(self, rollups: RollUps, days: Days, chunks: OpenChunks, reading: asyncio.Semaphore) -> None:
        self._rollups = rollups
        self._days = days
        self._chunks = chunks
        self._reading = reading

    async def hours(
        self, tenant_id: int, device_ids: Sequence[str], metrics: Sequence[str], start: int, end: int
    ) -> Bins:
        """The bins of the UTC hours that lie whole in a range; hours without numbers are left out."""
        first, stop = -(-start // HOUR_MS), end // HOUR_MS
        found: Bins = {device: {metric: {} for metric in metrics} for device in device_ids}
        if first >= stop:
            return found
        memory = {
            device: parts
            for device in found
            if (parts := self._chunks.copied_parts(tenant_id, device, first * HOUR_MS, stop * HOUR_MS))
        }
        raw = {device: self._unusable(tenant_id, device, first, stop) for device in found}
        for device, parts in memory.items():
            raw[device] |= {hour for hour in hours_of(parts) if first <= hour < stop}
        asked = _Asked(tenant_id, frozenset(metrics), raw, found)
        doubts = set(self._rollups.stale.doubts)
        async with self._reading:
            for month, low, high in months.spans(first // HOURS_PER_DAY, (stop - 1) // HOURS_PER_DAY + 1):
                span = (max(first, low * HOURS_PER_DAY), min(stop, high * HOURS_PER_DAY))
                for devices in _groups(list(found), ROLLUPS_AT_ONCE // (span[1] - span[0]) + 1):
                    self._told(await asyncio.to_thread(self._roll_ups, month, asked, devices, span, doubts))
            there: set[int] = set()
            if any(raw.values()):
                there.update(await asyncio.to_thread(self._days.between, first * HOUR_MS, stop * HOUR_MS, []))
            for some in _groups(_device_days(raw, there, memory), DEVICE_DAYS_AT_ONCE):
                await asyncio.to_thread(self._readings, asked, some, memory)
        return _sorted(found, raw)

    async def days(
        self, tenant_id: int, device_ids: Sequence[str], metrics: Sequence[str], start: int, end: int
    ) -> Bins:
        """The bins of the UTC days that lie whole in a range; days without numbers are left out."""
        first, stop = -(-start // DAY_MS), end // DAY_MS
        found: Bins = {device: {metric: {} for metric in metrics} for device in device_ids}
        if first >= stop:
            return found
        raw = {}
        for device in found:
            hours = self._unusable(tenant_id, device, first * HOURS_PER_DAY, stop * HOURS_PER_DAY)
            raw[device] = {hour // HOURS_PER_DAY for hour in hours | self._chunks.hours(tenant_id, device)}
        asked = _Asked(tenant_id, frozenset(metrics), raw, found)
        missing = {device: set(range(first, stop)) for device in found}
        async with self._reading:
            for month, low, high in months.spans(first, stop):
                for devices in _groups(list(found), ROLLUPS_AT_ONCE // (high - low) + 1):
                    taken = await asyncio.to_thread(self._roll_ups_of_days, month, asked, devices, (low, high))
                    for device, day in taken:
                        missing[device].discard(day)
        await self._add_hours(asked, metrics, {device: days for device, days in missing.items() if days})
        return _sorted(found, missing)

    async def _add_hours(self, asked: _Asked, metrics: Sequence[str], missing: dict[str, set[int]]) -> None:
        """The days that have no roll-up of their own, out of their hours."""
        if not missing:
            return
        low, high = min(map(min, missing.values())), max(map(max, missing.values()))
        hours = await self.hours(asked.tenant_id, list(missing), metrics, low * DAY_MS, (high + 1) * DAY_MS)
        for device, days in missing.items():
            for metric, bins in hours[device].items():
                by_day = computing.grouped(bins, lambda at: at - at % DAY_MS)
                asked.found[device][metric] |= {at: each for at, each in by_day.items() if at // DAY_MS in days}

    def _unusable(self, tenant_id: int, device_id: str, first: int, stop: int) -> set[int]:
        """The hours of which no roll-up may be taken."""
        if (tenant_id, device_id) in self._days.erased:
            return set(range(first, stop))
        return self._rollups.stale.hours((tenant_id, device_id), first, stop)

    def _told(self, damaged: Sequence[tuple[tuple[int, str], int]]) -> None:
        """Take note of roll-ups that were damaged: they are computed again."""
        for device, hour in damaged:
            self._rollups.stale.mark(device, [hour], None)

    def _roll_ups(
        self, month: str, asked: _Asked, devices: Sequence[str], span: tuple[int, int], doubts: set[int]
    ) -> list[tuple[tuple[int, str], int]]:
        """Take the roll-ups of hours; give those that were damaged. Runs in a thread."""
        stored = self._stored(queries.read_hours, month, asked.tenant_id, devices, *span, doubts)
        hours = range(*span)
        unknown = {hour for hour in hours if hour // HOURS_PER_DAY not in stored.progress}
        closed = {hour for hour in hours if hour not in unknown and stored.progress[hour // HOURS_PER_DAY].is_closed}
        for device in devices:
            asked.raw[device] |= unknown | closed
        damaged = []
        metrics = asked.metrics
        for device, hour, record in stored.records:
            raw = asked.raw[device]
            if hour in raw and hour not in closed:
                continue
            try:
                bins = rollup_record.decode_bins(record, metrics)
            except ChunkError:
                raw.add(hour)
                damaged.append(((asked.tenant_id, device), hour))
                continue
            raw.discard(hour)
            _take(bins, asked.found[device], hour * HOUR_MS)
        return damaged

    def _roll_ups_of_days(
        self, month: str, asked: _Asked, devices: Sequence[str], span: tuple[int, int]
    ) -> list[tuple[str, int]]:
        """Take the roll-ups of days; give which were there. Runs in a thread."""
        taken = []
        for device, day, record in self._stored(queries.read_days, month, asked.tenant_id, devices, *span).records:
            if day in asked.raw[device]:
                continue
            try:
                bins = rollup_record.decode_bins(record, asked.metrics)
            except ChunkError:
                continue  # its hours say the same
            _take(bins, asked.found[device], day * DAY_MS)
            taken.append((device, day))
        return taken

    def _stored(self, read: Callable[..., Stored], month: str, *arguments: object) -> Stored:
        """What a file of roll-ups says; nothing when it cannot be read."""
        try:
            return read(self._rollups.path(month), *arguments)
        except DamagedRollUpsError:
            self._rollups.damaged(month)
        except ChunkError as error:
            self._days.note_damage(str(error))
        return Stored({}, [])

    def _readings(self, asked: _Asked, device_days: Sequence[tuple[str, int]], memory: dict[str, list[Rows]]) -> None:
        """Compute the bins of hours from readings. Runs in a thread."""
        for device, day in device_days:
            hours = {hour for hour in asked.raw[device] if hour // HOURS_PER_DAY == day}
            parts = [part for part in memory.get(device, ()) if part.day == day]
            span = (min(hours) * HOUR_MS, (max(hours) + 1) * HOUR_MS)
            readings = self._days.readings((asked.tenant_id, device), day, list(asked.metrics), span, parts)
            for metric, bins in computing.binned(readings, hours).items():
                asked.found[device][metric] |= bins


def _device_days(raw: dict[str, set[int]], there: set[int], memory: dict[str, list[Rows]]) -> list[tuple[str, int]]:
    """The devices and days of which readings are to be read, as far as there are any."""
    return [
        (device, day)
        for device, hours in raw.items()
        for day in sorted({hour // HOURS_PER_DAY for hour in hours})
        if day in there or any(part.day == day for part in memory.get(device, ()))
    ]


def _take(bins: Iterable[tuple[str, Bin]], found: dict[str, dict[int, Bin]], at: int) -> None:
    for metric, each in bins:
        if metric in found:
            found[metric][at] = each


def _groups(things: Sequence[S], count: int) -> list[Sequence[S]]:
    return [things[first : first + count] for first in range(0, len(things), count)]


def _sorted(found: Bins, mixed: dict[str, set[int]]) -> Bins:
    """Everything in the order of time: what came from two sources is put in order."""
    for device in (device for device, places in mixed.items() if places):
        found[device] = {metric: dict(sorted(bins.items())) for metric, bins in found[device].items()}
    return found
