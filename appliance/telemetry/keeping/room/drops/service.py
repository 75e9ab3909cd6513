"""Drops at work: a day goes, it is told in the audit log, and it counts for the night."""

import logging

import msgspec

from appliance.audit.model import Entry, Wanted
from appliance.audit.service import Audit
from appliance.instant import DAY_MS, Clock, day_of
from appliance.registry.model import DEFAULT_TENANT
from appliance.store.database import Database
from appliance.telemetry.keeping import plan
from appliance.telemetry.keeping.plan import Cause, Drop, Spent
from appliance.telemetry.keeping.room.drops import queries
from appliance.telemetry.keeping.service import Keeping
from appliance.telemetry.packing import ChunkError

log = logging.getLogger(__name__)

REMEMBERED = 100


class _Details(msgspec.Struct, frozen=True):
    """What the audit log says of a day that went."""

    cause: Cause
    freed_bytes: int


class Drops:
    """The days that are dropped."""

    def __init__(self, database: Database, keeping: Keeping, clock: Clock) -> None:
        self._database = database
        self._keeping = keeping
        self._clock = clock
        self._audit = Audit(database, clock)
        self.spent = Spent()
        """What has gone in this night."""

    async def remember(self, uptime_ms: int) -> None:
        """Know what went in this night before the start: a restart begins no other one."""
        now = self._clock()
        self.spent = Spent(uptime_ms)
        page = await self._audit.page(DEFAULT_TENANT, wanted=Wanted(action="telemetry.drop"), limit=REMEMBERED)
        for entry in page.entries:
            if now - plan.NIGHT_MS < entry.recorded_at <= now:
                self.spent = plan.spend(self.spent, *_told(entry.details))

    def begin_night(self, uptime_ms: int) -> None:
        """Begin another night, once the last one is over."""
        self.spent = plan.tonight(self.spent, uptime_ms)

    async def drop(self, drop: Drop) -> int:
        """Drop a day, and give how many bytes that freed.

        Raises `ChunkError` when its roll-ups cannot be closed: then it stays, unless the disk is full.
        """
        freed = await self._unlinked(drop)
        self.spent = plan.spend(self.spent, drop.cause, freed)
        day = day_of(drop.day * DAY_MS)
        log.warning("day dropped day=%s freed_bytes=%d cause=%r", day, freed, drop.cause.value)
        entry = Entry("telemetry.drop", day, {"cause": drop.cause.value, "freed_bytes": str(freed)})
        for tenant_id in await self._database.read(queries.select_tenants()):
            # On a full disk the day goes first: without it nothing could be written down either.
            await self._audit.surely(tenant_id, entry)
        return freed

    async def catch_up(self) -> None:
        """Tell what a full disk has left to tell. Raises `UnwritableError`."""
        await self._audit.catch_up()

    async def _unlinked(self, drop: Drop) -> int:
        try:
            return await self._keeping.drop(drop.day)
        except ChunkError as error:
            if drop.cause is not Cause.FULL:
                raise
            # These roll-ups are lost already, and without room so is whatever comes.
            log.warning("roll-ups of a day not closed day=%s error=%s", day_of(drop.day * DAY_MS), error)
            return await self._keeping.unlink(drop.day)


def _told(details: str) -> tuple[Cause, int]:
    try:
        return msgspec.structs.astuple(msgspec.json.decode(details, type=_Details, strict=False))
    except msgspec.DecodeError:
        # By another release, or another hand: what went without a limit uses none up.
        return Cause.AGE, 0
