"""Room at work: days are dropped by age and by size at night, and at once when the disk is full."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from appliance.audit.model import Entry
from appliance.audit.service import Audit
from appliance.config import TelemetryConfig
from appliance.health import Status
from appliance.instant import DAY_MS, SECOND_MS, Clock, day_of
from appliance.registry.model import DEFAULT_TENANT, Device
from appliance.store.database import Database, UnwritableError
from appliance.telemetry.keeping import plan
from appliance.telemetry.keeping.plan import Cause, DayUse, Drop, Limits
from appliance.telemetry.keeping.room import queries, reserve
from appliance.telemetry.keeping.room.model import Usage
from appliance.telemetry.keeping.room.reserve import MEGABYTE, Disk, Step
from appliance.telemetry.keeping.service import Keeping
from appliance.telemetry.service import Telemetry

log = logging.getLogger(__name__)

LOOK_MS = 2 * SECOND_MS
GIGABYTE = 1_000 * MEGABYTE
RESERVE_NAME = "reserve.bin"


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
        self._audit = Audit(database, clock)
        self._reserve_path = folder / RESERVE_NAME
        self._asked_bytes = config.reserve_mb * MEGABYTE
        self._disk = Disk(0, 0, 0)
        self._is_full = False
        self._thinned: dict[int, frozenset[tuple[int, str]]] = {}
        self.devices: Callable[[], Sequence[Device]] = tuple
        """Every device that is known, with its type."""
        self.give_way: Callable[[], Awaitable[bool]] = _nothing
        """Removes something that can be made again; whether there was anything."""
        self.keeping.sealed = self.tend

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep a reserve, look after the room, and keep the days."""
        stop = asyncio.Event()
        await self.look_after()
        async with self.keeping.running(), asyncio.TaskGroup() as tasks:
            tasks.create_task(self._look_until(stop), name="room")
            try:
                yield
            finally:
                stop.set()

    async def look_after(self) -> None:
        """Make room when there is none, and take the reserve again when there is."""
        while True:
            self._disk = await asyncio.to_thread(reserve.look, self._folder, self._reserve_path)
            match reserve.next_step(self._disk, self._asked_bytes, may_drop=self._config.drop_when_full):
                case Step.GIVE_UP_RESERVE:
                    await asyncio.to_thread(self._reserve_path.unlink)
                    log.warning("reserve given up free_bytes=%d", self._disk.free_bytes)
                case Step.DROP_OLDEST:
                    self._note_full()
                    if not await self._drop_oldest():
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
                    return

    async def tend(self) -> None:
        """Drop the days that are too old or too many, and thin those that are too old for some devices."""
        days = await self.keeping.uses()
        complete = {use.day for use in days if await self.keeping.may_go(use.day)}
        limits = await self._limits(days)
        for drop in plan.due_for_dropping(days, await self._beside_days(days), limits, self._clock(), complete):
            await self._drop(drop)
        config = self._config
        devices = [(each.tenant_id, each.device_id, each.type) for each in self.devices()]
        keep_days_of = plan.keep_days_of(devices, config.keep_days_of_types, config.keep_days_of_devices)
        for use in days:
            old = plan.too_old(use.day, keep_days_of, self._clock())
            if use.day in complete and old - self._thinned.get(use.day, frozenset()):
                await self.keeping.leave_out(use.day, old)
                self._thinned[use.day] = old

    async def usage(self, tenant_id: int) -> Usage:
        """Where the disk goes."""
        days = await self.keeping.uses()
        sizes = await asyncio.to_thread(_sizes, self._folder)
        limits = await self._limits(days)
        forecast = plan.forecast(days, await self._beside_days(days), limits, self._clock())
        disk = self._disk = await asyncio.to_thread(reserve.look, self._folder, self._reserve_path)
        open_bytes, sealed_bytes = sum(use.open_bytes for use in days), sum(use.sealed_bytes for use in days)
        return Usage(
            day_count=len(days),
            oldest_day=days[0].day if days else None,
            newest_day=days[-1].day if days else None,
            open_bytes=open_bytes,
            sealed_bytes=sealed_bytes,
            rollup_bytes=sizes["rollups"],
            log_bytes=sum(await self._database.read(queries.select_log_bytes(tenant_id))),
            database_bytes=sizes["gateway.db"],
            reserve_bytes=disk.reserve_bytes,
            other_bytes=max(
                0, sum(sizes.values()) - open_bytes - sealed_bytes - sizes["rollups"] - sizes["gateway.db"]
            ),
            used_bytes=sum(sizes.values()) + disk.reserve_bytes,
            budget_bytes=limits.budget_bytes,
            free_bytes=disk.free_bytes,
            disk_bytes=disk.total_bytes,
            growth_bytes=forecast.growth_bytes,
            days_left=forecast.days_left,
            # They name devices, whoever's these are: for those whose gateway it is.
            damages=self.keeping.damages if tenant_id == DEFAULT_TENANT else (),
            erasing=tuple(each.device_id for each in self.keeping.pending if each.tenant_id == tenant_id),
        )

    async def budget_bytes(self) -> int:
        """How much everything in the data folder may take."""
        return (await self._limits(await self.keeping.uses())).budget_bytes

    def parts(self) -> Mapping[str, Callable[[], Status]]:
        """What can be asked how it is, by its name."""
        return {"room": self.status, "keeping": self.keeping.status}

    def status(self) -> Status:
        """What room says of itself."""
        free = self._disk.free_bytes
        details = {"free_bytes": free, "reserve_bytes": self._disk.reserve_bytes}
        if self._is_full:
            summary = "the disk is full: messages are not acknowledged until there is room, devices keep them meanwhile"
            return Status(ok=False, summary=summary, details=details)
        if self._disk.reserve_bytes < self._asked_bytes:
            summary = f"the disk is nearly full: {free // MEGABYTE} MB are free, and the reserve was given up"
            return Status(ok=False, summary=summary, details=details, is_serving=True)
        return Status(ok=True, summary=f"{free / GIGABYTE:.1f} GB of the disk are free", details=details)

    async def _look_until(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_MS / SECOND_MS):
                    await stop.wait()
            if not stop.is_set():
                await self.look_after()

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

    async def _drop_oldest(self) -> bool:
        """Drop the oldest day but today's; whether there was one, or something that is needed less."""
        if await self.give_way():
            return True
        today = self._clock() // DAY_MS
        for use in await self.keeping.uses():
            if use.day < today:
                await self._drop(Drop(use.day, Cause.FULL))
                return True
        return False

    async def _drop(self, drop: Drop) -> None:
        freed = await self.keeping.drop(drop.day)
        day = day_of(drop.day * DAY_MS)
        log.warning("day dropped day=%s freed_bytes=%d cause=%r", day, freed, drop.cause.value)
        entry = Entry("telemetry.drop", day, {"cause": drop.cause.value, "freed_bytes": str(freed)})
        for tenant_id in await self._database.read(queries.select_tenants()):
            # On a full disk the day goes first: without it nothing could be written down either.
            with contextlib.suppress(UnwritableError):
                await self._audit.record(tenant_id, entry)

    async def _limits(self, days: list[DayUse]) -> Limits:
        disk = await asyncio.to_thread(reserve.look, self._folder, self._reserve_path)
        used = await self._beside_days(days) + sum(use.total_bytes for use in days)
        asked = self._config.disk_budget_gb * GIGABYTE
        return Limits(self._config.keep_days, plan.budget(asked, used, disk.free_bytes, disk.total_bytes))

    async def _beside_days(self, days: list[DayUse]) -> int:
        sizes = await asyncio.to_thread(_sizes, self._folder)
        disk = await asyncio.to_thread(reserve.look, self._folder, self._reserve_path)
        return max(0, sum(sizes.values()) + disk.reserve_bytes - sum(use.total_bytes for use in days))


async def _nothing() -> bool:
    """Nothing is there that is needed less than readings."""
    return False


def _sizes(folder: Path) -> dict[str, int]:
    """What lies in a folder by its first name, without the reserve; a database with its companions."""
    sizes = {"gateway.db": 0, "rollups": 0, "days": 0}
    for path in folder.rglob("*"):
        name = path.relative_to(folder).parts[0]
        name = "gateway.db" if name in ("gateway.db-wal", "gateway.db-shm") else name
        # A file may go while others are counted.
        with contextlib.suppress(FileNotFoundError):
            if path.name != RESERVE_NAME and path.is_file():
                sizes[name] = sizes.get(name, 0) + path.stat().st_blocks * 512
    return sizes
