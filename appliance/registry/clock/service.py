"""The gateway's clock together with what is known of the time, kept on disk for the next start."""

import asyncio
import logging
from collections.abc import Callable

from appliance.health import Status
from appliance.instant import DAY_MS, SECOND_MS, Clock
from appliance.registry.authority import RELEASED_AT
from appliance.registry.clock import kernel, queries
from appliance.registry.clock.trust import ClockState, Reading
from appliance.registry.model import DEFAULT_TENANT
from appliance.store.database import Database

log = logging.getLogger(__name__)


class TrustedClock:
    """The clock, and what it is worth."""

    def __init__(self, database: Database, wall: Clock) -> None:
        """`wall` gives UTC milliseconds, right or wrong."""
        self._database = database
        self._wall = wall
        self._floor_at = RELEASED_AT
        self._uptime_s: Callable[[], float] = lambda: 0.0
        self._begun_s = 0.0
        self._known = ClockState.UNTRUSTED
        self.is_vouched_for: Callable[[int], bool] = kernel.is_synchronised
        """Whether a time server stands behind the clock, which shows this moment."""

    async def open(self) -> None:
        """Know what has passed for sure."""
        self._uptime_s = asyncio.get_running_loop().time
        self._begun_s = self._uptime_s()
        issued = await self._database.read(queries.select_newest_issue())
        marked = await self._database.read(queries.select_mark(DEFAULT_TENANT))
        self._floor_at = max([RELEASED_AT, *marked, *(at - DAY_MS for at in issued)])
        self._known = self.state
        log.info("clock read state=%s", self._known)

    def reading(self) -> Reading:
        """The clock now."""
        wall_at = self._wall()
        return Reading(wall_at, self._floor_at + self._uptime_ms(), self.is_vouched_for(wall_at))

    @property
    def state(self) -> ClockState:
        """What it is worth now."""
        return self.reading().state

    @property
    def issuing_at(self) -> int:
        """From when the life of a certificate counts that is issued now, UTC milliseconds."""
        return self.reading().issuing_at

    def status(self) -> Status:
        """Say whether the clock can be believed, and what follows if not."""
        reading = self.reading()
        details = {"state": reading.state.value, "floor_at": reading.floor_at, "wall_at": reading.wall_at}
        return Status(ok=reading.state.is_trusted, summary=reading.told(), details=details)

    async def mark(self) -> None:
        """Keep what has passed for sure, every few minutes; the floor is not below it from here on.

        Raises `UnwritableError`.
        """
        reading = self.reading()
        if reading.state is not self._known:
            self._known = reading.state
            log.warning("clock state changed state=%s", self._known)
        if reading.state is ClockState.SYNCHRONISED:
            self._floor_at = reading.wall_at - self._uptime_ms()
        await self._database.write(queries.save_mark, DEFAULT_TENANT, self._floor_at + self._uptime_ms())

    def _uptime_ms(self) -> int:
        """What has passed since the start, by a clock that nobody sets."""
        return int((self._uptime_s() - self._begun_s) * SECOND_MS)
