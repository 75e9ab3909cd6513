"""Keeps readings: in memory and in the event log first, in chunks of day files for good.

The way of a reading: ingestion commits it to the log and hands it to `absorb`; its chunk is sealed into the
day file of its moment; a checkpoint puts the day file on disk; then the log is trimmed. A restart at any point
between replays the log and skips what the day files already hold, so nothing is lost or counted twice.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from appliance.config import TelemetryConfig
from appliance.health import Status
from appliance.instant import DAY_MS, SECOND_MS, Clock
from appliance.store.database import Database, UnwritableError
from appliance.store.folder import DatabaseFolder, FileSettings
from appliance.telemetry import chunk, log_record, queries
from appliance.telemetry.merge import Readings, merge, newest
from appliance.telemetry.model import Latest, Report, Series
from appliance.telemetry.newest import NewestValues
from appliance.telemetry.open_chunks import OpenChunk, OpenChunks
from appliance.telemetry.packing import ChunkError
from appliance.telemetry.queries import DayDevice, LogRow, SealedChunk, SealedDevice, StoredChunk
from appliance.telemetry.rows import Rows

log = logging.getLogger(__name__)

SEAL_INTERVAL_MS = 10 * SECOND_MS
"""How often chunks that are due are looked for."""

CHUNKS_PER_TRANSACTION = 256
OPEN_FILES_LIMIT = 3
"""Today's file, yesterday's while late readings come in, and one more."""

READERS_LIMIT = 2
"""How many questions about the past are worked on at once, each in a thread."""

_LOG_ROWS_PER_READ = 64


Covered = dict[tuple[int, str, int], int]
"""By tenant, device and day: the log id up to which everything is in the day file."""


@dataclass
class Survey:
    """What the day files know."""

    covered: Covered
    latest: dict[tuple[int, str], DayDevice]
    """By tenant and device: whatever was written last of it."""
    damages: list[str]
    highest_log_id: int


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
        self._sealing = asyncio.Lock()
        self._reading = asyncio.Semaphore(READERS_LIMIT)
        self._unsynced: dict[int, int] = {}
        """Day files with chunks that may not be on disk yet, and the oldest log id these need."""
        self._trimmed_log_id = 0
        self._damages: set[str] = set()
        self._trouble = ""

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Take up what the log and the day files hold; while open, seal what is due."""
        async with self._files.opened():
            await self._recover()
            stop = asyncio.Event()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._seal_until(stop, SEAL_INTERVAL_MS), name="telemetry seal")
                try:
                    yield
                finally:
                    stop.set()

    def absorb(self, reports: Sequence[Report], log_id: int) -> None:
        """Take reports that were committed to the log under this id, in the order of the log ids."""
        self._chunks.absorb(reports, log_id, self._clock())

    def latest(self, tenant_id: int, device_id: str) -> dict[str, Latest]:
        """The newest reading of each metric of a device; empty when it was never heard of."""
        known = self._chunks.newest(tenant_id, device_id)
        return known.latest() if known else {}

    def newest_at(self, tenant_id: int, device_id: str, metric: str) -> int | None:
        """The moment of the newest reading of a metric; None when there is none."""
        known = self._chunks.newest(tenant_id, device_id)
        return known.moment_of(metric) if known else None

    def latest_of_all(self, tenant_id: int) -> dict[str, dict[str, Latest]]:
        """The newest reading of each metric of every device of a tenant that was ever heard of."""
        return self._chunks.latest_of_all(tenant_id)

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
            "damaged": len(self._damages),
        }
        if self._trouble:
            return Status(ok=False, summary=self._trouble, details=details)
        if self._damages:
            return Status(ok=False, summary="some stored readings were damaged; the log names them", details=details)
        return Status(ok=True, summary=f"{self._chunks.report_count} reports not in day files yet", details=details)

    async def series(
        self, tenant_id: int, device_id: str, metrics: Sequence[str], start: int, end: int, limit: int
    ) -> list[Series]:
        """The readings with `start <= at < end` of each metric, in time order, at most the newest `limit` of each.

        Day files are read and unpacked in a thread, one day after the other, until the limit is reached.
        """
        # Memory first: a chunk that moves to its day file in between is then seen twice, which is
        # mended, and not missed, which could not be.
        memory = self._chunks.copied_parts(tenant_id, device_id, start, end)
        days: list[dict[str, Readings]] = []
        async with self._reading:
            for day in await asyncio.to_thread(self._days_between, start, end, memory):
                parts = [part for part in memory if part.day == day]
                days.append(
                    await asyncio.to_thread(self._read_day, (tenant_id, device_id), day, metrics, (start, end), parts)
                )
                if all(sum(len(read[metric].at) for read in days) > limit for metric in metrics):
                    break
        return [newest(metric, [read[metric] for read in reversed(days)], limit) for metric in metrics]

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
        for day, same_day in groupby(
            sorted(self._chunks.sealing, key=lambda sealed: sealed.day), lambda sealed: sealed.day
        ):
            waiting = list(same_day)
            file = await self._files.writer(queries.day_name(day))
            for first in range(0, len(waiting), CHUNKS_PER_TRANSACTION):
                batch = waiting[first : first + CHUNKS_PER_TRANSACTION]
                states = [sealed.device.newest.as_of_now() for sealed in batch]
                devices = await asyncio.to_thread(_sealed_devices, batch, states, self._chunks.last_log_id)
                needed = min(sealed.first_log_id for sealed in batch)
                self._unsynced[day] = min(self._unsynced.get(day, needed), needed)
                await file.write(queries.insert_sealed, devices)
                self._chunks.finish_sealing(batch)

    async def _checkpoint(self) -> None:
        for day in list(self._unsynced):
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
        paths = await asyncio.to_thread(self._files.paths, queries.DAY_NAMES)
        survey = await asyncio.to_thread(_surveyed, paths, min(oldest, default=None))
        for damage in survey.damages:
            self._note_damage(damage)
        # A gateway.db that was restored from a backup would give log ids again that chunks already name.
        await self._database.write(queries.raise_log_id, survey.highest_log_id)
        self._chunks.note_log(survey.highest_log_id)
        # What a day file holds of the log may be in its WAL only, which a kill leaves there and a power cut does not.
        self._unsynced = dict.fromkeys((day for _, _, day in survey.covered), min(oldest, default=0))
        for known in survey.latest.values():
            self._take_latest(known)
        counts = [await self._replay(tenant, survey.covered) for tenant in tenants]
        log.info("log replayed reports=%d devices=%d", sum(counts), len(survey.latest))

    def _take_latest(self, known: DayDevice) -> None:
        try:
            reports = log_record.decode(known.latest, known.tenant_id)
        except ChunkError as error:
            self._note_damage(f"newest values of {known.device_id}: {error}")
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
            self._note_damage(f"log record {row.log_id}: {error}")
            return 0
        fresh = []
        for report in reports:
            if covered.get((tenant_id, report.device_id, report.at // DAY_MS), 0) >= row.log_id:
                self._chunks.device(tenant_id, report.device_id).newest.note(report)
            else:
                fresh.append(report)
        self._chunks.absorb(fresh, row.log_id, row.committed_at)
        return len(fresh)

    def _days_between(self, start: int, end: int, memory: Sequence[Rows]) -> list[int]:
        """The days of a range that hold anything, newest first."""
        days = {part.day for part in memory} | {
            queries.day_number(path) for path in self._files.paths(queries.DAY_NAMES)
        }
        return sorted((day for day in days if day * DAY_MS < end and (day + 1) * DAY_MS > start), reverse=True)

    def _read_day(
        self, device: tuple[int, str], day: int, metrics: Sequence[str], span: tuple[int, int], memory: list[Rows]
    ) -> dict[str, Readings]:
        """The readings of one day. Runs in a thread."""
        path = self._files.path(queries.day_name(day))
        blobs: list[StoredChunk] = []
        if path.exists():
            try:
                blobs = queries.read_chunks(path, *device, *span)
            except ChunkError as error:
                self._note_damage(str(error))
        sealed = self._decode_all(blobs, metrics, path)
        return merge([*sealed, *memory], metrics, *span, lambda: [*self._decode_all(blobs, None, path), *memory])

    def _decode_all(self, blobs: Sequence[StoredChunk], metrics: Sequence[str] | None, path: Path) -> list[Rows]:
        decoded = []
        for chunk_id, blob in blobs:
            try:
                decoded.append(chunk.decode(blob, metrics))
            except ChunkError as error:
                self._note_damage(f"{path.name} chunk {chunk_id}: {error}")
        return decoded

    def _note_damage(self, what: str) -> None:
        if what not in self._damages:
            self._damages.add(what)
            log.error("stored readings were damaged where=%s", what)


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


def _surveyed(paths: Sequence[Path], oldest_log_id: int | None) -> Survey:
    """What the day files know: how far they cover the log, and the newest values. Runs in a thread."""
    survey = Survey({}, {}, [], 0)
    for path in paths:
        try:
            devices = queries.read_devices(path)
        except ChunkError as error:
            survey.damages.append(str(error))
            continue
        day = queries.day_number(path)
        for device in devices:
            survey.highest_log_id = max(survey.highest_log_id, device.latest_log_id)
            if oldest_log_id is not None and device.last_log_id >= oldest_log_id:
                survey.covered[device.tenant_id, device.device_id, day] = device.last_log_id
            known = survey.latest.get((device.tenant_id, device.device_id))
            if known is None or device.latest_log_id > known.latest_log_id:
                survey.latest[device.tenant_id, device.device_id] = device
    return survey
