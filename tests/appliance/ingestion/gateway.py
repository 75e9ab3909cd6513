"""Ingestion with a real database and the real rooms around it, and a broker that remembers."""

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

from appliance.alerts.service import Alerts
from appliance.bus import Bus
from appliance.config import AlertsConfig, IngestionConfig, TelemetryConfig
from appliance.ingestion.committing.service import Company, Room, write
from appliance.ingestion.model import Outcome
from appliance.ingestion.service import Ingestion
from appliance.ingestion.settling.service import Rooms
from appliance.registry.service import Registry
from appliance.store.database import Database
from appliance.telemetry.service import Telemetry
from broker.message import Message
from tests.appliance.examples import registered, stored
from tests.appliance.ingestion.examples import NOW

TOGETHER = IngestionConfig(commit_interval_ms=60_000)
"""Nothing is committed until a batch is full or the gateway stops."""
AT_ONCE = IngestionConfig(commit_interval_ms=0)


class FakeBroker:
    """Remembers what it is told to do, and wakes whoever waits for it."""

    def __init__(self) -> None:
        self.receipts: list[object] = []
        self.turns: list[str] = []
        self.on_acknowledge: Callable[[], None] = lambda: None
        self.on_resume: Callable[[], None] = lambda: None
        self._changed = asyncio.Event()

    def acknowledge(self, receipts: Sequence[object]) -> None:
        self.receipts += receipts
        self.on_acknowledge()
        self._changed.set()

    def pause(self) -> None:
        self.turns.append("pause")

    def resume(self) -> None:
        self.turns.append("resume")
        self.on_resume()
        self._changed.set()

    async def until(self, is_so: Callable[["FakeBroker"], bool]) -> None:
        """Wait until what it was told makes the condition true."""
        async with asyncio.timeout(30):
            while not is_so(self):
                self._changed.clear()
                await self._changed.wait()


class Gateway:
    """The rooms, and what a test turns: the moment it is, and the disk."""

    def __init__(self, database: Database, registry: Registry, config: IngestionConfig) -> None:
        self.now = NOW
        self.database = database
        self.registry = registry
        self.bus = Bus()
        self.broker = FakeBroker()
        self.alerts = Alerts(database, AlertsConfig(), lambda: self.now)
        self.telemetry = Telemetry(database, database.path.parent, TelemetryConfig(), lambda: self.now)
        rooms = Rooms(registry, self.alerts, self.telemetry)
        self.ingestion = Ingestion(database, rooms, self.bus, config, lambda: self.now)

    @contextlib.asynccontextmanager
    async def ingesting(self) -> AsyncIterator[None]:
        """Commit what is accepted while the block lasts."""
        async with self.ingestion.running(self.broker.acknowledge, self.broker.pause, self.broker.resume):
            yield

    def on_disk(self, sql: str) -> list[tuple[Any, ...]]:
        """What another program reads from the file at this moment."""
        with contextlib.closing(sqlite3.connect(self.database.path)) as connection:
            return connection.execute(sql).fetchall()

    def messages_on_disk(self) -> int:
        """How many messages the event log holds."""
        [(count,)] = self.on_disk("SELECT coalesce(sum(message_count), 0) FROM log")
        return int(count)

    @contextlib.asynccontextmanager
    async def disk_busy(self) -> AsyncIterator[None]:
        """The writer is at other work while the block lasts: nothing can be committed."""
        entered, leave = asyncio.Event(), threading.Event()
        loop = asyncio.get_running_loop()

        def hold(_: sqlite3.Connection) -> None:
            loop.call_soon_threadsafe(entered.set)
            assert leave.wait(timeout=30)

        task = asyncio.create_task(self.database.maintain(hold))
        try:
            await entered.wait()
            yield
        finally:
            leave.set()
            await task

    async def limit_pages(self, room: int | None) -> None:
        """Let the file grow by so many pages, or without a limit."""

        def limit(connection: sqlite3.Connection) -> None:
            (count,) = connection.execute("PRAGMA page_count").fetchone()
            connection.execute(f"PRAGMA max_page_count = {1_000_000 if room is None else count + room}")

        await self.database.maintain(limit)


async def commit_requests(database: Database, room: Room, messages: Sequence[Message], now: int) -> None:
    """Have a room do what messages of one batch ask for, and tell of it."""
    company = Company()
    company.rooms = (room,)
    load = company.take(messages)
    errands = tuple(load.errands)
    committed = await database.write(write, Outcome((), (), ()), {}, errands, lambda *_: "", now)
    load.finish(committed.results)


@contextlib.asynccontextmanager
async def built(folder: Path, config: IngestionConfig = AT_ONCE) -> AsyncIterator[Gateway]:
    """Everything opened, ingestion not yet running; `pump` and `valve` are registered."""
    async with stored(folder) as database, registered(database, folder) as registry:
        for device_id, zone in (("pump", "north"), ("valve", "south")):
            if not registry.has_device(1, device_id):
                await registry.add_device(1, device_id, name=device_id.title(), zone=zone)
        gateway = Gateway(database, registry, config)
        async with gateway.alerts.opened(), gateway.telemetry.opened():
            yield gateway


@contextlib.asynccontextmanager
async def ingesting(folder: Path, config: IngestionConfig = AT_ONCE) -> AsyncIterator[Gateway]:
    """A gateway that commits what it accepts."""
    async with built(folder, config) as gateway, gateway.ingesting():
        yield gateway


async def until(is_so: Callable[[], bool]) -> None:
    """Let everything else go on until something has come true."""
    async with asyncio.timeout(30):
        while not is_so():  # noqa: ASYNC110  what is waited for is a plain value, which tells nobody
            await asyncio.sleep(0)
