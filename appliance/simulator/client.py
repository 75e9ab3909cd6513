"""A lean MQTT 3.1.1 client: QoS 0 and 1, an in-flight window, keep alive.

Who calls decides when to connect again: a client may be connected as often as needed, and with a
lasting session it sends again what was not acknowledged [MQTT-4.4.0-1].
"""

import asyncio
import ssl
from collections.abc import Callable
from contextlib import suppress

import msgspec

from appliance.errors import ApplianceError
from appliance.simulator.wire import Endpoint, Identity, Wire, open_socket, tls_context, words
from broker.codec import Decoder, encode, encode_puback
from broker.packets import (
    SUBSCRIBE_FAILURE,
    V4,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Pingreq,
    Puback,
    Publish,
    ReturnCode,
    Suback,
    Subscribe,
    Subscription,
)

_LARGEST_PACKET_ID = 65_535
_CHECKS_A_KEEP_ALIVE = 3
_DISCONNECT_TIMEOUT_S = 2.0


class NotConnectedError(ApplianceError):
    """The broker could not be reached, refused the client, or is gone; the message says which."""

    code = "not_connected"


class WindowFullError(ApplianceError):
    """As many messages as the window allows are not acknowledged yet."""

    code = "window_full"


class SubscriptionRefusedError(ApplianceError):
    """The broker does not let this client receive what it asked for."""

    code = "subscription_refused"


class Options(msgspec.Struct, frozen=True):
    """How one client connects."""

    client_id: str
    endpoint: Endpoint
    identity: Identity | None
    """None: without TLS."""
    clean_session: bool
    keep_alive_s: int = 60
    """0 turns it off."""
    window: int = 20
    """Most messages at QoS 1 that may be unacknowledged at once."""
    timeout_s: float = 20.0
    """How long connecting may take, from the first packet to CONNACK."""


class Client:
    """One client of a broker. What it hears goes to the `on_…` attributes, called from the loop."""

    __slots__ = (
        "_check",
        "_connack",
        "_context",
        "_decoder",
        "_ended",
        "_has_heard",
        "_has_sent",
        "_in_flight",
        "_last_packet_id",
        "_options",
        "_subacks",
        "_unanswered_count",
        "_wire",
        "is_connected",
        "on_acknowledged",
        "on_lost",
        "on_message",
    )

    def __init__(self, options: Options) -> None:
        self.is_connected = False
        self.on_acknowledged: Callable[[int], None] = _ignore
        """Called with the packet identifier of each PUBACK."""
        self.on_message: Callable[[Publish], None] = _ignore
        self.on_lost: Callable[[str], None] = _ignore
        """Called with the reason when a connection ends that `disconnect` did not end."""
        self._options = options
        self._context: ssl.SSLContext | None = None
        self._wire: Wire | None = None
        self._decoder = Decoder()
        self._in_flight: dict[int, Publish] = {}
        self._last_packet_id = 0
        self._connack: asyncio.Future[Connack] | None = None
        self._subacks: dict[int, asyncio.Future[Suback]] = {}
        self._ended: asyncio.Event | None = None
        self._check: asyncio.TimerHandle | None = None
        self._unanswered_count = 0
        self._has_sent = False
        self._has_heard = False

    @property
    def has_room(self) -> bool:
        """Whether `publish` at QoS 1 would be taken now."""
        return self.is_connected and len(self._in_flight) < self._options.window

    @property
    def in_flight_count(self) -> int:
        """How many messages at QoS 1 are not acknowledged."""
        return len(self._in_flight)

    def prepare(self) -> None:
        """Read the certificate now, not while connecting for the first time; raises `OSError`."""
        if self._context is None and self._options.identity is not None:
            self._context = tls_context(self._options.identity)

    async def connect(self) -> None:
        """Connect, introduce itself and wait for CONNACK.

        Raises `NotConnectedError` when that fails for any reason, with the reason.
        """
        try:
            await self._connect()
        except BaseException:
            self._end("connecting was given up")
            raise

    def publish(self, topic: str, payload: bytes, qos: int) -> int:
        """Send a message; gives its packet identifier, which is 0 at QoS 0.

        Raises `NotConnectedError`, and `WindowFullError` when too much is unacknowledged.
        """
        if not self.is_connected:
            raise NotConnectedError("nothing can be published without a connection")
        if not qos:
            self.send(encode(Publish(topic, payload)))
            return 0
        if not self.has_room:
            raise WindowFullError(f"{len(self._in_flight)} messages are not acknowledged yet")
        message = Publish(topic, payload, qos, packet_id=self._next_packet_id())
        self._in_flight[message.packet_id] = message
        self.send(encode(message))
        return message.packet_id

    async def subscribe(self, topic_filter: str, qos: int) -> int:
        """Ask for messages; gives the QoS granted, raises `SubscriptionRefusedError` when it is none."""
        packet_id = self._next_packet_id()
        answer = asyncio.get_running_loop().create_future()
        self._subacks[packet_id] = answer
        try:
            self.send(encode(Subscribe(packet_id, (Subscription(topic_filter, qos),))))
            suback: Suback = await answer
        finally:
            self._subacks.pop(packet_id, None)
        granted = suback.codes[0]
        if granted >= SUBSCRIBE_FAILURE:
            raise SubscriptionRefusedError(f"the broker refused the topic filter {topic_filter}")
        return granted

    def send(self, packets: bytes) -> None:
        """Write control packets that are already encoded, past the in-flight window."""
        if self._wire is None:
            raise NotConnectedError("nothing can be sent without a connection")
        self._has_sent = True
        self._wire.send(packets)

    async def ended(self) -> None:
        """Wait until there is no connection."""
        if self._ended is not None:
            await self._ended.wait()

    async def disconnect(self) -> None:
        """Say goodbye with DISCONNECT and wait for the broker to close; at once without a connection."""
        if not self.is_connected:
            return
        self.is_connected = False
        try:
            self.send(encode(Disconnect()))
            # Closing first could reset the connection before the broker has read the goodbye.
            with suppress(TimeoutError):
                async with asyncio.timeout(_DISCONNECT_TIMEOUT_S):
                    await self.ended()
        finally:
            self._end("it said goodbye")

    def drop(self) -> None:
        """End the connection without a word, as a power cut does."""
        self._end("it was dropped")

    def take(self, arrived: bytes) -> None:
        """Act on bytes that the broker sent."""
        self._has_heard = True
        for packet in self._decoder.feed(arrived):
            if type(packet) is Puback:
                self._in_flight.pop(packet.packet_id, None)
                self.on_acknowledged(packet.packet_id)
            else:
                self._take_other(packet)
        if self._decoder.failure is not None:
            self._end(f"the broker sent what is not MQTT: {self._decoder.failure}")

    async def _connect(self) -> None:
        endpoint = self._options.endpoint
        try:
            async with asyncio.timeout(self._options.timeout_s):
                connack = await self._introduced()
        except OSError as error:
            raise NotConnectedError(f"{endpoint.host}:{endpoint.port}: {words(error)}") from error
        if connack.code != ReturnCode.ACCEPTED:
            raise NotConnectedError(f"the broker answered {ReturnCode(connack.code).name}")

    async def _introduced(self) -> Connack:
        """Open a socket, send CONNECT, wait for CONNACK; with ACCEPTED the client is connected."""
        self._end("another connection was asked for")
        loop = asyncio.get_running_loop()
        self.prepare()
        self._decoder = Decoder()
        opened = await open_socket(loop, self._options.endpoint, self._context)
        self._wire = Wire(loop, opened, self.take, self._end)
        self._ended = asyncio.Event()
        self._connack = loop.create_future()
        options = self._options
        self.send(encode(Connect(V4, options.client_id, options.clean_session, options.keep_alive_s)))
        return await self._connack

    def _take_other(self, packet: Packet) -> None:
        match packet:
            case Connack():
                self._take_connack(packet)
            case Publish():
                if packet.qos:
                    self.send(encode_puback(packet.packet_id))
                self.on_message(packet)
            case Suback(packet_id) if packet_id in self._subacks and not self._subacks[packet_id].done():
                self._subacks[packet_id].set_result(packet)
            case _:
                pass

    def _take_connack(self, connack: Connack) -> None:
        if self._connack is None or self._connack.done():
            return
        self._connack.set_result(connack)
        if connack.code != ReturnCode.ACCEPTED:
            return
        self.is_connected = True
        self._unanswered_count = 0
        self._check_later()
        for message in self._in_flight.values():
            self.send(encode(msgspec.structs.replace(message, duplicate=True)))

    def _next_packet_id(self) -> int:
        packet_id = self._last_packet_id
        while True:
            packet_id = packet_id % _LARGEST_PACKET_ID + 1
            if packet_id not in self._in_flight and packet_id not in self._subacks:
                self._last_packet_id = packet_id
                return packet_id

    def _check_later(self) -> None:
        if self._options.keep_alive_s:
            seconds = self._options.keep_alive_s / _CHECKS_A_KEEP_ALIVE
            self._check = asyncio.get_running_loop().call_later(seconds, self._check_life)

    def _check_life(self) -> None:
        """Ping when one side was silent; three silent checks in a row are the end [MQTT 3.1.1, 3.1.2.10]."""
        self._unanswered_count = 0 if self._has_heard else self._unanswered_count + 1
        if self._unanswered_count > _CHECKS_A_KEEP_ALIVE:
            self._end("the broker has fallen silent")
            return
        if not (self._has_sent and self._has_heard):
            self.send(encode(Pingreq()))
        self._has_sent = self._has_heard = False
        self._check_later()

    def _end(self, reason: str) -> None:
        """Close, and tell everyone who waits for this connection."""
        if self._wire is None:
            return
        self._wire.close()
        self._wire = None
        was_connected, self.is_connected = self.is_connected, False
        if self._options.clean_session:
            self._in_flight.clear()
        if self._check is not None:
            self._check.cancel()
        for answer in (self._connack, *self._subacks.values()):
            if answer is not None and not answer.done():
                answer.set_exception(NotConnectedError(reason))
        if self._ended is not None:
            self._ended.set()
        if was_connected:
            self.on_lost(reason)


def _ignore(_: object) -> None:
    """What an attribute does that nobody has set."""
