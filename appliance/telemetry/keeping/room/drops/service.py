"""Drops at work: what goes of the days is written down for the night before it does, and told in the audit log.

Age and a budget that nobody set take days little by little, and no restart, no leap of the clock and no death may make
that more. So what goes of the night is in gateway.db before the day goes, by a clock that nobody sets; that clock
begins anew with the machine, and then as much of the night has passed as was seen before, and all since.
"""

import contextlib
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Collection
from pathlib import Path

from appliance.audit.model import Entry
from appliance.audit.service import Audit
from appliance.instant import DAY_MS, MINUTE_MS, Clock, day_of
from appliance.registry.model import DEFAULT_TENANT
from appliance.store.database import Database
from appliance.telemetry.keeping import plan
from appliance.telemetry.keeping.plan import Cause, Drop, Spent
from appliance.telemetry.keeping.room.drops import queries
from appliance.telemetry.keeping.room.drops.queries import Night
from appliance.telemetry.keeping.service import Keeping
from appliance.telemetry.packing import ChunkError

log = logging.getLogger(__name__)

NOTE_MS = 10 * MINUTE_MS
"""How often it is written down that a night goes on of which something was spent."""

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def uptime_s() -> float:
    """Seconds by a clock that nobody sets and that goes on while the machine sleeps."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def boot_id() -> str:
    """What tells this boot of the machine from every other one; empty where nothing does."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""


class Drops:
    """The days that are dropped, and those of which devices are taken out."""

    def __init__(self, database: Database, keeping: Keeping, clock: Clock) -> None:
        self._database = database
        self._keeping = keeping
        self._audit = Audit(database, clock)
        self._uptime_ms = 0
        """When the night was last looked at."""
        self._noted_ms = 0
        self.boot_id = boot_id()
        """The boot by whose clock nights are."""
        self.spent = Spent()
        """What has gone in this night."""

    async def remember(self, uptime_ms: int) -> None:
        """Know what went in this night before the start: a restart begins no other one."""
        self._uptime_ms = self._noted_ms = uptime_ms
        self.spent = Spent(uptime_ms)
        for night in await self._database.read(queries.select_night(DEFAULT_TENANT)):
            is_same_boot = bool(self.boot_id) and night.boot_id == self.boot_id
            self.spent = plan.resumed(night.spent, night.seen_ms, uptime_ms, is_same_boot=is_same_boot)

    def begin_night(self, uptime_ms: int) -> None:
        """Begin another night, once the last one is over."""
        self._uptime_ms = uptime_ms
        self.spent = plan.tonight(self.spent, uptime_ms)

    async def go_on(self, uptime_ms: int) -> None:
        """Write down from time to time that the night goes on: after a boot, what is not known to have passed has not.

        Raises `UnwritableError`.
        """
        self._uptime_ms = uptime_ms
        if plan.is_spent(self.spent) and uptime_ms - self._noted_ms >= NOTE_MS:
            await self._note()

    async def drop(self, drop: Drop) -> int:
        """Drop a day, and give how many bytes that freed.

        Raises `ChunkError` when its roll-ups cannot be closed: then it stays, unless the disk is full. Raises
        `UnwritableError` when it goes little by little and that cannot be written down: then it stays, too.
        """
        async with self._spending(drop.cause, await self._bytes_of(drop)):
            freed = await self._unlinked(drop)
        day = day_of(drop.day * DAY_MS)
        log.warning("day dropped day=%s freed_bytes=%d cause=%r", day, freed, drop.cause.value)
        entry = Entry("telemetry.drop", day, {"cause": drop.cause.value, "freed_bytes": str(freed)})
        for tenant_id in await self._database.read(queries.select_tenants()):
            # On a full disk the day goes first: without it nothing could be written down either.
            await self._audit.surely(tenant_id, entry)
        return freed

    async def thin(self, day: int, devices: Collection[tuple[int, str]], by_clock: Collection[tuple[int, str]]) -> None:
        """Take devices out of a day, if it has any of them; `by_clock` are those that only the clock calls too old.

        Raises `UnwritableError` or `ChunkError` when the day cannot be written anew or that cannot be written down.
        """
        held = await self._keeping.holding(day, devices)
        if not held:
            return
        cause_of = {device: Cause.CLOCK if device in by_clock else Cause.AGE for device in held}
        async with self._spending(Cause.CLOCK if Cause.CLOCK in cause_of.values() else Cause.AGE, 0):
            await self._keeping.leave_out(day, held)
        named = day_of(day * DAY_MS)
        for (tenant_id, cause), count in sorted(Counter((key[0], cause_of[key]) for key in held).items()):
            log.warning("day thinned day=%s device_count=%d cause=%r", named, count, cause.value)
            entry = Entry("telemetry.thin", named, {"cause": cause.value, "device_count": str(count)})
            await self._audit.surely(tenant_id, entry)

    async def catch_up(self) -> None:
        """Tell what a full disk has left to tell. Raises `UnwritableError`."""
        await self._audit.catch_up()

    @contextlib.asynccontextmanager
    async def _spending(self, cause: Cause, freed_bytes: int) -> AsyncIterator[None]:
        """Write down what goes before it does: whoever dies in between has spent it. What fails is given back."""
        before = self.spent
        self.spent = plan.spend(before, cause, freed_bytes)
        if self.spent == before:
            # Such a day may go while another one spends.
            yield
            return
        try:
            await self._note()
            yield
        except Exception:
            self.spent = before
            raise

    async def _note(self) -> None:
        await self._database.write(queries.save_night, DEFAULT_TENANT, Night(self.boot_id, self._uptime_ms, self.spent))
        self._noted_ms = self._uptime_ms

    async def _bytes_of(self, drop: Drop) -> int:
        """What a day takes that goes for a budget; of others nobody counts it."""
        if drop.cause is not Cause.BUDGET:
            return 0
        return sum(use.total_bytes for use in await self._keeping.uses() if use.day == drop.day)

    async def _unlinked(self, drop: Drop) -> int:
        try:
            return await self._keeping.drop(drop.day)
        except ChunkError as error:
            if drop.cause is not Cause.FULL:
                raise
            # These roll-ups are lost already, and without room so is whatever comes.
            log.warning("roll-ups of a day not closed day=%s error=%s", day_of(drop.day * DAY_MS), error)
            return await self._keeping.unlink(drop.day)
