"""One network connection and the packets that come over it, once CONNECT was accepted.

The way of a PUBLISH is the one that is gone by the million: what is the same for the next message of the
same client is remembered here, and acknowledgements of one read leave in one piece.
"""

from collections.abc import Iterator
from typing import Protocol

from broker.codec import Decoder
from broker.encode import encode, publish_bytes
from broker.errors import ProtocolError
from broker.exchange import Exchange
from broker.packets import (
    NO_PROPERTIES,
    V4,
    V5,
    Auth,
    Connect,
    Disconnect,
    Packet,
    Pingreq,
    Properties,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Subscribe,
    Unsubscribe,
)
from broker.permissions import Undecided
from broker.ports import Delivery, Denied, Message, Principal, Stream
from broker.properties import encode_properties
from broker.publication import delivered_properties, travelling
from broker.reason_codes import ReasonCode
from broker.session import Session
from broker.topics import check_name
from broker.trace import Trace

PINGRESP = b"\xd0\x00"
_PUBACK = b"\x40\x02"
_PUBREC = b"\x50\x02"
_PUBCOMP = b"\x70\x02"
LONGEST_REASON_BYTES = 256


class Taker(Protocol):
    """What a client's packets and mishaps are told to."""

    def connect(self, client: "Client", connect: Connect) -> None:
        """Take its CONNECT. Raises `ProtocolError`, `Undecided`."""

    def subscribe(self, client: "Client", session: Session, packet: Subscribe) -> None:
        """Take a SUBSCRIBE. Raises `ProtocolError`, `Undecided`."""

    def unsubscribe(self, client: "Client", session: Session, packet: Unsubscribe) -> None:
        """Take an UNSUBSCRIBE."""

    def refuse(self, client: "Client", error: ProtocolError) -> None:
        """Disconnect a client for what it did."""

    def note_denied(self, client: "Client", kind: str, reason: str) -> None:
        """Tell the owner of something that was denied, while the connection goes on."""

    def slow_down(self, client: "Client") -> None:
        """Its allowance of this second is used up."""

    def leave(self, client: "Client", reason: str) -> None:
        """Forget a connection that is gone."""


class Client:
    """What the broker keeps for one network connection."""

    __slots__ = (
        "_acks",
        "_acks_answered",
        "_aliases_in",
        "_aliases_out",
        "_exchange",
        "_last_topic",
        "_last_topic_is_now",
        "_last_topic_version",
        "_read_bytes",
        "_read_packets",
        "_stalled",
        "_taker",
        "admitted",
        "alias_limit_out",
        "candidate",
        "claimed_id",
        "decoder",
        "has_said_goodbye",
        "is_plain",
        "keep_alive_s",
        "level",
        "opened_at",
        "owed_count",
        "packet_limit_out",
        "session",
        "stream",
        "tells_reasons",
        "trace",
        "unanswered_count",
        "window_began_at",
    )

    def __init__(self, taker: Taker, exchange: Exchange, stream: Stream, decoder: Decoder) -> None:
        self.stream = stream
        self.decoder = decoder
        self.session: Session | None = None
        self.level = V4
        self.keep_alive_s = 0.0
        """How long it may be silent, grace included; 0 is for ever."""
        self.opened_at = stream.opened_at
        """When its time to send CONNECT began, in the seconds of the loop."""
        self.admitted: Principal | Denied | None = None
        """What the authoriser said to its credentials, if it had to think about them."""
        self.claimed_id = ""
        """The client identifier of its CONNECT."""
        self.candidate: Session | None = None
        """The session that it gets if it is let in and has none."""
        self.alias_limit_out = 0
        self.packet_limit_out: int | None = None
        self.is_plain = True
        """Whether a PUBLISH for this client is the same as for every other client of its version."""
        self.tells_reasons = True
        """Whether it wants reason strings with acknowledgements [MQTT-3.1.2-29]."""
        self.has_said_goodbye = False
        self.owed_count = 0
        """Receipts that wait for a commit: an acknowledgement must not overtake them."""
        self.unanswered_count = 0
        """QoS 1 messages of the client that no PUBACK was sent for."""
        self.trace: Trace | None = None
        self.window_began_at = stream.opened_at
        self._taker = taker
        self._exchange = exchange
        self._read_packets = 0
        self._read_bytes = 0
        self._acks: list[bytes] = []
        self._acks_answered = 0
        self._stalled: list[Packet] | None = None
        self._last_topic: str | None = None
        self._last_topic_version = 0
        self._last_topic_is_now = False
        self._aliases_in: dict[int, str] | None = None
        self._aliases_out: dict[str, int] | None = None

    # What its connection calls.

    def received(self, data: bytes) -> None:
        """Take bytes of the client."""
        packets = self.decoder.feed(data)
        limits = self._exchange.limits
        self._read_bytes += len(data)
        self._read_packets += len(packets)
        if self._read_packets > limits.publishes_per_s or self._read_bytes > limits.bytes_per_s:
            self._taker.slow_down(self)
        if self.trace is not None:
            for packet in packets:
                self.trace.received(packet)
        if self._stalled is not None:
            self._stalled += packets
            return
        self._take_all(packets)

    def lost(self, reason: str) -> None:
        """Hear that the connection is gone."""
        self._taker.leave(self, reason)

    # What the broker calls.

    def go_on(self) -> None:
        """Take what waited for a decision; the packet that raised the question comes first."""
        stalled, self._stalled = self._stalled, None
        if stalled is None or not self.stream.is_open:
            return
        self.stream.resume()
        self._take_all(stalled)

    def look_on(self, trace: Trace | None) -> None:
        """Log every packet from here on, or no more."""
        self.trace = trace
        # A message that is the same for many is written past the log.
        self.is_plain = trace is None and not self.alias_limit_out and self.packet_limit_out is None

    def new_allowance(self, now: float) -> None:
        """Begin another second of its allowance; `now` is in the seconds of the loop."""
        self.window_began_at = now
        self._read_bytes = self._read_packets = 0

    def send(self, data: bytes) -> None:
        """Write bytes of whole packets."""
        if self.trace is not None:
            self.trace.sent(data, self.level)
        stream = self.stream
        stream.send(data)
        if stream.unsent_bytes > self._exchange.limits.unsent_bytes:
            # Later, because this may be a turn in the midst of everyone who receives a message.
            self._exchange.soon(
                lambda: self._taker.refuse(
                    self, ProtocolError(ReasonCode.QUOTA_EXCEEDED, "the client reads too slowly")
                )
            )

    def answer(self, packet: Packet, *, waits: bool = False) -> None:
        """Send a packet, after the commit of this turn if it waits for it."""
        data = encode(packet, self.level)
        if waits:
            self._exchange.answer_after_commit(self, data)
        else:
            self.send(data)

    def acknowledged(self, data: bytes, answered: int) -> None:
        """Send what waited for a commit."""
        self.owed_count -= 1
        self.unanswered_count -= answered
        self.send(data)

    def send_message(self, message: Message, *, retain: bool, identifiers: tuple[int, ...]) -> None:
        """Send a message at QoS 0."""
        data = self._publish_bytes(message, 0x30 | retain, 0, identifiers, may_alias=True)
        if data is not None:
            self.send(data)

    def delivery_bytes(self, delivery: Delivery, *, duplicate: bool, may_alias: bool) -> bytes | None:
        """The PUBLISH of a delivery; None when it is larger than the client takes."""
        first = 0x30 | duplicate << 3 | delivery.qos << 1 | delivery.retain
        return self._publish_bytes(
            delivery.message, first, delivery.packet_id, delivery.identifiers, may_alias=may_alias
        )

    # The way of packets.

    def _take_all(self, packets: list[Packet]) -> None:
        waiting = iter(packets)
        now = self._exchange.clock()
        packet: Packet | None = None
        try:
            for packet in waiting:
                if type(packet) is Publish and self.session is not None:
                    self._publish(self.session, packet, now)
                else:
                    self._take(packet)
                    if not self.stream.is_open:
                        return
            if self.decoder.failure is not None:
                raise self.decoder.failure
        except Undecided:
            self._stall(packet, waiting)
        except ProtocolError as error:
            self._file_acks()
            self._taker.refuse(self, error)
        finally:
            if self._acks:
                self._file_acks()

    def _stall(self, packet: Packet | None, waiting: Iterator[Packet]) -> None:
        self._stalled = [*([packet] if packet is not None else ()), *waiting]
        self.stream.pause()

    def _take(self, packet: Packet) -> None:
        session = self.session
        if session is None:
            if not isinstance(packet, Connect):
                raise ProtocolError(ReasonCode.PROTOCOL_ERROR, "the first packet is not CONNECT [MQTT-3.1.0-1]")
            self._taker.connect(self, packet)
            return
        match packet:
            case Puback() | Pubrec() | Pubcomp():
                self._answered(session, packet)
            case Pubrel(packet_id):
                self._released(session, packet_id)
            case Pingreq():
                self.send(PINGRESP)
            case Subscribe():
                self._taker.subscribe(self, session, packet)
            case Unsubscribe():
                self._taker.unsubscribe(self, session, packet)
            case Disconnect():
                self._goodbye(session, packet)
            case _:
                raise ProtocolError(ReasonCode.PROTOCOL_ERROR, _misplaced(packet))

    # The client publishes.

    def _publish(self, session: Session, packet: Publish, now: int) -> None:
        exchange = self._exchange
        properties = packet.properties
        topic = packet.topic
        expires_at = None
        if properties is not NO_PROPERTIES:
            topic = self._named_topic(packet)
            if properties.message_expiry_s is not None:
                expires_at = now + properties.message_expiry_s * 1_000
            properties = travelling(properties)
        # The decoder gives the same object for the same topic, and a device publishes to the same few for ever.
        if topic is not self._last_topic or self._last_topic_version != exchange.permissions.version:
            denied = self._check(session, topic)
            if denied is not None:
                self._deny(packet, topic, denied)
                return
        qos = packet.qos
        if qos and not self._take_identifier(session, packet):
            return
        principal = session.principal
        is_wanted = exchange.accept(
            Message(
                principal.tenant_id,
                principal.name,
                session.client_id,
                topic,
                packet.payload,
                qos,
                packet.retain,
                now,
                properties,
                expires_at,
            )
        )
        if qos == 1:
            if is_wanted or self.level == V4 or exchange.owner_is_subscriber:
                self._acks.append(_PUBACK + packet.packet_id.to_bytes(2, "big"))
            else:
                self._acks.append(encode(Puback(packet.packet_id, ReasonCode.NO_MATCHING_SUBSCRIBERS), V5))
            self._acks_answered += 1

    def _take_identifier(self, session: Session, packet: Publish) -> bool:
        """Count a QoS 1 message; note the identifier of a QoS 2 message. False: it has been taken before."""
        limit = self._exchange.limits.receive_maximum
        taken = session.taken_identifiers
        open_count = self.unanswered_count + (len(taken) if taken else 0)
        if packet.qos == 1:
            self.unanswered_count += 1
            if open_count >= limit and self.level == V5:
                raise _too_many(limit)
            return True
        self._acks.append(_PUBREC + packet.packet_id.to_bytes(2, "big"))
        if taken is None:
            taken = session.taken_identifiers = set()
        if packet.packet_id in taken:
            return False
        if open_count >= limit:
            raise _too_many(limit)
        taken.add(packet.packet_id)
        self._exchange.journal.identifier_taken(session, packet.packet_id)
        return True

    def _named_topic(self, packet: Publish) -> str:
        """The topic of a PUBLISH with properties: its own, or the one its alias stands for [3.3.2.3.4]."""
        properties = packet.properties
        if properties.subscription_identifiers:
            raise ProtocolError(ReasonCode.PROTOCOL_ERROR, "a client sent a subscription identifier [MQTT-3.3.4-6]")
        response_topic = properties.response_topic
        if response_topic is not None and ("+" in response_topic or "#" in response_topic):
            raise ProtocolError(ReasonCode.PROTOCOL_ERROR, "a response topic with a wildcard [MQTT-3.3.2-14]")
        alias = properties.topic_alias
        if alias is None:
            return packet.topic
        if alias > self._exchange.limits.topic_aliases:
            reason = f"topic alias {alias}, at most {self._exchange.limits.topic_aliases} are taken [MQTT-3.3.2-9]"
            raise ProtocolError(ReasonCode.TOPIC_ALIAS_INVALID, reason)
        if self._aliases_in is None:
            self._aliases_in = {}
        if packet.topic:
            self._aliases_in[alias] = packet.topic
            return packet.topic
        topic = self._aliases_in.get(alias)
        if topic is None:
            raise ProtocolError(ReasonCode.PROTOCOL_ERROR, f"topic alias {alias} was never given a topic")
        return topic

    def _check(self, session: Session, topic: str) -> Denied | None:
        """Check the topic of a PUBLISH, and remember that it was fine."""
        exchange = self._exchange
        check_name(topic, exchange.limits)
        denied = exchange.permissions.may_publish(session, topic, self.go_on)
        if denied is None:
            self._last_topic = topic
            self._last_topic_version = exchange.permissions.version
            self._last_topic_is_now = exchange.is_acknowledged_now(topic)
        return denied

    def _deny(self, packet: Publish, topic: str, denied: Denied) -> None:
        """Refuse a PUBLISH: MQTT 5 can say so, in 3.1.1 only a close tells."""
        if self.level == V4 or packet.qos == 0:
            raise ProtocolError(ReasonCode.NOT_AUTHORIZED, denied.reason)
        self._taker.note_denied(self, "publish_denied", f"{topic}: {denied.reason}")
        properties = self.reason(denied.reason)
        kind = Puback if packet.qos == 1 else Pubrec
        self._acks.append(encode(kind(packet.packet_id, denied.code, properties), V5))

    def _file_acks(self) -> None:
        """Acknowledge what was read in one go: after its commit, or at once, but never out of order [MQTT-4.6.0-2]."""
        acks, self._acks = self._acks, []
        answered, self._acks_answered = self._acks_answered, 0
        if not acks:
            return
        data = acks[0] if len(acks) == 1 else b"".join(acks)
        if self._last_topic_is_now and not self.owed_count:
            self.unanswered_count -= answered
            self.send(data)
        else:
            self._exchange.answer_after_commit(self, data, answered)

    def _released(self, session: Session, packet_id: int) -> None:
        """PUBREL: the client will not send this message again [MQTT-4.3.3-12]."""
        taken = session.taken_identifiers
        if taken is not None and packet_id in taken:
            taken.discard(packet_id)
            self._exchange.journal.identifier_freed(session, packet_id)
            # Not before it is on disk that the identifier is free, or the next message with it would be lost.
            self.answer(Pubcomp(packet_id), waits=session.is_stored)
        else:
            self.answer(Pubcomp(packet_id, ReasonCode.PACKET_IDENTIFIER_NOT_FOUND if self.level == V5 else 0))

    # The client answers.

    def _answered(self, session: Session, packet: Puback | Pubrec | Pubcomp) -> None:
        delivery = session.deliveries.find(packet.packet_id)
        if delivery is None:
            if isinstance(packet, Pubrec) and packet.code < ReasonCode.UNSPECIFIED_ERROR:
                code = ReasonCode.PACKET_IDENTIFIER_NOT_FOUND if self.level == V5 else 0
                self.answer(Pubrel(packet.packet_id, code))
            return
        is_expected = {
            Puback: delivery.qos == 1,
            Pubrec: delivery.qos == 2,  # noqa: PLR2004
            Pubcomp: delivery.is_released,
        }[type(packet)]
        if not is_expected:
            name = type(packet).__name__.upper()
            raise ProtocolError(
                ReasonCode.PROTOCOL_ERROR, f"{name} is not the answer to a message of this QoS, or not now"
            )
        if isinstance(packet, Pubrec) and packet.code < ReasonCode.UNSPECIFIED_ERROR:
            self._exchange.recorded(session, delivery)
        else:
            self._exchange.answered(session, packet.packet_id)

    def _goodbye(self, session: Session, packet: Disconnect) -> None:
        """DISCONNECT: no will, unless the client asks for it [MQTT-3.14.4-3]."""
        expiry_s = packet.properties.session_expiry_s
        if expiry_s is not None:
            if expiry_s and not session.expiry_s:
                reason = "a session that ends with its connection cannot be prolonged by DISCONNECT [3.14.2.2.2]"
                raise ProtocolError(ReasonCode.PROTOCOL_ERROR, reason)
            was_stored = session.is_stored
            session.expiry_s = min(expiry_s, self._exchange.limits.session_expiry_s)
            if was_stored and not session.is_stored:
                self._exchange.journal.session_gone(session)
        if packet.code == ReasonCode.SUCCESS:
            session.will = None
        self.has_said_goodbye = True
        self.stream.close("the client disconnected")

    # The client is sent something.

    def _publish_bytes(
        self, message: Message, first: int, packet_id: int, identifiers: tuple[int, ...], *, may_alias: bool
    ) -> bytes | None:
        topic = message.topic
        encoded = b""
        if self.level == V5:
            alias = None
            if self.alias_limit_out and may_alias:
                topic, alias = self._aliased(topic)
            now = 0 if message.expires_at is None else self._exchange.clock()
            encoded = encode_properties(delivered_properties(message, now, identifiers, alias))
        data = publish_bytes(first, topic.encode(), packet_id, encoded, message.payload)
        if self.packet_limit_out is not None and len(data) > self.packet_limit_out:
            return None
        return data

    def _aliased(self, topic: str) -> tuple[str, int | None]:
        """The topic to write and its alias: the first topics of a connection get those there are [MQTT-3.3.2-10]."""
        if self._aliases_out is None:
            self._aliases_out = {}
        alias = self._aliases_out.get(topic)
        if alias is not None:
            return "", alias
        if len(self._aliases_out) >= min(self.alias_limit_out, self._exchange.limits.topic_aliases):
            return topic, None
        alias = self._aliases_out[topic] = len(self._aliases_out) + 1
        return topic, alias

    def close_with(self, code: ReasonCode, reason: str) -> None:
        """End the connection; a client of MQTT 5 is told why [MQTT-4.13.1-1]."""
        if self.level == V5 and self.session is not None:
            self.send(encode(Disconnect(code, self.reason(reason, is_last=True)), V5))
        self.stream.close(reason)

    def reason(self, text: str, *, is_last: bool = False) -> Properties:
        """A reason string, if this client wants it and it fits.

        What ends a connection may always give one [MQTT-3.1.2-29].
        """
        if not (self.tells_reasons or is_last) or not self._exchange.tells_reasons or self.level == V4:
            return NO_PROPERTIES
        limit = (
            LONGEST_REASON_BYTES
            if self.packet_limit_out is None
            else min(LONGEST_REASON_BYTES, self.packet_limit_out // 2)
        )
        return Properties(reason_string=text.encode()[:limit].decode(errors="ignore"))


def _misplaced(packet: Packet) -> str:
    if isinstance(packet, Connect):
        return "a second CONNECT [MQTT-3.1.0-2]"
    if isinstance(packet, Auth):
        return "AUTH without an authentication method in CONNECT [MQTT-4.12.0-7]"
    return f"{type(packet).__name__.upper()} is for servers to send"


def _too_many(limit: int) -> ProtocolError:
    return ProtocolError(ReasonCode.RECEIVE_MAXIMUM_EXCEEDED, f"more than {limit:,} messages are not answered for yet")
