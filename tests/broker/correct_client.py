"""A client that does everything the specification asks of one, and remembers what it was promised."""

from dataclasses import dataclass, field
from itertools import count

from broker.codec import Decoder, encode
from broker.packets import (
    NO_PROPERTIES,
    V4,
    V5,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Properties,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Suback,
    Subscribe,
    Subscription,
    Unsuback,
    Unsubscribe,
)
from broker.server import Broker
from tests.broker.stage import FakeStream

LONG_S = 100_000


@dataclass
class Sent:
    """A message of this client that the broker has not answered for."""

    packet: Publish
    is_recorded: bool = False
    """QoS 2: whether PUBREC has come, so that only PUBREL is sent."""


@dataclass
class Promise:
    """Who must get an acknowledged message, as far as anybody can know."""

    topic: str
    qos: int
    payload: bytes
    subscribers: dict[str, int] = field(default_factory=dict)
    """Client identifier → the QoS that its subscription comes to, of those subscribed all the time."""
    is_acknowledged: bool = False


class CorrectClient:
    """One client and its session state, which outlives its connections [4.1]."""

    def __init__(self, client_id: str, level: int) -> None:
        self.client_id = client_id
        self.level = level
        self.stream: FakeStream | None = None
        self.is_let_in = False
        self.granted: dict[str, int] = {}
        """Subscriptions that were SUBACKed, and for which no UNSUBSCRIBE was sent."""
        self.received: list[tuple[str, bytes, int]] = []
        """Topic, payload and QoS of what was given to the application."""
        self.wants_clean_start = False
        self._decoder = Decoder(protocol_level=level)
        self._unanswered: dict[int, Sent] = {}
        self._promises: dict[int, Promise] = {}
        self._asked: dict[int, Subscribe | Unsubscribe] = {}
        """What SUBACK or UNSUBACK has not come for, in order."""
        self._taken: set[int] = set()
        """QoS 2 messages of the broker that it has not released."""

    # What it does of its own.

    def connect(self, broker: Broker) -> None:
        """Open a connection and say CONNECT; a connection that it has is left as it is, dead or not."""
        if self.wants_clean_start:
            self._forget_everything()
        self.stream = FakeStream()
        self._decoder = Decoder(protocol_level=self.level)
        self.is_let_in = False
        self._asked.clear()
        broker.attach(self.stream)
        properties = Properties(session_expiry_s=LONG_S) if self.level == V5 else NO_PROPERTIES
        self._write(Connect(self.level, self.client_id, self.wants_clean_start, 0, properties=properties))

    def subscribe(self, topic_filter: str, qos: int) -> None:
        packet = Subscribe(self._free_packet_id(), (Subscription(topic_filter, qos),))
        # The terms are in the air until they are confirmed.
        self.granted.pop(topic_filter, None)
        self._asked[packet.packet_id] = packet
        self._write(packet)

    def unsubscribe(self, topic_filter: str) -> None:
        self.granted.pop(topic_filter, None)
        packet = Unsubscribe(self._free_packet_id(), (topic_filter,))
        self._asked[packet.packet_id] = packet
        self._write(packet)

    def publish(self, promise: Promise, *, retain: bool = False) -> None:
        packet_id = self._free_packet_id()
        packet = Publish(promise.topic, promise.payload, promise.qos, retain, packet_id=packet_id)
        self._unanswered[packet_id] = Sent(packet)
        self._promises[packet_id] = promise
        self._write(packet)

    def goodbye(self) -> None:
        self._write(Disconnect())
        self.lose()

    def lose(self) -> None:
        """The connection is gone, with everything that was not read."""
        if self.stream is not None:
            self.stream.close("connection lost")
        self.stream, self.is_let_in = None, False

    def die(self) -> None:
        """The broker is gone."""
        self.stream, self.is_let_in = None, False

    # What it answers.

    def read(self, limit: int | None = None) -> int:
        """Take so many packets of those that came; gives how many there were."""
        if self.stream is None:
            return 0
        # Whole packets only: the broker writes no others.
        packets = self._decoder.feed(bytes(self.stream.written))
        end = len(packets) if limit is None else limit
        self.stream.written = bytearray(b"".join(encode(packet, self.level) for packet in packets[end:]))
        for packet in packets[:end]:
            self._take(packet)
        # What was taken may have dropped it.
        if self.stream is not None and not self.stream.is_open and not self.stream.written:  # type: ignore[redundant-expr]
            self.stream, self.is_let_in = None, False
        return len(packets[:end])

    @property
    def is_done(self) -> bool:
        return not self._unanswered and not self._asked

    def _take(self, packet: Packet) -> None:
        match packet:
            case Connack():
                self._welcomed(packet)
            case Suback(packet_id, codes):
                later = list(self._asked.values())[list(self._asked).index(packet_id) + 1 :]
                asked = self._asked.pop(packet_id)
                assert isinstance(asked, Subscribe)
                (request,) = asked.requests
                assert codes == (request.qos,), codes
                # Where it has asked for something else since then, that counts.
                if all(_filter(each) != request.topic_filter for each in later):
                    self.granted[request.topic_filter] = request.qos
            case Unsuback(packet_id):
                assert isinstance(self._asked.pop(packet_id), Unsubscribe)
            case Publish():
                self._given(packet)
            case Pubrel(packet_id):
                self._taken.discard(packet_id)
                self._write(Pubcomp(packet_id))
            case Puback(packet_id, code) | Pubrec(packet_id, code) | Pubcomp(packet_id, code):
                assert code in (0, 0x10, 0x92), packet
                self._answered(packet_id, packet)
            case _:
                raise AssertionError(packet)

    def _welcomed(self, connack: Connack) -> None:
        assert connack.code == 0, connack
        if not connack.session_present:
            # Never without the subscriptions that were confirmed.
            assert not self.granted, f"{self.client_id} lost its session with {self.granted}"
            self._taken.clear()
        assert not (connack.session_present and self.wants_clean_start)
        if self.wants_clean_start and self.level == V4:
            # In 3.1.1 a clean session is not kept: now that the old one is gone, the next connection begins one.
            self.wants_clean_start = False
            self.goodbye()
            return
        self.wants_clean_start = False
        self.is_let_in = True
        for packet_id, sent in list(self._unanswered.items()):
            if not connack.session_present and sent.is_recorded:
                # Its part of the session is gone with the other's: what was recorded has arrived.
                self._over(packet_id)
        # In the original order [MQTT-4.6.0-1].
        for packet_id, sent in self._unanswered.items():
            if sent.is_recorded:
                self._write(Pubrel(packet_id))
            else:
                again = sent.packet
                self._write(Publish(again.topic, again.payload, again.qos, again.retain, True, packet_id))

    def _given(self, packet: Publish) -> None:
        if packet.qos == 2:
            if packet.packet_id not in self._taken:
                self._taken.add(packet.packet_id)
                self.received.append((packet.topic, packet.payload, 2))
            self._write(Pubrec(packet.packet_id))
            return
        self.received.append((packet.topic, packet.payload, packet.qos))
        if packet.qos:
            self._write(Puback(packet.packet_id))

    def _answered(self, packet_id: int, packet: Packet) -> None:
        sent = self._unanswered.get(packet_id)
        assert sent is not None, f"{packet} answers nothing"
        if isinstance(packet, Pubrec):
            self._promises[packet_id].is_acknowledged = True
            sent.is_recorded = True
            self._write(Pubrel(packet_id))
            return
        assert isinstance(packet, Puback) == (sent.packet.qos == 1)
        self._over(packet_id)

    def _over(self, packet_id: int) -> None:
        del self._unanswered[packet_id]
        self._promises.pop(packet_id).is_acknowledged = True

    def _forget_everything(self) -> None:
        self.granted.clear()
        self._asked.clear()
        self._unanswered.clear()
        self._promises.clear()
        self._taken.clear()

    def _free_packet_id(self) -> int:
        """The lowest: one that is used again as soon as it may be shows who forgot it too late or too early."""
        return next(number for number in count(1) if number not in self._unanswered and number not in self._asked)

    def _write(self, packet: Packet) -> None:
        if self.stream is not None and self.stream.is_open:
            self.stream.feed(encode(packet, self.level))


def _filter(packet: Subscribe | Unsubscribe) -> str:
    """What it is about."""
    return packet.requests[0].topic_filter if isinstance(packet, Subscribe) else packet.topic_filters[0]
