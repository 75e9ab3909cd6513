"""What is kept of sessions and retained messages, and how it changes.

A change says how one row is from now on; two changes with the same key are one.
"""

import msgspec

from broker.message import Message, TenantId
from broker.packets import Subscription


class SessionKept(msgspec.Struct, frozen=True):
    """A session that outlives its connection, as it is now."""

    number: int
    """Given by the broker, never twice."""
    tenant_id: TenantId
    principal: str
    client_id: str
    expiry_s: int
    """How long it is kept after the connection ended."""
    left_at: int | None
    """When its connection ended, UTC milliseconds; None while there is one."""
    is_operator: bool = False


class SessionGone(msgspec.Struct, frozen=True):
    """The session has ended, with all that is kept of it."""

    number: int


class SubscriptionKept(msgspec.Struct, frozen=True):
    """A subscription of a session, as it is now."""

    session_number: int
    subscription: Subscription


class SubscriptionGone(msgspec.Struct, frozen=True):
    """A subscription has ended."""

    session_number: int
    topic_filter: str


class Delivery(msgspec.Struct, gc=False):
    """One message for one client, until the client has answered for it."""

    number: int
    """Given by the broker, never twice; deliveries of a session are in this order."""
    message: Message
    message_number: int
    """The same for all deliveries of one message."""
    qos: int
    retain: bool
    identifiers: tuple[int, ...] = ()
    """The subscription identifiers to send along."""
    packet_id: int = 0
    """0 while it waits for its turn."""
    is_released: bool = False
    """QoS 2: whether PUBREC has come, so that only PUBREL may still be sent."""
    size_bytes: int = 0
    """Of its message, found out once for all deliveries of it."""


class DeliveryKept(msgspec.Struct, frozen=True):
    """A delivery of a session, as it is now."""

    session_number: int
    delivery: Delivery


class DeliveryGone(msgspec.Struct, frozen=True):
    """A delivery is over: answered for, expired or withdrawn."""

    session_number: int
    number: int


class IdentifierTaken(msgspec.Struct, frozen=True):
    """A QoS 2 message of the client with this packet identifier has been taken; PUBREL has not come yet."""

    session_number: int
    packet_id: int


class IdentifierFreed(msgspec.Struct, frozen=True):
    """PUBREL has come for this packet identifier."""

    session_number: int
    packet_id: int


class RetainedKept(msgspec.Struct, frozen=True):
    """The retained message of a topic, as it is now."""

    message: Message


class RetainedGone(msgspec.Struct, frozen=True):
    """A topic has no retained message any more."""

    tenant_id: TenantId
    topic: str


Change = (
    SessionKept
    | SessionGone
    | SubscriptionKept
    | SubscriptionGone
    | DeliveryKept
    | DeliveryGone
    | IdentifierTaken
    | IdentifierFreed
    | RetainedKept
    | RetainedGone
)


ChangeKey = tuple[str, int, int | str]
"""Kind of row, session number (or tenant), and what tells rows of one session apart."""


class StoredSession(msgspec.Struct, frozen=True):
    """A session as it was kept."""

    session: SessionKept
    subscriptions: tuple[Subscription, ...]
    deliveries: tuple[Delivery, ...]
    """In their order."""
    taken_identifiers: tuple[int, ...]
