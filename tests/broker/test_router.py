"""Who receives a topic, however often that is asked."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from broker.limits import Limits
from broker.packets import Subscription
from broker.router import TARGETS_PER_ROUTE, Route, Router
from broker.session import Session
from broker.topics import matches
from tests.broker.parts import session
from tests.broker.strategies import filters, names

LIMITS = Limits(routes=3)
SESSIONS = [session(name) for name in "xyz"]
sessions = st.sampled_from(SESSIONS)


def route_of(router: Router, topic: str) -> Route:
    """As the broker looks it up."""
    return router.known_route(topic) or router.remember(topic, router.subscriptions.match(topic))


def receivers(router: Router, topic: str) -> set[Session]:
    return {target.subscriber for target in route_of(router, topic).matches.targets}


class RememberedRoutes(RuleBasedStateMachine):
    """What is remembered is never stale, and never more than the limit."""

    def __init__(self) -> None:
        super().__init__()
        self.router = Router(LIMITS)
        self.model: set[tuple[str, Session]] = set()

    @rule(session=sessions, topic_filter=filters, qos=st.integers(0, 2))
    def subscribe(self, session: Session, topic_filter: str, qos: int) -> None:
        self.router.subscribe(session, Subscription(topic_filter, qos))
        self.model.add((topic_filter, session))

    @rule(session=sessions, topic_filter=filters)
    def unsubscribe(self, session: Session, topic_filter: str) -> None:
        self.router.unsubscribe(session, topic_filter)
        self.model.discard((topic_filter, session))

    @rule(topic=names)
    def publish(self, topic: str) -> None:
        expected = {session for topic_filter, session in self.model if matches(topic_filter, topic)}
        assert receivers(self.router, topic) == expected
        assert route_of(self.router, topic).is_used == bool(expected)
        assert self.router.known_route(topic), "what was just asked for is remembered"

    @rule()
    def publish_what_is_remembered(self) -> None:
        for topic in tuple(self.router._routes):
            self.publish(topic)

    @rule()
    def change_the_policy(self) -> None:
        self.router.forget_routes()
        assert not self.router._routes

    @invariant()
    def what_is_remembered_is_bounded(self) -> None:
        assert len(self.router._routes) <= LIMITS.routes
        remembered = sum(len(route.matches.targets) for route in self.router._routes.values())
        assert self.router._target_count == remembered


TestRoutes = RememberedRoutes.TestCase
TestRoutes.settings = settings(max_examples=40)


def test_a_remembered_route_ends_with_the_next_change() -> None:
    router, (first, second, _) = Router(LIMITS), SESSIONS
    router.subscribe(first, Subscription("a", 1))
    assert receivers(router, "a") == {first}
    router.subscribe(second, Subscription("+", 0))
    assert router.known_route("a") is None
    assert receivers(router, "a") == {first, second}
    router.unsubscribe(first, "a")
    assert receivers(router, "a") == {second}
    router.forget_routes()
    assert router.known_route("a") is None


def test_a_shared_subscription_alone_makes_a_route_useful() -> None:
    router = Router(LIMITS)
    assert not route_of(router, "a").is_used
    router.subscribe(SESSIONS[0], Subscription("$share/g/a", 0))
    assert route_of(router, "a").is_used


def test_the_oldest_route_makes_room() -> None:
    router = Router(LIMITS)
    for topic in ("a", "b", "c", "d"):
        route_of(router, topic)
    assert list(router._routes) == ["b", "c", "d"]
    router.remember("b", router.subscriptions.match("b"))
    assert list(router._routes) == ["c", "d", "b"], "a topic that is remembered again takes no place of another"


def test_topics_that_many_want_take_the_room_of_many() -> None:
    router = Router(LIMITS)
    crowd = [session(str(number)) for number in range(LIMITS.routes * TARGETS_PER_ROUTE)]
    for each in crowd:
        router.subscribe(each, Subscription("a/#", 0))
    route_of(router, "b")
    assert len(receivers(router, "a/1")) == len(crowd)
    assert list(router._routes) == ["b", "a/1"]
    assert len(receivers(router, "a/2")) == len(crowd), "what finds no room is delivered all the same"
    assert list(router._routes) == ["a/2"]


def test_a_session_that_has_ended_is_not_kept_by_what_is_remembered() -> None:
    router = Router(LIMITS)
    ended = session("gone")
    router.subscribe(ended, Subscription("a", 0))
    assert receivers(router, "a") == {ended}
    router.unsubscribe(ended, "a")
    route_of(router, "b")
    assert "a" not in router._routes
