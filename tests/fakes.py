"""Working stand-ins for the broker's ports: an authorizer that is told what to deny, an owner that remembers."""

import asyncio
from collections.abc import Callable, Sequence

from broker.changes import Change, ChangeKey
from broker.message import Message
from broker.ports import (
    ALLOWED,
    Allowed,
    Connected,
    Credentials,
    Decision,
    Denied,
    Disconnected,
    Pending,
    Principal,
    Refused,
    Turn,
)

TENANT = 1


class FakeAuthorizer:
    """Lets everybody do everything, but for what is listed. The principal is the username, or the client id."""

    def __init__(self) -> None:
        self.shown: list[Credentials] = []
        self.denied_clients: set[str] = set()
        self.denied_topics: set[str] = set()
        """Topic names that nobody may publish to."""
        self.denied_filters: set[str] = set()
        self.unreceivable_topics: set[str] = set()
        """Topic names of which nobody may be sent anything."""
        self.unretainable_topics: set[str] = set()
        self.operators: set[str] = set()
        """Client identifiers of people and scripts of the gateway itself."""
        self.tenants: dict[str, int] = {}
        self.asked_for_filter = asyncio.Event()

    def authenticate(self, credentials: Credentials) -> Principal | Denied | Pending:
        self.shown.append(credentials)
        client_id = credentials.client_id
        if client_id in self.denied_clients:
            return Denied("this client is not known")
        tenant_id = self.tenants.get(client_id, TENANT)
        return Principal(tenant_id, credentials.username or client_id, is_operator=client_id in self.operators)

    def may_publish(self, principal: Principal, topic: str) -> Decision:
        return Denied(f"no right to publish to {topic}") if topic in self.denied_topics else ALLOWED

    def may_retain(self, principal: Principal, topic: str) -> Allowed | Denied:
        return Denied(f"no right to retain at {topic}") if topic in self.unretainable_topics else ALLOWED

    def may_subscribe(self, principal: Principal, topic_filter: str) -> Decision:
        self.asked_for_filter.set()
        return Denied(f"no right to subscribe to {topic_filter}") if topic_filter in self.denied_filters else ALLOWED

    def may_receive(self, principal: Principal, topic: str) -> Decision:
        return Denied(f"no right to receive {topic}") if topic in self.unreceivable_topics else ALLOWED


class FakeOwner:
    """Remembers what it was given; acknowledges at once, unless `holds_back` is set."""

    def __init__(self) -> None:
        self.acknowledge: Callable[[Sequence[object]], None] = lambda _: None
        self.holds_back = False
        self.turns: list[Turn] = []
        self.kept: dict[ChangeKey, Change] = {}
        """How every row that was ever changed is now."""
        self.events: list[Connected | Disconnected | Refused] = []
        self._held: list[object] = []
        self._changed = asyncio.Event()

    def accept(self, turn: Turn) -> None:
        self.turns.append(turn)
        self.kept.update(turn.changes)
        self._held += turn.receipts
        self._changed.set()
        if not self.holds_back:
            self.release()

    def note(self, event: Connected | Disconnected | Refused) -> None:
        self.events.append(event)
        self._changed.set()

    def release(self, count: int | None = None) -> None:
        """Acknowledge what was held back, or so many receipts of it, the oldest first."""
        end = len(self._held) if count is None else count
        released, self._held = self._held[:end], self._held[end:]
        if released:
            self.acknowledge(released)

    @property
    def held_count(self) -> int:
        """How many receipts wait to be released."""
        return len(self._held)

    @property
    def messages(self) -> list[Message]:
        return [message for turn in self.turns for message in turn.messages]

    @property
    def refused(self) -> list[Refused]:
        return [event for event in self.events if isinstance(event, Refused)]

    @property
    def left(self) -> list[Disconnected]:
        return [event for event in self.events if isinstance(event, Disconnected)]

    async def until(self, is_so: Callable[["FakeOwner"], bool], timeout: float = 10.0) -> None:
        """Wait until what was heard makes the condition true."""
        async with asyncio.timeout(timeout):
            while not is_so(self):
                self._changed.clear()
                await self._changed.wait()
