"""What the owner of the broker provides, and the values that cross that border."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import msgspec

TenantId = int


class Credentials(msgspec.Struct, frozen=True):
    """What a client showed of itself when it connected."""

    client_id: str
    username: str | None
    password: bytes | None
    certificate: bytes | None
    """The client's certificate, DER, already verified against the device CA; None without TLS."""
    address: str


class Principal(msgspec.Struct, frozen=True):
    """Who a client is: the tenant it belongs to and the name its rights hang on."""

    tenant_id: TenantId
    name: str


class Denied(msgspec.Struct, frozen=True):
    """Why something may not be done, in words for the person who can change it."""

    reason: str


class Authorizer(Protocol):
    """Decides who may connect and what they may do. Answers from memory, at once."""

    def authenticate(self, credentials: Credentials) -> Principal | Denied:
        """Who this is, or why it may not connect."""

    def may_publish(self, principal: Principal, topic: str) -> Denied | None:
        """None when the principal may publish to this topic name."""

    def may_subscribe(self, principal: Principal, topic_filter: str) -> Denied | None:
        """None when the principal may receive everything this topic filter can match."""


class Message(NamedTuple):
    """One published message on its way to the owner. A tuple, because millions are made."""

    tenant_id: TenantId
    principal: str
    client_id: str
    topic: str
    payload: bytes
    qos: int
    retain: bool
    arrived_at: int
    """UTC milliseconds."""
    receipt: object | None
    """What the broker needs to acknowledge it; None when nobody waits for an acknowledgement."""


class Connected(msgspec.Struct, frozen=True):
    """A client's session has a network connection."""

    tenant_id: TenantId
    principal: str
    client_id: str
    address: str
    at: int


class Disconnected(msgspec.Struct, frozen=True):
    """A client's network connection ended."""

    tenant_id: TenantId
    principal: str
    client_id: str
    reason: str
    at: int


class Refused(msgspec.Struct, frozen=True):
    """The broker did not do what a client asked, or closed its connection for what it did."""

    tenant_id: TenantId
    principal: str
    """Empty when it is not known who it was."""
    client_id: str
    address: str
    kind: str
    """A short stable word, such as `publish_denied` or `packet_too_large`."""
    reason: str
    at: int


class Owner(Protocol):
    """Takes what clients publish, and hears what happens to them. Never waits."""

    def accept(self, batch: Sequence[Message]) -> None:
        """Take the messages of one loop turn; their receipts come back through `Broker.acknowledge`."""

    def note(self, event: Connected | Disconnected | Refused) -> None:
        """Hear what happened to a client."""
