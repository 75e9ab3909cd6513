"""A start takes up what the day files hold and what the log holds beyond them.

A day file says of each device up to which log id everything is in its chunks; the rest of the log is taken into memory
again. What cannot be read of a day file is not taken to be in it.
"""

import asyncio
import logging
from pathlib import Path

from appliance.instant import DAY_MS
from appliance.store.database import Database
from appliance.telemetry import log_record, queries
from appliance.telemetry.day_file import DayDevice
from appliance.telemetry.days.service import Covered, Days, surveyed
from appliance.telemetry.keeping import queries as keeping_queries
from appliance.telemetry.open_chunks import OpenChunks
from appliance.telemetry.packing import ChunkError
from appliance.telemetry.queries import LogRow
from appliance.telemetry.rollups.service import RollUps

log = logging.getLogger(__name__)

_LOG_ROWS_PER_READ = 64


class Recovery:
    """What is found on the disk on its way into memory, which is empty before."""

    def __init__(self, database: Database, chunks: OpenChunks, days: Days, rollups: RollUps) -> None:
        self._database = database
        self._chunks = chunks
        self._days = days
        self._rollups = rollups

    async def run(self, folder: Path) -> dict[int, int]:
        """Take up everything; give the days of which something may not be on the disk, and the oldest log id of that.

        `folder` is that of the day files.
        """
        tenants = await self._database.read(queries.select_tenants())
        oldest = [
            log_id for tenant in tenants for log_id in await self._database.read(queries.select_oldest_log(tenant))
        ]
        for erasure in await self._database.read(keeping_queries.select_erasures()):
            self._days.erased[erasure.tenant_id, erasure.device_id] = erasure.through_log_id
        await asyncio.to_thread(keeping_queries.remove_leftovers, folder)
        paths = await asyncio.to_thread(queries.day_paths, folder)
        survey = await asyncio.to_thread(surveyed, paths, min(oldest, default=None))
        for damage in survey.damages:
            self._days.note_damage(damage)
        # A gateway.db that was restored from a backup would give log ids again that chunks already name.
        highest_log_id = max(survey.highest_log_id, await self._rollups.recover(survey.last_log_ids))
        await self._database.write(queries.raise_log_id, highest_log_id)
        self._chunks.note_log(highest_log_id)
        for known in survey.latest.values():
            if known.latest_log_id > self._days.erased.get((known.tenant_id, known.device_id), 0):
                self._take_latest(known)
        counts = [await self._replay(tenant, survey.covered) for tenant in tenants]
        log.info("log replayed reports=%d devices=%d", sum(counts), len(survey.latest))
        # What a day file holds of the log may be in its WAL only, which a kill leaves there and a power cut does not.
        return dict.fromkeys((day for _, _, day in survey.covered), min(oldest, default=0))

    def _take_latest(self, known: DayDevice) -> None:
        try:
            reports = log_record.decode(known.latest, known.tenant_id)
        except ChunkError as error:
            self._days.note_damage(f"newest values of {known.device_id}: {error}")
            return
        self._chunks.device(known.tenant_id, known.device_id).newest.restore(reports, known.last_seen_at)

    async def _replay(self, tenant_id: int, covered: Covered) -> int:
        count = 0
        [after] = await self._database.read(queries.select_released(tenant_id))
        while rows := await self._database.read(queries.select_log(tenant_id, after, _LOG_ROWS_PER_READ)):
            for row in rows:
                count += self._replay_row(tenant_id, row, covered)
            after = rows[-1].log_id
        return count

    def _replay_row(self, tenant_id: int, row: LogRow, covered: Covered) -> int:
        """Take what a log record holds and no day file does; give how many reports that were."""
        try:
            reports = log_record.decode(row.record, tenant_id)
        except ChunkError as error:
            self._days.note_damage(f"log record {row.log_id}: {error}")
            return 0
        fresh = []
        for report in reports:
            if self._days.is_erased(report, row.log_id):
                continue
            if covered.get((tenant_id, report.device_id, report.at // DAY_MS), 0) >= row.log_id:
                self._chunks.device(tenant_id, report.device_id).newest.note(report)
            else:
                fresh.append(report)
        self._chunks.absorb(fresh, row.log_id, row.committed_at)
        return len(fresh)
