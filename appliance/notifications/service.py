"""Sends what the outbox holds.

Rules:
- A notice is marked as sent after its channel took it: a crash in between repeats it, nothing loses it.
- Every channel has a loop and places of its own: one that hangs delays no other.
- A stop begins nothing new and gives what is under way a moment; what is not done then stays due.
- While the disk is full, what was sent waits to be marked: it is not sent again, and nothing else is.
- Time passes by the clock that was given; whoever moves that clock calls `wake`.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping

from appliance.bus import Bus, Subscription
from appliance.health import Status
from appliance.instant import SECOND_MS, Clock
from appliance.notifications import queries
from appliance.notifications.channel import Channel, ChannelError
from appliance.notifications.model import Notice, NoticeAttempted, NoticesQueued
from appliance.notifications.retry import after_failure, after_success
from appliance.notifications.turn import UPCOMING_LIMIT, next_turn
from appliance.store.database import Database, UnwritableError

log = logging.getLogger(__name__)

STOP_GRACE_MS = 2_000
"""How long a stop waits for what is under way."""
RETRY_S = 0.5
"""How long to wait before marking again when the disk is full."""


class Notifications:
    """The outbox while the gateway runs."""

    def __init__(
        self,
        database: Database,
        channels: Mapping[str, Channel],
        bus: Bus,
        clock: Clock,
        *,
        stop_grace_ms: int = STOP_GRACE_MS,
    ) -> None:
        self._stop_grace_ms = stop_grace_ms
        self._database = database
        self._channels = channels
        self._bus = bus
        self._clock = clock
        self._loops: list[_ChannelLoop] = []

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Send what is due, until left."""
        waiting = await self._database.read(queries.select_waiting_channels())
        names = sorted({*self._channels, *waiting})
        self._loops = [
            _ChannelLoop(name, self._channels.get(name, _NoChannel()), self._database, self._bus, self._clock)
            for name in names
        ]
        with self._bus.subscribe(NoticesQueued) as queued:
            async with asyncio.TaskGroup() as group:
                listening = group.create_task(self._listen(queued), name="notifications of new notices")
                tasks = [group.create_task(loop.run(), name=f"notifications by {loop.name}") for loop in self._loops]
                yield
                for loop in self._loops:
                    loop.stop()
                if tasks:
                    await asyncio.wait(tasks, timeout=self._stop_grace_ms / SECOND_MS)
                for task in (listening, *tasks):
                    task.cancel()

    def wake(self) -> None:
        """Look at the outbox and the clock again now."""
        for loop in self._loops:
            loop.wake()

    async def notices(self, tenant_id: int, alert_id: int | None = None, limit: int = 100) -> list[Notice]:
        """The newest notices of a tenant, or of one of its alerts: sent, waiting and given up."""
        return await self._database.read(queries.select_notices(tenant_id, alert_id, limit))

    def status(self) -> Status:
        """How the channels are; not well while the last attempt on one of them failed."""
        failing = {loop.name: loop.last_error for loop in self._loops if loop.last_error}
        sent_count = sum(loop.sent_count for loop in self._loops)
        summary = "; ".join(f"{name}: {reason}" for name, reason in failing.items()) or "every channel works"
        return Status(ok=not failing, summary=summary, details={"sent_count": sent_count})

    async def _listen(self, queued: Subscription) -> None:
        while True:
            await queued.next_batch()
            self.wake()


class _NoChannel:
    """Stands for a channel that notices wait for and that is no longer set up."""

    async def send(self, notice: Notice) -> None:
        raise ChannelError(f"no channel named {notice.channel} is set up", permanent=False)


class _ChannelLoop:
    """Sends the notices of one channel, a few at once."""

    def __init__(self, name: str, channel: Channel, database: Database, bus: Bus, clock: Clock) -> None:
        self.name = name
        self.last_error: str | None = None
        self.sent_count = 0
        self._channel = channel
        self._database = database
        self._bus = bus
        self._clock = clock
        self._awake = asyncio.Event()
        self._sending: set[int] = set()
        self._is_stopping = False

    def wake(self) -> None:
        self._awake.set()

    def stop(self) -> None:
        """Begin nothing new; `run` ends when what is under way is done."""
        self._is_stopping = True
        self._awake.set()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            while not self._is_stopping:
                # Cleared before looking: what is queued while we look wakes us again.
                self._awake.clear()
                # So too what is under way: a notice that is marked as sent while we look is still due in what we see.
                busy = frozenset(self._sending)
                upcoming = await self._database.read(queries.select_upcoming(self.name, UPCOMING_LIMIT))
                if self._is_stopping:
                    return
                turn = next_turn(upcoming, busy, self._clock())
                for notice in turn.start:
                    self._sending.add(notice.notice_id)
                    group.create_task(self._attempt(notice), name=f"notice {notice.notice_id}")
                await self._sleep(turn.wait_ms)

    async def _sleep(self, wait_ms: int | None) -> None:
        timeout = None if wait_ms is None else wait_ms / SECOND_MS
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._awake.wait()

    async def _attempt(self, notice: Notice) -> None:
        try:
            await self._channel.send(notice)
        except ChannelError as error:
            after = after_failure(notice, error.reason, self._clock(), permanent=error.permanent)
        else:
            after = after_success(notice, self._clock())
        await self._mark(after)
        # Only now: until the outcome is on disk, the outbox still shows this notice as due.
        self._sending.discard(notice.notice_id)
        self._note(after)
        self._awake.set()

    async def _mark(self, notice: Notice) -> None:
        while True:
            try:
                await self._database.write(queries.update_attempted, notice)
            except UnwritableError as error:
                log.warning("notice not marked, tried again notice_id=%s error=%s", notice.notice_id, error)
                await asyncio.sleep(RETRY_S)
            else:
                return

    def _note(self, notice: Notice) -> None:
        self.last_error = notice.last_error
        if notice.sent_at is not None:
            self.sent_count += 1
            log.info(
                "notice sent notice_id=%s channel=%s attempts=%s", notice.notice_id, self.name, notice.attempt_count
            )
        elif notice.given_up_at is not None:
            log.error(
                "notice given up notice_id=%s channel=%s reason=%s", notice.notice_id, self.name, notice.last_error
            )
        else:
            log.warning(
                "notice not sent notice_id=%s channel=%s due_at=%s reason=%s",
                notice.notice_id,
                self.name,
                notice.due_at,
                notice.last_error,
            )
        self._bus.announce([NoticeAttempted(notice)])
