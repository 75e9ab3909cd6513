"""The gateway's clock together with what is known of the time, kept on disk for the next start."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from appliance.audit.model import Entry
from appliance.audit.service import Audit
from appliance.health import Status
from appliance.instant import SECOND_MS, Clock, to_text
from appliance.registry.authority import RELEASED_AT
from appliance.registry.clock import kernel, queries
from appliance.registry.clock.model import ClockNotSetError, ClockReport
from appliance.registry.clock.trust import SLACK_MS, ClockState, Doubt, Mark, Reading, weigh
from appliance.registry.model import DEFAULT_TENANT
from appliance.store.database import Database

log = logging.getLogger(__name__)


class TrustedClock:
    """The clock, and what it is worth."""

    def __init__(self, database: Database, wall: Clock, audit: Audit) -> None:
        """`wall` gives UTC milliseconds, right or wrong."""
        self._database = database
        self._wall = wall
        self._audit = audit
        self._floor_at = RELEASED_AT
        self._begun_at = RELEASED_AT
        self._doubt: Doubt | None = None
        self._uptime_s: Callable[[], float] = lambda: 0.0
        self._begun_s = 0.0
        self._known = ClockState.UNTRUSTED
        self._keeping = asyncio.Lock()
        self.was_reset: Callable[[], Awaitable[None]] = _nobody_told
        """Told after a person has said that the clock is right: what was judged by another may be wrong."""
        self.is_vouched_for: Callable[[int], bool] = kernel.is_synchronised
        """Whether a time server stands behind the clock, which shows this moment."""

    async def open(self) -> None:
        """Know what has passed for sure."""
        self._uptime_s = asyncio.get_running_loop().time
        self._begun_s = self._uptime_s()
        marks = await self._database.read(queries.select_mark(DEFAULT_TENANT))
        self._floor_at = self._begun_at = max([RELEASED_AT, *(mark.marked_at for mark in marks)])
        self._doubt = marks[0].doubt if marks else None
        self._known = self.state
        log.info("clock read state=%s witness=%s", self._known, kernel.witness())
        if self._doubt is not None:
            log.warning("clock was doubted before this start said_at=%s", to_text(self._doubt.said_at))

    def reading(self) -> Reading:
        """The clock now."""
        wall_at, uptime_ms = self._wall(), self._uptime_ms()
        return Reading(
            wall_at,
            self._floor_at + uptime_ms,
            self.is_vouched_for(wall_at),
            begun_at=self._begun_at + uptime_ms,
            was_said=self._doubt is not None,
        )

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
        # Devices get in by a wrong clock as by a right one.
        return Status(ok=reading.state.is_trusted, summary=reading.told(), details=details, is_serving=True)

    def report(self) -> ClockReport:
        """Tell the same to who asks for the clock alone."""
        reading = self.reading()
        return ClockReport(
            reading.state.value, to_text(reading.wall_at), to_text(reading.floor_at), reading.told(), kernel.witness()
        )

    async def mark(self) -> None:
        """Keep what has passed for sure, every few minutes; the floor is not below it from here on.

        Raises `UnwritableError`.
        """
        # One after the other: a mark under way must not undo a reset.
        async with self._keeping:
            await self._mark()

    async def reset(self) -> ClockReport:
        """Take what the clock shows for what has passed, whatever was taken for that before.

        Raises `ClockNotSetError` for a clock that cannot be right, and `UnwritableError`.
        """
        async with self._keeping:
            await self._reset()
        await self.was_reset()
        return self.report()

    async def _mark(self) -> None:
        reading, uptime_ms = self.reading(), self._uptime_ms()
        if reading.state is not self._known:
            self._known = reading.state
            log.warning("clock state changed state=%s", self._known)
        weighed = weigh(reading, uptime_ms, self._doubt)
        floor_at = self._floor_at if weighed.zero_at is None else weighed.zero_at
        mark = Mark(floor_at + uptime_ms, weighed.doubt)
        await self._database.write(queries.save_mark, DEFAULT_TENANT, mark)
        self._floor_at, self._doubt = floor_at, weighed.doubt
        if weighed.zero_at is not None and reading.is_doubted:
            self._begun_at = floor_at
            log.warning("clock of a time server believed after it held for a day wall_at=%s", to_text(reading.wall_at))

    async def _reset(self) -> None:
        reading, uptime_ms = self.reading(), self._uptime_ms()
        if reading.wall_at < RELEASED_AT:
            raise ClockNotSetError(
                f"the clock shows {to_text(reading.wall_at)}, which was before this release was made: set it first"
            )
        told = {"from": to_text(reading.floor_at), "to": to_text(reading.wall_at)}
        mark = Mark(reading.wall_at - SLACK_MS)
        await self._audit.recorded(
            DEFAULT_TENANT, [Entry("clock.reset", "clock", told)], queries.save_mark, DEFAULT_TENANT, mark
        )
        self._floor_at = self._begun_at = mark.marked_at - uptime_ms
        self._doubt = None
        log.warning("clock reset floor_at=%s", told["to"])

    def _uptime_ms(self) -> int:
        """What has passed since the start, by a clock that nobody sets."""
        return int((self._uptime_s() - self._begun_s) * SECOND_MS)


async def _nobody_told() -> None:
    """Stand in while nobody judges by the clock."""
