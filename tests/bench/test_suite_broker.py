import pytest

from bench.suite_broker import LIMITS, SuiteAuthorizer
from broker.ports import ALLOWED, Denied, Principal

ANYBODY = Principal(1, "c")


@pytest.mark.parametrize("topic", ["$SYS/broker/uptime", "$SYS/broker/connection/me", "$share/share/03/publish"])
def test_the_topics_that_the_sequences_want_refused_are_refused(topic: str) -> None:
    assert isinstance(SuiteAuthorizer().may_publish(ANYBODY, topic), Denied)


@pytest.mark.parametrize("topic", ["topic", "$test/test", "$TopicA/B", "$SYS/broker/connection/me/state"])
def test_the_other_topics_are_not(topic: str) -> None:
    assert SuiteAuthorizer().may_publish(ANYBODY, topic) == ALLOWED


def test_only_one_filter_is_refused() -> None:
    authorizer = SuiteAuthorizer()
    assert isinstance(authorizer.may_subscribe(ANYBODY, "test/nosubscribe"), Denied)
    assert authorizer.may_subscribe(ANYBODY, "$SYS/broker/missing") == authorizer.may_subscribe(ANYBODY, "#") == ALLOWED


def test_the_limits_are_those_that_the_suites_compare_with() -> None:
    assert (LIMITS.topic_aliases, LIMITS.packet_bytes, LIMITS.receive_maximum) == (10, 2_000_000, 20)
    assert LIMITS.keep_alive_s == 60
