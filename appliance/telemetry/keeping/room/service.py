"""Room at work: days are dropped by age and by size at night, and at once when the disk is full.

A dropped day does not come back, and what calls for it may be wrong: the clock, or the room that others take. So age
counts from a moment that has passed for sure, and what nobody has asked for by a number goes little by little.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from appliance.config import TelemetryConfig
from appliance.health import Status
from appliance.instant import SECOND_MS, Clock
from appliance.registry.model import DEFAULT_TENANT, Device
from appliance.store.database import Database
from appliance.telemetry.keeping import plan
from appliance.telemetry.keeping.plan import Cause, Drop, Limits, Present
from appliance.telemetry.keeping.room import queries, reserve
from appliance.telemetry.keeping.room.drops.service import Drops, uptime_s
from appliance.telemetry.keeping.room.measurement import RESERVE_NAME, Measured, sizes
from appliance.telemetry.keeping.room.model import Usage
from appliance.telemetry.keeping.room.outlook import Outlook, of_blocks, outlook
from appliance.telemetry.keeping.room.reserve import GIGABYTE, MEGABYTE, Disk, Dropped, Step
from appliance.telemetry.keeping.service import Keeping
from appliance.telemetry.keeping.writing.service import noted, require_none
from appliance.telemetry.service import Telemetry

log = logging.getLogger(__name__)

LOOK_MS = 2 * SECOND_MS


def make_way(folder: Path, config: TelemetryConfig) -> None:
    """Give up the reserve when the disk is full before anything is open: no database could be opened then."""
    path = folder / RESERVE_NAME
    if path.exists() and reserve.look(folder, path).free_bytes < reserve.low_bytes(config.reserve_mb * MEGABYTE):
        path.unlink()
        log.warning("reserve given up at the start")


class Room:
    """The room of a data folder whose days are kept."""

    def __init__(
        self, database: Database, telemetry: Telemetry, folder: Path, config: TelemetryConfig, clock: Clock
    ) -> None:
        self._database = database
        self.keeping = Keeping(database, telemetry, config, clock)
        self._folder = folder
        self._config = config
        self._clock = clock
        self._drops = Drops(database, self.keeping, clock)
        self._reserve_path = folder / RESERVE_NAME
        self._asked_bytes = config.reserve_mb * MEGABYTE
        self._disk = Disk(0, 0, 0)
        self._is_full = False
        self._dropped: Dropped | None = None
        self._outlook = Outlook()
        self._trouble = ""
        self._thinned: dict[int, frozenset[tuple[int, str]]] = {}
        self.devices: Callable[[], Sequence[Device]] = tuple
        """Every device that is known, with its type."""
        self.give_way: Callable[[], Awaitable[bool]] = _nothing
        """Removes something that can be made again; whether there was anything."""
        self.passed_at: Callable[[], int] = _nothing_is_sure
        """A moment that has passed for sure, UTC milliseconds, whatever the clock shows."""
        self.uptime_s: Callable[[], float] = uptime_s
        """Seconds by a clock that nobody sets."""
        self.look: Callable[[], Disk] = lambda: reserve.look(folder, self._reserve_path)
        """How it stands with the disk; asked in a thread."""
        self.keeping.sealed = self.tend

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep a reserve, look after the room, and keep the days."""
        stop = asyncio.Event()
        await self._drops.remember(self._uptime_ms())
        await self._tried(self.look_after)
        if told := of_blocks(self._disk):
            log.warning(told)
        # Keeping stops first: whoever looks may wait for a day that is being written.
        async with asyncio.TaskGroup() as tasks, self.keeping.running():
            tasks.create_task(self._look_until(stop), name="room")
            try:
                yield
            finally:
                stop.set()

    async def look_after(self) -> None:
        """Make room when there is none, by one day at most, and take the reserve again when there is."""
        while True:
            match await self._next_step():
                case Step.GIVE_UP_RESERVE:
                    await asyncio.to_thread(self._reserve_path.unlink)
                    log.warning("reserve given up free_bytes=%d", self._disk.free_bytes)
                case Step.DROP_OLDEST:
                    self._note_full()
                    await self._drop_oldest()
                    return
                case Step.MAKE_RESERVE:
                    self._is_full = False
                    if not await self._make_reserve():
                        return
                case Step.WAIT:
                    self._note_full()
                    return
                case Step.NOTHING:
                    self._is_full = False
                    await self._drops.catch_up()
                    await self._drops.go_on(self._uptime_ms())
                    return

    async def tend(self) -> None:
        """Drop the days that are too old or too many, and thin those that are too old for some devices.

        A day that cannot be dropped or thinned keeps no other from it. Raises `UnwritableError` or `ChunkError` that
        tells of each.
        """
        self._drops.begin_night(self._uptime_ms())
        troubles: list[Exception] = []
        measured = await self._measured()
        complete = set()
        for use in measured.days:
            with noted(troubles):
                if await self.keeping.may_go(use.day):
                    complete.add(use.day)
        today, limits = self._today(), self._limits(measured)
        for drop in plan.due_for_dropping(
            measured.days, measured.beside_bytes, limits, today, complete, self._drops.spent
        ):
            with noted(troubles):
                await self._drops.drop(drop)
        await self._thin(measured, complete, troubles)
        await self._weigh_now()
        require_none(troubles)

    async def usage(self, tenant_id: int) -> Usage:
        """Where the disk goes."""
        measured = await self._measured()
        days, disk, lying = measured.days, measured.disk, measured.sizes
        limits = self._weigh(measured)
        forecast = plan.forecast(days, measured.beside_bytes, limits, self._clock())
        told = sum(lying[name] for name in ("rollups", "gateway.db", "journal"))
        open_bytes, sealed_bytes = sum(use.open_bytes for use in days), sum(use.sealed_bytes for use in days)
        return Usage(
            day_count=len(days),
            oldest_day=days[0].day if days else None,
            newest_day=days[-1].day if days else None,
            open_bytes=open_bytes,
            sealed_bytes=sealed_bytes,
            rollup_bytes=lying["rollups"],
            log_bytes=sum(await self._database.read(queries.select_log_bytes(tenant_id))),
            database_bytes=lying["gateway.db"],
            reserve_bytes=disk.reserve_bytes,
            journal_bytes=lying["journal"],
            other_bytes=max(0, measured.beside_bytes - told - disk.reserve_bytes),
            used_bytes=measured.used_bytes,
            budget_bytes=limits.budget_bytes,
            staying_bytes=measured.staying_bytes(self._today()),
            free_bytes=disk.free_bytes,
            disk_bytes=disk.total_bytes,
            growth_bytes=forecast.growth_bytes,
            days_left=forecast.days_left,
            notices=self._outlook.notices,
            # They name devices, whoever's these are: for those whose gateway it is.
            damages=self.keeping.damages if tenant_id == DEFAULT_TENANT else (),
            erasing=tuple(each.device_id for each in self.keeping.pending if each.tenant_id == tenant_id),
        )

    async def budget_bytes(self) -> int:
        """How much everything in the data folder may take."""
        return self._limits(await self._measured()).budget_bytes

    def parts(self) -> Mapping[str, Callable[[], Status]]:
        """What can be asked how it is, by its name."""
        return {"room": self.status, "keeping": self.keeping.status}

    def status(self) -> Status:
        """What room says of itself."""
        free = self._disk.free_bytes
        details = {
            "free_bytes": free,
            "reserve_bytes": self._disk.reserve_bytes,
            "block_bytes": self._disk.block_bytes,
        }
        if self._is_full:
            summary = "the disk is full: messages are not acknowledged until there is room, devices keep them meanwhile"
            return Status(ok=False, summary=summary, details=details)
        if self._disk.reserve_bytes < self._asked_bytes:
            summary = f"the disk is nearly full: {free // MEGABYTE} MB are free, and the reserve was given up"
            return Status(ok=False, summary=summary, details=details, is_serving=True)
        if self._trouble:
            return Status(ok=False, summary=self._trouble, details=details, is_serving=True)
        told = (f"{free / GIGABYTE:.1f} GB of the disk are free", *self._outlook.notices, of_blocks(self._disk))
        summary = "; ".join(filter(None, told))
        return Status(ok=self._outlook.is_well, summary=summary, details=details, is_serving=True)

    async def _look_until(self, stop: asyncio.Event) -> None:
        await self._tried(self._weigh_now)
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_MS / SECOND_MS):
                    await stop.wait()
            if not stop.is_set():
                await self._tried(self.look_after)

    async def _tried(self, work: Callable[[], Awaitable[object]]) -> None:
        """Do what is due. What fails is told and tried again: none of it keeps readings from being taken."""
        troubles: list[Exception] = []
        with noted(troubles):
            await work()
        told = str(troubles[0]) if troubles else ""
        if told and told != self._trouble:
            log.error("room could not be looked after, tried again later error=%s", told)
        self._trouble = told

    async def _next_step(self) -> Step:
        self._disk = await asyncio.to_thread(self.look)
        return reserve.next_step(self._disk, self._asked_bytes, may_drop=self._config.drop_when_full)

    def _note_full(self) -> None:
        if not self._is_full:
            log.error("disk full free_bytes=%d", self._disk.free_bytes)
        self._is_full = True

    async def _make_reserve(self) -> bool:
        try:
            await asyncio.to_thread(reserve.make, self._reserve_path, self._asked_bytes)
        except OSError as error:
            log.warning("reserve could not be made error=%s", error)
            return False
        return True

    async def _drop_oldest(self) -> None:
        """Drop the oldest day, if the disk is still full while nothing is written that goes by itself."""
        async with self.keeping.nothing_written():
            if await self._next_step() is not Step.DROP_OLDEST:
                return
        if await self.give_way():
            return
        disk, uptime_ms = self._disk, self._uptime_ms()
        missing = reserve.low_bytes(self._asked_bytes) - disk.free_bytes
        day = plan.due_on_full_disk(await self.keeping.uses(), missing, self._today())
        if day is not None and reserve.may_drop_again(self._dropped, disk, uptime_ms):
            freed = await self._drops.drop(Drop(day, Cause.FULL))
            self._dropped = Dropped(disk.free_bytes, freed, uptime_ms)

    async def _thin(self, measured: Measured, complete: set[int], troubles: list[Exception]) -> None:
        """Take devices out of days that are too old for them."""
        config = self._config
        devices = [(each.tenant_id, each.device_id, each.type) for each in self.devices()]
        # Another tenant may have a device of the same id: who writes the settings means their own.
        by_device = {(DEFAULT_TENANT, device_id): days for device_id, days in config.keep_days_of_devices.items()}
        keep_days_of = plan.keep_days_of(devices, config.keep_days_of_types, by_device)
        may_spend = plan.handful(len(measured.days))
        for due in plan.due_for_thinning(measured.days, keep_days_of, self._today()):
            known = self._thinned.get(due.day, frozenset())
            is_left = self._drops.spent.day_count < may_spend
            wanted = due.by_age | (due.by_clock if is_left else frozenset())
            if due.day not in complete or not wanted - known:
                continue
            with noted(troubles):
                await self._drops.thin(due.day, wanted, due.by_clock)
                self._thinned[due.day] = known | wanted

    def _today(self) -> Present:
        return plan.present(self._clock(), self.passed_at())

    def _uptime_ms(self) -> int:
        return int(self.uptime_s() * SECOND_MS)

    async def _measured(self) -> Measured:
        days = await self.keeping.uses()
        lying = await asyncio.to_thread(sizes, self._folder)
        self._disk = await asyncio.to_thread(self.look)
        return Measured(days, lying, self._disk)

    def _limits(self, measured: Measured) -> Limits:
        asked, disk = self._config.disk_budget_gb * GIGABYTE, measured.disk
        budget = plan.budget(asked, measured.used_bytes, disk.free_bytes, disk.total_bytes)
        nightly = None if asked else plan.nightly(measured.days, self._clock())
        return Limits(self._config.keep_days, budget, nightly)

    async def _weigh_now(self) -> None:
        self._weigh(await self._measured())

    def _weigh(self, measured: Measured) -> Limits:
        """Know what keeps days from going as they should."""
        config, limits = self._config, self._limits(measured)
        is_aged = bool(config.keep_days or config.keep_days_of_types or config.keep_days_of_devices)
        self._outlook = outlook(measured, limits, self._today(), is_aged=is_aged)
        return limits


async def _nothing() -> bool:
    """Nothing is there that is needed less than readings."""
    return False


def _nothing_is_sure() -> int:
    """Stand in while nobody tells what has passed: by this, no day is old."""
    return 0
