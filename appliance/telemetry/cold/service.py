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
from appliance.telemetry.cold.bucket.model import BucketError
from appliance.telemetry.cold.model import ColdError, ColdUsage, Uploaded
from appliance.telemetry.cold.plan import Device
from appliance.telemetry.cold.shelf.service import Shelf
from appliance.telemetry.cold.upload.service import Uploads
from appliance.telemetry.cold.worker.service import Workers, has_pyarrow
from appliance.telemetry.keeping import plan as keeping_plan
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
        self._database = database
        self._folder = folder
        self._workers = Workers(config.memory_mb)
        self._shelf = Shelf(database, folder, self._workers, clock)
        self._uploads = Uploads(database, self._shelf, config.s3, clock)
        self._work = asyncio.Lock()
        self._asked = asyncio.Event()
        self._has_pyarrow = has_pyarrow()
        self._is_upload_asked = False
        self._failures: dict[int, int] = {}
        self._bucket_failures = 0
        self._bucket_again_at = 0
        self._thinned: dict[int, frozenset[Device]] = {}
        self._troubles: dict[str, str] = {}
        """By what failed: why."""
        self._waiting_count = 0
        self._removed_at = 0
        self.passed_at: Callable[[], int] = lambda: 0
        """A moment that has passed for sure, UTC milliseconds, whatever the clock shows."""
        self.budget: Callable[[], Awaitable[int]] = _unbounded
        """What everything in the data folder may take, in bytes."""
        self.keep_days_of: Callable[[], Mapping[Device, int]] = dict
        """The devices of which less is to be kept than of others, and how many days."""

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Do what is due, and answer from what is there."""
        async with self._workers.running():
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
        tend = room.keeping.sealed

        async def tended() -> None:
            await tend()
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
        self._is_upload_asked = True
        self._asked.set()

    async def upload_now(self) -> Uploaded:
        """Write and upload whatever is due, even if the bucket failed just now. Raises `BucketError`, `ColdError`."""
        if not self._uploads.target:
            raise ColdError("there is no bucket to upload to: cold.s3.bucket is not set")
        if not self.is_on:
            raise ColdError(MISSING)
        async with self._work:
            await self._shelf.look_at_erased()
            await self._export_due()
            return await self._upload_due(is_all=True)

    def may_go(self, day: int) -> bool:
        """Whether the warm tier may drop a day: it is written, or cannot be."""
        if not self.is_on or self._failures.get(day, 0) >= plan.PATIENCE_FAILURES:
            return True
        source, known = self._shelf.source(day), self._shelf.known.get(day)
        return source is None or (known is not None and known.source == source)

    async def give_way(self) -> bool:
        """On a full disk: remove the oldest file of which the warm tier has everything; whether there was one."""
        for known in sorted(self._shelf.known.values(), key=lambda each: each.day):
            if known.is_local and known.sha256 and plan.is_current(self._shelf.source(known.day), known):
                # It is not written down on a full disk: then it is seen at the next start.
                with contextlib.suppress(UnwritableError):
                    await self._shelf.remove(known)
                return True
        return False

    def days(self, start: int, end: int) -> list[int]:
        """The days of a range that have a file here."""
        return self._shelf.days(start, end)

    async def parts(self, device: Device, day: int, span: tuple[int, int]) -> Sequence[Rows]:
        """What the file of a day has of a device beyond the chunks that are there; nothing when it cannot be read."""
        if not self._has_pyarrow:
            return ()
        try:
            return await self._shelf.parts(device, day, span)
        except (ColdError, ChunkError) as error:
            self._note("reading", f"{day_of(day * DAY_MS)} cannot be answered from Parquet: {error}")
            return ()

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
            waiting_count=self._waiting_count,
            bucket=target,
            uploaded_count=sum(self._uploads.has(each) for each in known if each.sha256),
            upload_waiting_count=len(plan.due_for_upload(known, target)) if target else 0,
            uploaded_at=max((each.uploaded_at for each in known if each.uploaded_at), default=None),
            trouble=MISSING if self._config.parquet and not self._has_pyarrow else "; ".join(self._troubles.values()),
        )

    def status(self) -> Status:
        """What the cold tier says of itself."""
        usage = self.usage()
        details = {"days": usage.day_count, "bytes": usage.file_bytes, "uploads_waiting": usage.upload_waiting_count}
        if usage.trouble:
            return Status(ok=False, summary=usage.trouble, details=details, is_serving=True)
        if not usage.is_on:
            return Status(ok=True, summary="days are not written as Parquet", details=details)
        return Status(ok=True, summary=f"{usage.day_count} days are there as Parquet", details=details)

    async def look(self) -> None:
        """Do what is due. What fails is told and tried again."""
        async with self._work:
            await self._shelf.look_at_erased()
            await self._tried("export", self._export_due)
            await self._tried("erasing", self._take_out_due)
            await self._tried("removing", self._remove_due)
            await self._tried("upload", self._upload_if_due)
            await self._forget_gone()

    async def _work_on(self) -> None:
        while True:
            # What was written before it was switched off is rid of what is erased, too.
            if self._has_pyarrow and (self.is_on or self._shelf.known):
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
            self._note(subject, str(error))
        else:
            self._troubles.pop(subject, None)

    def _note(self, subject: str, what: str) -> None:
        if self._troubles.get(subject) != what:
            log.error("cold tier failed, tried again later subject=%s error=%s", subject, what)
        self._troubles[subject] = what

    async def _export_due(self) -> None:
        """Write the sealed days that are not written as they are now."""
        if not self.is_on or any(not each.is_done for each in self._shelf.erased):
            # They are written anew without what is erased first.
            return
        sources = await self._shelf.sources()
        due = plan.due_for_export(sources, self._shelf.known)
        failed = ""
        for count, day in enumerate(due):
            self._waiting_count = len(due) - count
            try:
                await self._bring_back(day)
                await self._shelf.export(day, sources[day])
            except (ColdError, BucketError, OSError) as error:
                # The others may succeed.
                self._failures[day] = self._failures.get(day, 0) + 1
                failed = f"{day_of(day * DAY_MS)} could not be written as Parquet: {error}"
            else:
                self._failures.pop(day, None)
                self._waiting_count -= 1
        if failed:
            raise ColdError(failed)

    async def _bring_back(self, day: int) -> None:
        """Have the file of a day here, if only the bucket has it."""
        known = self._shelf.known.get(day)
        if known and known.sha256 and not known.is_local and self._uploads.has(known):
            await self._uploads.fetch(known)

    async def _take_out_due(self) -> None:
        """Take what is erased, and what is too old, out of files."""
        keep_days_of = self.keep_days_of()
        for known in sorted(self._shelf.known.values(), key=lambda each: each.day):
            erased = plan.erased_since(known, self._shelf.erased)
            old = plan.too_old(known.day, keep_days_of, self._aged_at()) - self._thinned.get(known.day, frozenset())
            if erased or old:
                await self._bring_back(known.day)
                await self._shelf.take_out(self._shelf.known[known.day], erased | old)
                self._thinned[known.day] = self._thinned.get(known.day, frozenset()) | old

    def _aged_at(self) -> int:
        """The moment from which ages count: a clock that runs ahead makes nothing old."""
        return min(self._clock(), self.passed_at())

    async def _remove_due(self) -> None:
        """Let go the files that are too old or too many."""
        if self._clock() - self._removed_at < HOUR_MS:
            return
        self._removed_at = self._clock()
        budget = self._config.disk_budget_gb * GIGABYTE or await self.budget() // BUDGET_SHARE
        known = list(self._shelf.known.values())
        for each in plan.due_for_removal(known, self._aged_at(), self._config.keep_days, budget, self._uploads.target):
            await self._shelf.remove(each)

    async def _upload_if_due(self) -> None:
        target = self._uploads.target
        known = self._shelf.known.values()
        is_urgent = any(plan.is_urgent(each, target) for each in known)
        if not target or not (self._is_upload_asked or is_urgent) or self._clock() < self._bucket_again_at:
            return
        try:
            await self._upload_due(is_all=self._is_upload_asked)
        except BucketError:
            self._bucket_failures += 1
            self._bucket_again_at = self._clock() + plan.wait_ms(self._bucket_failures)
            raise
        self._is_upload_asked = False

    async def _upload_due(self, *, is_all: bool) -> Uploaded:
        """Bring the bucket what it does not have, or only what has to be replaced there."""
        target = self._uploads.target
        for known in plan.due_for_deleting(self._shelf.known.values(), target):
            await self._uploads.delete(known)
        due = plan.due_for_upload(self._shelf.known.values(), target)
        sent = [each for each in due if is_all or plan.is_urgent(each, target)]
        for each in sent:
            await self._uploads.upload(each)
        self._bucket_failures = self._bucket_again_at = 0
        self._troubles.pop("upload", None)
        return Uploaded(len(sent), sum(each.file_bytes for each in sent))

    async def _forget_gone(self) -> None:
        for known in list(self._shelf.known.values()):
            if plan.is_forgotten(known, self._shelf.source(known.day)):
                await self._shelf.forget(known.day)


async def _unbounded() -> int:
    """Whatever is there."""
    return 1 << 62
