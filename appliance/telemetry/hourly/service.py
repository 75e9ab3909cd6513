"""Answers for whole UTC hours and days: out of roll-ups where these are good, out of chunks and memory elsewhere.

Rules:
- The roll-up of an hour is taken only when memory holds nothing of the hour, it is not stale, and its day is not in
  doubt; else its readings are read. So no reading counts twice or never.
- Of a day whose readings were let go the roll-ups are all there is, so they are taken whatever else is known of them;
  but none is of a device that is being erased: nobody can tell what of it came before that was asked for.
- What an answer needs of memory it takes in one step of the loop, before it reads any file. A chunk that moves to its
  day file in between is then seen twice, which is mended, and not missed, which could not be.
- The bin of a day is always the one that its hours combine into, so both ways give the same.
"""

from collections.abc import Callable, Collection, Sequence
from itertools import chain
from operator import itemgetter
from typing import NamedTuple

from appliance.instant import DAY_MS, HOUR_MS
from appliance.portions import portions_of
from appliance.store.readers import Readers
from appliance.telemetry import rollup_record
from appliance.telemetry.bin_column import BinColumn, joined
from appliance.telemetry.days.service import Days
from appliance.telemetry.open_chunks import OpenChunks, hours_of
from appliance.telemetry.packing import ChunkError
from appliance.telemetry.rollups import computing, months, taking
from appliance.telemetry.rollups.model import DamagedRollUpsError, Stored, Wanted
from appliance.telemetry.rollups.reading import queries
from appliance.telemetry.rollups.service import RollUps
from appliance.telemetry.rollups.stale import HOURS_PER_DAY
from appliance.telemetry.rows import Rows
from appliance.telemetry.wanted import Check, is_wanted

Bins = dict[str, dict[str, BinColumn]]
"""By device, by metric, by the moment at which the hour or day begins, in the order of time."""

ROLLUPS_AT_ONCE = 5_000
"""How many are read in one go; between two goes the caller may have left."""

Damaged = list[tuple[tuple[int, str], int]]
"""Tenant, device and hour of roll-ups that cannot be believed."""


class _Asked(NamedTuple):
    """A question about hours or days, counted since 1970."""

    tenant_id: int
    metrics: frozenset[str]
    raw: dict[str, set[int]]
    """By device: what roll-ups must not be asked for."""
    erased: frozenset[str]
    """Devices that are being erased: no roll-up of theirs is given."""
    memory: dict[str, list[Rows]]
    """By device: its readings in memory."""
    pieces: dict[tuple[str, str], list[BinColumn]]
    """By device and metric: what was found, no bin of it twice."""

    def may_take(self, device: str, hour: int, closed: Collection[int]) -> bool:
        """Whether a roll-up of an hour may be taken; `closed` are those that nothing else is known of."""
        return hour not in self.raw[device] or (hour in closed and device not in self.erased)

    def add(self, device: str, metric: str, bins: BinColumn) -> None:
        """Take in what was found of a device and metric."""
        if bins:
            self.pieces.setdefault((device, metric), []).append(bins)

    def found(self, check: Check, metrics: Sequence[str]) -> Bins:
        """All that was found."""
        found: Bins = {}
        for device in self.raw:
            check()
            found[device] = {metric: joined(self.pieces.get((device, metric), ())) for metric in metrics}
        return found


class Hourly:
    """Bins of whole hours and days."""

    def __init__(self, rollups: RollUps, days: Days, chunks: OpenChunks, readers: Readers) -> None:
        self._rollups = rollups
        self._days = days
        self._chunks = chunks
        self._readers = readers

    async def hours(
        self, tenant_id: int, device_ids: Sequence[str], metrics: Sequence[str], start: int, end: int
    ) -> Bins:
        """The bins of the UTC hours that lie whole in a range; hours without numbers are left out."""
        first, stop = -(-start // HOUR_MS), end // HOUR_MS
        asked = self._question(tenant_id, device_ids, metrics)
        if first >= stop:
            return asked.found(is_wanted, metrics)
        for device in asked.raw:
            asked.raw[device] = self._unusable(asked, device, first, stop)
            parts = self._chunks.copied_parts(tenant_id, device, first * HOUR_MS, stop * HOUR_MS)
            if parts:
                asked.memory[device] = parts
                asked.raw[device] |= {hour for hour in hours_of(parts) if first <= hour < stop}
        doubts = set(self._rollups.stale.doubts)
        found, damages = await self._readers.run(self._hours, asked, metrics, (first, stop), doubts)
        for damaged, day in {(device, hour // HOURS_PER_DAY) for device, hour in damages}:
            # Computed again, and in one go: what is not damaged of a day that is packed goes with what is.
            self._rollups.stale.mark(damaged, range(day * HOURS_PER_DAY, (day + 1) * HOURS_PER_DAY), None)
        return found

    async def days(
        self, tenant_id: int, device_ids: Sequence[str], metrics: Sequence[str], start: int, end: int
    ) -> Bins:
        """The bins of the UTC days that lie whole in a range; days without numbers are left out."""
        first, stop = -(-start // DAY_MS), end // DAY_MS
        asked = self._question(tenant_id, device_ids, metrics)
        if first >= stop:
            return asked.found(is_wanted, metrics)
        for device in asked.raw:
            hours = self._unusable(asked, device, first * HOURS_PER_DAY, stop * HOURS_PER_DAY)
            asked.raw[device] = {hour // HOURS_PER_DAY for hour in hours | self._chunks.hours(tenant_id, device)}
        missing, found = await self._readers.run(self._days_of, asked, metrics, (first, stop))
        if not missing:
            return found
        # The days that have no roll-up of their own, out of their hours.
        low, high = min(map(min, missing.values())), max(map(max, missing.values()))
        in_hours = await self.hours(asked.tenant_id, list(missing), metrics, low * DAY_MS, (high + 1) * DAY_MS)
        return await self._readers.run(_combined, asked, metrics, missing, in_hours)

    def _question(self, tenant_id: int, device_ids: Sequence[str], metrics: Sequence[str]) -> _Asked:
        erased = frozenset(device for device in device_ids if (tenant_id, device) in self._days.erased)
        return _Asked(tenant_id, frozenset(metrics), {device: set() for device in device_ids}, erased, {}, {})

    def _unusable(self, asked: _Asked, device: str, first: int, stop: int) -> set[int]:
        """The hours of which no roll-up may be taken."""
        if device in asked.erased:
            return set(range(first, stop))
        return self._rollups.stale.hours((asked.tenant_id, device), first, stop)

    def _hours(
        self, check: Check, asked: _Asked, metrics: Sequence[str], hours: tuple[int, int], doubts: set[int]
    ) -> tuple[Bins, Damaged]:
        """Answer for hours, and give the roll-ups that were damaged. Runs in a thread."""
        first, stop = hours
        damaged: Damaged = []
        for month, low, high in months.spans(first // HOURS_PER_DAY, (stop - 1) // HOURS_PER_DAY + 1):
            span = (max(first, low * HOURS_PER_DAY), min(stop, high * HOURS_PER_DAY))
            for devices in portions_of(asked.raw, ROLLUPS_AT_ONCE // (span[1] - span[0]) + 1):
                check()
                damaged += self._roll_ups(month, asked, devices, span, doubts)
        if any(asked.raw.values()):
            there = set(self._days.between(check, first * HOUR_MS, stop * HOUR_MS, []))
            for device, day in _device_days(asked.raw, there, asked.memory):
                self._add_readings(check, asked, device, day)
            for known, hour in damaged:
                if hour // HOURS_PER_DAY not in there:
                    # There is nothing left to compute it from.
                    self._days.missing.note(hour // HOURS_PER_DAY, known)
        return asked.found(check, metrics), damaged

    def _days_of(
        self, check: Check, asked: _Asked, metrics: Sequence[str], days: tuple[int, int]
    ) -> tuple[dict[str, set[int]], Bins]:
        """Give the days that have no roll-up of their own; when there are none, the answer too. Runs in a thread."""
        missing = {device: set(range(*days)) for device in asked.raw}
        for month, low, high in months.spans(*days):
            for devices in portions_of(asked.raw, ROLLUPS_AT_ONCE // (high - low) + 1):
                check()
                for device, day in self._roll_ups_of_days(month, asked, devices, (low, high)):
                    missing[device].discard(day)
        left = {device: of_device for device, of_device in missing.items() if of_device}
        return left, {} if left else asked.found(check, metrics)

    def _roll_ups(
        self, month: str, asked: _Asked, devices: Sequence[str], span: tuple[int, int], doubts: set[int]
    ) -> Damaged:
        """Take the roll-ups of hours; give those that were damaged."""
        wanted = Wanted(asked.tenant_id, devices, asked.metrics)
        stored = self._stored(queries.read_hours, month, wanted, *span, doubts)
        days = range(span[0] // HOURS_PER_DAY, (span[1] - 1) // HOURS_PER_DAY + 1)
        unknown = _hours_of([day for day in days if day not in stored.progress], span)
        closed = _hours_of([day for day in days if day in stored.progress and stored.progress[day].is_closed], span)
        if unknown or closed:
            for device in devices:
                asked.raw[device] |= unknown | closed
        taker = rollup_record.Taker(asked.metrics)
        records = _one_by_one(taker, asked, stored, span, closed)
        if any(asked.raw[device] for device in devices):
            records = [each for each in records if asked.may_take(each[0], each[1], closed)]
        damaged = taker.take(records, HOUR_MS)
        for device, hour, _ in records if closed else ():
            asked.raw[device].discard(hour)
        for device, hour in damaged:
            asked.raw[device].add(hour)
            if hour in closed:
                # There is nothing left to compute it from.
                self._days.missing.note(hour // HOURS_PER_DAY, (asked.tenant_id, device))
        for found in taker.taken():
            asked.add(*found)
        return [((asked.tenant_id, device), hour) for device, hour in damaged]

    def _roll_ups_of_days(
        self, month: str, asked: _Asked, devices: Sequence[str], span: tuple[int, int]
    ) -> list[tuple[str, int]]:
        """Take the roll-ups of days; give which were there."""
        stored = self._stored(queries.read_days, month, asked.tenant_id, devices, *span)
        records = [each for each in stored.records if each[1] not in asked.raw[each[0]]]
        taker = rollup_record.Taker(asked.metrics)
        # Of a day that was damaged its hours say the same.
        damaged = set(taker.take(records, DAY_MS))
        for found in taker.taken():
            asked.add(*found)
        return [(device, day) for device, day, _ in records if (device, day) not in damaged]

    def _stored(self, read: Callable[..., Stored], month: str, *arguments: object) -> Stored:
        """What a file of roll-ups says; nothing when it cannot be read."""
        try:
            return read(self._rollups.file(month), *arguments)
        except DamagedRollUpsError:
            self._rollups.damaged(month)
            self._rollups.note_lost(month)
        except ChunkError as error:
            self._days.note_damage(str(error))
        return Stored({}, [], [])

    def _add_readings(self, check: Check, asked: _Asked, device: str, day: int) -> None:
        """Compute the bins of hours of a device and day from readings."""
        hours = {hour for hour in asked.raw[device] if hour // HOURS_PER_DAY == day}
        parts = [part for part in asked.memory.get(device, ()) if part.day == day]
        span = (min(hours) * HOUR_MS, (max(hours) + 1) * HOUR_MS)
        readings = self._days.readings(check, (asked.tenant_id, device), day, list(asked.metrics), span, parts)
        for metric, bins in computing.binned(readings, hours).items():
            check()
            asked.add(device, metric, BinColumn.of(bins))


def _one_by_one(
    taker: rollup_record.Taker, asked: _Asked, stored: Stored, span: tuple[int, int], closed: Collection[int]
) -> list[tuple[str, int, bytes]]:
    """Have every packed day taken that may be taken whole; give the roll-ups of all other hours, which rise."""
    # Of those that were read, which are few at a time of all that are asked about.
    devices = {row[0] for row in stored.packed}
    left = {
        (device, hour // HOURS_PER_DAY)
        for device in devices
        for hour in asked.raw[device]
        if not asked.may_take(device, hour, closed)
    }
    free = [row for row in stored.packed if (row[0], row[1]) not in left] if left else stored.packed
    left |= taking.take(taker, free, *span)
    if closed:
        for (device, day), rows in taking.by_day(free).items():
            if (device, day) not in left:
                asked.raw[device].difference_update(taking.hours_known(day, rows))
    if not left:
        return stored.records
    rest = [row for row in stored.packed if (row[0], row[1]) in left]
    return sorted([*stored.records, *taking.unpacked(rest, *span)], key=itemgetter(1))


def _combined(check: Check, asked: _Asked, metrics: Sequence[str], missing: dict[str, set[int]], hours: Bins) -> Bins:
    """All that was found, with the days that are missing taken out of their hours. Runs in a thread."""
    for device, days in missing.items():
        check()
        for metric, bins in hours[device].items():
            by_day = computing.grouped(bins, lambda at: at - at % DAY_MS)
            asked.add(device, metric, BinColumn.of({at: each for at, each in by_day.items() if at // DAY_MS in days}))
    return asked.found(check, metrics)


def _device_days(raw: dict[str, set[int]], there: set[int], memory: dict[str, list[Rows]]) -> list[tuple[str, int]]:
    """The devices and days of which readings are to be read, as far as there are any."""
    return [
        (device, day)
        for device, hours in raw.items()
        for day in sorted({hour // HOURS_PER_DAY for hour in hours})
        if day in there or any(part.day == day for part in memory.get(device, ()))
    ]


def _hours_of(days: Sequence[int], span: tuple[int, int]) -> set[int]:
    """The hours of days, as far as they lie in a span."""
    hours = chain.from_iterable(range(day * HOURS_PER_DAY, (day + 1) * HOURS_PER_DAY) for day in days)
    return {hour for hour in hours if span[0] <= hour < span[1]}
