"""Working stand-ins for the broker's ports: an authorizer that is told what to deny, an owner that remembers."""

import asyncio
from collections.abc import Callable, Sequence

from broker.ports import Connected, Credentials, Denied, Disconnected, Message, Principal, Refused

TENANT = 1


class FakeAuthorizer:
    """Lets everybody do everything, but for what is listed. The principal is the username, or the client id."""

    def __init__(self) -> None:
        self.shown: list[Credentials] = []
        self.denied_clients: set[str] = set()
        self.denied_topics: set[str] = set()
        self.denied_filters: set[str] = set()
        self.tenants: dict[str, int] = {}
        self.asked_for_filter = asyncio.Event()

    def authenticate(self, credentials: Credentials) -> Principal | Denied:
        self.shown.append(credentials)
        if credentials.client_id in self.denied_clients:
            return Denied("this client is not known")
        tenant_id = self.tenants.get(credentials.client_id, TENANT)
        return Principal(tenant_id, credentials.username or credentials.client_id)

    def may_publish(self, principal: Principal, topic: str) -> Denied | None:
        return Denied(f"no right to publish to {topic}") if topic in self.denied_topics else None

    def may_subscribe(self, principal: Principal, topic_filter: str) -> Denied | None:
        self.asked_for_filter.set()
        return Denied(f"no right to subscribe to {topic_filter}") if topic_filter in self.denied_filters else None


class FakeOwner:
    """Remembers what it was given; acknowledges at once, unless `holds_back` is set."""

    def __init__(self) -> None:
        self.acknowledge: Callable[[Sequence[object]], None] = lambda _: None
        self.holds_back = False
        self.batches: list[list[Message]] = []
        self.events: list[Connected | Disconnected | Refused] = []
        self._changed = asyncio.Event()

    def accept(self, batch: Sequence[Message]) -> None:
        self.batches.append(list(batch))
        self._changed.set()
        if not self.holds_back:
            self.acknowledge(self.receipts(batch))

    def note(self, event: Connected | Disconnected | Refused) -> None:
        self.events.append(event)
        self._changed.set()

    @staticmethod
    def receipts(messages: Sequence[Message]) -> list[object]:
        return [message.receipt for message in messages if message.receipt is not None]

    @property
    def messages(self) -> list[Message]:
        return [message for batch in self.batches for message in batch]

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
