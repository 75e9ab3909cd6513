"""One client's session: what outlives its connection. Section 4.1 of MQTT 5."""

from collections import deque
from typing import TYPE_CHECKING

from broker.changes import SessionKept
from broker.deliveries import Budget, Deliveries
from broker.limits import Limits
from broker.message import Message
from broker.packets import Subscription, Will
from broker.ports import Decision, Principal
from broker.subscriptions import Target

if TYPE_CHECKING:
    from broker.client import Client
    from broker.publication import Publication


class Session:
    """What the broker knows of one client while its session lasts."""

    __slots__ = (
        "client",
        "client_id",
        "decisions",
        "deliveries",
        "dropped_count",
        "expiry_s",
        "held",
        "held_bytes",
        "left_at",
        "number",
        "principal",
        "subscriptions",
        "taken_identifiers",
        "will",
        "will_due_at",
    )

    def __init__(self, number: int, principal: Principal, client_id: str, limits: Limits, budget: Budget) -> None:
        self.number = number
        self.principal = principal
        self.client_id = client_id
        self.expiry_s = 0
        """How long it is kept after its connection ended; 0 is not at all."""
        self.client: Client | None = None
        """Its connection, while there is one."""
        self.left_at = 0
        """When its connection ended, UTC milliseconds."""
        self.subscriptions: dict[str, Subscription] = {}
        self.deliveries = Deliveries(limits, budget)
        self.taken_identifiers: set[int] | None = None
        """Of QoS 2 messages of the client that wait for its PUBREL."""
        self.will: Will | None = None
        self.will_due_at: int | None = None
        """When a will that was put off is published, UTC milliseconds."""
        self.dropped_count = 0
        self.decisions: dict[tuple[str, str], tuple[Decision, float, int]] | None = None
        """What an authoriser said after thinking, by action and topic; until when and for which policy it counts."""
        self.held: deque[tuple[Message, Target[Session], Publication | None]] | None = None
        """Messages for this client about which the authoriser still thinks, and those behind them."""
        self.held_bytes = 0
        """Of their payloads and all; counted up until none is held."""

    @property
    def is_stored(self) -> bool:
        """Whether it outlives its connection, and so the process."""
        return self.expiry_s > 0

    def kept(self) -> SessionKept:
        """The session as it is now, for the store."""
        left_at = None if self.client is not None else self.left_at
        principal = self.principal
        return SessionKept(
            self.number,
            principal.tenant_id,
            principal.name,
            self.client_id,
            self.expiry_s,
            left_at,
            principal.is_operator,
        )
