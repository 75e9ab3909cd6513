"""One client's session: packets in, effects out. MQTT 3.1.1, sections 3 and 4.

Rules for editing: no socket, clock or authorisation here. `receive` says what a packet asks for;
whoever may decide that answers through `granted`. A session outlives its network connection when
the client asked for it (clean session 0); `is_connected` says whether there is one.
"""

from collections import deque
from collections.abc import Iterable
from itertools import chain

import msgspec

from broker.codec import PINGRESP, encode
from broker.errors import ProtocolError
from broker.limits import Limits
from broker.packets import (
    Connect,
    Disconnect,
    Packet,
    Pingreq,
    Puback,
    Publish,
    Suback,
    Subscribe,
    Unsuback,
    Unsubscribe,
    Will,
)
from broker.ports import Principal
from broker.reason_codes import ReasonCode
from broker.topics import check_name

LARGEST_PACKET_ID = 65_535
HIGHEST_QOS = 1


class Accept(msgspec.Struct, frozen=True, gc=False):
    """Effect: the client published this."""

    message: Publish


class Send(msgspec.Struct, frozen=True, gc=False):
    """Effect: write these bytes to the client."""

    data: bytes


class Grant(msgspec.Struct, frozen=True, gc=False):
    """Effect: decide about these subscriptions, then call `granted`."""

    request: Subscribe


class Drop(msgspec.Struct, frozen=True, gc=False):
    """Effect: these topic filters are no longer subscribed to."""

    topic_filters: tuple[str, ...]


class Close(msgspec.Struct, frozen=True, gc=False):
    """Effect: the client said goodbye; end its network connection without its will."""


Effect = Accept | Send | Grant | Drop | Close


class Session:
    """What the broker knows of one client while its session lasts."""

    def __init__(self, principal: Principal, connect: Connect, limits: Limits) -> None:
        self.principal = principal
        self.client_id = connect.client_id
        self.subscriptions: dict[str, int] = {}
        self.dropped_count = 0
        self.is_connected = False
        self.is_clean = connect.clean_session
        self.will: Will | None = None
        self.left_at = 0.0
        """When the connection ended, in the monotonic seconds of whoever keeps the session."""
        self._limits = limits
        self._in_flight: dict[int, Publish] = {}
        self._in_flight_bytes = 0
        self._queue: deque[Publish] = deque()
        self._queue_bytes = 0
        self._last_packet_id = 0
        self._checked_topic: str | None = None

    def connect(self, connect: Connect) -> list[Send]:
        """Take a new network connection; what was not acknowledged goes out again [MQTT-4.4.0-1]."""
        self.is_connected = True
        self.is_clean = connect.clean_session
        self.will = connect.will
        again = [_again(message) for message in self._in_flight.values()]
        self._in_flight = {message.packet_id: message for message in again}
        return [Send(encode(message)) for message in again] + self._refill()

    def disconnect(self) -> Publish | None:
        """Lose the network connection; gives the will that is due, if any [MQTT-3.1.2-8]."""
        self.is_connected = False
        will, self.will = self.will, None
        return None if will is None else Publish(will.topic, will.payload, will.qos, will.retain)

    def receive(self, packet: Packet) -> Iterable[Effect]:
        """Say what a packet of the client asks for.

        Raises `ProtocolError` when the client may not send it, or not now.
        """
        match packet:
            case Publish():
                return (self._published(packet),)
            case Puback(packet_id):
                return self._acknowledged(packet_id)
            case Pingreq():
                return (Send(PINGRESP),)
            case Subscribe(_, requests):
                if len(requests) > self._limits.subscriptions:
                    raise ProtocolError(ReasonCode.QUOTA_EXCEEDED, f"{len(requests):,} topic filters in one SUBSCRIBE")
                return (Grant(packet),)
            case Unsubscribe(packet_id, topic_filters):
                return self._unsubscribed(packet_id, topic_filters)
            case Disconnect():
                self.will = None  # [MQTT-3.14.4-3]
                return (Close(),)
            case Connect():
                raise ProtocolError(ReasonCode.PROTOCOL_ERROR, "a second CONNECT [MQTT-3.1.0-2]")
            case _:
                name = type(packet).__name__.upper()
                raise ProtocolError(ReasonCode.PROTOCOL_ERROR, f"{name} is for servers to send")

    def granted(self, request: Subscribe, return_codes: tuple[int, ...]) -> Send:
        """Note the decision about subscriptions; gives SUBACK. Codes above QoS 2 are refusals."""
        for (topic_filter, _), code in zip(request.requests, return_codes, strict=True):
            if code <= HIGHEST_QOS:
                self.subscriptions[topic_filter] = code
        return Send(encode(Suback(request.packet_id, return_codes)))

    def deliver(self, message: Publish) -> bytes | None:
        """Take a message for this client: the bytes to send now, or None when it waits or is dropped.

        `message.qos` is already the lower of what was published and what was granted [MQTT-3.8.4-6].
        """
        if message.qos == 0:
            if self.is_connected:
                return encode(message)
            self.dropped_count += 1
            return None
        if self.is_connected and not self._queue and self._window_is_open:
            return self._dispatch(message)
        full = (
            len(self._queue) >= self._limits.queue_messages
            or self._queue_bytes + len(message.payload) > self._limits.queue_bytes
        )
        if full:
            self.dropped_count += 1
            return None
        self._queue.append(message)
        self._queue_bytes += len(message.payload)
        return None

    @property
    def waiting_count(self) -> int:
        """Messages for this client that it has not acknowledged, or has not been sent."""
        return len(self._queue) + len(self._in_flight)

    def _published(self, message: Publish) -> Accept:
        if message.qos > HIGHEST_QOS:
            raise ProtocolError(ReasonCode.QOS_NOT_SUPPORTED, "QoS 2 is not supported, publish at QoS 1 or 0")
        if message.topic != self._checked_topic:
            check_name(message.topic, self._limits)
            # A device publishes to the same few topics for ever.
            self._checked_topic = message.topic
        return Accept(message)

    def _unsubscribed(self, packet_id: int, topic_filters: tuple[str, ...]) -> Iterable[Effect]:
        gone = tuple(name for name in topic_filters if self.subscriptions.pop(name, None) is not None)
        answer = Send(encode(Unsuback(packet_id)))  # [MQTT-3.10.4-5]
        return (Drop(gone), answer) if gone else (answer,)

    def _acknowledged(self, packet_id: int) -> list[Send]:
        message = self._in_flight.pop(packet_id, None)
        if message is not None:
            self._in_flight_bytes -= len(message.payload)
        return self._refill()

    @property
    def _window_is_open(self) -> bool:
        return len(self._in_flight) < self._limits.in_flight and self._in_flight_bytes < self._limits.in_flight_bytes

    def _refill(self) -> list[Send]:
        sent = []
        while self._queue and self._window_is_open:
            message = self._queue.popleft()
            self._queue_bytes -= len(message.payload)
            sent.append(Send(self._dispatch(message)))
        return sent

    def _dispatch(self, message: Publish) -> bytes:
        numbers = chain(range(self._last_packet_id + 1, LARGEST_PACKET_ID + 1), range(1, self._last_packet_id + 1))
        # Never empty: the window is smaller than the range of identifiers.
        self._last_packet_id = next(number for number in numbers if number not in self._in_flight)
        sent = msgspec.structs.replace(message, packet_id=self._last_packet_id)
        self._in_flight[sent.packet_id] = sent
        self._in_flight_bytes += len(sent.payload)
        return encode(sent)


def check_will(will: Will, limits: Limits) -> None:
    """Raise `ProtocolError` unless the broker can publish this when its client is gone."""
    check_name(will.topic, limits)
    if will.qos > HIGHEST_QOS:
        raise ProtocolError(ReasonCode.QOS_NOT_SUPPORTED, "a will at QoS 2 is not supported")


def _again(message: Publish) -> Publish:
    return msgspec.structs.replace(message, duplicate=True)  # [MQTT-3.3.1-1]
