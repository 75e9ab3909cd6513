"""What happens in the broker, told to plugins as amqtt's events.

The broker never waits for it: events go through one bounded queue that a task works off, in order. When
it is full, the newest is dropped and counted. An event that no plugin wants costs a look into a dictionary.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any

from amqtt.events import BrokerEvents, Events, MQTTEvents
from amqtt.session import IncomingApplicationMessage

from broker.message import Message, TenantId
from broker.packets import Packet, Publish, Subscription
from broker.plugins.context import amqtt_retained
from broker.plugins.faults import Faults
from broker.plugins.packets import amqtt_packet, amqtt_publish
from broker.plugins.sessions import KnownSessions
from broker.ports import Principal

Arguments = Callable[[], dict[str, Any] | None]
"""Makes what a plugin is told when its turn comes; None when there is nothing to tell after all."""
STOP_S = 5.0


class EventQueue:
    """Events on their way to plugins."""

    def __init__(
        self,
        plugins: Iterable[object],
        faults: Faults,
        waiting_limit: int,
        timeout_s: float,
        stop_s: float = STOP_S,
    ) -> None:
        """One plugin may take `timeout_s` for one event, and all together `stop_s` at the end."""
        self.dropped_count = 0
        self._stop_s = stop_s
        self._faults = faults
        self._waiting_limit = waiting_limit
        self._timeout_s = timeout_s
        self._waiting: deque[tuple[Events, Arguments]] = deque()
        self._wake = asyncio.Event()
        self._listeners = _listeners(plugins)

    def wants(self, event: Events) -> bool:
        """Whether any plugin has a method for this event."""
        return event in self._listeners

    def put(self, event: Events, arguments: Arguments) -> None:
        """Tell plugins soon."""
        if event not in self._listeners:
            return
        if len(self._waiting) >= self._waiting_limit:
            self.dropped_count += 1
            return
        self._waiting.append((event, arguments))
        self._wake.set()

    async def tell(self, event: Events, arguments: dict[str, Any]) -> None:
        """Tell plugins now, one after the other."""
        for plugin, method in self._listeners.get(event, ()):
            try:
                async with asyncio.timeout(self._timeout_s):
                    await method(**arguments)
            except Exception as error:  # noqa: BLE001  a plugin raises whatever it likes
                self._faults.note(plugin, f"on_{event}", error)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Work events off; on leaving, those that wait are told for a few seconds at most."""
        async with asyncio.TaskGroup() as tasks:
            work = tasks.create_task(self._work(), name="plugin events")
            try:
                yield
            finally:
                work.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._stop_s):
                await self._work_off()
        self.dropped_count += len(self._waiting)
        self._waiting.clear()

    async def _work(self) -> None:
        while True:
            self._wake.clear()
            await self._work_off()
            await self._wake.wait()

    async def _work_off(self) -> None:
        while self._waiting:
            event, make = self._waiting.popleft()
            arguments = make()
            if arguments is not None:
                await self.tell(event, arguments)
            # Plugins that never wait must not keep the loop from everybody else.
            await asyncio.sleep(0)


class PluginObserver:
    """Hears the broker and queues what its plugins want to hear: an `Observer` and a `PacketObserver`."""

    def __init__(self, queue: EventQueue, sessions: KnownSessions, tenant_id: TenantId) -> None:
        self._queue = queue
        self._sessions = sessions
        self._tenant_id = tenant_id

    @property
    def wants_packets(self) -> bool:
        """Whether any plugin listens to single packets."""
        return self._queue.wants(MQTTEvents.PACKET_RECEIVED) or self._queue.wants(MQTTEvents.PACKET_SENT)

    def connected(self, principal: Principal, client_id: str) -> None:
        """A client has connected."""
        if principal.tenant_id == self._tenant_id:
            session = self._sessions.joined(principal.name, client_id)
            told = {"client_id": client_id, "client_session": session}
            self._queue.put(BrokerEvents.CLIENT_CONNECTED, lambda: told)

    def disconnected(self, principal: Principal, client_id: str) -> None:
        """A client's connection has ended."""
        if principal.tenant_id == self._tenant_id:
            session = self._sessions.left(principal.name, client_id)
            told = {"client_id": client_id, "client_session": session}
            self._queue.put(BrokerEvents.CLIENT_DISCONNECTED, lambda: told)

    def subscribed(self, principal: Principal, client_id: str, subscription: Subscription) -> None:
        """A subscription was granted."""
        if principal.tenant_id == self._tenant_id:
            told = {"client_id": client_id, "topic": subscription.topic_filter, "qos": subscription.qos}
            self._queue.put(BrokerEvents.CLIENT_SUBSCRIBED, lambda: told)

    def unsubscribed(self, principal: Principal, client_id: str, topic_filter: str) -> None:
        """A subscription was ended by its client."""
        if principal.tenant_id == self._tenant_id:
            told = {"client_id": client_id, "topic": topic_filter}
            self._queue.put(BrokerEvents.CLIENT_UNSUBSCRIBED, lambda: told)

    def published(self, message: Message) -> None:
        """A message was accepted."""
        if message.tenant_id != self._tenant_id:
            return
        if message.client_id:
            self._queue.put(BrokerEvents.MESSAGE_RECEIVED, lambda: _of_message(message))
            self._queue.put(BrokerEvents.MESSAGE_BROADCAST, lambda: _of_message(message))
        if message.retain:
            told = {"client_id": None, "retained_message": amqtt_retained(message)}
            self._queue.put(BrokerEvents.RETAINED_MESSAGE, lambda: told)

    def delivered(self, client_id: str, message: Message) -> None:
        """A message was written to a client: amqtt has no event for it but the packet."""

    def packet_received(self, principal: Principal | None, client_id: str, packet: Packet) -> None:
        """A packet came from a client; nobody is known yet at CONNECT."""
        self._put_packet(MQTTEvents.PACKET_RECEIVED, principal, client_id, packet)

    def packet_sent(self, principal: Principal | None, client_id: str, packet: Packet) -> None:
        """A packet was written to a client."""
        self._put_packet(MQTTEvents.PACKET_SENT, principal, client_id, packet)

    def _put_packet(self, event: Events, principal: Principal | None, client_id: str, packet: Packet) -> None:
        if principal is None or principal.tenant_id == self._tenant_id:
            name = None if principal is None else principal.name
            self._queue.put(event, lambda: self._of_packet(name, client_id, packet))

    def _of_packet(self, name: str | None, client_id: str, packet: Packet) -> dict[str, Any] | None:
        written = amqtt_packet(packet)
        if written is None:
            return None
        return {"packet": written, "session": None if name is None else self._sessions.get(name, client_id)}


def _of_message(message: Message) -> dict[str, Any]:
    told = IncomingApplicationMessage(None, message.topic, message.qos, message.payload, message.retain)
    told.publish_packet = amqtt_publish(Publish(message.topic, message.payload, message.qos, message.retain))
    return {"client_id": message.client_id, "message": told}


_Listener = tuple[object, Callable[..., Any]]


def _listeners(plugins: Iterable[object]) -> dict[Events, Sequence[_Listener]]:
    """Who has a method for which event; events that nobody wants are left out."""
    found: dict[Events, Sequence[_Listener]] = {}
    known = list(plugins)
    for event in (*BrokerEvents, *MQTTEvents):
        methods = [(plugin, getattr(plugin, f"on_{event}", None)) for plugin in known]
        wanted = [(plugin, method) for plugin, method in methods if method is not None]
        if wanted:
            found[event] = wanted
    return found
