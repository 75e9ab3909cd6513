"""The cold tier at work: sealed days are written as Parquet, kept, uploaded, and rid of what is erased.

One task does it, one day after the other, in programs beside the gateway. Each step is known to gateway.db when it is
done and is done again when it is not, so it may end at any moment.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from appliance.cold_settings import ColdConfig
from appliance.config import TelemetryConfig
from appliance.health import Status
from appliance.instant import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, Clock, day_of
from appliance.registry.model import DEFAULT_TENANT
from appliance.store.database import Database, UnwritableError
from appliance.telemetry.cold import plan
from appliance.telemetry.cold.borrowing.service import Borrowed
from appliance.telemetry.cold.bucket.model import BucketError
from appliance.telemetry.cold.model import Arrivals, ColdDay, ColdError, ColdUsage, Uploaded
from appliance.telemetry.cold.plan import Device
from appliance.telemetry.cold.shelf.service import Shelf
from appliance.telemetry.cold.upkeep.service import Upkeep, unbounded
from appliance.telemetry.cold.upload.rounds.service import Rounds
from appliance.telemetry.cold.upload.service import Uploads
from appliance.telemetry.cold.worker.service import Workers, has_pyarrow
from appliance.telemetry.days.missing import Missing
from appliance.telemetry.keeping import plan as keeping_plan
from appliance.telemetry.keeping.room import reserve
from appliance.telemetry.keeping.room.service import Room
from appliance.telemetry.packing import ChunkError
from appliance.telemetry.rows import Rows

log = logging.getLogger(__name__)

LOOK_MS = MINUTE_MS
"""How often it is looked for what is due."""

GIGABYTE = 1_000_000_000

BUDGET_SHARE = 3
"""One part in so many of what the data folder may take, when the settings do not say how much."""

MISSING = (
    "Parquet is to be written, but pyarrow is not installed: readings stay in chunks until they are dropped, and"
    " nothing goes to the cold tier"
)


class Cold:
    """The cold tier of a data folder."""

    def __init__(self, database: Database, folder: Path, config: ColdConfig, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._workers = Workers(config.memory_mb)
        self._shelf = Shelf(database, folder, self._workers, clock)
        self._uploads = Uploads(database, self._shelf, config.s3, clock)
        self._rounds = Rounds(self._shelf, self._uploads, clock)
        self._upkeep = Upkeep(self._shelf, self._uploads, self._rounds, clock)
        self._borrowed = Borrowed(self._uploads, self._rounds, self._shelf.folder)
        self._shelf.is_elsewhere, self._shelf.lend = self._uploads.has, self._lent
        self._work = asyncio.Lock()
        self._asked = asyncio.Event()
        self._has_pyarrow = has_pyarrow()
        self._troubles: dict[str, str] = {}
        """By what failed: why."""
        self._unread: dict[int, str] = {}
        """By the day that could not be answered from its file: why."""
        self._early: set[tuple[int, Device]] = set()
        """Who was asked about before the file of the day was looked at."""
        self._removed_at = 0
        self._aside_count = 0
        self.missing = Missing()
        """The days of which an answer lacks what could not be read here; day files may have it for their own."""
        self.passed_at: Callable[[], int] = lambda: 0
        """A moment that has passed for sure, UTC milliseconds, whatever the clock shows."""
        self.budget: Callable[[], Awaitable[int]] = unbounded
        """What everything in the data folder may take, in bytes."""
        self.keep_days_of: Callable[[], Mapping[Device, int]] = dict
        """The devices of which less is to be kept than of others, and how many days."""

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Do what is due, and answer from what is there."""
        async with self._workers.running():
            await self._borrowed.clear()
            if self._has_pyarrow:
                await self._shelf.load()
            async with asyncio.TaskGroup() as tasks:
                working = tasks.create_task(self._work_on(), name="cold")
                try:
                    yield
                finally:
                    working.cancel()

    @property
    def is_on(self) -> bool:
        """Whether days are written."""
        return self._config.parquet and self._has_pyarrow

    def follow(self, room: Room, config: TelemetryConfig) -> None:
        """Have days dropped when they are written, and files removed when room is needed."""
        room.keeping.let_go, room.give_way = self.may_go, self.give_way
        self.budget = room.budget_bytes
        self.passed_at = lambda: room.passed_at()  # noqa: PLW0108  it is told later
        low_bytes = reserve.low_bytes(config.reserve_mb * reserve.MEGABYTE)
        tend = room.keeping.sealed

        async def free_bytes() -> int:
            return (await asyncio.to_thread(room.look)).free_bytes - low_bytes

        self._upkeep.free_bytes = free_bytes

        async def tended() -> None:
            await tend()
            self._upkeep.end_night()
            self._asked.set()

        room.keeping.sealed, room.keeping.erased = tended, self._asked.set
        by_type = config.keep_days_of_types
        by_device = {(DEFAULT_TENANT, device_id): days for device_id, days in config.keep_days_of_devices.items()}

        def keep_days_of() -> Mapping[Device, int]:
            if not by_type and not by_device:
                return {}
            devices = [(each.tenant_id, each.device_id, each.type) for each in room.devices()]
            return keeping_plan.keep_days_of(devices, by_type, by_device)

        self.keep_days_of = keep_days_of

    async def upload_soon(self) -> None:
        """Say that it is time to upload what is new."""
        self._rounds.is_asked = True
        self._asked.set()

    async def upload_now(self) -> Uploaded:
        """Write and upload whatever is due, even if the bucket failed just now. Raises `BucketError`, `ColdError`."""
        if not self._uploads.target:
            raise ColdError("there is no bucket to upload to: cold.s3.bucket is not set")
        if not self.is_on:
            raise ColdError(MISSING)
        async with self._work:
            # A day that cannot be written keeps no other from being uploaded.
            await self._see_to_files()
            uploaded = await self._rounds.go()
            self._troubles.pop("upload", None)
            return uploaded

    def may_go(self, day: int) -> bool:
        """Whether the warm tier may drop a day: its file was written, or cannot be for what is in the day."""
        if not self.is_on or self._upkeep.is_given_up(day):
            return True
        try:
            source, known = self._shelf.surely_source(day), self._shelf.known.get(day)
        except OSError:
            return False
        if source is None:
            return True
        if known is None or known.source != source or day in self._shelf.doubted or day in self._shelf.unseen:
            return False
        # What was removed for good, by age or for room, is not written again.
        return not (known.is_local and known.sha256) or self._shelf.path(day).exists()

    async def give_way(self) -> bool:
        """On a full disk: remove what was fetched, or the oldest file that can be made again; whether there was any."""
        if await self._borrowed.clear():
            return True
        for known in sorted(self._shelf.known.values(), key=lambda each: each.day):
            if known.is_local and known.sha256 and plan.is_current(self._shelf.source(known.day), known):
                # It is not written down on a full disk: then it is seen at the next start.
                with contextlib.suppress(UnwritableError):
                    await self._shelf.remove(known, is_for_good=self._uploads.has(known))
                return True
        return False

    def days(self, start: int, end: int) -> list[int]:
        """The days of a range that have a file, here or in the bucket."""
        return self._shelf.days(start, end)

    def days_arrived(self, start: int, end: int) -> list[int]:
        """The days of whose file something may have arrived in a span."""
        return self._shelf.days_arrived(start, end)

    def is_needed(self, day: int) -> bool:
        """Whether day files may lack something that the file of a day has."""
        return self._shelf.is_needed(day)

    async def parts(self, device: Device, day: int, span: tuple[int, int]) -> Sequence[Rows]:
        """What the file of a day has of a device beyond the chunks that are there; nothing when it cannot be read."""
        if not self._has_pyarrow:
            return ()
        if day in self._shelf.unseen:
            self._early.add((day, device))
            self.missing.note(day, device)
            return ()
        self._early.discard((day, device))
        return await self._given(day, lambda: self._shelf.parts(device, day, span), device)

    async def arrived(self, day: int, asked: Arrivals) -> Sequence[Rows]:
        """What it has by when it arrived. Raises `ColdError` when it cannot be read."""
        if not self._has_pyarrow:
            return ()
        if day in self._shelf.unseen:
            raise ColdError(f"the file of {day_of(day * DAY_MS)} was not looked at yet")
        if self._shelf.is_out_of_sight(day) and asked.arrivals[0] >= (day + 2) * DAY_MS:
            # For what came late, if anything did, every old day would have to be fetched.
            raise ColdError(f"only the bucket has {day_of(day * DAY_MS)}, and nobody knows whether anything came late")
        found = await self._given(day, lambda: self._shelf.arrived(day, asked))
        if day in self._unread:
            raise ColdError(self._unread[day])
        return found

    async def _given(self, day: int, read: Callable[[], Awaitable[list[Rows]]], *devices: Device) -> Sequence[Rows]:
        """What is read of the file of a day; whether it could be is noted."""
        try:
            found = await read()
        except (ColdError, ChunkError, OSError) as error:
            for device in devices:
                self.missing.note(day, device)
            if day not in self._unread:
                log.warning("day could not be answered from Parquet day=%s error=%s", day_of(day * DAY_MS), error)
            self._unread[day] = f"{day_of(day * DAY_MS)} cannot be answered from Parquet: {error}"
            # A damaged file may be written again.
            if day in self._shelf.doubted:
                self._asked.set()
            return ()
        self._unread.pop(day, None)
        for device in devices:
            self.missing.forget(day, device)
        return found

    def usage(self) -> ColdUsage:
        """How it stands."""
        known = self._shelf.known.values()
        local = [each for each in known if each.is_local and each.sha256]
        target = self._uploads.target
        return ColdUsage(
            is_on=self._config.parquet,
            day_count=len(local),
            oldest_day=min((each.day for each in local), default=None),
            newest_day=max((each.day for each in local), default=None),
            file_bytes=sum(each.file_bytes for each in local),
            waiting_count=self._upkeep.waiting_count,
            bucket=target,
            uploaded_count=sum(self._uploads.has(each) for each in known),
            upload_waiting_count=len(plan.due_for_upload(known, target)) if target else 0,
            uploaded_at=max((each.uploaded_at for each in known if each.uploaded_at), default=None),
            trouble=self._trouble(),
            left_behind=plan.left_behind(known, target),
        )

    def status(self) -> Status:
        """What the cold tier says of itself."""
        usage = self.usage()
        details = {"days": usage.day_count, "bytes": usage.file_bytes, "uploads_waiting": usage.upload_waiting_count}
        if usage.trouble:
            return Status(ok=False, summary=usage.trouble, details=details, is_serving=True)
        summary = f"{usage.day_count} days are there as Parquet" if usage.is_on else "days are not written as Parquet"
        for bucket in usage.left_behind:
            summary += f"; {bucket}, which is not set any more, may have days: nothing is erased there"
        return Status(ok=True, summary=summary, details=details)

    async def look(self) -> None:
        """Do what is due. What fails is told and tried again."""
        async with self._work:
            await self._see_to_files()
            await self._tried("removing", self._remove_due)
            await self._tried("upload", self._rounds.go_if_due)
            await self._tried("removing what was fetched", self._upkeep.remove_fetched)
            await self._tried("forgetting", self._upkeep.forget_gone)
            await self._tried("borrowed files", self._let_go_borrowed)
            await self._tried("arrivals", self._shelf.learn_arrivals)
            self._unread = {day: why for day, why in self._unread.items() if day in self._shelf.known}
            await self._tried("damaged files", self._count_aside)

    async def _see_to_files(self) -> None:
        """Have the files as they should be: written as their days are now, without what is erased."""
        await self._tried("damage", self._shelf.see_to_doubted)
        await self._tried("missing files", self._shelf.look_for_gone)
        await self._tried("unknown files", self._upkeep.adopt_due)
        self._forget_early()
        if self.is_on:
            await self._tried("export", self._upkeep.export_due)
        keep_days_of, aged_at = self.keep_days_of(), self._aged_at()
        await self._tried("files set aside", lambda: self._upkeep.remove_asides_due(keep_days_of, aged_at))
        await self._tried("erasing", lambda: self._upkeep.take_out_due(keep_days_of, aged_at))

    async def _work_on(self) -> None:
        while True:
            # What was written before it was switched off is rid of what is erased, too.
            if self._has_pyarrow and (self.is_on or self._shelf.known or self._shelf.unseen):
                with contextlib.suppress(UnwritableError):
                    await self.look()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_MS / SECOND_MS):
                    await self._asked.wait()
            self._asked.clear()

    async def _tried(self, subject: str, work: Callable[[], Awaitable[object]]) -> None:
        try:
            await work()
        except (ColdError, BucketError, OSError) as error:
            if self._troubles.get(subject) != str(error):
                log.warning("cold tier failed, tried again later subject=%s error=%s", subject, error)
            self._troubles[subject] = str(error)
        else:
            self._troubles.pop(subject, None)

    async def _lent(self, known: ColdDay) -> Path:
        return await self._borrowed.path(known, self._upkeep.free_bytes)

    async def _let_go_borrowed(self) -> None:
        await self._borrowed.keep_only({each.sha256 for each in self._shelf.known.values()})

    async def _count_aside(self) -> None:
        self._aside_count = len(await self._shelf.aside())

    def _forget_early(self) -> None:
        """Let answers lack nothing any more for files that have been looked at meanwhile."""
        for day, device in [each for each in self._early if each[0] not in self._shelf.unseen]:
            self._early.discard((day, device))
            self.missing.forget(day, device)

    def _trouble(self) -> str:
        """Why something could not be done; empty when all is well."""
        if self._config.parquet and not self._has_pyarrow:
            return MISSING
        aside = f"{self._aside_count} damaged files of days were set aside" if self._aside_count else ""
        return "; ".join(filter(None, [*self._troubles.values(), *self._unread.values(), aside]))

    def _aged_at(self) -> int:
        """The moment from which ages count: a clock that runs ahead makes nothing old."""
        return min(self._clock(), self.passed_at())

    async def _remove_due(self) -> None:
        """Let go the files that are too old or too many."""
        if 0 <= self._clock() - self._removed_at < HOUR_MS:
            return
        self._removed_at = self._clock()
        budget = self._config.disk_budget_gb * GIGABYTE or await self.budget() // BUDGET_SHARE
        await self._upkeep.remove_due(self._config.keep_days, budget, self._aged_at())
