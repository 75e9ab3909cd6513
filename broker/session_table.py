"""The sessions of all clients, connected or away, and the topics of each tenant."""

import heapq
from collections.abc import Iterator

from broker.changes import StoredSession
from broker.deliveries import Budget
from broker.limits import Limits
from broker.message import TenantId
from broker.ports import Principal
from broker.router import Router
from broker.session import Session

SPARE = 1_000
"""So many moments may be out of date before those that count are gathered anew."""


class SessionTable:
    """Sessions by tenant and client identifier. A session that ends takes its subscriptions along."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._sessions: dict[tuple[TenantId, str], Session] = {}
        self._away: dict[Session, None] = {}
        """Sessions without a connection, in the order in which they lost it."""
        self._of: dict[tuple[TenantId, str], dict[Session, None]] = {}
        """By the name of their principal."""
        self._due: list[tuple[int, int, Session]] = []
        """A heap of when something of a session away is due; what is out of date is passed over.

        The number in between is nobody's twice, so that sessions are never compared.
        """
        self._expected_count = 0
        self._routers: dict[TenantId, Router] = {}
        self._budget = Budget(limits.queues_bytes)
        self._last_number = 0
        self.dropped_of_ended = 0
        """Messages that sessions which have ended did not get."""

    def __len__(self) -> int:
        """Count the sessions."""
        return len(self._sessions)

    def __iter__(self) -> Iterator[Session]:
        """Every session, in no order."""
        return iter(self._sessions.values())

    def find(self, tenant_id: TenantId, client_id: str) -> Session | None:
        """The session of a client, if it has one."""
        return self._sessions.get((tenant_id, client_id))

    def prepare(self, principal: Principal, client_id: str) -> Session:
        """Make a session that nobody finds yet."""
        self._last_number += 1
        return Session(self._last_number, principal, client_id, self._limits, self._budget)

    def open(self, session: Session) -> None:
        """Begin a session that was prepared; its client must have none."""
        principal = session.principal
        self._sessions[principal.tenant_id, session.client_id] = session
        self._of.setdefault((principal.tenant_id, principal.name), {})[session] = None

    def of(self, tenant_id: TenantId, name: str) -> list[Session]:
        """The sessions of a principal of this name."""
        return list(self._of.get((tenant_id, name), ()))

    def restore_number(self, number: int) -> None:
        """Never give this number, or one before it, to a session again."""
        self._last_number = number

    def restore(self, stored: StoredSession) -> Session:
        """Take up a session that was kept while the process was not there."""
        kept = stored.session
        principal = Principal(kept.tenant_id, kept.principal, kept.is_operator)
        session = Session(kept.number, principal, kept.client_id, self._limits, self._budget)
        session.expiry_s = kept.expiry_s
        session.left_at = kept.left_at or 0
        router = self.router(kept.tenant_id)
        for subscription in stored.subscriptions:
            session.subscriptions[subscription.topic_filter] = subscription
            router.subscribe(session, subscription)
        for delivery in stored.deliveries:
            session.deliveries.restore(delivery)
        if stored.taken_identifiers:
            session.taken_identifiers = set(stored.taken_identifiers)
        self.open(session)
        self.leave(session)
        return session

    def join(self, session: Session) -> None:
        """Its client is back."""
        self._away.pop(session, None)

    def leave(self, session: Session) -> None:
        """Its client has gone, at `session.left_at`."""
        self._away[session] = None
        self.expect(session)

    def expect(self, session: Session) -> None:
        """Look at a session that is away again when its next time has come."""
        if len(self._due) <= 2 * len(self._away) + SPARE:
            self._push(session)
            return
        # Clients that come and go leave moments behind that are out of date.
        self._due.clear()
        for away in self._away:
            self._push(away)

    def discard(self, session: Session) -> None:
        """End a session and its subscriptions."""
        router = self.router(session.principal.tenant_id)
        for topic_filter in session.subscriptions:
            router.unsubscribe(session, topic_filter)
        session.subscriptions.clear()
        session.deliveries.clear()
        self.dropped_of_ended += session.dropped_count
        session.dropped_count = 0
        session.held = None
        self._away.pop(session, None)
        principal = session.principal
        of_principal = self._of.get((principal.tenant_id, principal.name), {})
        of_principal.pop(session, None)
        if not of_principal:
            self._of.pop((principal.tenant_id, principal.name), None)
        key = (principal.tenant_id, session.client_id)
        if self._sessions.get(key) is session:
            del self._sessions[key]

    def due(self, now: int) -> list[Session]:
        """Sessions of clients that have been away too long, or whose will was put off until now (UTC ms).

        What is due costs what there is of it, not what there is to come.
        """
        found = []
        while self._due and self._due[0][0] <= now:
            due_at, _, session = heapq.heappop(self._due)
            if session in self._away and due_at == _due_at(session):
                found.append(session)
        return found

    def surplus(self) -> list[Session]:
        """Sessions of clients that are away, as many as there are too many; the oldest first."""
        count = len(self._sessions) - self._limits.sessions
        # Those from before a restart came in another order.
        return sorted(self._away, key=lambda session: session.left_at)[:count] if count > 0 else []

    def router(self, tenant_id: TenantId) -> Router:
        """The topics of a tenant."""
        router = self._routers.get(tenant_id)
        if router is None:
            router = self._routers[tenant_id] = Router(self._limits)
        return router

    @property
    def routers(self) -> dict[TenantId, Router]:
        """The topics of every tenant that has any."""
        return self._routers

    @property
    def queued_bytes(self) -> int:
        """What waits for clients, in bytes of messages."""
        return self._budget.used_bytes

    @property
    def dropped_count(self) -> int:
        """Messages that sessions, those that have ended too, did not get because their bounds were reached."""
        return self.dropped_of_ended + sum(session.dropped_count for session in self._sessions.values())

    @property
    def retained_refused_count(self) -> int:
        """Retained messages for which there was no room."""
        return sum(router.retained.refused_count for router in self._routers.values())

    def _push(self, session: Session) -> None:
        self._expected_count += 1
        heapq.heappush(self._due, (_due_at(session), self._expected_count, session))


def _due_at(session: Session) -> int:
    """When a session of a client that is away has to be looked at, UTC milliseconds."""
    ends_at = session.left_at + session.expiry_s * 1_000
    return ends_at if session.will_due_at is None else min(ends_at, session.will_due_at)
