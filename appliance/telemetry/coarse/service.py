"""Finds the days of which only roll-ups are left, where an answer lacks the readings for it.

Rules:
- A day is named only when its roll-ups know readings that the answer needs, and nothing else has them any more: neither
  its files nor Parquet. Of a day whose file is there, or Parquet, that is so for devices that were taken out of them.
- Today is not looked at, for no day goes before it is over: what most people ask costs nothing.
- What was damaged is named as damaged, and what is being erased is not named.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from appliance.instant import DAY_MS, HOUR_MS, Clock
from appliance.portions import portions_of
from appliance.store.readers import Readers
from appliance.telemetry import queries
from appliance.telemetry.asking.model import Answer, Question
from appliance.telemetry.asking.pieces import Span, cut
from appliance.telemetry.asking.readings import longest_window_ms
from appliance.telemetry.coarse.model import Lacking, Needed
from appliance.telemetry.coarse.needed import extent, is_lacking, needed
from appliance.telemetry.coarse.telling import lacking
from appliance.telemetry.cold.reading import ColdReadings
from appliance.telemetry.days.queries import Device, read_held
from appliance.telemetry.days.service import Days
from appliance.telemetry.packing import ChunkError
from appliance.telemetry.rollup_record import decode
from appliance.telemetry.rollups import months, taking
from appliance.telemetry.rollups.model import DamagedRollUpsError, Progress, Wanted
from appliance.telemetry.rollups.reading import queries as reading
from appliance.telemetry.rollups.service import RollUps
from appliance.telemetry.rollups.stale import HOURS_PER_DAY
from appliance.telemetry.wanted import Check

DEVICES_AT_ONCE = 32
"""Of so many devices a day is looked at in one go: mostly the first ones tell."""


class _Asked(NamedTuple):
    tenant_id: int
    device_ids: Sequence[str]
    by_day: Mapping[int, Sequence[tuple[Needed, Span]]]
    """What is needed within which part of a day."""
    taken_out: Mapping[int, Collection[Device]]
    """By day that lies in Parquet: the devices that were taken out of it."""


class Coarse:
    """Days of which only roll-ups are left."""

    def __init__(
        self, rollups: RollUps, days: Days, readers: Readers, clock: Clock, cold: Callable[[], ColdReadings]
    ) -> None:
        self._rollups = rollups
        self._days = days
        self._readers = readers
        self._clock = clock
        self._cold = cold

    async def lacking_in(self, question: Question, answer: Answer) -> Lacking:
        """What a page of an answer lacks; it is to be asked once the answer is there."""
        coarse = await self.of_answer(question, answer)
        devices = {device for devices in question.keys.values() for device in devices}
        start = question.start - longest_window_ms(question.columns)
        return lacking(self._days.missing.between(question.tenant_id, devices, start, question.end), coarse)

    async def lacking(
        self, tenant_id: int, device_ids: Collection[str], what: Sequence[Needed], within: Span
    ) -> Lacking:
        """What is lacking of readings that are needed, and damaged within a span; asked once they were looked for."""
        coarse = await self.of(tenant_id, device_ids, what)
        return lacking(self._days.missing.between(tenant_id, device_ids, *within), coarse)

    async def of_answer(self, question: Question, answer: Answer) -> list[int]:
        """The days, counted since 1970, of which a page of an answer lacks readings."""
        devices = sorted({device for devices in question.keys.values() for device in devices})
        start = question.start - longest_window_ms(question.columns)
        # Of what lies beyond there may be very many bins.
        over = msgspec.structs.replace(question, end=min(question.end, self._clock() // DAY_MS * DAY_MS))
        return await self._found(
            question.tenant_id, devices, (start, over.end), lambda check: needed(check, over, answer)
        )

    async def of(self, tenant_id: int, device_ids: Collection[str], what: Sequence[Needed]) -> list[int]:
        """The days of which readings of devices are needed and are not there any more."""
        return await self._found(tenant_id, sorted(device_ids), extent(what), lambda _: what)

    async def _found(
        self, tenant_id: int, device_ids: Sequence[str], span: Span, what: Callable[[Check], Sequence[Needed]]
    ) -> list[int]:
        first, stop = span[0] // DAY_MS, min(-(-span[1] // DAY_MS), self._clock() // DAY_MS)
        if first >= stop or not device_ids:
            return []
        cold = self._cold()
        taken_out = {day: cold.taken_out(day) for day in cold.days(first * DAY_MS, stop * DAY_MS)}
        return await self._readers.run(self._within, tenant_id, device_ids, (first, stop), taken_out, what)

    def _within(
        self,
        check: Check,
        tenant_id: int,
        device_ids: Sequence[str],
        days: tuple[int, int],
        taken_out: Mapping[int, Collection[Device]],
        what: Callable[[Check], Sequence[Needed]],
    ) -> list[int]:
        """Runs in a thread."""
        given = [device for device in device_ids if (tenant_id, device) not in self._days.erased]
        by_day = _by_day(check, what(check), days)
        there = {day: each for day, each in by_day.items() if taken_out.get(day, True)}
        asked = _Asked(tenant_id, given, there, taken_out)
        return [each.day for each in self._rolled_up(check, asked.by_day) if self._is_coarse(check, asked, each)]

    def _rolled_up(self, check: Check, days: Collection[int]) -> Iterator[Progress]:
        """Those of some days that have roll-ups, the oldest first."""
        for month in dict.fromkeys(months.month_of(day) for day in sorted(days)):
            check()
            try:
                file = self._rollups.file(month)
                known = reading.read_progress(file.path, file.reader)
            except DamagedRollUpsError:
                self._lose(month)
            except ChunkError as error:
                self._days.note_damage(str(error))
            else:
                yield from (each for each in sorted(known) if each.day in days)

    def _is_coarse(self, check: Check, asked: _Asked, progress: Progress) -> bool:
        check()
        devices = self._devices_without(asked, progress)
        if (taken_out := asked.taken_out.get(progress.day)) is not None:
            devices = [device for device in devices if (asked.tenant_id, device) in taken_out]
        for some in portions_of(devices, DEVICES_AT_ONCE):
            check()
            if any(self._is_lacking(asked.tenant_id, some, *each) for each in asked.by_day[progress.day]):
                return True
        return False

    def _devices_without(self, asked: _Asked, progress: Progress) -> Sequence[str]:
        """The devices whose readings of a day may be gone, as far as its files tell."""
        path = self._days.path(progress.day)
        if progress.is_closed:
            # What is there came late, after the rest had gone.
            return asked.device_ids
        span = (progress.day * DAY_MS, (progress.day + 1) * DAY_MS)
        if self._days.missing.between(asked.tenant_id, asked.device_ids, *span):
            return ()
        if not queries.has_day(path):
            return asked.device_ids
        if progress.day >= self._clock() // DAY_MS - 1:
            # Devices are taken out of a day once it has been over for a day at least.
            return ()
        try:
            held = read_held(path, [(asked.tenant_id, device) for device in asked.device_ids])
        except ChunkError as error:
            self._days.note_damage(str(error), progress.day)
            return ()
        return [device for device in asked.device_ids if (asked.tenant_id, device) not in held]

    def _is_lacking(self, tenant_id: int, device_ids: Sequence[str], what: Needed, span: Span) -> bool:
        """Whether the roll-ups of devices know of readings that are needed within a span of a day."""
        first, stop = span[0] // HOUR_MS, -(-span[1] // HOUR_MS)
        month = months.month_of(first // HOURS_PER_DAY)
        wanted = Wanted(tenant_id, device_ids, what.metrics)
        try:
            stored = reading.read_hours(self._rollups.file(month), wanted, first, stop, ())
        except DamagedRollUpsError:
            self._lose(month)
            return False
        except ChunkError as error:
            self._days.note_damage(str(error))
            return False
        for device, hour, record in [*stored.records, *taking.unpacked(stored.packed, first, stop)]:
            try:
                if is_lacking(decode(record), what, span):
                    return True
            except ChunkError:
                # Nobody knows what it said.
                self._days.missing.note(hour // HOURS_PER_DAY, (tenant_id, device))
        return False

    def _lose(self, month: str) -> None:
        self._rollups.damaged(month)
        self._rollups.note_lost(month)


def _by_day(check: Check, what: Sequence[Needed], days: tuple[int, int]) -> dict[int, list[tuple[Needed, Span]]]:
    """What is needed within which part of the days of a range."""
    found: dict[int, list[tuple[Needed, Span]]] = {}
    for each in what:
        within = ((max(start, days[0] * DAY_MS), min(end, days[1] * DAY_MS)) for start, end in each.spans)
        for part in cut((span for span in within if span[0] < span[1]), DAY_MS):
            check()
            found.setdefault(part[0] // DAY_MS, []).append((each, part))
    return found
