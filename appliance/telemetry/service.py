"""Keeps readings: in memory and in the event log first, in chunks of day files for good.

The way of a reading: ingestion commits it to the log and hands it to `absorb`; its chunk is sealed into the
day file of its moment; a checkpoint puts the day file on disk; then the log is trimmed. A restart at any point
between replays the log and skips what the day files already hold, so nothing is lost or counted twice.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from appliance.config import TelemetryConfig
from appliance.health import Status
from appliance.instant import SECOND_MS, Clock
from appliance.portions import portions_of
from appliance.store.database import Database, UnwritableError
from appliance.store.folder import DatabaseFolder, FileSettings
from appliance.store.readers import Check, Readers
from appliance.telemetry import queries, sealing
from appliance.telemetry.asking.service import Asking
from appliance.telemetry.barred.service import Barred
from appliance.telemetry.coarse.service import Coarse
from appliance.telemetry.cold.reading import ColdReadings, NothingCold
from appliance.telemetry.cold.together.service import together
from appliance.telemetry.day_file import SealedDevice
from appliance.telemetry.days.service import Days
from appliance.telemetry.hourly.service import Bins, Hourly
from appliance.telemetry.keeping.model import Erasure
from appliance.telemetry.leisure.service import Leisure
from appliance.telemetry.merge import Part, Readings, newest
from appliance.telemetry.model import Latest, Report, Series
from appliance.telemetry.newest import Newest
from appliance.telemetry.open_chunk import OpenChunk
from appliance.telemetry.open_chunks import OpenChunks
from appliance.telemetry.paging.service import Paging
from appliance.telemetry.recovering.service import Recovery
from appliance.telemetry.rollups.service import ROLL_INTERVAL_MS, RollUps
from appliance.telemetry.rows import Rows

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger(__name__)

OPEN_FILES_LIMIT = 3
"""Today's file, yesterday's while late readings come in, and one more."""
READERS_LIMIT = 2
"""How many questions about the past are worked on at once, each in a thread."""


class Telemetry:
    """Readings over time. `folder` is the gateway's data folder; day files lie in `days` inside it."""

    def __init__(self, database: Database, folder: Path, config: TelemetryConfig, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._chunks = OpenChunks(config)
        self.open_chunks, self.newest_unstamped = self._chunks, self._chunks.newest_unstamped
        """What tells reports of a device from all others, as far as memory holds them."""
        self._files = DatabaseFolder(
            folder / "days",
            FileSettings(prepare=queries.prepare_day, page_bytes=queries.DAY_PAGE_BYTES, cache_kb=8_000),
            OPEN_FILES_LIMIT,
        )
        self._days = self.day_files = Days(self._files)
        self._sealing = asyncio.Lock()
        self._leisure = Leisure()
        self._pressed = asyncio.Event()
        """Set when sealing should not wait for its time."""
        self.readers = Readers(READERS_LIMIT)
        self._unsynced: dict[int, int] = {}
        """Day files with chunks that may not be on disk yet, and the oldest log id these need."""
        self._barred = Barred(self._files, self._days)
        self.unwritable = self._barred.damaged
        """Days into whose damaged open part nothing is written until it was saved, and what is wrong with it."""
        self._trimmed_log_id = 0
        self.trim: Callable[[Sequence[int], int], Awaitable[None]] = partial(database.write, queries.delete_log)
        """Removes the log of tenants up to a log id: nothing here needs it any more, but somebody else may."""
        self.begin_after: Callable[[int, int], Awaitable[object]]
        self.begin_after = lambda log_id, _: database.write(queries.raise_log_id, log_id)
        """Has log ids begin after the newest one in day files; what arrived up to a moment may not be in the log."""
        self.cold: ColdReadings = NothingCold()
        self._trouble = ""
        self.rollups = RollUps(folder, self._days, self._chunks, self._unsynced, self.readers, clock)
        self._hourly = Hourly(self.rollups, self._days, self._chunks, self.readers)
        self.coarse = Coarse(self.rollups, self._days, self.readers, clock, lambda: self.cold)
        self.asking = Asking(self)
        self.paging = Paging(self)

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Take up what the log and the day files hold; while open, seal what is due, and roll up what is over."""
        async with self._files.opened(), self.rollups.opened(), self.readers.opened():
            recovery = Recovery(self._database, self._chunks, self._days, self.rollups, self.begin_after)
            self._unsynced.update(await recovery.run(self._files.folder))
            stop = asyncio.Event()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._seal_until(stop, self._chunks.look_interval_ms), name="telemetry seal")
                tasks.create_task(self.rollups.roll_until(stop, ROLL_INTERVAL_MS), name="telemetry roll up")
                try:
                    yield
                finally:
                    stop.set()
                    self._pressed.set()
                    self._leisure.hurry()

    def absorb(self, reports: Sequence[Report], log_id: int) -> None:
        """Take reports that were committed to the log under this id, in the order of the log ids."""
        if self._days.erased:
            reports = [report for report in reports if not self._days.is_erased(report, log_id)]
        self._chunks.absorb(reports, log_id, self._clock())
        if self._chunks.is_pressing:
            self._pressed.set()
            self._leisure.hurry()

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

    def newest_of_all(self, tenant_id: int) -> Sequence[tuple[str, Newest]]:
        """The newest values of every device of a tenant that was ever heard of, in the order of their names."""
        return self._chunks.newest_of_all(tenant_id)

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
        details = {"open_chunks": self._chunks.open_count, "reports_in_memory": self._chunks.report_count}
        details["damaged"] = len(self._days.damages)
        if told := "; ".join([self._trouble] if self._trouble else self._barred.waiting()):
            return Status(ok=False, summary=told, details=details)
        if self._days.damages:
            return Status(ok=False, summary="some stored readings were damaged; the log names them", details=details)
        return Status(ok=True, summary=f"{self._chunks.report_count} reports not in day files yet", details=details)

    async def series(
        self, tenant_id: int, device_id: str, metrics: Sequence[str], start: int, end: int, limit: int
    ) -> list[Series]:
        """The readings with `start <= at < end` of each metric, in time order, at most the newest `limit` of each.

        Day files are read in a thread, one day after the other, until the limit is reached or the caller is cancelled.
        """
        # Memory first: a chunk that moves to its day file in between is then seen twice, which is
        # mended, and not missed, which could not be.
        memory = self._chunks.copied_parts(tenant_id, device_id, start, end)
        device, span = (tenant_id, device_id), (start, end)
        if not (cold_days := self.cold.days(start, end)):
            return await self.readers.run(self._days.series, device, metrics, span, limit, memory)
        read: list[dict[str, Readings]] = []
        there = await self.readers.run(self._days.between, start, end, memory)
        for day in sorted({*there, *cold_days}, reverse=True):
            part = together(self.readers, self.cold, (device, day, span), memory, self._days.readings, metrics=metrics)
            read.append(await part)
            if all(sum(len(each[metric].at) for each in read) > limit for metric in metrics):
                break
        return [newest(metric, [each[metric] for each in reversed(read)], limit) for metric in metrics]

    async def days_between(self, tenant_id: int, device_id: str, start: int, end: int) -> list[int]:
        """The days, counted since 1970, of a range that may hold anything of a device, oldest first."""
        held = self._chunks.copied_parts(tenant_id, device_id, start, end)
        return sorted({*await self.readers.run(self._days.between, start, end, held), *self.cold.days(start, end)})

    async def looked_at(
        self, tenant_id: int, device_id: str, start: int, end: int, look: Callable[[Check, Sequence[Part]], T]
    ) -> list[T]:
        """What a function makes of whatever may hold reports of a device with `start <= at < end`, day after day.

        It is called in a thread, and calls its check between two pieces of work of a few milliseconds each.
        """
        memory = self._chunks.copied_parts(tenant_id, device_id, start, end)
        device, span, found = (tenant_id, device_id), (start, end), list[T]()
        there = await self.readers.run(self._days.between, start, end, memory)
        for day in sorted({*there, *self.cold.days(start, end)}):
            wanted = device, day, span
            found.append(await together(self.readers, self.cold, wanted, memory, self._days.looked_at, look=look))
        return found

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

    def arrived(self, tenant_id: int, device_id: str, start: int, end: int) -> list[Rows]:
        """Copies of what memory holds of a device and may have arrived with `start <= arrived_at < end`."""
        return self._chunks.arrived(tenant_id, device_id, start, end)

    async def seal_due(self) -> None:
        """Write the chunks whose time has come into their day files, and trim the log behind them."""
        async with self._sealing:
            is_pressing = self._chunks.is_pressing
            self._leisure.begin(0 if is_pressing else self._chunks.look_interval_ms / 2 / SECOND_MS)
            self._chunks.begin_sealing(self._clock())
            await self._write_sealing()

    async def seal_all(self) -> None:
        """Write every open chunk into its day file, and trim the log behind them."""
        async with self._leisure.hurried(self._sealing):
            self._chunks.begin_sealing_all()
            await self._write_sealing()

    @contextlib.asynccontextmanager
    async def held(self, day: int, *, is_kept: bool = True) -> AsyncIterator[Days]:
        """Write nothing into the file of a day meanwhile; what comes for it stays in memory and in the log.

        One that is kept is complete and on the disk by then. Raises `UnwritableError` when it cannot be, because the
        disk is full, the file is being read or it may not be written, `DamagedOpenDayError` when it was damaged.
        """
        async with self._leisure.hurried(self._sealing):
            if is_kept:
                await self._write_sealing()
                self._require_synced(day)
                self._barred.require_undamaged(day)
            self._settled(day)
            self._chunks.held.add(day)
        async with self._closed(day):
            yield self._days

    @contextlib.asynccontextmanager
    async def held_to_save(self, day: int) -> AsyncIterator[Days]:
        """The same of a day whose open part may be damaged. Unless this ends well, it stays as it was.

        The log keeps meanwhile whatever may not be on the disk. Raises `UnwritableError` when the disk is full, the
        file is being read or it may not be written.
        """
        async with self._leisure.hurried(self._sealing):
            await self._write_sealing()
            if day not in self.unwritable:
                self._require_synced(day)
            self._chunks.held.add(day)
        async with self._closed(day):
            yield self._days
            self._settled(day)

    async def changed(self, day: int, function: Callable[..., T], *arguments: object) -> T:
        """Run a transaction in the open part of a day, and leave nothing in its log of what was there before.

        Raises `UnwritableError` when the disk is full, another program reads the file or it may not be written,
        `DamagedOpenDayError` when it was damaged.
        """
        name = queries.day_name(day)
        async with self._leisure.hurried(self._sealing), self.readers_kept_out():
            async with self._barred.told(day):
                file = await self._files.writer(name)
                result = await file.write(function, *arguments)
                if not await file.maintain(queries.checkpoint):
                    raise UnwritableError(f"{name} is being read, it is put on the disk later")
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
        async with self._leisure.hurried(self._sealing):
            erasures = await told()
            # What was committed before that was taken before this, and what came after it is taken after this.
            for erasure in erasures:
                self._chunks.forget(erasure.tenant_id, erasure.device_id)
                self._days.erase((erasure.tenant_id, erasure.device_id), erasure.through_log_id)
        return erasures

    @property
    def is_crowded(self) -> bool:
        """Whether more waits in memory for days that are held than may."""
        return self._chunks.is_crowded

    async def _seal_until(self, stop: asyncio.Event, interval_ms: int) -> None:
        while not stop.is_set():
            self._pressed.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._pressed.wait(), interval_ms / SECOND_MS)
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
        self._barred.forget_but(self._unsynced.keys() | {sealed.day for sealed in self._chunks.sealing})
        await self._trim()

    async def _insert_sealing(self) -> None:
        # A day that is held may go, or give way to a new file, at any moment: what waits for it waits on.
        barred = self._chunks.held | self.unwritable.keys()
        free = [sealed for sealed in self._chunks.sealing if sealed.day not in barred]
        for day, same_day in groupby(sorted(free, key=attrgetter("day")), attrgetter("day")):
            async with self._barred.noted(day):
                await self._insert_into(day, list(same_day))

    async def _insert_into(self, day: int, waiting: Sequence[OpenChunk]) -> None:
        file = await self._files.writer(queries.day_name(day))
        for batch in portions_of(waiting, sealing.CHUNKS_PER_TRANSACTION):
            devices: list[SealedDevice] = []
            for some in portions_of(batch, sealing.CHUNKS_BETWEEN_PAUSES):
                values, log_id = list(map(sealing.newest_values, some)), self._chunks.last_log_id
                devices += await self._leisure.aside(sealing.sealed_devices, some, values, log_id)
            needed = min(sealed.first_log_id for sealed in batch)
            self._unsynced[day] = min(self._unsynced.get(day, needed), needed)
            await file.write(queries.insert_sealed, devices)
            for done in portions_of(batch, sealing.CHUNKS_AT_ONCE):
                self.rollups.sealed(done)
                self._chunks.finish_sealing(done)
                await asyncio.sleep(0)

    async def _checkpoint(self) -> None:
        # Of a day that may not be written, only what was inserted before is left to put on the disk.
        refused = self._barred.forbidden.keys() & {sealed.day for sealed in self._chunks.sealing}
        for day in self._unsynced.keys() - self._chunks.held - self.unwritable.keys() - refused:
            async with self._barred.noted(day):
                file = await self._files.writer(queries.day_name(day))
                if await file.maintain(queries.checkpoint):
                    del self._unsynced[day]

    @contextlib.asynccontextmanager
    async def _closed(self, day: int) -> AsyncIterator[None]:
        """The file of a day that is held stays closed meanwhile; afterwards it is held no more."""
        try:
            await self._files.close(queries.day_name(day))
            yield
        finally:
            self._chunks.held.discard(day)

    def _require_synced(self, day: int) -> None:
        self._barred.require_allowed(day)
        if day in self._unsynced and day not in self.unwritable:
            raise UnwritableError(f"{queries.day_name(day)} is being read, it is put on the disk later")

    def _settled(self, day: int) -> None:
        self._unsynced.pop(day, None)
        self._barred.settled(day)

    async def _trim(self) -> None:
        oldest = min([self._chunks.oldest_needed(), *self._unsynced.values()])
        if oldest - 1 > self._trimmed_log_id:
            await self.trim(sorted(self._chunks.tenants), oldest - 1)
            self._trimmed_log_id = oldest - 1
