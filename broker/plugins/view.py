"""Our broker as the plugins of one tenant reach it: the `BrokerView` that `PluginHost` is given."""

from collections.abc import Callable, Iterator

from broker.exchange import Exchange
from broker.message import Message, TenantId
from broker.packets import Publish, Subscription
from broker.plugins.ports import SessionView
from broker.session import Session

EVERYTHING = ("#", "$SYS/#")
"""Filters of all topics that plugins may see: what begins with `$` is not matched by `#` [MQTT-4.7.2-1]."""


class TenantView:
    """The sessions, subscriptions and retained messages of one tenant."""

    def __init__(
        self,
        exchange: Exchange,
        tenant_id: TenantId,
        clock: Callable[[], int],
        subscribe: Callable[[str, Subscription], bool] | None = None,
    ) -> None:
        """`clock` gives UTC milliseconds; without `subscribe`, plugins cannot subscribe for a client."""
        self._exchange = exchange
        self._tenant_id = tenant_id
        self._clock = clock
        self._subscribe = subscribe

    def sessions(self) -> Iterator[SessionView]:
        """Every session of the tenant, connected or away."""
        return (_shown(session) for session in self._sessions())

    def session(self, client_id: str) -> SessionView | None:
        """The session of a client, if it has one."""
        session = self._exchange.sessions.find(self._tenant_id, client_id)
        return None if session is None else _shown(session)

    def subscriptions(self) -> Iterator[tuple[SessionView, Subscription]]:
        """Every subscription of the tenant, with whose it is."""
        for session in self._sessions():
            view = _shown(session)
            for subscription in session.subscriptions.values():
                yield view, subscription

    def retained(self) -> Iterator[Message]:
        """Every retained message of the tenant."""
        retained = self._exchange.sessions.router(self._tenant_id).retained
        for topic_filter in EVERYTHING:
            yield from retained.matching(topic_filter, self._clock())

    def publish(self, message: Publish) -> None:
        """Publish in the gateway's own name."""
        topic, payload, now = message.topic, message.payload, self._clock()
        self._exchange.publish(Message(self._tenant_id, "", "", topic, payload, message.qos, message.retain, now))

    def subscribe(self, client_id: str, subscription: Subscription) -> bool:
        """Subscribe for a client as though it had asked itself; False when it may not."""
        return self._subscribe is not None and self._subscribe(client_id, subscription)

    def _sessions(self) -> Iterator[Session]:
        return (session for session in self._exchange.sessions if session.principal.tenant_id == self._tenant_id)


def _shown(session: Session) -> SessionView:
    return SessionView(
        principal=session.principal.name,
        client_id=session.client_id,
        is_connected=session.client is not None,
        is_clean=not session.is_stored,
        received_count=len(session.taken_identifiers or ()),
        sent_count=sum(1 for delivery in session.deliveries if delivery.packet_id),
        queued_count=sum(1 for delivery in session.deliveries if not delivery.packet_id),
    )
