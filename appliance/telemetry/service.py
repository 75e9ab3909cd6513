"""Keeps readings: in memory and in the event log first, in chunks of day files for good.

The way of a reading: ingestion commits it to the log and hands it to `absorb`; its chunk is sealed into the
day file of its moment; a checkpoint puts the day file on disk; then the log is trimmed. A restart at any point
between replays the log and skips what the day files already hold, so nothing is lost or counted twice.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from appliance.config import TelemetryConfig
from appliance.health import Status
from appliance.instant import DAY_MS, SECOND_MS, Clock
from appliance.store.database import Database, UnwritableError
from appliance.store.folder import DatabaseFolder, FileSettings
from appliance.store.readers import Check, Readers
from appliance.telemetry import chunk, log_record, queries
from appliance.telemetry.asking.service import Asking
from appliance.telemetry.days.service import Covered, Days, surveyed
from appliance.telemetry.hourly.service import Bins, Hourly
from appliance.telemetry.keeping import queries as keeping_queries
from appliance.telemetry.keeping.model import Erasure
from appliance.telemetry.model import Latest, Report, Series
from appliance.telemetry.newest import NewestValues
from appliance.telemetry.open_chunks import OpenChunk, OpenChunks
from appliance.telemetry.packing import ChunkError
from appliance.telemetry.queries import DayDevice, LogRow, SealedChunk, SealedDevice
from appliance.telemetry.rollups.service import ROLL_INTERVAL_MS, RollUps
from appliance.telemetry.rows import Identity

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger(__name__)

SEAL_INTERVAL_MS = 10 * SECOND_MS
"""How often chunks that are due are looked for."""

CHUNKS_PER_TRANSACTION = 256
OPEN_FILES_LIMIT = 3
"""Today's file, yesterday's while late readings come in, and one more."""

READERS_LIMIT = 2
"""How many questions about the past are worked on at once, each in a thread."""

_LOG_ROWS_PER_READ = 64


class Telemetry:
    """Readings over time. `folder` is the gateway's data folder; day files lie in `days` inside it."""

    def __init__(self, database: Database, folder: Path, config: TelemetryConfig, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._chunks = OpenChunks(config)
        self._files = DatabaseFolder(
            folder / "days",
            FileSettings(prepare=queries.prepare_day, page_bytes=queries.DAY_PAGE_BYTES, cache_kb=8_000),
            OPEN_FILES_LIMIT,
        )
        self._days = Days(self._files)
        self._sealing = asyncio.Lock()
        self.readers = Readers(READERS_LIMIT)
        self._unsynced: dict[int, int] = {}
        """Day files with chunks that may not be on disk yet, and the oldest log id these need."""
        self._trimmed_log_id = 0
        self._trouble = ""
        self.rollups = RollUps(folder, self._days, self._chunks, self._unsynced, self.readers, clock)
        self._hourly = Hourly(self.rollups, self._days, self._chunks, self.readers)
        self.asking = Asking(self)

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Take up what the log and the day files hold; while open, seal what is due, and roll up what is over."""
        async with self._files.opened(), self.rollups.opened(), self.readers.opened():
            await self._recover()
            stop = asyncio.Event()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._seal_until(stop, SEAL_INTERVAL_MS), name="telemetry seal")
                tasks.create_task(self.rollups.roll_until(stop, ROLL_INTERVAL_MS), name="telemetry roll up")
                try:
                    yield
                finally:
                    stop.set()

    def absorb(self, reports: Sequence[Report], log_id: int) -> None:
        """Take reports that were committed to the log under this id, in the order of the log ids."""
        if self._days.erased:
            reports = [report for report in reports if not self._is_erased(report, log_id)]
        self._chunks.absorb(reports, log_id, self._clock())

    def latest(self, tenant_id: int, device_id: str) -> dict[str, Latest]:
        """The newest reading of each metric of a device; empty when it was never heard of."""
        known = self._chunks.newest(tenant_id, device_id)
        return known.latest() if known else {}

    def newest_at(self, tenant_id: int, device_id: str, metric: str) -> int | None:
        """The moment of the newest reading of a metric; None when there is none."""
        known = self._chunks.newest(tenant_id, device_id)
        return known.moment_of(metric) if known else None

    def identities_at(self, tenant_id: int, device_id: str, at: int) -> list[Identity]:
        """What tells the reports of a device and moment from all others, as far as memory holds them."""
        return self._chunks.identities_at(tenant_id, device_id, at)

    def latest_of_all(self, tenant_id: int) -> dict[str, dict[str, Latest]]:
        """The newest reading of each metric of every device of a tenant that was ever heard of."""
        return self._chunks.latest_of_all(tenant_id)

    def device_ids(self, tenant_id: int) -> list[str]:
        """Every device of a tenant that was ever heard of, sorted."""
        return self._chunks.device_ids(tenant_id)

    def last_seen(self, tenant_id: int, device_id: str) -> int | None:
        """When the newest report of a device arrived; None when there was none."""
        known = self._chunks.newest(tenant_id, device_id)
        return known.last_seen_at if known else None

    def recent(self, tenant_id: int, device_id: str, metric: str, count: int = 60) -> list[tuple[int, float]]:
        """The newest numbers of a metric that memory holds, with their moments, oldest first."""
        return self._chunks.recent(tenant_id, device_id, metric, count)

    def metrics(self, tenant_id: int, device_id: str) -> list[str]:
        """The metrics that a device reported, sorted."""
        known = self._chunks.newest(tenant_id, device_id)
        return known.metrics() if known else []

    def status(self) -> Status:
        """What telemetry says of itself."""
        details = {
            "open_chunks": self._chunks.open_count,
            "reports_in_memory": self._chunks.report_count,
            "damaged": len(self._days.damages),
        }
        if self._trouble:
            return Status(ok=False, summary=self._trouble, details=details)
        if self._days.damages:
            return Status(ok=False, summary="some stored readings were damaged; the log names them", details=details)
        return Status(ok=True, summary=f"{self._chunks.report_count} reports not in day files yet", details=details)

    async def series(
        self, tenant_id: int, device_id: str, metrics: Sequence[str], start: int, end: int, limit: int
    ) -> list[Series]:
        """The readings with `start <= at < end` of each metric, in time order, at most the newest `limit` of each.

        Day files are read and unpacked in a thread, one day after the other, until the limit is reached or the caller
        is cancelled.
        """
        # Memory first: a chunk that moves to its day file in between is then seen twice, which is
        # mended, and not missed, which could not be.
        memory = self._chunks.copied_parts(tenant_id, device_id, start, end)
        return await self.readers.run(self._days.series, (tenant_id, device_id), metrics, (start, end), limit, memory)

    async def aside(self, function: Callable[Concatenate[Check, P], T], *arguments: P.args, **named: P.kwargs) -> T:
        """What `function(check, …)` makes of readings, in a thread, as long as the caller waits for it."""
        return await self.readers.run(function, *arguments, **named)

    async def hours(
        self, tenant_id: int, device_ids: Sequence[str], metrics: Sequence[str], start: int, end: int
    ) -> Bins:
        """The bins of the UTC hours that lie whole in a range: by device, metric and moment at which the hour begins.

        Hours without numbers are left out. Roll-ups answer where they can, in threads; raw readings do elsewhere.
        """
        return await self._hourly.hours(tenant_id, device_ids, metrics, start, end)

    async def days(
        self, tenant_id: int, device_ids: Sequence[str], metrics: Sequence[str], start: int, end: int
    ) -> Bins:
        """The same of UTC days."""
        return await self._hourly.days(tenant_id, device_ids, metrics, start, end)

    async def seal_due(self) -> None:
        """Write the chunks whose time has come into their day files, and trim the log behind them."""
        async with self._sealing:
            self._chunks.begin_sealing(self._clock())
            await self._write_sealing()

    async def seal_all(self) -> None:
        """Write every open chunk into its day file, and trim the log behind them."""
        async with self._sealing:
            self._chunks.begin_sealing_all()
            await self._write_sealing()

    @contextlib.asynccontextmanager
    async def held(self, day: int, *, is_kept: bool = True) -> AsyncIterator[Days]:
        """Write nothing into the file of a day meanwhile; what comes for it stays in memory and in the log.

        One that is kept is complete and on the disk by then. Raises `UnwritableError` when it cannot be, because the
        disk is full or the file is being read.
        """
        async with self._sealing:
            if is_kept:
                await self._write_sealing()
                if day in self._unsynced:
                    raise UnwritableError(f"{queries.day_name(day)} is being read, it is put on the disk later")
            self._unsynced.pop(day, None)
            self._chunks.held.add(day)
        try:
            await self._files.close(queries.day_name(day))
            yield self._days
        finally:
            self._chunks.held.discard(day)

    async def changed(self, day: int, function: Callable[..., T], *arguments: object) -> T:
        """Run a transaction in the open part of a day, and leave nothing in its log of what was there before.

        Raises `UnwritableError` when the disk is full or another program reads the file.
        """
        async with self._sealing, self.readers_kept_out():
            file = await self._files.writer(queries.day_name(day))
            result = await file.write(function, *arguments)
            if not await file.maintain(queries.checkpoint):
                raise UnwritableError(f"{queries.day_name(day)} is being read, it is put on the disk later")
            self._unsynced.pop(day, None)
        return result

    @contextlib.asynccontextmanager
    async def readers_kept_out(self) -> AsyncIterator[None]:
        """Let nobody begin to read day files meanwhile, and wait for those who do.

        Nor does anybody write into those that are held.
        """
        async with self.readers.kept_out():
            for day in self._chunks.held:
                await self._files.close(queries.day_name(day))
            yield

    async def forget(self, told: Callable[[], Awaitable[Sequence[Erasure]]]) -> Sequence[Erasure]:
        """Give nothing any more of what was received of devices up to now. `told` writes down what that is."""
        async with self._sealing:
            erasures = await told()
            # What was committed before that was taken before this, and what came after it is taken after this.
            for erasure in erasures:
                self._chunks.forget(erasure.tenant_id, erasure.device_id)
                self._days.erased[erasure.tenant_id, erasure.device_id] = erasure.through_log_id
        return erasures

    @property
    def is_crowded(self) -> bool:
        """Whether more waits in memory for days that are held than may."""
        return self._chunks.is_crowded

    @property
    def day_files(self) -> Days:
        """The day files."""
        return self._days

    def _is_erased(self, report: Report, log_id: int) -> bool:
        return log_id <= self._days.erased.get((report.tenant_id, report.device_id), 0)

    async def _seal_until(self, stop: asyncio.Event, interval_ms: int) -> None:
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), interval_ms / SECOND_MS)
            if not stop.is_set():
                await self._seal_if_writable()

    async def _seal_if_writable(self) -> None:
        """Seal what is due. On a full disk it stays in memory and in the log, and is tried again later."""
        try:
            await self.seal_due()
        except UnwritableError as error:
            if not self._trouble:
                log.error("sealing failed, tried again later error=%s", error)  # noqa: TRY400  no traceback
            self._trouble = str(error)
        else:
            self._trouble = ""

    async def _write_sealing(self) -> None:
        await self._insert_sealing()
        await self._checkpoint()
        await self._trim()

    async def _insert_sealing(self) -> None:
        # A day that is held may go, or give way to a new file, at any moment: what waits for it waits on.
        free = [sealed for sealed in self._chunks.sealing if sealed.day not in self._chunks.held]
        for day, same_day in groupby(sorted(free, key=attrgetter("day")), attrgetter("day")):
            waiting = list(same_day)
            file = await self._files.writer(queries.day_name(day))
            for first in range(0, len(waiting), CHUNKS_PER_TRANSACTION):
                batch = waiting[first : first + CHUNKS_PER_TRANSACTION]
                states = [sealed.device.newest.as_of_now() for sealed in batch]
                devices = await asyncio.to_thread(_sealed_devices, batch, states, self._chunks.last_log_id)
                needed = min(sealed.first_log_id for sealed in batch)
                self._unsynced[day] = min(self._unsynced.get(day, needed), needed)
                await file.write(queries.insert_sealed, devices)
                self.rollups.sealed(batch)
                self._chunks.finish_sealing(batch)

    async def _checkpoint(self) -> None:
        for day in self._unsynced.keys() - self._chunks.held:
            file = await self._files.writer(queries.day_name(day))
            if await file.maintain(queries.checkpoint):
                del self._unsynced[day]

    async def _trim(self) -> None:
        oldest = min([self._chunks.oldest_needed(), *self._unsynced.values()])
        if oldest - 1 > self._trimmed_log_id:
            await self._database.write(queries.delete_log, sorted(self._chunks.tenants), oldest - 1)
            self._trimmed_log_id = oldest - 1

    async def _recover(self) -> None:
        tenants = await self._database.read(queries.select_tenants())
        oldest = [
            log_id for tenant in tenants for log_id in await self._database.read(queries.select_oldest_log(tenant))
        ]
        for erasure in await self._database.read(keeping_queries.select_erasures()):
            self._days.erased[erasure.tenant_id, erasure.device_id] = erasure.through_log_id
        await asyncio.to_thread(keeping_queries.remove_leftovers, self._files.folder)
        paths = await asyncio.to_thread(queries.day_paths, self._files.folder)
        survey = await asyncio.to_thread(surveyed, paths, min(oldest, default=None))
        for damage in survey.damages:
            self._days.note_damage(damage)
        # A gateway.db that was restored from a backup would give log ids again that chunks already name.
        highest_log_id = max(survey.highest_log_id, await self.rollups.recover(survey.last_log_ids))
        await self._database.write(queries.raise_log_id, highest_log_id)
        self._chunks.note_log(highest_log_id)
        # What a day file holds of the log may be in its WAL only, which a kill leaves there and a power cut does not.
        self._unsynced.update(dict.fromkeys((day for _, _, day in survey.covered), min(oldest, default=0)))
        for known in survey.latest.values():
            if known.latest_log_id > self._days.erased.get((known.tenant_id, known.device_id), 0):
                self._take_latest(known)
        counts = [await self._replay(tenant, survey.covered) for tenant in tenants]
        log.info("log replayed reports=%d devices=%d", sum(counts), len(survey.latest))

    def _take_latest(self, known: DayDevice) -> None:
        try:
            reports = log_record.decode(known.latest, known.tenant_id)
        except ChunkError as error:
            self._days.note_damage(f"newest values of {known.device_id}: {error}")
            return
        self._chunks.device(known.tenant_id, known.device_id).newest.restore(reports, known.last_seen_at)

    async def _replay(self, tenant_id: int, covered: Covered) -> int:
        count = after = 0
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
            if self._is_erased(report, row.log_id):
                continue
            if covered.get((tenant_id, report.device_id, report.at // DAY_MS), 0) >= row.log_id:
                self._chunks.device(tenant_id, report.device_id).newest.note(report)
            else:
                fresh.append(report)
        self._chunks.absorb(fresh, row.log_id, row.committed_at)
        return len(fresh)


def _sealed_devices(
    sealing: Sequence[OpenChunk], newest_values: Sequence[NewestValues], log_id: int
) -> list[SealedDevice]:
    """What goes into a day file. Runs in a thread: nothing appends to these chunks any more."""
    return [
        SealedDevice(
            tenant_id=sealed.device.tenant_id,
            device_id=sealed.device.device_id,
            last_log_id=sealed.rows.last_log_id,
            latest_log_id=log_id,
            last_seen_at=values.last_seen_at,
            latest=log_record.encode(values.reports),
            chunks=[SealedChunk(part.count, min(part.at), max(part.at), chunk.encode(part)) for part in sealed.parts],
        )
        for sealed, values in zip(sealing, newest_values, strict=True)
    ]
