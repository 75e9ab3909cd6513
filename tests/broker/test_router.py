"""Who receives a topic, however often that is asked."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from broker.limits import Limits
from broker.packets import Connect
from broker.ports import Principal
from broker.router import Router
from broker.session import Session
from broker.topics import matches
from tests.broker.strategies import filters, names

LIMITS = Limits(routes=3)
SESSIONS = [Session(Principal(1, name), Connect(4, name, True, 0), LIMITS) for name in "xyz"]
sessions = st.sampled_from(SESSIONS)


class RememberedRoutes(RuleBasedStateMachine):
    """What is remembered is never stale, and never more than the limit."""

    def __init__(self) -> None:
        super().__init__()
        self.router = Router(LIMITS)
        self.model: dict[tuple[str, Session], int] = {}

    @rule(session=sessions, topic_filter=filters, qos=st.integers(0, 1))
    def subscribe(self, session: Session, topic_filter: str, qos: int) -> None:
        self.router.subscribe(session, topic_filter, qos)
        self.model[topic_filter, session] = qos

    @rule(session=sessions, topic_filter=filters)
    def unsubscribe(self, session: Session, topic_filter: str) -> None:
        self.router.unsubscribe(session, topic_filter)
        self.model.pop((topic_filter, session), None)

    @rule(topic=names)
    def publish(self, topic: str) -> None:
        expected: dict[Session, int] = {}
        for (topic_filter, session), qos in self.model.items():
            if matches(topic_filter, topic):
                expected[session] = max(qos, expected.get(session, 0))
        assert dict(self.router.subscribers(topic)) == expected
        assert len(self.router._routes) <= LIMITS.routes

    @rule()
    def publish_what_is_remembered(self) -> None:
        for topic in tuple(self.router._routes):
            self.publish(topic)


TestRoutes = RememberedRoutes.TestCase
TestRoutes.settings = settings(max_examples=40)


def test_a_remembered_route_ends_with_the_next_change() -> None:
    router, (first, second, _) = Router(LIMITS), SESSIONS
    router.subscribe(first, "a", 1)
    assert router.subscribers("a") == ((first, 1),)
    router.subscribe(second, "+", 0)
    assert dict(router.subscribers("a")) == {first: 1, second: 0}
    router.unsubscribe(first, "a")
    assert router.subscribers("a") == ((second, 0),)
