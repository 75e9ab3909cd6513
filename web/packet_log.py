"""The packets of a few devices, for a person who looks for what is wrong: their types, topics and sizes.

A log is on for five minutes and then switches itself off; what it holds stays until another log needs its place.
Payloads are never kept.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable

import msgspec

from appliance.errors import ConflictError
from appliance.gateway import Gateway
from appliance.ingestion.model import PresenceChanged
from appliance.instant import MINUTE_MS, Clock
from broker.trace import TraceEntry

LENGTH_MS = 5 * MINUTE_MS
ENTRIES_LIMIT = 200
TEXT_LIMIT = 1_024
"""Characters of an entry's topics, and of its details: a packet may name thousands of topic filters."""
LOGS_ON_LIMIT = 4
LOGS_KEPT_LIMIT = 16
SWEEP_SECONDS = 1.0

Key = tuple[int, str]
"""The tenant and the device."""


class TooManyLogsError(ConflictError):
    """As many packet logs are on as may be."""

    code = "too_many_packet_logs"


class LoggedPacket(msgspec.Struct, frozen=True):
    """One packet and its place in the log."""

    number: int
    entry: TraceEntry
    client_id: str


class PacketLogView(msgspec.Struct, frozen=True):
    """A log as it is now."""

    device_id: str
    is_on: bool
    is_connected: bool
    ends_at: int | None = None
    """When it switches itself off, or has been switched off; None when it never was on."""
    packets: tuple[LoggedPacket, ...] = ()
    """The newest first."""
    packet_count: int = 0
    """Since it was switched on, those that are no longer kept included."""


class _Log:
    def __init__(self, ends_at: int) -> None:
        self.is_on = True
        self.ends_at = ends_at
        self.packets: deque[LoggedPacket] = deque(maxlen=ENTRIES_LIMIT)
        self.packet_count = 0
        self.looking = contextlib.ExitStack()
        """Ends the looking at the clients that are looked at."""
        self.clients: dict[str, object] = {}
        """Whose connection is looked at, by client identifier."""


class PacketLogs:
    """The packet logs of all tenants."""

    def __init__(self, gateway: Gateway, clock: Clock) -> None:
        self.changed: Callable[[], None] = lambda: None
        """Hears that there is something new to be seen."""
        self._gateway = gateway
        self._clock = clock
        self._logs: dict[Key, _Log] = {}

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Follow devices that come back, and switch logs off whose time is over."""
        async with asyncio.TaskGroup() as tasks:
            looking = tasks.create_task(self._look_for_ever(), name="packet logs")
            try:
                yield
            finally:
                looking.cancel()
                for key in self._logs:
                    self._switch_off(key)

    def switch_on(self, tenant_id: int, device_id: str) -> None:
        """Log the packets of a device from now on, for five minutes; a new log when there was one.

        Raises `UnknownDeviceError`, `TooManyLogsError`.
        """
        self._gateway.registry.device(tenant_id, device_id)
        key = (tenant_id, device_id)
        self.switch_off(*key)
        if sum(log.is_on for log in self._logs.values()) >= LOGS_ON_LIMIT:
            names = ", ".join(name for (_, name), log in self._logs.items() if log.is_on)
            raise TooManyLogsError(f"{LOGS_ON_LIMIT} packet logs are on already ({names}): switch one of them off")
        self._logs.pop(key, None)
        self._logs[key] = _Log(self._clock() + LENGTH_MS)
        while len(self._logs) > LOGS_KEPT_LIMIT:
            del self._logs[next(known for known, log in self._logs.items() if not log.is_on)]
        self._follow(tenant_id)
        self.changed()

    def switch_off(self, tenant_id: int, device_id: str) -> None:
        """Log nothing more of a device; what was logged stays to be looked at."""
        self._switch_off((tenant_id, device_id))

    def view(self, tenant_id: int, device_id: str) -> PacketLogView:
        """The log of a device as it is now. Raises `UnknownDeviceError`."""
        self._gateway.registry.device(tenant_id, device_id)
        is_connected = self._gateway.registry.presence(tenant_id, device_id).connected
        log = self._logs.get((tenant_id, device_id))
        if log is None:
            return PacketLogView(device_id, is_on=False, is_connected=is_connected)
        is_on = log.is_on and self._clock() < log.ends_at
        return PacketLogView(
            device_id, is_on, is_connected, log.ends_at, tuple(reversed(log.packets)), log.packet_count
        )

    async def _look_for_ever(self) -> None:
        with self._gateway.bus.subscribe(PresenceChanged, limit=1) as subscription:
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(SWEEP_SECONDS):
                        await subscription.next_batch()
                self._look()
                # Devices may come and go by the thousand: they are looked for once for all of them.
                await asyncio.sleep(SWEEP_SECONDS / 4)

    def _look(self) -> None:
        now = self._clock()
        for key, log in self._logs.items():
            if log.is_on and log.ends_at <= now:
                self._switch_off(key)
        for tenant_id in {tenant_id for (tenant_id, _), log in self._logs.items() if log.is_on}:
            self._follow(tenant_id)

    def _follow(self, tenant_id: int) -> None:
        """Look at every connection of the devices whose log is on that is not looked at yet."""
        broker = self._gateway.broker
        followed = [(name, log) for (owner_id, name), log in self._logs.items() if owner_id == tenant_id and log.is_on]
        for session, log in [(session, log) for name, log in followed for session in broker.sessions(tenant_id, name)]:
            client_id = session.client_id
            if session.principal.is_operator:
                continue
            if session.client is not None and log.clients.get(client_id) is not session.client:
                log.clients[client_id] = session.client
                log.looking.enter_context(broker.tracing(tenant_id, client_id, self._sink(log, client_id)))

    def _sink(self, log: _Log, client_id: str) -> Callable[[TraceEntry], None]:
        def note(entry: TraceEntry) -> None:
            log.packet_count += 1
            clipped = msgspec.structs.replace(entry, topic=_clipped(entry.topic), detail=_clipped(entry.detail))
            log.packets.append(LoggedPacket(log.packet_count, clipped, client_id))
            self.changed()

        return note

    def _switch_off(self, key: Key) -> None:
        log = self._logs.get(key)
        if log is not None and log.is_on:
            log.is_on = False
            log.ends_at = min(log.ends_at, self._clock())
            log.looking.close()
            log.clients.clear()
            self.changed()


def _clipped(text: str) -> str:
    return text if len(text) <= TEXT_LIMIT else f"{text[: TEXT_LIMIT - 1]}…"
