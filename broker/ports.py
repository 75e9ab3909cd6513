"""What the owner of the broker provides, and the values that cross that border."""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, runtime_checkable

import msgspec

from broker.changes import Change, ChangeKey, StoredSession
from broker.message import Message, TenantId
from broker.packets import Packet, Subscription
from broker.reason_codes import ReasonCode


class Principal(msgspec.Struct, frozen=True, gc=False):
    """Who a client is: the tenant it belongs to and the name its rights hang on."""

    tenant_id: TenantId
    name: str
    is_operator: bool = False
    """Whether this is a person or script of the gateway itself, not a device."""


class Credentials(msgspec.Struct, frozen=True):
    """What a client showed of itself when it connected."""

    client_id: str
    username: str | None
    password: bytes | None
    certificate: bytes | None
    """The client's certificate, DER, already verified against the device CA; None where none was shown."""
    address: str
    transport: str = "tls"
    """What carried it: `tls`, `plain` or `websocket`; `https` for a request, which has no session."""


# What an authoriser answers.

_REFUSALS = {code.value: code for code in ReasonCode if code >= ReasonCode.UNSPECIFIED_ERROR}


class Allowed(msgspec.Struct, frozen=True, gc=False):
    """It may be done."""


ALLOWED = Allowed()


class Denied(msgspec.Struct, frozen=True, gc=False):
    """Why something may not be done, in words for the person who can change it."""

    reason: str
    code: int = 0x87
    """What a client of MQTT 5 is told: a reason code, not authorized unless the authoriser says better."""
    of: Principal | None = None
    """Who it would have been, where that is known of a client that is not let in."""
    is_judgement: bool = True
    """False where nobody could be asked: whoever was let in before stays, and is asked about again."""

    @property
    def reason_code(self) -> ReasonCode:
        """The code, if it is one that refuses something."""
        return _REFUSALS.get(self.code, ReasonCode.NOT_AUTHORIZED)


class Pending(msgspec.Struct, frozen=True):
    """The answer comes later: `then` keeps a function that is called with it, once, on the loop.

    What waits for it waits in order. An answer that takes too long is a denial.
    """

    then: Callable[[Callable[[Principal | Allowed | Denied], None]], None]


Decision = Allowed | Denied | Pending


class Authorizer(Protocol):
    """Decides who may connect and what they may do. Answers at once, `Pending` at worst.

    Whatever it raises is a denial.
    """

    def authenticate(self, credentials: Credentials) -> Principal | Denied | Pending:
        """Who this is, or why it may not connect."""

    def may_publish(self, principal: Principal, topic: str) -> Decision:
        """Whether the principal may publish to this topic name."""

    def may_subscribe(self, principal: Principal, topic_filter: str) -> Decision:
        """Whether the principal may receive everything this topic filter can match (without `$share/…/`)."""

    def may_receive(self, principal: Principal, topic: str) -> Decision:
        """Whether the principal may be sent a message of this topic name: asked for every topic delivered."""


@runtime_checkable
class RetainAuthorizer(Protocol):
    """What an `Authorizer` may have besides: a say in which messages are retained. Without it, all are."""

    def may_retain(self, principal: Principal, topic: str) -> Allowed | Denied:
        """Whether the principal may leave a retained message there; asked only where it may publish."""


class SessionStore(Protocol):
    """Where sessions and retained messages outlive the process.

    The broker reads it once, when it starts. What changes afterwards is handed to the owner in each `Turn`,
    to be committed together with the turn's messages.
    """

    def sessions(self) -> Iterable[StoredSession]:
        """Every session that is kept."""

    def retained(self) -> Iterable[Message]:
        """Every retained message that is kept."""

    def highest_number(self) -> int:
        """The highest number that a session, a delivery or a message ever had: the broker goes on after it."""


class Turn(msgspec.Struct, frozen=True):
    """What one turn of the loop brought. Commit all of it or nothing, in order, then acknowledge its receipts."""

    messages: Sequence[Message]
    changes: dict[ChangeKey, Change]
    receipts: Sequence[object]
    """What waits for the commit: acknowledgements of clients. For `Broker.acknowledge`, unopened."""


class Connected(msgspec.Struct, frozen=True):
    """A client's session has a network connection."""

    tenant_id: TenantId
    principal: str
    client_id: str
    address: str
    at: int
    connection: str = ""
    """Names this connection and no other; its end names it too."""
    certificate: bytes | None = None
    """What the client showed, DER; None where none was shown."""


class Disconnected(msgspec.Struct, frozen=True):
    """A client's network connection ended."""

    tenant_id: TenantId
    principal: str
    client_id: str
    reason: str
    at: int
    connection: str = ""
    """The one that began with the `Connected` of this name."""
    code: ReasonCode | None = None
    """What ended it: 0 where the client said goodbye, None where it was lost without a word."""


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
    at_connect: bool = False
    """Whether a client that asked to be let in was not."""
    certificate: bytes | None = None
    """What it showed then, DER; None where none was shown."""


class Subscribed(msgspec.Struct, frozen=True):
    """What a client receives has changed, by its own SUBSCRIBE or UNSUBSCRIBE."""

    tenant_id: TenantId
    client_id: str
    topic_filters: tuple[str, ...]
    connection: str
    at: int
    is_over: bool = False
    """Whether these were given up."""


class Owner(Protocol):
    """Takes what clients publish, and hears what happens to them. Never waits."""

    def accept(self, turn: Turn) -> None:
        """Take what one loop turn brought; its receipts come back through `Broker.acknowledge`."""

    def note(self, event: Connected | Disconnected | Refused) -> None:
        """Hear what happened to a client."""


class Evidence(Protocol):
    """Hears what became of a message that the owner published."""

    def written(self, client_id: str) -> None:
        """It was written to a live connection of this client."""

    def unanswerable(self, client_id: str) -> None:
        """It was written at QoS 0: this client will not answer for it."""

    def acknowledged(self, client_id: str) -> None:
        """This client has answered for it (QoS 1 and 2)."""

    def untaken(self) -> None:
        """No session took it: nobody is subscribed, or every queue was full."""


class Observer(Protocol):
    """Hears what happens in the broker, for plugins. Never waits, and nothing hangs on what it does."""

    def connected(self, principal: Principal, client_id: str) -> None:
        """A client has connected."""

    def disconnected(self, principal: Principal, client_id: str) -> None:
        """A client's connection has ended."""

    def subscribed(self, principal: Principal, client_id: str, subscription: Subscription) -> None:
        """A subscription was granted."""

    def unsubscribed(self, principal: Principal, client_id: str, topic_filter: str) -> None:
        """A subscription was ended by its client."""

    def published(self, message: Message) -> None:
        """A message was accepted."""

    def delivered(self, client_id: str, message: Message) -> None:
        """A message was written to a client."""


class PacketObserver(Protocol):
    """Hears of every control packet. Never waits."""

    def packet_received(self, principal: Principal | None, client_id: str, packet: Packet) -> None:
        """A packet came from a client; nobody is known yet at CONNECT."""

    def packet_sent(self, principal: Principal | None, client_id: str, packet: Packet) -> None:
        """A packet was written to a client."""


class Receiver(Protocol):
    """Takes what comes out of one connection."""

    def received(self, data: bytes) -> None:
        """Take bytes of the client."""

    def lost(self, reason: str) -> None:
        """Hear that the connection is gone; nothing comes after this."""


class Stream(Protocol):
    """One network connection, whatever carries it."""

    address: str
    opened_at: float
    """When it was accepted, in the seconds of the loop."""
    heard_at: float
    """When the client was last heard, in the seconds of the loop. The broker moves it on when nobody is heard."""

    @property
    def transport(self) -> str:
        """What carries it: `tls`, `plain` or `websocket`."""

    @property
    def certificate(self) -> bytes | None:
        """The verified certificate of the client, DER; None where there is none."""

    @property
    def is_open(self) -> bool:
        """Whether bytes can still be sent."""

    @property
    def unsent_bytes(self) -> int:
        """Bytes that the client has not taken yet."""

    def start(self, receiver: Receiver) -> None:
        """Begin to read, and give what comes to the receiver."""

    def pause(self) -> None:
        """Read nothing more until `resume`."""

    def resume(self) -> None:
        """Read again."""

    def send(self, data: bytes) -> int:
        """Write soon; gives `unsent_bytes` as they are now."""

    def close(self, reason: str) -> None:
        """Write what waits as far as it goes, and end the connection; `lost` is called with the reason."""

    def cut_off(self, reason: str) -> None:
        """The same, but `lost` may be called later: for thousands that must be out at once."""
