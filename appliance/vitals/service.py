"""Looks at the gateway: for whoever asks, and every few seconds for the alert rules that are about it.

What is quick to tell is looked at when it is asked for; what the disk must be asked is not older than a minute.
A look that fails ends nothing: whoever takes the last file descriptor would end the gateway.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec

from appliance.alerts.service import Alerts
from appliance.bus import Bus
from appliance.health import Health
from appliance.histogram import MICROSECONDS_PER_S, Histogram
from appliance.ingestion.service import Ingestion
from appliance.ingestion.stages import Stages
from appliance.instant import MINUTE_MS, SECOND_MS, Clock
from appliance.monitoring import MetricsConfig
from appliance.registry.model import DEFAULT_TENANT
from appliance.registry.service import Registry
from appliance.store.database import Database, SqliteError
from appliance.telemetry.keeping.room.model import Usage
from appliance.telemetry.keeping.room.service import Room
from appliance.vitals import conditions, queries, usage
from appliance.vitals.model import ConsumerLag, Counts, ProcessUse, Snapshot
from appliance.vitals.watch.service import Measured, Watch

log = logging.getLogger(__name__)

LOOP_LOOK_S = 0.25
"""How often it is looked at how late the event loop comes."""
JUDGE_S = 5.0
"""How often alert rules see the gateway's figures."""
MINUTES_KEPT = 15
"""So far back the lengths of time of lately go."""


class Sources(msgspec.Struct, frozen=True):
    """The parts that are looked at."""

    health: Health
    ingestion: Ingestion
    room: Room
    registry: Registry
    alerts: Alerts


class Vitals:
    """The gateway's own figures."""

    def __init__(self, database: Database, sources: Sources, bus: Bus, clock: Clock, access: MetricsConfig) -> None:
        self._database = database
        self._sources = sources
        self._clock = clock
        self.access = access
        """Who may read the figures without showing who they are."""
        self.loop_lag = Histogram()
        """How late the event loop came to what was due."""
        self._worst_loop_lag_us = 0
        self._earlier: deque[Stages] = deque([Stages()], MINUTES_KEPT)
        """The stages as they were at the end of each of the last minutes, the oldest first."""
        self._usage: Usage | None = None
        self._cpu_ratio = 0.0
        self._cpu_seen: tuple[float, float] | None = None
        self.watch = Watch(database, sources.alerts.book, bus, self.readings)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Look at what has to be looked at all the time, until left."""
        async with asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(self._follow_loop(), name="event loop lag"),
                tasks.create_task(_every(MINUTE_MS / SECOND_MS, self.end_minute), name="vitals of the minute"),
                tasks.create_task(_every(JUDGE_S, self.watch.measure), name="vitals for alerts"),
                tasks.create_task(self.watch.judge_for_ever(), name="alerts of the gateway"),
            ]
            try:
                yield
            finally:
                for task in running:
                    task.cancel()

    async def look(self) -> Snapshot:
        """The gateway at this moment."""
        ingestion = self._sources.ingestion
        [waiting] = await self._database.read(queries.select_waiting_count())
        return Snapshot(
            now=self._clock(),
            ready=self._sources.health.ready,
            statuses=self._sources.health.statuses(),
            lag_ms=ingestion.rates().lag_ms,
            stages=ingestion.stages,
            recent=ingestion.stages.since(self._earlier[max(0, len(self._earlier) - 2)]),
            loop_lag=self.loop_lag,
            worst_loop_lag_us=self._worst_loop_lag_us,
            usage=self._usage,
            process=self._process(),
            cpu_ratio=self._cpu_ratio,
            waiting_notices=waiting,
        )

    def counts(self, tenant_id: int, consumers: tuple[ConsumerLag, ...]) -> Counts:
        """What there is of a tenant, with its consumers of the event log."""
        registry, alerts = self._sources.registry, self._sources.alerts
        return Counts(
            devices=len(registry.devices(tenant_id)),
            connected=registry.connected_count(tenant_id),
            firing=alerts.firing_count(tenant_id),
            consumers=consumers,
        )

    def lately(self) -> Stages:
        """How long messages took in the last quarter of an hour, or since the start if that is less."""
        return self._sources.ingestion.stages.since(self._earlier[0])

    async def readings(self) -> Measured:
        """What alert rules may be about, at this moment."""
        snapshot = await self.look()
        self._worst_loop_lag_us = 0
        return Measured(snapshot.now, conditions.readings(snapshot))

    async def end_minute(self) -> None:
        """Note what the minute that ends now brought."""
        self._earlier.append(self._sources.ingestion.stages.copy())
        await self.look_at_disk()

    async def look_at_disk(self) -> None:
        """See where the disk goes. Raises `OSError` when a day goes meanwhile, or the disk does not answer."""
        self._usage = await self._sources.room.usage(DEFAULT_TENANT)

    async def _follow_loop(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due_s = loop.time() + LOOP_LOOK_S
            await asyncio.sleep(LOOP_LOOK_S)
            late_us = round((loop.time() - due_s) * MICROSECONDS_PER_S)
            self.loop_lag.observe(late_us)
            self._worst_loop_lag_us = max(self._worst_loop_lag_us, late_us)

    def _process(self) -> ProcessUse:
        taken, now_s = usage.look(), asyncio.get_running_loop().time()
        if self._cpu_seen is None or now_s - self._cpu_seen[0] >= JUDGE_S:
            if self._cpu_seen is not None:
                self._cpu_ratio = (taken.cpu_s - self._cpu_seen[1]) / (now_s - self._cpu_seen[0])
            self._cpu_seen = (now_s, taken.cpu_s)
        return taken


async def _every(interval_s: float, work: Callable[[], Awaitable[None]]) -> None:
    """Do it now and after each interval, whether it went well or not. A trouble is told once."""
    trouble = ""
    while True:
        told = ""
        try:
            await work()
        except (OSError, SqliteError) as error:
            told = str(error)
            if told != trouble:
                log.warning("gateway not looked at, tried again later error=%s", told)
        trouble = told
        await asyncio.sleep(interval_s)
