"""The tree finds what `matches` says, whatever was added and removed before."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from broker.packets import Subscription
from broker.subscriptions import Group, Matches, SubscriptionTree, Target, own_target
from broker.topics import matches, shared_parts
from tests.broker.strategies import filters, names

PROBES = ["a", "b", "/", "a/", "/a", "a/b", "a/b/a", "$x", "$x/a", "a/$x", "b/a/b/a"]
subscribers = st.integers(0, 3)
any_filters = filters | st.builds("$share/{}/{}".format, st.sampled_from("gh"), filters)


@st.composite
def subscriptions(draw: st.DrawFn) -> Subscription:
    topic_filter = draw(any_filters)
    no_local = draw(st.booleans()) and not shared_parts(topic_filter)[0]
    return Subscription(
        topic_filter, draw(st.integers(0, 2)), no_local, draw(st.booleans()), 0, draw(st.integers(0, 3))
    )


Terms = tuple[int, bool, list[int]]
Model = dict[tuple[int, str], Subscription]


def terms(target: Target[int]) -> Terms:
    return target.qos, target.retain_as_published, sorted(target.identifiers)


def merged(wanted: list[Subscription]) -> Terms:
    """What overlapping subscriptions come to [MQTT-3.3.4-2], [MQTT-3.3.4-5]."""
    identifiers = sorted(each.identifier for each in wanted if each.identifier)
    return max(each.qos for each in wanted), any(each.retain_as_published for each in wanted), identifiers


def plain(found: Matches[int]) -> tuple[dict[int, Terms], dict[int, Terms | None], set[tuple[str, str]]]:
    """What was found, without any order."""
    targets = {target.subscriber: terms(target) for target in found.targets}
    assert len(targets) == len(found.targets), "everybody once"
    groups = {group.name for group in found.groups}
    assert len(groups) == len(found.groups)
    own = {subscriber: None if target is None else terms(target) for subscriber, target in found.own.items()}
    return targets, own, groups


def expected(model: Model, name: str) -> tuple[dict[int, Terms], dict[int, Terms | None], set[tuple[str, str]]]:
    wanted: dict[int, list[Subscription]] = {}
    groups = set()
    for (subscriber, topic_filter), subscription in model.items():
        share, pattern = shared_parts(topic_filter)
        if matches(pattern, name):
            if share:
                groups.add((share, pattern))
            else:
                wanted.setdefault(subscriber, []).append(subscription)
    own: dict[int, Terms | None] = {}
    for subscriber, all_wanted in wanted.items():
        rest = [each for each in all_wanted if not each.no_local]
        if len(rest) < len(all_wanted):
            own[subscriber] = merged(rest) if rest else None
    return {subscriber: merged(each) for subscriber, each in wanted.items()}, own, groups


class TreeAgainstPlainMatching(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.tree: SubscriptionTree[int] = SubscriptionTree()
        self.model: Model = {}

    @rule(subscriber=subscribers, subscription=subscriptions())
    def add(self, subscriber: int, subscription: Subscription) -> None:
        before = self.tree.version
        self.tree.add(subscriber, subscription)
        assert self.tree.version > before
        self.model[subscriber, subscription.topic_filter] = subscription

    @rule(subscriber=subscribers, topic_filter=any_filters)
    def remove(self, subscriber: int, topic_filter: str) -> None:
        was_there = self.model.pop((subscriber, topic_filter), None) is not None
        before = self.tree.version
        self.tree.remove(subscriber, topic_filter)
        assert not was_there or self.tree.version > before

    @rule(draw=st.data())
    def remove_one_that_is_there(self, draw: st.DataObject) -> None:
        if self.model:
            self.remove(*draw.draw(st.sampled_from(sorted(self.model))))

    @rule(name=names)
    def look(self, name: str) -> None:
        found = self.tree.match(name)
        assert plain(found) == expected(self.model, name)
        for group in found.groups:
            wanted = f"$share/{'/'.join(group.name)}"
            assert group.members == {who: each for (who, topic), each in self.model.items() if topic == wanted}
        for subscriber in range(4):
            own = {topic: each for (who, topic), each in self.model.items() if who == subscriber}
            target = own_target(subscriber, own, name)
            assert plain(Matches((target,) if target else (), (), {}))[0] == plain(found.only(subscriber))[0]

    @invariant()
    def the_tree_finds_what_matches_finds(self) -> None:
        for name in PROBES:
            self.look(name)

    @invariant()
    def nothing_remains_of_what_was_removed(self) -> None:
        assert self.tree.is_empty == (not self.model)
        if not self.model:
            assert not self.tree._groups

    def teardown(self) -> None:
        for subscriber, topic_filter in list(self.model):
            self.remove(subscriber, topic_filter)
        self.nothing_remains_of_what_was_removed()


TestTree = TreeAgainstPlainMatching.TestCase
TestTree.settings = settings(max_examples=50, stateful_step_count=30)


@given(st.data(), names)
def test_the_order_of_subscribing_does_not_count(draw: st.DataObject, name: str) -> None:
    one_each = st.dictionaries(st.tuples(subscribers, any_filters), st.integers(0, 2), max_size=8)
    wanted = [
        (subscriber, Subscription(topic_filter, qos, identifier=number))
        for number, ((subscriber, topic_filter), qos) in enumerate(draw.draw(one_each).items())
    ]
    found = []
    for order in (wanted, draw.draw(st.permutations(wanted))):
        tree: SubscriptionTree[int] = SubscriptionTree()
        for subscriber, subscription in order:
            tree.add(subscriber, subscription)
        found.append(plain(tree.match(name)))
    assert found[0] == found[1]


@given(st.integers(1, 6), st.integers(0, 60))
def test_the_messages_of_a_group_are_spread_evenly(member_count: int, message_count: int) -> None:
    group = group_of(*range(member_count))
    served: Counter[int] = Counter()
    for _ in range(message_count):
        member = next(group.in_turn()).subscriber
        group.served(member)
        served[member] += 1
    counts = [served[member] for member in range(member_count)]
    assert max(counts) - min(counts) <= 1


@given(st.lists(st.sets(st.integers(0, 4), min_size=1), max_size=30))
def test_whoever_of_those_who_can_has_waited_longest_is_first(able_each_time: list[set[int]]) -> None:
    group = group_of(*range(5))
    last_served = dict.fromkeys(range(5), -1)
    for now, able in enumerate(able_each_time):
        turns = [target.subscriber for target in group.in_turn()]
        assert sorted(turns) == list(range(5)), "everybody is asked"
        member = next(each for each in turns if each in able)
        assert last_served[member] == min(last_served[each] for each in able)
        group.served(member)
        last_served[member] = now


def test_members_have_their_own_terms_and_may_change_them() -> None:
    tree: SubscriptionTree[int] = SubscriptionTree()
    tree.add(1, Subscription("$share/g/a/+", 0, identifier=7))
    tree.add(2, Subscription("$share/g/a/+", 2))
    tree.add(1, Subscription("$share/g/a/+", 1, identifier=8))
    (group,) = tree.match("a/b").groups
    assert {target.subscriber: terms(target) for target in group.in_turn()} == {1: (1, False, [8]), 2: (2, False, [])}


def test_a_group_is_left_by_members_only() -> None:
    tree: SubscriptionTree[int] = SubscriptionTree()
    tree.add(1, Subscription("$share/g/a", 0))
    tree.remove(2, "$share/g/a")
    tree.remove(1, "$share/h/a")
    tree.remove(1, "a")
    assert [group.name for group in tree.match("a").groups] == [("g", "a")]
    tree.remove(1, "$share/g/a")
    assert tree.is_empty


@pytest.mark.parametrize("topic_filter", ["a/b", "a/+", "a/#", "#", "+/b", "+/+/#"])
def test_what_matches_is_found_and_what_does_not_is_not(topic_filter: str) -> None:
    tree: SubscriptionTree[str] = SubscriptionTree()
    tree.add("s", Subscription(topic_filter, 1))
    assert [target.subscriber for target in tree.match("a/b").targets] == ["s"]
    assert not tree.match("$a/c").targets


def group_of(*members: int) -> Group[int]:
    group: Group[int] = Group(("g", "t"))
    group.members = {member: Subscription("$share/g/t", 1) for member in members}
    return group
