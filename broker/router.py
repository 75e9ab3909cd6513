"""Who receives a message: subscriptions, retained messages and remembered routes of one tenant."""

from collections import OrderedDict

from broker.limits import Limits
from broker.packets import Subscription
from broker.retained import RetainedMessages
from broker.session import Session
from broker.subscriptions import Matches, SubscriptionTree

TARGETS_PER_ROUTE = 10
"""What a route has on average when as many are remembered as may be: popular topics must not fill the memory."""


class Route:
    """Everyone who wants a topic name, as long as the version of the subscriptions is this one."""

    __slots__ = ("is_used", "matches", "subscriptions", "version")

    def __init__(self, version: int, matches: Matches[Session], subscriptions: SubscriptionTree[Session]) -> None:
        """A route with the version -1 is of use once."""
        self.version = version
        self.matches = matches
        self.subscriptions = subscriptions
        self.is_used = bool(matches.targets or matches.groups)


class Router:
    """One tenant's topics. Tenants share none, so nothing has to be prefixed or filtered."""

    def __init__(self, limits: Limits) -> None:
        self.retained = RetainedMessages(limits)
        self.subscriptions: SubscriptionTree[Session] = SubscriptionTree()
        self._limits = limits
        # Ordered, because the first of a plain dictionary is found the slower the more came and went before it.
        self._routes: OrderedDict[str, Route] = OrderedDict()
        self._routes_version = 0
        self._target_count = 0

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
        if self._routes_version != self.subscriptions.version:
            # What is stale is good for nothing, and would keep sessions that have ended.
            self._clear()
        route = Route(self.subscriptions.version, matches, self.subscriptions)
        self._make_room(topic, len(matches.targets))
        self._routes[topic] = route
        self._target_count += len(matches.targets)
        return route

    def forget_routes(self) -> None:
        """Find every route anew: who may receive what has changed."""
        self.subscriptions.version += 1
        self._clear()

    def _make_room(self, topic: str, target_count: int) -> None:
        """Let the oldest go: topics come from clients, so what is remembered must be bounded."""
        before = self._routes.pop(topic, None)
        if before is not None:
            self._target_count -= len(before.matches.targets)
        limit = self._limits.routes
        while self._routes and (
            len(self._routes) >= limit or self._target_count + target_count > limit * TARGETS_PER_ROUTE
        ):
            _, oldest = self._routes.popitem(last=False)
            self._target_count -= len(oldest.matches.targets)

    def _clear(self) -> None:
        self._routes.clear()
        self._target_count = 0
        self._routes_version = self.subscriptions.version
