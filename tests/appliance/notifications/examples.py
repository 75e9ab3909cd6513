"""Notices and clocks as the tests of notifying make them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from appliance.bus import Bus, Subscription
from appliance.notifications.channel import Channel
from appliance.notifications.model import Notice, NoticeAttempted, NoticesQueued
from appliance.notifications.queries import insert_notice
from appliance.notifications.service import Notifications
from appliance.store.database import Database, opened
from tests.appliance.store.tables import up_to_date

START = 1_767_225_600_000
"""2026-01-01T00:00:00Z."""

NOTICE = Notice(
    notice_id=7,
    tenant_id=1,
    alert_id=None,
    channel="email",
    recipient="maria@example.com",
    subject="[HIGH] pump: pressure is 71.5",
    body="pressure of pump is 71.5.\n",
    created_at=START,
    due_at=START,
    attempt_count=0,
    sent_at=None,
    given_up_at=None,
    last_error=None,
)


def notice(**fields: object) -> Notice:
    return msgspec.structs.replace(NOTICE, **fields)


class Hands:
    """A clock that moves when it is moved."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now


class Outbox:
    """A database with a running sender, and what a test does to it."""

    def __init__(self, database: Database, clock: Hands, bus: Bus, notifications: Notifications) -> None:
        self.database = database
        self.clock = clock
        self.notifications = notifications
        self._bus = bus
        self._attempts: Subscription = bus.subscribe(NoticeAttempted, limit=100)
        self._known: list[Notice] = []

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        with self._attempts:
            yield

    async def queue(self, recipient: str = NOTICE.recipient, channel: str = "email", body: str = NOTICE.body) -> int:
        """Put a notice into the outbox as ingestion does."""
        notice_id = await self.database.write(
            insert_notice, 1, None, channel, recipient, NOTICE.subject, body, self.clock()
        )
        self._bus.announce([NoticesQueued(1)])
        return notice_id

    async def attempted(self, count: int = 1) -> list[Notice]:
        """Wait until that many attempts are on disk; the notices as they are after them."""
        while len(self._known) < count:
            batch = await self._attempts.next_batch()
            self._known += [event.notice for event in batch if isinstance(event, NoticeAttempted)]
        taken, self._known = self._known[:count], self._known[count:]
        return taken

    def advance(self, length_ms: int) -> None:
        """Let time pass at once."""
        self.clock.now += length_ms
        self.notifications.wake()

    async def kept(self) -> list[Notice]:
        """What the outbox holds, the oldest first."""
        return (await self.notifications.notices(1))[::-1]

    async def settle(self) -> None:
        """Give everything that could happen without time passing the chance to happen."""
        for _ in range(5):
            await self.database.write(lambda connection: connection.execute("SELECT 1").fetchone())
            for _ in range(20):
                await asyncio.sleep(0)


@asynccontextmanager
async def sending(folder: Path, clock: Hands, stop_grace_ms: int = 0, **channels: Channel) -> AsyncIterator[Outbox]:
    """An outbox on the database in a folder, while its notices are sent by these channels."""
    bus = Bus()
    async with opened(folder / "gateway.db", prepare=up_to_date) as database:
        notifications = Notifications(database, channels, bus, clock, stop_grace_ms=stop_grace_ms)
        outbox = Outbox(database, clock, bus, notifications)
        async with outbox.listening(), notifications.running():
            yield outbox
