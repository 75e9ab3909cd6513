"""Presence at work: hears what happens to clients, tells it as AWS IoT does, and remembers it of devices.

Rules: hearing never waits. What is told leaves at once; what is remembered is on disk within a second.
"""

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import AsyncIterator, Callable

from appliance.instant import DAY_MS, to_text
from appliance.registry.model import DEFAULT_TENANT, Presence
from appliance.registry.presence_log import lifecycle, queries, silence
from appliance.registry.presence_log.lifecycle import Bearing
from appliance.registry.presence_log.model import EVENTS_LIMIT, ConnectionEvent, EventKind, LastEvent, NewEvent
from appliance.registry.service import Registry
from appliance.store.database import FURTHEST, Database, UnwritableError
from broker.message import Message
from broker.ports import Connected, Disconnected, Refused, Subscribed

log = logging.getLogger(__name__)

KEPT_MS = 90 * DAY_MS
SLICE = 200
"""Events told, or written, in one go."""
GATHER_S = 0.5
RETRY_S = 5.0
TIDY_S = 3_600.0
WAITING_LIMIT = 50_000
"""Events that may wait for the disk; beyond it they are dropped and counted."""
VERSIONS_LIMIT = 50_000


class PresenceLog:
    """When clients came and went, and why."""

    def __init__(self, database: Database, registry: Registry, expected_interval_ms: int = 0) -> None:
        """`expected_interval_ms` counts for devices of whose type none is known; 0 is never silent."""
        self._database = database
        self._registry = registry
        self._expected_interval_ms = expected_interval_ms
        self.interval_ms: Callable[[int, str], int | None] = lambda _tenant_id, _device_id: None
        """How often a device should say something; None where its type does not say."""
        self._open: dict[str, Bearing] = {}
        """By the name of the connection."""
        self._versions: dict[tuple[int, str], int] = {}
        self._to_tell: list[Message] = []
        self._to_write: list[NewEvent] = []
        self._dropped_count = 0
        self._has_to_tell = asyncio.Event()
        self._has_to_write = asyncio.Event()
        self._writing = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def running(self, publish: Callable[[Message], object]) -> AsyncIterator[None]:
        """Recall who was connected; then tell and remember. On leaving, what is left is written."""
        for last in await self._database.read(queries.select_last_events()):
            self._recall(last)
        async with asyncio.TaskGroup() as tasks:
            working = [
                tasks.create_task(self._tell_for_ever(publish), name="presence events"),
                tasks.create_task(self._write_for_ever(), name="presence log"),
                tasks.create_task(self._tidy_for_ever(), name="presence age"),
            ]
            try:
                yield
            finally:
                for task in working:
                    task.cancel()
        with contextlib.suppress(UnwritableError):
            await self._write()

    # What ingestion and the broker call.

    def note(self, event: Connected | Disconnected | Refused) -> None:
        """Hear what happened to a client."""
        match event:
            case Connected():
                self._note_connected(event)
            case Disconnected():
                self._note_disconnected(event)
            case Refused():
                if event.at_connect:
                    self._note_refused(event)

    def note_subscribed(self, event: Subscribed) -> None:
        """Hear what a client has subscribed to, or given up."""
        bearing = self._open.get(event.connection)
        if bearing is not None:
            self._tell(lifecycle.subscribed(event, bearing))

    # What pages and scripts call.

    async def events(
        self, tenant_id: int, device_id: str, *, before: int = FURTHEST, limit: int = EVENTS_LIMIT
    ) -> list[ConnectionEvent]:
        """What happened to the connections of a device, the newest first; of those with a number below `before`.

        Raises `UnknownDeviceError`.
        """
        self._registry.device(tenant_id, device_id)
        with contextlib.suppress(UnwritableError):
            await self._write()
        wanted = queries.select_events(tenant_id, device_id, before, max(1, min(limit, EVENTS_LIMIT)))
        return await self._database.read(wanted)

    def is_silent(self, tenant_id: int, device_id: str, seen_at: int | None, now: int) -> bool:
        """Whether a device that was last heard then should have said something by now, UTC milliseconds."""
        return silence.is_silent(seen_at, self.expected_interval_ms(tenant_id, device_id), now)

    def expected_interval_ms(self, tenant_id: int, device_id: str) -> int:
        """How often a device should say something; 0 where nothing is expected."""
        of_type = self.interval_ms(tenant_id, device_id)
        return self._expected_interval_ms if of_type is None else of_type

    # What becomes of an event.

    def _note_connected(self, event: Connected) -> None:
        version = self._next_version(event.tenant_id, event.client_id)
        who = event.principal if event.certificate is None else hashlib.sha256(event.certificate).hexdigest()
        thing_name = event.principal if self._registry.has_device(event.tenant_id, event.principal) else ""
        bearing = self._open[event.connection] = Bearing(event.tenant_id, who, thing_name, version)
        self._tell(lifecycle.connected(event, bearing))
        self._remember(bearing, event, EventKind.CONNECTED, event.address, "")

    def _note_disconnected(self, event: Disconnected) -> None:
        bearing = self._open.pop(event.connection, None)
        if bearing is not None:
            self._tell(lifecycle.disconnected(event, bearing))
            self._remember(bearing, event, EventKind.DISCONNECTED, "", event.reason)

    def _note_refused(self, event: Refused) -> None:
        """A certificate says who it was; without one it is whoever the client said it was."""
        bound = None if event.certificate is None else self._registry.bearer(event.certificate)
        tenant_id = bound.tenant_id if bound else event.tenant_id or DEFAULT_TENANT
        claimed = bound.device_id if bound else event.client_id
        thing_name = claimed if self._registry.has_device(tenant_id, claimed) else ""
        who = "" if event.certificate is None else hashlib.sha256(event.certificate).hexdigest()
        bearing = Bearing(tenant_id, who, thing_name)
        self._tell(lifecycle.connect_failed(event, bearing))
        self._remember(bearing, event, EventKind.REFUSED, event.address, event.reason)

    def _tell(self, message: Message | None) -> None:
        if message is not None and len(self._to_tell) < WAITING_LIMIT:
            self._to_tell.append(message)
            self._has_to_tell.set()

    def _remember(
        self, bearing: Bearing, event: Connected | Disconnected | Refused, kind: EventKind, address: str, reason: str
    ) -> None:
        if not bearing.thing_name:
            return
        if len(self._to_write) >= WAITING_LIMIT:
            self._dropped_count += 1
            return
        number = self._registry.device(bearing.tenant_id, bearing.thing_name).device_number
        about = (bearing.tenant_id, number, kind, self._registry.time.reading().surmised(event.at), event.client_id)
        self._to_write.append(NewEvent(*about, address, reason, bearing.version))
        self._has_to_write.set()

    def _next_version(self, tenant_id: int, client_id: str) -> int:
        key = (tenant_id, client_id)
        version = self._versions.pop(key, -1) + 1
        if len(self._versions) >= VERSIONS_LIMIT:
            # The one that has been away the longest.
            self._versions.pop(next(iter(self._versions)))
        self._versions[key] = version
        return version

    def _recall(self, last: LastEvent) -> None:
        self._versions[last.tenant_id, last.client_id] = last.version
        if last.kind is EventKind.DISCONNECTED:
            presence = Presence(connected=False, since=last.at, address="", reason=last.reason)
        else:
            reason = f"not seen since the gateway started; it had connected at {to_text(last.at)}"
            presence = Presence(connected=False, since=last.at, address="", reason=reason)
        self._registry.recall_presence(last.tenant_id, last.device_id, presence)

    # The tasks.

    async def _tell_for_ever(self, publish: Callable[[Message], object]) -> None:
        while True:
            await self._has_to_tell.wait()
            self._has_to_tell.clear()
            messages, self._to_tell = self._to_tell, []
            for index, message in enumerate(messages, 1):
                publish(message)
                if index % SLICE == 0:
                    await asyncio.sleep(0)

    async def _write_for_ever(self) -> None:
        is_in_trouble = False
        while True:
            await self._has_to_write.wait()
            # Many come at once: they share a commit.
            await asyncio.sleep(RETRY_S if is_in_trouble else GATHER_S)
            try:
                await self._write()
            except UnwritableError as error:
                if not is_in_trouble:
                    log.warning("connection events not written, retried until they are error=%s", error)
                is_in_trouble = True
            else:
                is_in_trouble = False

    async def _write(self) -> None:
        """Bring what waits to the disk; what comes meanwhile is left to the next time."""
        async with self._writing:
            self._has_to_write.clear()
            left = len(self._to_write)
            while left > 0:
                events = self._to_write[:SLICE]
                # Taken out before: a caller that is cancelled does not undo the transaction.
                del self._to_write[:SLICE]
                try:
                    await self._database.write(queries.insert_events, events)
                except UnwritableError:
                    self._to_write[:0] = events
                    self._has_to_write.set()
                    raise
                left -= len(events)
            dropped, self._dropped_count = self._dropped_count, 0
            if dropped:
                log.warning("connection events dropped, for too many waited for the disk count=%s", dropped)

    async def _tidy_for_ever(self) -> None:
        while True:
            # By a clock that is wrong, everything would be old: what counts is what has passed for sure.
            surely_at = self._registry.time.reading().surely_at
            if surely_at is not None:
                with contextlib.suppress(UnwritableError):
                    await self._database.write(queries.delete_older, surely_at - KEPT_MS)
            await asyncio.sleep(TIDY_S)
