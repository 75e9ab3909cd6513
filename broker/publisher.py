"""The publishing half of a connection: PUBLISH and PUBREL of the client, and what answers them.

The way of a PUBLISH is the one that is gone by the million: what is the same for the next message of the
same client is remembered here, and the acknowledgements of one read leave in one piece.
"""

from typing import TYPE_CHECKING

from broker.encode import encode
from broker.errors import ProtocolError
from broker.exchange import Exchange
from broker.message import Message
from broker.packets import NO_PROPERTIES, V4, V5, Puback, Pubcomp, Publish, Pubrec
from broker.ports import Denied
from broker.publication import travelling
from broker.reason_codes import ReasonCode
from broker.repetition import identifier_at, topic_field
from broker.router import Route
from broker.session import Session
from broker.topics import check_name

if TYPE_CHECKING:
    from broker.client import Client

_PUBACK = b"\x40\x02"
_PUBREC = b"\x50\x02"
_EXACTLY_ONCE = 2


class Publisher:
    """Takes what one client publishes."""

    __slots__ = (
        "_acks",
        "_acks_answered",
        "_aliases",
        "_carried",
        "_client",
        "_exchange",
        "_has_recorded",
        "_is_acknowledged_now",
        "_route",
        "_topic",
        "_topic_version",
        "familiar",
        "unanswered_count",
    )

    def __init__(self, client: "Client", exchange: Exchange) -> None:
        self.unanswered_count = 0
        """QoS 1 messages of a client of MQTT 5 that no PUBACK was sent for."""
        self.familiar = b""
        """The topic name, as in a packet, of a client that may go on as it did: see `publish_again`.

        It is empty when the last read brought anything but such a PUBLISH, or one PUBACK.
        """
        self._carried: set[int] = set()
        """Identifiers of QoS 2 messages that were taken over earlier connections of the session."""
        self._client = client
        self._exchange = exchange
        self._acks: list[bytes] = []
        self._acks_answered = 0
        self._has_recorded = False
        self._aliases: dict[int, str] | None = None
        self._route: Route | None = None
        # The topic that was checked last, for which version of the policy, and how it is acknowledged.
        self._topic: str | None = None
        self._topic_version = 0
        self._is_acknowledged_now = False

    def join(self, session: Session) -> None:
        """Go on with a session."""
        self._carried = set(session.taken_identifiers or ())

    def end(self) -> None:
        """Let go of the client, whose connection is gone. Nothing else may be called after that."""
        del self._client

    def publish(self, session: Session, packet: Publish, now: int) -> None:
        """Take a PUBLISH; `now` is UTC milliseconds. Raises `ProtocolError`, `Undecided`."""
        exchange = self._exchange
        topic = packet.topic
        properties = packet.properties
        expires_at = None
        if properties is not NO_PROPERTIES:
            topic = self._named_topic(packet)
            if properties.message_expiry_s is not None:
                expires_at = now + properties.message_expiry_s * 1_000
            properties = travelling(properties)
        # The decoder gives the same object for the same topic, and a device publishes to the same few for ever.
        if topic is not self._topic or self._topic_version != exchange.permissions.version or packet.retain:
            denied = self._judge(session, packet, topic)
            if denied is not None:
                # What was taken before the policy changed is the client's to release: a refusal would free the
                # identifier for it alone, and the next message with it would be lost.
                if self._is_taken(session, packet):
                    self._take_identifier(session, packet)
                else:
                    self._deny(packet, topic, denied)
                return
        qos = packet.qos
        identifier = packet.packet_id.to_bytes(2, "big") if qos else b""
        is_counted = self._client.level == V5
        # In 3.1.1 no client could know of a bound, so QoS 1 has none but the owner's.
        if (is_counted or qos == _EXACTLY_ONCE) and qos and not self._take_identifier(session, packet):
            return
        principal = session.principal
        message = Message(
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
            principal.is_operator,
            identifier,
            packet.duplicate,
        )
        self._route = route = exchange.accept(message, self._route)
        if qos == 1:
            if not is_counted or route.is_used or exchange.owner_is_subscriber:
                self._acks.append(_PUBACK + identifier)
            else:
                self._acks.append(encode(Puback(packet.packet_id, ReasonCode.NO_MATCHING_SUBSCRIBERS), V5))
            self._acks_answered += is_counted

    def remember(self, packet: Publish) -> None:
        """Note that this PUBLISH came alone and was taken: the next one will most likely be like it."""
        is_plain = packet.qos == 1 and not packet.retain and self._client.level == V4
        if is_plain and packet.topic is self._topic and self._route is not None:
            self.familiar = topic_field(packet.topic)

    def publish_again(self, data: bytes) -> bool:
        """Take a PUBLISH of 3.1.1 at QoS 1 to the topic of the one before; False when these bytes are anything else.

        A device that has something to say now and then sends one such packet at a time. What `Decoder`, `Client` and
        `publish` would do with it is done here at once: among ten thousand devices, each object that is not touched is
        one that need not be fetched from memory. Whatever is out of the ordinary is left to them.
        """
        exchange = self._exchange
        if not self.familiar or self._topic_version != exchange.permissions.version:
            return False
        position = identifier_at(data, self.familiar, exchange.limits.packet_bytes)
        session, topic = self._client.session, self._topic
        if not position or session is None or topic is None:
            return False
        payload_at = position + 2
        identifier = data[position:payload_at]
        acknowledgement = _PUBACK + identifier
        principal = session.principal
        message = Message(
            principal.tenant_id,
            principal.name,
            session.client_id,
            topic,
            data[payload_at:],
            1,
            False,
            exchange.clock(),
            NO_PROPERTIES,
            None,
            principal.is_operator,
            identifier,
        )
        self._route = exchange.accept(message, self._route)
        if self._is_acknowledged_now:
            self._acks.append(acknowledgement)
            self.acknowledge()
        else:
            exchange.answer_after_commit(self._client, acknowledgement)
        return True

    def release(self, session: Session, packet_id: int) -> None:
        """PUBREL: the client will not send this message again [MQTT-4.3.3-12]."""
        client = self._client
        taken = session.taken_identifiers
        if taken is not None and packet_id in taken:
            taken.discard(packet_id)
            self._carried.discard(packet_id)
            self._exchange.journal.identifier_freed(session, packet_id)
            code = 0
        else:
            code = ReasonCode.PACKET_IDENTIFIER_NOT_FOUND if client.level == V5 else 0
        # Not before it is on disk that the identifier is free, or the next message with it would be lost. That it
        # was freed over an earlier connection does not mean that it is on disk.
        # Nor before the PUBREC of a client that did not wait for it.
        self.acknowledge()
        client.answer(Pubcomp(packet_id, code), waits=session.is_stored or client.owed_count > 0)

    def acknowledge(self) -> None:
        """Answer what was read in one go: after its commit, or at once, but never out of order [MQTT-4.6.0-2]."""
        acks = self._acks
        if not acks:
            return
        self._acks = []
        answered, self._acks_answered = self._acks_answered, 0
        data = acks[0] if len(acks) == 1 else b"".join(acks)
        client = self._client
        may_overtake = self._is_acknowledged_now and not self._has_recorded
        self._has_recorded = False
        if may_overtake and not client.owed_count:
            self.unanswered_count -= answered
            client.send(data)
        else:
            self._exchange.answer_after_commit(client, data, answered)

    def _is_taken(self, session: Session, packet: Publish) -> bool:
        taken = session.taken_identifiers
        return packet.qos == _EXACTLY_ONCE and taken is not None and packet.packet_id in taken

    def _take_identifier(self, session: Session, packet: Publish) -> bool:
        """Count a QoS 1 message; note the identifier of a QoS 2 message. False: it has been taken before."""
        limit = self._exchange.limits.receive_maximum
        taken = session.taken_identifiers
        # What was taken over an earlier connection does not count [4.9], but it is not for ever more either.
        taken_count = len(taken) if taken else 0
        open_count = self.unanswered_count + max(taken_count - len(self._carried), taken_count - limit)
        if packet.qos == 1:
            if open_count >= limit:
                raise _too_many(limit)
            self.unanswered_count += 1
            return True
        packet_id = packet.packet_id
        if taken is None:
            taken = session.taken_identifiers = set()
        is_new = packet_id not in taken
        if is_new:
            if open_count >= limit:
                raise _too_many(limit)
            taken.add(packet_id)
            self._exchange.journal.identifier_taken(session, packet_id)
        # Whatever is said of its topic: PUBREC before the identifier is on disk could double the message.
        if self._is_acknowledged_now and not self._has_recorded:
            self.acknowledge()
        self._has_recorded = True
        self._acks.append(_PUBREC + packet_id.to_bytes(2, "big"))
        return is_new

    def _named_topic(self, packet: Publish) -> str:
        """The topic of a PUBLISH with properties: its own, or the one its alias stands for [3.3.2.3.4]."""
        response_topic = packet.properties.response_topic
        if response_topic is not None and ("+" in response_topic or "#" in response_topic):
            raise ProtocolError(ReasonCode.PROTOCOL_ERROR, "a response topic with a wildcard [MQTT-3.3.2-14]")
        alias = packet.properties.topic_alias
        if alias is None:
            return packet.topic
        limit = self._exchange.limits.topic_aliases
        if alias > limit:
            reason = f"topic alias {alias}, at most {limit} are taken [MQTT-3.3.2-9]"
            raise ProtocolError(ReasonCode.TOPIC_ALIAS_INVALID, reason)
        if self._aliases is None:
            self._aliases = {}
        topic = packet.topic or self._aliases.get(alias)
        if topic is None:
            raise ProtocolError(ReasonCode.PROTOCOL_ERROR, f"topic alias {alias} was never given a topic")
        self._aliases[alias] = topic
        return topic

    def _judge(self, session: Session, packet: Publish, topic: str) -> Denied | None:
        """Check the topic of a PUBLISH where it has not been, and whether its message may be retained."""
        permissions = self._exchange.permissions
        if topic is not self._topic or self._topic_version != permissions.version:
            denied = self._check(session, topic)
            if denied is not None:
                return denied
        return permissions.may_retain(session.principal, topic) if packet.retain else None

    def _check(self, session: Session, topic: str) -> Denied | None:
        """Check the topic of a PUBLISH, and remember that it was fine."""
        exchange = self._exchange
        check_name(topic, exchange.limits)
        denied = exchange.permissions.may_publish(session, topic, self._client.go_on)
        if denied is None:
            is_now = exchange.is_acknowledged_now(topic)
            if is_now != self._is_acknowledged_now:
                # What was read before goes by the rule of its own topic.
                self.acknowledge()
            # Who is judged by an authoriser that thinks is asked again: what it said counts for a while only.
            self._topic = topic if session.decisions is None else None
            self._topic_version = exchange.permissions.version
            self._route = None
            self._is_acknowledged_now = is_now
        return denied

    def _deny(self, packet: Publish, topic: str, denied: Denied) -> None:
        """Refuse a PUBLISH: MQTT 5 can say so, in 3.1.1 only a close tells."""
        client = self._client
        if client.level == V4 or packet.qos == 0:
            raise ProtocolError(denied.reason_code, denied.reason)
        client.note_denied("publish_denied", f"{topic}: {denied.reason}")
        properties = client.reason(denied.reason)
        kind = Puback if packet.qos == 1 else Pubrec
        self._acks.append(encode(kind(packet.packet_id, denied.reason_code, properties), V5))


def _too_many(limit: int) -> ProtocolError:
    return ProtocolError(ReasonCode.RECEIVE_MAXIMUM_EXCEEDED, f"more than {limit:,} messages are not answered for yet")
