"""Who receives a message: subscriptions, retained messages and remembered routes of one tenant."""

from broker.limits import Limits
from broker.packets import Subscription
from broker.retained import RetainedMessages
from broker.session import Session
from broker.subscriptions import Matches, SubscriptionTree


class Route:
    """Everyone who wants a topic name, as long as the version of the subscriptions is this one."""

    __slots__ = ("is_used", "matches", "version")

    def __init__(self, version: int, matches: Matches[Session]) -> None:
        self.version = version
        self.matches = matches
        self.is_used = bool(matches.targets or matches.groups)


class Router:
    """One tenant's topics. Tenants share none, so nothing has to be prefixed or filtered."""

    def __init__(self, limits: Limits) -> None:
        self.retained = RetainedMessages(limits)
        self.subscriptions: SubscriptionTree[Session] = SubscriptionTree()
        self._limits = limits
        self._routes: dict[str, Route] = {}

    def subscribe(self, session: Session, subscription: Subscription) -> None:
        """Let a session receive what a filter matches."""
        self.subscriptions.add(session, subscription)

    def unsubscribe(self, session: Session, topic_filter: str) -> None:
        """End a subscription."""
        self.subscriptions.remove(session, topic_filter)

    def known_route(self, topic: str) -> Route | None:
        """The remembered route of a topic; None when there is none or a subscription has changed since."""
        route = self._routes.get(topic)
        return route if route is not None and route.version == self.subscriptions.version else None

    def remember(self, topic: str, matches: Matches[Session]) -> Route:
        """Remember who receives a topic until a subscription changes."""
        if len(self._routes) >= self._limits.routes and topic not in self._routes:
            # The oldest goes: topics come from clients, so what is remembered must be bounded.
            del self._routes[next(iter(self._routes))]
        route = self._routes[topic] = Route(self.subscriptions.version, matches)
        return route

    def forget_routes(self) -> None:
        """Find every route anew: who may receive what has changed."""
        self._routes.clear()
        self.subscriptions.version += 1
