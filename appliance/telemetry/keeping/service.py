"""Day files at work: sealed at night, checked once they are read, and written anew without what is to be erased.

One task does all of it, one day after the other, in a thread that takes no more than half of a processor. A day
is written beside itself and takes its own place when it is whole and on the disk, so a power cut leaves the day
before or the day after, and what was asked for is gone on with after the next start.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from itertools import chain
from pathlib import Path

from appliance.audit.model import Entry
from appliance.audit.service import Audit
from appliance.config import TelemetryConfig
from appliance.health import Status
from appliance.instant import DAY_MS, MINUTE_MS, SECOND_MS, Clock, day_of
from appliance.store.database import Database, UnwritableError
from appliance.telemetry import log_record
from appliance.telemetry.keeping import plan, queries, sealed_day
from appliance.telemetry.keeping.model import Erasure
from appliance.telemetry.keeping.plan import DayUse
from appliance.telemetry.keeping.resealing import EVERYTHING, LeftOut, Parts, kept_devices
from appliance.telemetry.packing import ChunkError
from appliance.telemetry.service import Telemetry

log = logging.getLogger(__name__)

RETRY_MS = MINUTE_MS
"""How long after a failure the same is tried again; what was read meanwhile is checked as often."""

_LOG_ROWS_AT_ONCE = 64


class _StoppedError(Exception):
    """The gateway stops: what was begun is left out."""


async def erased_at_next_start(database: Database, clock: Clock, tenant_id: int, device_ids: Sequence[str]) -> None:
    """Have what was received of devices erased by a gateway that does not run: it begins when it starts."""
    entries = [Entry("telemetry.erase", device_id) for device_id in device_ids]
    await Audit(database, clock).recorded(tenant_id, entries, queries.insert_erasures, tenant_id, device_ids, clock())


class Keeping:
    """The day files of a telemetry that is open."""

    def __init__(self, database: Database, telemetry: Telemetry, config: TelemetryConfig, clock: Clock) -> None:
        self._database = database
        self._telemetry = telemetry
        self._config = config
        self._clock = clock
        self._audit = Audit(database, clock)
        self._work = asyncio.Lock()
        self._asked = asyncio.Event()
        self._is_night = False
        self._is_stopping = False
        self._checked: set[int] = set()
        self._trouble = ""
        self.pending: tuple[Erasure, ...] = ()
        """What is being erased."""
        self.sealed: Callable[[], Awaitable[None]] = _nothing
        """What is done at night once days are sealed."""
        self.let_go: Callable[[int], bool] = lambda _: True
        """Whether nobody else needs the chunks of a day any more."""
        self.erased: Callable[[], None] = lambda: None
        """Hears that something was erased here, which others may have, too."""

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Go on with what was being erased; while running, do what is asked for and what is due."""
        self.pending = tuple(await self._database.read(queries.select_erasures()))
        # A gateway that is switched off every night would never come to it.
        a_day_ago = self._clock() - DAY_MS
        self._is_night = bool(plan.due_for_sealing(await self.uses(), a_day_ago, self._config.late_grace_ms))
        if self.pending or self._is_night:
            self._asked.set()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._work_until_stopped(), name="keeping")
            try:
                yield
            finally:
                self._is_stopping = True
                self._asked.set()

    async def tend(self) -> None:
        """Say that it is night: what is due is done soon."""
        self._is_night = True
        self._asked.set()

    async def erase(self, tenant_id: int, device_ids: Sequence[str]) -> None:
        """Let nobody see what was received of these devices up to now, and have it erased from the disk soon.

        What they send from now on is kept. When this returns, it is written down and outlives a restart.
        """
        entries = [Entry("telemetry.erase", device_id) for device_id in device_ids]

        async def told() -> Sequence[Erasure]:
            return await self._audit.recorded(
                tenant_id, entries, queries.insert_erasures, tenant_id, device_ids, self._clock()
            )

        self.pending += tuple(await self._telemetry.forget(told))
        self._asked.set()

    async def uses(self) -> list[DayUse]:
        """What each day takes on the disk, the oldest first."""
        days = self._telemetry.day_files
        return await asyncio.to_thread(lambda: [_use(day, days.path(day)) for day in reversed(days.numbers())])

    async def seal_due(self) -> list[int]:
        """Seal every day that is over and of which something is not sealed; give those."""
        due = plan.due_for_sealing(await self.uses(), self._clock(), self._config.late_grace_ms)
        for day in due:
            await self.write_anew(day, {})
        return due

    async def leave_out(self, day: int, devices: Collection[tuple[int, str]]) -> bool:
        """Write a day anew without some devices, if it has any of them; whether it had."""
        left_out = dict.fromkeys(devices, EVERYTHING)
        if not left_out or not await asyncio.to_thread(_holds, self._telemetry.day_files.path(day), left_out):
            return False
        await self.write_anew(day, left_out)
        return True

    async def write_anew(self, day: int, left_out: LeftOut) -> None:
        """Seal what there is of a day, without what is left out or being erased.

        Raises `UnwritableError` when there is no room, `ChunkError` when what is there cannot be read.
        """
        async with self._work, self._telemetry.held(day) as days:
            path = days.path(day)
            unfinished = await asyncio.to_thread(self._written, path, day, {**days.erased, **left_out})
            async with self._telemetry.readers_kept_out():
                await asyncio.to_thread(_settled, path, unfinished)
            self._checked.discard(day)
        log.info("day sealed day=%s", day_of(day * DAY_MS))

    async def may_go(self, day: int) -> bool:
        """Whether everything that outlives a day was computed of it and is on the disk."""
        return self.let_go(day) and await self._telemetry.rollups.is_complete(day)

    async def drop(self, day: int) -> int:
        """Unlink a day whose roll-ups stay, and give how many bytes that freed."""
        # On a full disk they cannot be told; they stay all the same, unless readings come late for that day.
        with contextlib.suppress(UnwritableError):
            await self._telemetry.rollups.close_day(day)
        return await self.unlink(day)

    async def unlink(self, day: int) -> int:
        """Unlink a day, and give how many bytes that freed. Nothing is written to any file."""
        async with self._work, self._telemetry.held(day, is_kept=False) as days:
            path = days.path(day)
            self._checked.discard(day)
            async with self._telemetry.readers_kept_out():
                return await asyncio.to_thread(_dropped, path)

    async def check_opened(self) -> None:
        """Check every page of the sealed days that were read since the start, each once; name what is damaged."""
        days = self._telemetry.day_files
        for day in sorted(days.touched - self._checked, reverse=True):
            for damage in await asyncio.to_thread(_damages, sealed_day.sealed_path(days.path(day))):
                days.note_damage(damage)
            self._checked.add(day)

    async def erase_pending(self) -> None:
        """Erase what is to be erased from the log, from every day and from what was computed of them."""
        if not self.pending:
            return
        pending = self.pending
        left_out = {(each.tenant_id, each.device_id): each.through_log_id for each in pending}
        for tenant_id in {each.tenant_id for each in pending}:
            await self._erase_log(
                tenant_id, {key[1]: through for key, through in left_out.items() if key[0] == tenant_id}
            )
        days = self._telemetry.day_files
        for day in days.numbers():
            if await asyncio.to_thread(_holds, days.path(day), left_out):
                await self.write_anew(day, left_out)
        for each in pending:
            await self._telemetry.rollups.forget(each.tenant_id, each.device_id)
        for each in pending:
            await self._audit.recorded(
                each.tenant_id,
                [Entry("telemetry.erased", each.device_id)],
                queries.update_erasure_done,
                each,
                self._clock(),
            )
            log.info("readings erased device_id=%s", each.device_id)
        await self._database.maintain(queries.checkpoint)
        self.pending = self.pending[len(pending) :]
        for key, through in left_out.items():
            if days.erased.get(key) == through:
                del days.erased[key]
        self.erased()

    @property
    def damages(self) -> tuple[str, ...]:
        """Everything that was found damaged since the start, in words."""
        return tuple(sorted(self._telemetry.day_files.damages))

    def status(self) -> Status:
        """What keeping says of itself."""
        damages = self._telemetry.day_files.damages
        details = {"erasing": len(self.pending), "damaged": len(damages)}
        if self._trouble:
            return Status(ok=False, summary=self._trouble, details=details, is_serving=True)
        if self.pending:
            # Not which: every tenant reads this.
            return Status(ok=True, summary="readings of devices are being erased", details=details)
        return Status(ok=True, summary="days are sealed at night", details=details)

    async def _work_until_stopped(self) -> None:
        while not self._is_stopping:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RETRY_MS / SECOND_MS):
                    await self._asked.wait()
            self._asked.clear()
            if not self._is_stopping:
                await self._tried()

    async def _tried(self) -> None:
        """Do what is due. What fails is told and tried again: none of it keeps readings from being taken."""
        try:
            await self.check_opened()
            await self.erase_pending()
            if self._is_night:
                await self.seal_due()
                await self.sealed()
                self._is_night = False
        except _StoppedError:
            log.info("keeping of days broken off, gone on with after the next start")
        except (UnwritableError, ChunkError, OSError) as error:
            if str(error) != self._trouble:
                log.error("keeping of days failed, tried again later error=%s", error)  # noqa: TRY400  no traceback
            self._trouble = str(error)
        else:
            self._trouble = ""

    def _written(self, path: Path, day: int, left_out: LeftOut) -> Path | None:
        """The day written beside itself; None when nothing of it is left. Runs in a thread."""
        target = sealed_day.sealed_path(path)
        try:
            with queries.opened_day(path) as part, sealed_day.opened_if_there(target) as sealed:
                if part:
                    part.require_whole(path.name)
                taken = part.identity if part else sealed.taken if sealed else 0
                devices = kept_devices(Parts(part, sealed), left_out, _breather(lambda: self._is_stopping))
                first = next(devices, None)
                if first is None:
                    return None
                return sealed_day.write(target, day, taken, chain([first], devices))
        except BaseException:
            target.with_name(target.name + sealed_day.UNFINISHED).unlink(missing_ok=True)
            raise

    async def _erase_log(self, tenant_id: int, through_of: Mapping[str, int]) -> None:
        """Take the reports of some devices out of the log, each up to its log id."""
        after, through = 0, max(through_of.values())
        while rows := await self._database.read(queries.select_log_of(tenant_id, after, through, _LOG_ROWS_AT_ONCE)):
            changed = await asyncio.to_thread(_log_without, tenant_id, rows, through_of)
            if changed:
                await self._database.write(queries.update_log, tenant_id, changed)
            after = rows[-1][0]


def _log_without(
    tenant_id: int, rows: Sequence[tuple[int, bytes]], through_of: Mapping[str, int]
) -> list[tuple[int, int, bytes]]:
    """The log records that change when devices are taken out of them, as they are to be."""
    changed = []
    for log_id, record in rows:
        try:
            reports = log_record.decode(record, tenant_id)
        except ChunkError:
            # Nobody can read it, and what it is has been told at the start.
            continue
        kept = [report for report in reports if log_id > through_of.get(report.device_id, 0)]
        if len(kept) < len(reports):
            changed.append((log_id, len(kept), log_record.encode(kept)))
    return changed


def _holds(path: Path, left_out: LeftOut) -> bool:
    """Whether a day has anything of what is to be left out."""
    with queries.opened_day(path) as part, sealed_day.opened_if_there(sealed_day.sealed_path(path)) as sealed:
        known = {(each.tenant_id, each.device_id) for each in part.devices()} if part else set()
        return any(key in known or (sealed is not None and sealed.find(*key) is not None) for key in left_out)


async def _nothing() -> None:
    """Nothing more is done at night."""


def _settled(path: Path, unfinished: Path | None) -> None:
    """Let the day that was written take the place of what it was written from."""
    target = sealed_day.sealed_path(path)
    if unfinished is None:
        target.unlink(missing_ok=True)
    else:
        sealed_day.settle(unfinished, target)
    queries.remove_open_day(path)


def _dropped(path: Path) -> int:
    use = _use(0, path)
    sealed_day.sealed_path(path).unlink(missing_ok=True)
    queries.remove_open_day(path)
    return use.total_bytes


def _damages(path: Path) -> list[str]:
    """Every damaged page of a sealed day, in words."""
    try:
        with sealed_day.opened_if_there(path) as sealed:
            return [damage.told(sealed.name) for damage in sealed.damages()] if sealed else []
    except ChunkError as error:
        return [str(error)]


def _use(day: int, path: Path) -> DayUse:
    sizes = []
    changed_at = 0
    for part in (path, path.with_name(path.name + "-wal"), sealed_day.sealed_path(path)):
        try:
            found = part.stat()
        except FileNotFoundError:
            sizes.append(0)
        else:
            sizes.append(found.st_blocks * 512)
            changed_at = max(changed_at, 0 if part.suffix == sealed_day.SUFFIX else found.st_mtime_ns // 1_000_000)
    return DayUse(day, sizes[0] + sizes[1], sizes[2], changed_at)


def _breather(is_stopping: Callable[[], bool]) -> Callable[[], None]:
    """Sleeps as long as was worked since it was called last, and raises once the gateway stops."""
    last = time.perf_counter()

    def breathe() -> None:
        nonlocal last
        if is_stopping():
            raise _StoppedError
        time.sleep(time.perf_counter() - last)
        last = time.perf_counter()

    return breathe
