"""The sessions that plugins are shown: amqtt's class, filled from what the broker knows.

A session is made when a client is let in and holds what the client showed, its password included,
because plugins judge topics by it. It is forgotten when the broker has no such session any more.
"""

from collections.abc import Callable
from typing import Any

from amqtt.session import Session

from broker.plugins.authorizer import NAMED_GUEST, NAMELESS_GUEST, HostedPrincipal
from broker.plugins.ports import SessionView
from broker.ports import Credentials, Principal

LEAST_BEFORE_PRUNING = 1_024


class HostedSession(Session):  # type: ignore[misc]  # amqtt has no types
    """One client as plugins see it. Without the state machine, which takes 17 kB of every session."""

    received_count = 0
    sent_count = 0
    queued_count = 0

    @property
    def inflight_in_count(self) -> int:
        """Messages of the client that are in flight."""
        return self.received_count

    @property
    def inflight_out_count(self) -> int:
        """Messages to the client that are in flight."""
        return self.sent_count

    @property
    def retained_messages_count(self) -> int:
        """Messages that wait for the client, in amqtt's word."""
        return self.queued_count

    def show(self, view: SessionView) -> "HostedSession":
        """Take over how the session is in the broker now."""
        self.transitions.state = "connected" if view.is_connected else "disconnected"
        self.clean_session = view.is_clean
        self.received_count = view.received_count
        self.sent_count = view.sent_count
        self.queued_count = view.queued_count
        return self

    def _init_states(self) -> None:
        self.transitions = _State()


class KnownSessions:
    """Sessions by principal and client identifier."""

    def __init__(self, clock: Callable[[], int]) -> None:
        """`clock` gives UTC milliseconds."""
        self._clock = clock
        self._sessions: dict[tuple[str, str], HostedSession] = {}
        self._latest: dict[str, HostedSession] = {}
        """Of each principal, for questions about what it published and about sessions of before a restart."""
        self._prune_at = LEAST_BEFORE_PRUNING

    def __len__(self) -> int:
        """Count them."""
        return len(self._sessions)

    def keep(self, principal: Principal, session: HostedSession) -> None:
        """Remember what a client that was let in has shown."""
        self._sessions[principal.name, str(session.client_id)] = self._latest[principal.name] = session

    def find(self, principal: Principal) -> HostedSession:
        """The session that a principal came with, or its latest; one that has shown nothing when there is none."""
        name = principal.name
        if isinstance(principal, HostedPrincipal):
            return self.get(name, principal.client_id)
        return self._latest.get(name) or self.get(name, name.removeprefix(NAMELESS_GUEST))

    def get(self, name: str, client_id: str) -> HostedSession:
        """The session of a client by its principal's name; one that has shown nothing when there is none."""
        known = self._sessions.get((name, client_id))
        if known is not None:
            return known
        session = HostedSession()
        session.client_id = client_id
        session.username = name.removeprefix(NAMED_GUEST) if name.startswith(NAMED_GUEST) else None
        session.is_anonymous = name.startswith(NAMELESS_GUEST)
        session.transitions.disconnect()
        return session

    def joined(self, name: str, client_id: str) -> HostedSession:
        """Note that a client has a connection."""
        session = self.get(name, client_id)
        session.transitions.connect()
        session.last_connect_time = self._clock() // 1_000
        session.last_disconnect_time = None
        return session

    def left(self, name: str, client_id: str) -> HostedSession:
        """Note that a client's connection has ended."""
        session = self.get(name, client_id)
        session.transitions.disconnect()
        session.last_disconnect_time = self._clock() // 1_000
        return session

    def prune(self, known_ones: Callable[[], set[tuple[str, str]]]) -> None:
        """Forget sessions that the broker does not know, once there are enough for it to be worth looking.

        `known_ones` gives principal and client identifier of each.
        """
        if len(self._sessions) < self._prune_at:
            return
        known = known_ones()
        self._sessions = {key: session for key, session in self._sessions.items() if key in known}
        kept = {name for name, _ in self._sessions}
        self._latest = {name: session for name, session in self._latest.items() if name in kept}
        self._prune_at = max(LEAST_BEFORE_PRUNING, 2 * len(self._sessions))


def session_of(credentials: Credentials) -> HostedSession:
    """Show what a client showed when it connected. A password that is not UTF-8 is none: amqtt's are texts."""
    session = HostedSession()
    session.client_id = credentials.client_id
    session.username = credentials.username
    session.password = _text(credentials.password)
    host, _, port = credentials.address.rpartition(":")
    session.remote_address = host or credentials.address
    session.remote_port = int(port) if host and port.isdecimal() else None
    if credentials.certificate is not None:
        session.ssl_object = _ShownCertificate(credentials.certificate)
    return session


class _State:
    """The states of amqtt's session, without its machine."""

    __slots__ = ("state",)

    def __init__(self) -> None:
        self.state = "new"

    def connect(self) -> None:
        self.state = "connected"

    def disconnect(self) -> None:
        self.state = "disconnected"

    def is_new(self) -> bool:
        return self.state == "new"

    def is_connected(self) -> bool:
        return self.state == "connected"

    def is_disconnected(self) -> bool:
        return self.state == "disconnected"


class _ShownCertificate:
    """Stands for the TLS connection where a plugin asks it for the client's certificate."""

    def __init__(self, certificate: bytes) -> None:
        self._certificate = certificate

    def getpeercert(self, binary_form: Any = False) -> bytes:  # noqa: FBT002  the name and the place are the ssl module's
        """Give the certificate, DER; there is no other form here."""
        if not binary_form:
            raise NotImplementedError("the certificate of a client is only here in its binary form")
        return self._certificate


def _text(password: bytes | None) -> str | None:
    try:
        return None if password is None else password.decode()
    except UnicodeDecodeError:
        return None
