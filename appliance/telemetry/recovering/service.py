"""A start takes up what the day files hold and what the log holds beyond them.

A day file says of each device up to which log id everything is in its chunks; the rest of the log is taken into memory
again. What cannot be read of a day file is not taken to be in it.
"""

import asyncio
import gc
import logging
from bisect import bisect_right
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from appliance.instant import DAY_MS
from appliance.store.database import Database
from appliance.telemetry import latest_record, queries
from appliance.telemetry.day_file import DayDevice
from appliance.telemetry.days.service import Covered, Days, surveyed
from appliance.telemetry.keeping import erased_list
from appliance.telemetry.keeping import queries as keeping_queries
from appliance.telemetry.keeping.erased_list import Device
from appliance.telemetry.keeping.model import Listed
from appliance.telemetry.open_chunks import OpenChunks
from appliance.telemetry.packing import ChunkError
from appliance.telemetry.queries import LogRow
from appliance.telemetry.recovering.gathered import Gathered
from appliance.telemetry.rollups.service import RollUps
from appliance.telemetry.run import LoggedReport, Run

log = logging.getLogger(__name__)

_LOG_ROWS_PER_READ = 256
_FREEZE_FROM = 50_000
"""To look at fewer objects once takes no time worth mentioning."""
_CELLS_AT_ONCE = 14_000_000
"""So many values are taken up together, of 8 bytes each: more of each device at once takes less time.

Ten minutes of 2,000 reports a second with five values each are less, so that no device has its turn twice.
"""


class Recovery:
    """What is found on the disk on its way into memory, which is empty before."""

    def __init__(
        self,
        database: Database,
        chunks: OpenChunks,
        days: Days,
        rollups: RollUps,
        begin_after: Callable[[int, int], Awaitable[object]],
    ) -> None:
        """`begin_after` is told the newest log id in day files, and when the newest report there arrived."""
        self._database = database
        self._begin_after = begin_after
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
        known = erased_list.newest(await self._database.read(keeping_queries.select_ever_erased()))
        listed = await asyncio.to_thread(erased_list.read, folder)
        # The day files may have come back with an older list, as gateway.db may have come back without the days.
        ever = erased_list.newest([*listed.reach.values(), *known.values()])
        await asyncio.to_thread(keeping_queries.remove_leftovers, folder)
        paths = await asyncio.to_thread(queries.day_paths, folder)
        survey = await asyncio.to_thread(surveyed, paths, min(oldest, default=None), ever)
        survey.damages += listed.damages
        await self._take_erased(folder, listed.reach, known, {each: ever[each] for each in survey.returned})
        for damage in survey.damages:
            self._days.note_damage(damage)
        # A gateway.db that was restored from a backup would give log ids again that chunks already name.
        highest_log_id = max(survey.highest_log_id, await self._rollups.recover(survey.last_log_ids))
        # What is taken from now on must not count as what was erased.
        highest_log_id = max(highest_log_id, *(each.through_log_id for each in ever.values()), 0)
        last_seen_at = max((device.last_seen_at for device in survey.latest.values()), default=0)
        await self._begin_after(highest_log_id, last_seen_at)
        self._chunks.note_log(highest_log_id)
        for device in survey.latest.values():
            if device.latest_log_id > self._days.erased.get((device.tenant_id, device.device_id), 0):
                self._take_latest(device)
        with _collector_paused():
            counts = [await self._replay(tenant, survey.covered) for tenant in tenants]
        log.info("log replayed reports=%d devices=%d", sum(counts), len(survey.latest))
        # What a day file holds of the log may be in its WAL only, which a kill leaves there and a power cut does not.
        return dict.fromkeys((day for _, _, day in survey.covered), min(oldest, default=0))

    async def _take_erased(
        self,
        folder: Path,
        listed: Mapping[Device, Listed],
        known: Mapping[Device, Listed],
        returned: Mapping[Device, Listed],
    ) -> None:
        """Show nothing of what the list beside the day files says was erased and an older gateway.db does not know.

        Nor of what came back with a day file. And what the list does not say yet is added to it.
        """
        again = {(each.tenant_id, each.device_id): each for each in erased_list.beyond(listed, known)}
        pending = self._days.erased
        again |= {device: each for device, each in returned.items() if pending.get(device, 0) < each.through_log_id}
        for device, each in again.items():
            self._days.erased[device] = max(each.through_log_id, self._days.erased.get(device, 0))
        self._days.erased_before = tuple(again.values())
        if missing := erased_list.beyond(known, listed):
            try:
                await asyncio.to_thread(erased_list.append, folder, missing)
            except OSError as error:
                log.warning("list of what was erased cannot be written, it is tried again error=%s", error)

    def _take_latest(self, known: DayDevice) -> None:
        try:
            reports = latest_record.reports_of(known.latest, known.tenant_id)
        except ChunkError as error:
            self._days.note_damage(f"newest values of {known.device_id}: {error}")
            return
        self._chunks.device(known.tenant_id, known.device_id).newest.restore(reports, known.last_seen_at)

    async def _replay(self, tenant_id: int, covered: Covered) -> int:
        count = 0
        [after] = await self._database.read(queries.select_released(tenant_id))
        gathered, committed = Gathered(tenant_id), dict[int, int]()
        while rows := await self._database.read(queries.select_log(tenant_id, after, _LOG_ROWS_PER_READ)):
            for row in rows:
                self._gather(gathered, row)
                committed[row.log_id] = row.committed_at
            after = rows[-1].log_id
            if gathered.cell_count > _CELLS_AT_ONCE:
                count += self._take_up(tenant_id, gathered, committed, covered)
                gathered, committed = Gathered(tenant_id), dict[int, int]()
        count += self._take_up(tenant_id, gathered, committed, covered)
        self._chunks.note_log(after)
        return count

    def _gather(self, gathered: Gathered, row: LogRow) -> None:
        try:
            gathered.add(row.log_id, row.record)
        except ChunkError as error:
            self._days.note_damage(f"log record {row.log_id}: {error}")

    def _take_up(self, tenant_id: int, gathered: Gathered, committed: Mapping[int, int], covered: Covered) -> int:
        """Take what log records hold and no day file does; give how many reports that were."""
        before = self._chunks.report_count
        for device_id, found in gathered.devices():
            is_erased = (tenant_id, device_id) in self._days.erased
            for each in found:
                if isinstance(each, LoggedReport):
                    self._take(each, committed, covered)
                elif is_erased:
                    for logged in each.logged():
                        self._take(logged, committed, covered)
                else:
                    self._take_run(each, committed, covered.get((tenant_id, device_id, each.first.at // DAY_MS), 0))
        return self._chunks.report_count - before

    def _take_run(self, run: Run, committed: Mapping[int, int], covered_log_id: int) -> None:
        known = bisect_right(run.log_ids, covered_log_id)
        if known:
            device = self._chunks.device(run.first.tenant_id, run.first.device_id)
            device.newest.note_run(run if known == len(run.log_ids) else run.cut(0, known))
        if known == len(run.log_ids):
            return
        fresh = run.cut(known, len(run.log_ids)) if known else run
        if not self._chunks.absorb_run(fresh, committed[fresh.log_ids[0]]):
            for log_id, report in fresh.logged():
                self._chunks.absorb([report], log_id, committed[log_id])

    def _take(self, logged: LoggedReport, committed: Mapping[int, int], covered: Covered) -> None:
        log_id, report = logged
        if self._days.is_erased(report, log_id):
            return
        if covered.get((report.tenant_id, report.device_id, report.at // DAY_MS), 0) >= log_id:
            self._chunks.device(report.tenant_id, report.device_id).newest.note(report)
        else:
            self._chunks.absorb([report], log_id, committed[log_id])


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Look for no garbage meanwhile: what is made here stays, and to look at all of it again and again takes long.

    If it is much, it is not looked at afterwards either.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if gc.get_count()[0] > _FREEZE_FROM:
            gc.freeze()
        if was_enabled:
            gc.enable()
