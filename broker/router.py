"""Who receives a message: subscriptions, retained messages and remembered routes of one tenant."""

from broker.limits import Limits
from broker.retained import RetainedMessages
from broker.session import Session
from broker.topics import SubscriptionTree

Subscribers = tuple[tuple[Session, int], ...]


class Router:
    """One tenant's topics. Tenants share none, so nothing has to be prefixed or filtered."""

    def __init__(self, limits: Limits) -> None:
        self.retained = RetainedMessages(limits)
        self._limits = limits
        self._tree: SubscriptionTree[Session] = SubscriptionTree()
        self._routes: dict[str, tuple[int, Subscribers]] = {}

    def subscribe(self, session: Session, topic_filter: str, qos: int) -> None:
        """Let a session receive what a filter matches."""
        self._tree.add(topic_filter, session, qos)

    def unsubscribe(self, session: Session, topic_filter: str) -> None:
        """End a subscription."""
        self._tree.remove(topic_filter, session)

    def subscribers(self, topic: str) -> Subscribers:
        """Who receives a topic and at which QoS at most; remembered until a subscription changes."""
        if self._tree.is_empty:
            return ()
        version, subscribers = self._routes.get(topic, (-1, ()))
        if version != self._tree.version:
            subscribers = self._tree.match(topic)
            if len(self._routes) >= self._limits.routes:
                # The oldest goes: topics come from clients, so what is remembered must be bounded.
                del self._routes[next(iter(self._routes))]
            self._routes[topic] = (self._tree.version, subscribers)
        return subscribers
