"""What is due: commands that have expired or were not answered in time, and those of devices that are gone.

Rules: what is due is found on the disk, so that a new start changes nothing. A clock that is set moves what is due
along with it, once the disk takes that. A command that cannot be seen to keeps no other waiting: it is set aside.
"""

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import Callable, Sequence
from functools import partial

from appliance.commands import queries, ruling
from appliance.commands.as_jobs.service import AsJobs, Kept
from appliance.commands.delivery.flight import Change, Place
from appliance.commands.delivery.service import Courier
from appliance.commands.mishaps.service import SLICES, Key, Mishap, UnreadableError, fails
from appliance.commands.model import By, Command
from appliance.commands.setting_aside import queries as aside_queries
from appliance.commands.setting_aside.service import SettingAside
from appliance.instant import SECOND_MS, Clock
from appliance.store.database import Afterwards, Database, Together, UnwritableError, nothing_left

log = logging.getLogger(__name__)

TICK_S = 0.5
RETRY_S = 1.0
PIECE = 500
"""Commands of one transaction."""
JUMP_MS = 5 * SECOND_MS
"""Of a clock that was set."""


class Tending:
    """Looks after commands as time passes."""

    def __init__(
        self, database: Database, clock: Clock, as_jobs: AsJobs, courier: Courier, aside: SettingAside
    ) -> None:
        self._database = database
        self._clock = clock
        self._as_jobs = as_jobs
        self._courier = courier
        self._aside = aside
        self.together: Together
        self.changed: Callable[[Sequence[Change]], None] = lambda _: None
        """Hears what has come further, once it is on disk."""
        self.jump_ms = JUMP_MS
        """By more than this the clock does not go wrong by itself: it was set."""
        self.mishap = Mishap("looking after commands")
        self._gone: list[Place] = []
        self._puzzled: dict[Key, None] = {}
        """Commands whose rows are damaged, as whoever has read them tells."""
        self._has_to_tend = asyncio.Event()

    def gone(self, tenant_id: int, device_id: str) -> None:
        """A device takes no part any more: nothing is sent to it."""
        self._gone.append((tenant_id, device_id))
        self._has_to_tend.set()

    def puzzled(self, keys: Sequence[Key]) -> None:
        """These have not ended and are damaged: they are set aside before they are due."""
        self._puzzled.update(dict.fromkeys(keys[: PIECE - len(self._puzzled)]))
        if self._puzzled:
            self._has_to_tend.set()

    async def run(self) -> None:
        """Tend for ever."""
        loop = asyncio.get_running_loop()
        passed, wall = loop.time(), self._clock()
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK_S):
                    await self._has_to_tend.wait()
            reached = loop.time(), self._clock()
            jump_ms = reached[1] - wall - int((reached[0] - passed) * SECOND_MS)
            try:
                if abs(jump_ms) > self.jump_ms:
                    log.info("clock was set, commands are due as long from now as before by_ms=%s", jump_ms)
                    await self.together(partial(_shift, jump_ms))
                # Not before: while the disk is full, a jump waits for it.
                passed, wall = reached
                with self.mishap.tried():
                    await self.tend()
            except UnwritableError as error:
                log.warning("commands that are due wait for the disk error=%s", error)
                await asyncio.sleep(RETRY_S)

    async def tend(self) -> None:
        """See to what is due now, and to whoever is gone. Raises `UnwritableError`."""
        self._has_to_tend.clear()
        self._courier.look_after(self._clock())
        while self._gone:
            await self._see_to_gone(self._gone[0])
            del self._gone[0]
        for key in list(self._puzzled):
            await self._aside.put(key, UnreadableError())
            self._puzzled.pop(key, None)
        for due_at in await self._database.read(queries.select_next_due()):
            if due_at is not None and due_at <= self._clock():
                await self._see_to_due()

    # Of what is due.

    async def _see_to_due(self) -> None:
        counts: list[int] = [PIECE]
        slice_count = 0
        while counts[-1] == PIECE and slice_count < SLICES:
            if await fails(self.together, partial(self._rule_due, counts)):
                due = await self._database.read(aside_queries.select_due_keys(self._clock(), self._aside.behind, PIECE))
                await self._aside.go_through(due, PIECE, lambda key: partial(self._rule_alone, key))
                counts.append(len(due))
                slice_count += 1

    def _rule_due(self, counts: list[int], connection: sqlite3.Connection, now: int) -> Afterwards:
        return self._ruled(queries.due(connection, now, PIECE), counts, connection, now)

    def _rule_alone(self, key: Key, connection: sqlite3.Connection, now: int) -> Afterwards:
        return self._ruled(_found(key, connection), [], connection, now)

    def _ruled(
        self, found: Sequence[Command], counts: list[int], connection: sqlite3.Connection, now: int
    ) -> Afterwards:
        kept = self._as_jobs.keep(connection, [(before, ruling.due(before, now)) for before in found], now)
        return partial(self._was_due, kept, counts)

    def _was_due(self, kept: Kept, counts: list[int]) -> None:
        kept.tell()
        counts.append(len(kept.changes))
        self.changed(kept.changes)
        waiting = [after for _, after in kept.changes if not after.is_over and after.offered_at is None]
        self._courier.expect([(after.tenant_id, after.device_id) for after in waiting])

    # Of who is gone.

    async def _see_to_gone(self, place: Place) -> None:
        if await fails(self.together, partial(self._end_all, place)):
            keys = await self._database.read(aside_queries.select_open_keys(*place))
            await self._aside.sort_out(keys, lambda key: partial(self._end_alone, key))

    def _end_all(self, place: Place, connection: sqlite3.Connection, now: int) -> Afterwards:
        return self._ended(queries.open_of_device(connection, *place), connection, now)

    def _end_alone(self, key: Key, connection: sqlite3.Connection, now: int) -> Afterwards:
        return self._ended(_found(key, connection), connection, now)

    def _ended(self, found: Sequence[Command], connection: sqlite3.Connection, now: int) -> Afterwards:
        changes: list[Change] = []
        reason = ruling.Reason(ruling.DEVICE_GONE, "the device was suspended or retired")
        for before in found:
            over = ruling.cancelled(before, reason, By.GATEWAY, now)
            if over is not None:
                changes.append((before, over))
        return partial(self._was_gone, self._as_jobs.keep(connection, changes, now))

    def _was_gone(self, kept: Kept) -> None:
        kept.tell()
        self.changed(kept.changes)


def _found(key: Key, connection: sqlite3.Connection) -> Sequence[Command]:
    tenant_id, number = key
    return [*queries.by_numbers(connection, tenant_id, [number]).values()]


def _shift(by_ms: int, connection: sqlite3.Connection, now: int) -> Afterwards:
    del now
    queries.shift(connection, by_ms)
    return nothing_left
