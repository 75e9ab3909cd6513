"""The tree finds what the plain statement of section 4.7 says, whatever was added and removed before."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from broker.errors import ProtocolError
from broker.limits import Limits
from broker.topics import SubscriptionTree, check_name, filter_fault, matches
from tests.broker.strategies import filters, names

LIMITS = Limits(topic_bytes=20, topic_levels=5)
PROBES = ["a", "b", "/", "a/", "/a", "a/b", "a/b/a", "$x", "$x/a", "a/$x", "b/a/b/a"]
subscribers = st.integers(0, 3)


class TreeAgainstPlainMatching(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.tree: SubscriptionTree[int] = SubscriptionTree()
        self.model: dict[tuple[str, int], int] = {}

    @rule(topic_filter=filters, subscriber=subscribers, qos=st.integers(0, 2))
    def add(self, topic_filter: str, subscriber: int, qos: int) -> None:
        before = self.tree.version
        self.tree.add(topic_filter, subscriber, qos)
        assert self.tree.version > before
        self.model[topic_filter, subscriber] = qos

    @rule(topic_filter=filters, subscriber=subscribers)
    def remove(self, topic_filter: str, subscriber: int) -> None:
        self.tree.remove(topic_filter, subscriber)
        self.model.pop((topic_filter, subscriber), None)

    @rule(draw=st.data())
    def remove_one_that_is_there(self, draw: st.DataObject) -> None:
        if self.model:
            self.remove(*draw.draw(st.sampled_from(sorted(self.model))))

    @rule(name=names)
    def look(self, name: str) -> None:
        expected: dict[int, int] = {}
        for (topic_filter, subscriber), qos in self.model.items():
            if matches(topic_filter, name):
                expected[subscriber] = max(qos, expected.get(subscriber, 0))
        found = self.tree.match(name)
        assert dict(found) == expected
        assert len(found) == len(expected)

    @invariant()
    def the_tree_finds_what_matches_finds(self) -> None:
        for name in PROBES:
            self.look(name)

    @invariant()
    def nothing_remains_of_what_was_removed(self) -> None:
        assert self.tree.is_empty == (not self.model)


TestTree = TreeAgainstPlainMatching.TestCase
TestTree.settings = settings(max_examples=50, stateful_step_count=30)


@given(names)
def test_a_name_matches_itself_and_the_filter_for_all(name: str) -> None:
    assert matches(name, name)
    assert matches("#", name) == (not name.startswith("$"))


@given(filters)
def test_drawn_filters_have_no_fault(topic_filter: str) -> None:
    assert filter_fault(topic_filter, Limits()) is None


@pytest.mark.parametrize(
    ("topic_filter", "name", "expected"),
    [
        # The examples of section 4.7.1.
        ("sport/tennis/player1/#", "sport/tennis/player1", True),
        ("sport/tennis/player1/#", "sport/tennis/player1/ranking", True),
        ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", True),
        ("sport/#", "sport", True),
        ("sport/tennis/+", "sport/tennis/player1", True),
        ("sport/tennis/+", "sport/tennis/player1/ranking", False),
        ("sport/+", "sport", False),
        ("sport/+", "sport/", True),
        ("+/+", "/finance", True),
        ("/+", "/finance", True),
        ("+", "/finance", False),
        ("#", "$SYS/uptime", False),
        ("+/uptime", "$SYS/uptime", False),
        ("$SYS/#", "$SYS/uptime", True),
        ("$SYS/uptime/+", "$SYS/uptime/s", True),
        ("ACCOUNTS", "Accounts", False),
    ],
)
def test_matching_follows_the_specification(topic_filter: str, name: str, expected: bool) -> None:
    assert matches(topic_filter, name) is expected
    tree: SubscriptionTree[str] = SubscriptionTree()
    tree.add(topic_filter, "s", 1)
    assert tree.match(name) == ((("s", 1),) if expected else ())


@pytest.mark.parametrize(
    "topic_filter", ["", "a/#/b", "#/a", "a+", "+a", "a#", "a/b#", "##", "++", "a/+b/c", "x" * 21, "/" * 5]
)
def test_a_filter_that_is_not_valid_has_a_fault(topic_filter: str) -> None:
    assert filter_fault(topic_filter, LIMITS)


@pytest.mark.parametrize("name", ["", "#", "+", "a/+/b", "a+", "x" * 21, "ä" * 11, "/" * 5])
def test_a_name_that_is_not_valid_is_refused(name: str) -> None:
    with pytest.raises(ProtocolError):
        check_name(name, LIMITS)


@pytest.mark.parametrize("name", ["x", "x" * 20, "ä" * 10, "/" * 4, " ", "$a"])
def test_a_name_within_the_limits_is_taken(name: str) -> None:
    check_name(name, LIMITS)
    assert filter_fault(name, LIMITS) is None
