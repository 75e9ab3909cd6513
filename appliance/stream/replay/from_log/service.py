"""Finds what arrived in a span in the event log, as long as that reaches back so far.

Rules:
- The log is in the order of its commits. That is nearly the order of arrival, and no more: the clock is set, and an
  import tells of an arrival long ago. So it is known of each stretch of the log between which moments its reports
  arrived, and every stretch that may hold anything of a span is read.
- Nothing arrives after it was committed: what was trimmed away arrived no later than the newest commit in it.
- What is damaged is not made up for here: who asks is sent to the chunks.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import NamedTuple

from appliance.store.database import Database
from appliance.stream import queries
from appliance.stream.replay.model import Span
from appliance.telemetry import log_record
from appliance.telemetry.keeping import queries as keeping_queries
from appliance.telemetry.model import Report
from appliance.telemetry.packing import ChunkError
from appliance.telemetry.service import Telemetry
from appliance.telemetry.wanted import Check

log = logging.getLogger(__name__)

RECORDS_AT_ONCE = 64
"""A stretch of the log has so many records, but for the last one."""

Records = Sequence[tuple[int, bytes]]


class Stretch(NamedTuple):
    """Records of the log that follow each other, and when what they hold arrived."""

    first_log_id: int
    last_log_id: int
    record_count: int
    first_at: int
    last_at: int


class FromLog:
    """The event log, by arrival."""

    def __init__(self, database: Database, telemetry: Telemetry) -> None:
        self._database = database
        self._telemetry = telemetry
        self._stretches: dict[int, list[Stretch]] = {}
        """Of each tenant whose log was looked at: from some record up to the newest one at that time, in order."""
        self._looking = asyncio.Lock()

    async def reaches(self, tenant_id: int, start: int) -> bool:
        """Whether it holds everything that arrived from a moment on."""
        trimmed = await self._database.read(queries.select_trimmed(tenant_id))
        return not trimmed or trimmed[0].at < start

    async def arrived(self, span: Span) -> list[Report] | None:
        """What arrived in a span, in the order of the log; None when not all of it is here. Raises `TooMuchError`."""
        if not await self.reaches(span.tenant_id, span.start):
            return None
        found: list[Report] = []
        try:
            for stretch in await self._touched(span):
                records = await self._records(span.tenant_id, stretch.first_log_id, stretch.last_log_id)
                found += await self._telemetry.aside(self._reports, span, records)
                span.require_room(len(found))
        except ChunkError as error:
            log.error("a record of the log was damaged error=%s", error)  # noqa: TRY400  no traceback
            return None
        # It may have been trimmed meanwhile.
        return found if await self.reaches(span.tenant_id, span.start) else None

    async def _touched(self, span: Span) -> list[Stretch]:
        """The stretches that may hold anything of a span. Raises `ChunkError`."""
        tenant_id = span.tenant_id
        async with self._looking:
            known = self._stretches.pop(tenant_id, [])
            for trimmed in await self._database.read(queries.select_trimmed(tenant_id)):
                known = [each for each in known if each.last_log_id > trimmed.log_id]
            if known and known[-1].record_count < RECORDS_AT_ONCE:
                known.pop()
            for first in await self._database.read(queries.select_first(tenant_id, span.start)):
                [end] = await self._database.read(queries.select_end())
                if known:
                    known += await self._looked_at(tenant_id, known[-1].last_log_id + 1, end)
                before = known[0].first_log_id - 1 if known else end
                known = [*await self._looked_at(tenant_id, first, before), *known]
            self._stretches[tenant_id] = known
        return [each for each in known if span.touches(each.first_at, each.last_at)]

    async def _looked_at(self, tenant_id: int, first_log_id: int, last_log_id: int) -> list[Stretch]:
        """When what lies in a part of the log arrived. Raises `ChunkError`."""
        found: list[Stretch] = []
        while records := await self._records(tenant_id, first_log_id, last_log_id):
            first_at, last_at = await self._telemetry.aside(_arrivals, records)
            found.append(Stretch(records[0][0], records[-1][0], len(records), first_at, last_at))
            first_log_id = records[-1][0] + 1
        return found

    async def _records(self, tenant_id: int, first_log_id: int, last_log_id: int) -> Records:
        """The first records of a part of the log."""
        select = keeping_queries.select_log_of(tenant_id, first_log_id - 1, last_log_id, RECORDS_AT_ONCE)
        return await self._database.read(select)

    def _reports(self, check: Check, span: Span, records: Records) -> list[Report]:
        """Runs in a thread."""
        days = self._telemetry.day_files
        found: list[Report] = []
        for log_id, record in records:
            check()
            reports = log_record.decode(record, span.tenant_id)
            found += [each for each in reports if span.has(each) and not days.is_erased(each, log_id)]
        return found


def _arrivals(check: Check, records: Records) -> tuple[int, int]:
    """Runs in a thread: when the first and the last of the reports arrived."""
    told: list[int] = []
    for _, record in records:
        check()
        arrived = log_record.decode_columns(record).arrived_at
        told += (min(arrived), max(arrived)) if arrived else ()
    # When nothing is left in the records, nothing of it arrived at any time.
    return (min(told), max(told)) if told else (1, 0)
