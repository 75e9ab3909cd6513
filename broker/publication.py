"""One message as it is published: its bytes for whom nothing special holds, and where it went."""

from typing import TYPE_CHECKING

import msgspec

from broker.changes import Delivery
from broker.encode import publish_bytes, publish_head
from broker.message import Message
from broker.packets import NO_PROPERTIES, V5, Properties, Will
from broker.ports import Evidence
from broker.properties import encode_properties
from broker.session import Session
from broker.subscriptions import Matches, Target

if TYPE_CHECKING:
    from broker.exchange import Exchange

QOS_0 = 0x30
"""The first byte of a PUBLISH without any flag."""
IDENTIFIER_BYTES = 2


class Publication(msgspec.Struct, eq=False):
    """A message of the owner on its way; it can be withdrawn while it waits."""

    _exchange: "Exchange"
    _evidence: Evidence | None = None
    is_taken: bool = False
    """Whether any session took it."""
    is_withdrawn: bool = False
    """Whether it was taken back while it was held: it is delivered to nobody any more."""
    _held_count: int = 0
    _deliveries: list[tuple[Session, Delivery]] = []

    def was_written(self, session: Session, evidence: Evidence | None) -> None:
        """It was sent at QoS 0, for which nobody will answer."""
        self.is_taken = True
        if evidence is not None:
            evidence.written(session.client_id)
            evidence.unanswerable(session.client_id)

    def was_taken(self, session: Session, delivery: Delivery) -> None:
        """A session took it at QoS 1 or 2."""
        self.is_taken = True
        self._deliveries.append((session, delivery))

    def was_held(self) -> None:
        """A session takes it once the authoriser has thought about it."""
        self.is_taken = True
        self._held_count += 1

    def came_up(self, message: Message, target: Target[Session], *, is_allowed: bool) -> None:
        """The authoriser has thought about what was held: it is delivered, or nobody took it after all."""
        self._held_count -= 1
        self.is_taken = bool(self._deliveries)
        if is_allowed:
            self._exchange.distribute(message, Matches((target,), (), {}), self._evidence, self)
        if not self.is_taken and self._evidence is not None:
            self._evidence.untaken()

    def withdraw(self) -> int:
        """Take it back from those to whom it was not sent yet; gives how many those were."""
        held_count, self._held_count = self._held_count, 0
        self.is_withdrawn = self.is_withdrawn or held_count > 0
        return held_count + sum([self._exchange.withdraw(session, delivery) for session, delivery in self._deliveries])


class Rendering(msgspec.Struct, eq=False, gc=False):
    """The PUBLISH packets of one message for everyone for whom nothing special holds, made once for all of them."""

    _message: Message
    _whole: dict[int, bytes] = {}
    _around: dict[tuple[int, int], tuple[bytes, bytes]] = {}

    def at_qos_0(self, level: int) -> bytes:
        """The PUBLISH at QoS 0, not as a retained one: the same for everyone of a version."""
        data = self._whole.get(level)
        if data is None:
            message = self._message
            data = publish_bytes(QOS_0, message.topic.encode(), 0, self._properties(level), message.payload)
            self._whole[level] = data
        return data

    def with_identifier(self, level: int, first: int, packet_id: int) -> bytes:
        """The PUBLISH that begins with this byte; only the packet identifier is each client's own."""
        around = self._around.get((level, first))
        if around is None:
            message = self._message
            after = self._properties(level) + message.payload if level == V5 else message.payload
            head = publish_head(first, message.topic.encode(), IDENTIFIER_BYTES + len(after))
            around = self._around[level, first] = (head, after)
        return packet_id.to_bytes(2, "big").join(around)

    def _properties(self, level: int) -> bytes:
        return encode_properties(self._message.properties) if level == V5 else b""


def travelling(properties: Properties) -> Properties:
    """Those properties of a PUBLISH or a will that are the message's own [MQTT-3.3.2-4] and following."""
    if properties is NO_PROPERTIES:
        return properties
    own = Properties(
        payload_format_indicator=properties.payload_format_indicator,
        content_type=properties.content_type,
        response_topic=properties.response_topic,
        correlation_data=properties.correlation_data,
        user_properties=properties.user_properties,
    )
    return NO_PROPERTIES if own == NO_PROPERTIES else own


def delivered_properties(
    message: Message, now: int, identifiers: tuple[int, ...], topic_alias: int | None
) -> Properties:
    """The properties with which a message is delivered to one client; `now` is UTC milliseconds.

    The message expiry is what is left of it [MQTT-3.3.2-6].
    """
    if message.expires_at is None and not identifiers and topic_alias is None:
        return message.properties
    left_s = None
    if message.expires_at is not None:
        # Rounded up: what has a moment left has not expired.
        left_s = max(0, -((now - message.expires_at) // 1_000))
    return msgspec.structs.replace(
        message.properties,
        message_expiry_s=left_s,
        subscription_identifiers=identifiers,
        topic_alias=topic_alias,
    )


def will_message(will: Will, session: Session, now: int) -> Message:
    """The will of a session as the message it becomes (UTC ms)."""
    principal = session.principal
    expiry_s = will.properties.message_expiry_s
    return Message(
        principal.tenant_id,
        principal.name,
        session.client_id,
        will.topic,
        will.payload,
        will.qos,
        will.retain,
        now,
        travelling(will.properties),
        None if expiry_s is None else now + expiry_s * 1_000,
        principal.is_operator,
    )
