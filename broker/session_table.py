"""The sessions of all clients, connected or away, and the topics of each tenant."""

from broker.limits import Limits
from broker.packets import Connect
from broker.ports import Principal, TenantId
from broker.router import Router
from broker.session import Session


class SessionTable:
    """Sessions by tenant and client identifier. A session that ends takes its subscriptions along."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._sessions: dict[tuple[TenantId, str], Session] = {}
        self._away: dict[Session, None] = {}
        """Sessions without a connection, in the order in which they lost it."""
        self._routers: dict[TenantId, Router] = {}

    def __len__(self) -> int:
        """Count the sessions."""
        return len(self._sessions)

    def find(self, tenant_id: TenantId, client_id: str) -> Session | None:
        """The session of a client, if it has one."""
        return self._sessions.get((tenant_id, client_id))

    def take(self, principal: Principal, connect: Connect) -> tuple[Session, bool]:
        """The session for a CONNECT, and whether it was there before [MQTT-3.1.2-4] to [MQTT-3.1.2-6]."""
        key = (principal.tenant_id, connect.client_id)
        session = self._sessions.get(key)
        if session is not None and connect.clean_session:
            self.discard(session)
            session = None
        if session is not None:
            self._away.pop(session, None)
            return session, True
        session = self._sessions[key] = Session(principal, connect, self._limits)
        return session, False

    def leave(self, session: Session, now: float) -> None:
        """Keep a session whose client has gone, or end it; `now` is in the seconds of `discard_old`."""
        if session.is_clean:
            self.discard(session)
            return
        session.left_at = now
        self._away[session] = None

    def discard(self, session: Session) -> None:
        """End a session and its subscriptions."""
        router = self.router(session.principal.tenant_id)
        for topic_filter in session.subscriptions:
            router.unsubscribe(session, topic_filter)
        session.subscriptions.clear()
        self._away.pop(session, None)
        self._sessions.pop((session.principal.tenant_id, session.client_id), None)

    def discard_old(self, now: float) -> None:
        """End sessions of clients that have been away too long, or are too many; the oldest first.

        `now` is in the same seconds as `Session.left_at`.
        """
        while self._away:
            oldest = next(iter(self._away))
            is_surplus = len(self._away) > self._limits.offline_sessions
            if not is_surplus and now - oldest.left_at <= self._limits.offline_session_s:
                return
            self.discard(oldest)

    def router(self, tenant_id: TenantId) -> Router:
        """The topics of a tenant."""
        router = self._routers.get(tenant_id)
        if router is None:
            router = self._routers[tenant_id] = Router(self._limits)
        return router

    @property
    def dropped_count(self) -> int:
        """Messages that the sessions known now did not get because their bounds were reached."""
        return sum(session.dropped_count for session in self._sessions.values())

    @property
    def retained_refused_count(self) -> int:
        """Retained messages for which there was no room."""
        return sum(router.retained.refused_count for router in self._routers.values())
