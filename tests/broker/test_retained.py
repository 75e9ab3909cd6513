"""What is retained is the newest message of each topic, within its bounds."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from broker.limits import Limits
from broker.message import Message
from broker.packets import Properties
from broker.retained import STALE_LIMIT, RetainedMessages
from broker.topics import matches
from tests.broker.parts import message
from tests.broker.strategies import filters, names

LIMITS = Limits(retained_messages=6, retained_bytes=40, retained_per_client=3)
NOW = 1_000
expiries = st.none() | st.integers(NOW - 3, NOW + 3)
payloads = st.binary(max_size=6)
principals = st.sampled_from(["p", "q"])


class RetainedAgainstADictionary(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.retained = RetainedMessages(LIMITS)
        self.model: dict[str, Message] = {}
        self.refused_count = 0

    @rule(topic=names, payload=payloads, principal=principals, is_owner=st.booleans(), expires_at=expiries)
    def keep(self, topic: str, payload: bytes, principal: str, is_owner: bool, expires_at: int | None) -> None:
        published = message(
            topic, payload, principal=principal, client_id="" if is_owner else "c", expires_at=expires_at
        )
        after = self.model | {topic: published}
        if not payload:
            assert self.retained.keep(published) is None
            self.model.pop(topic, None)
        elif fits(after, self.model, published):
            assert self.retained.keep(published) is None
            self.model = after
        else:
            assert self.retained.keep(published)
            self.refused_count += 1

    @rule(draw=st.data())
    def clear_one_that_is_there(self, draw: st.DataObject) -> None:
        if self.model:
            topic = draw.draw(st.sampled_from(sorted(self.model)))
            self.keep(topic, b"", "p", is_owner=False, expires_at=None)

    @rule(topic_filter=filters, now=st.integers(NOW - 5, NOW + 5))
    def look(self, topic_filter: str, now: int) -> None:
        alive = [each for each in self.model.values() if each.expires_at is None or each.expires_at > now]
        found = list(self.retained.matching(topic_filter, now))
        assert sorted(found, key=str) == sorted([each for each in alive if matches(topic_filter, each.topic)], key=str)

    @rule(now=st.integers(NOW - 5, NOW + 5))
    def let_expire(self, now: int) -> None:
        gone = [each for each in self.model.values() if each.expires_at is not None and each.expires_at <= now]
        assert sorted(self.retained.expired(now), key=str) == sorted(gone, key=str)
        for each in gone:
            del self.model[each.topic]
        assert not self.retained.expired(now)

    @invariant()
    def what_is_counted_is_there(self) -> None:
        assert len(self.retained) == len(self.model) <= LIMITS.retained_messages
        assert self.retained.stored_bytes == sum(each.size_bytes for each in self.model.values())
        assert self.retained.stored_bytes <= LIMITS.retained_bytes
        assert self.retained._count_of == Counter(each.principal for each in self.model.values())
        assert self.retained.refused_count == self.refused_count

    def teardown(self) -> None:
        for topic in list(self.model):
            self.keep(topic, b"", "p", is_owner=False, expires_at=None)
        self.what_is_counted_is_there()
        assert not self.retained._count_of
        assert not self.retained._root.below


def fits(after: dict[str, Message], before: dict[str, Message], published: Message) -> bool:
    of_client = [each for each in after.values() if each.principal == published.principal]
    old = before.get(published.topic)
    is_more = old is None or old.principal != published.principal
    return (
        len(after) <= LIMITS.retained_messages
        and sum(each.size_bytes for each in after.values()) <= LIMITS.retained_bytes
        and (not is_more or not published.client_id or len(of_client) <= LIMITS.retained_per_client)
    )


TestRetained = RetainedAgainstADictionary.TestCase
TestRetained.settings = settings(max_examples=60, stateful_step_count=30)


@given(st.lists(st.tuples(names, payloads), max_size=30), filters)
def test_a_filter_finds_the_newest_message_of_each_topic_it_matches(
    published: list[tuple[str, bytes]], topic_filter: str
) -> None:
    retained = RetainedMessages(Limits())
    newest: dict[str, Message] = {}
    for topic, payload in published:
        newest[topic] = message(topic, payload)
        assert retained.keep(newest[topic]) is None
    expected = [each for topic, each in newest.items() if each.payload and matches(topic_filter, topic)]
    found = list(retained.matching(topic_filter, NOW))
    assert len(found) == len({each.topic for each in found})
    assert sorted(found, key=str) == sorted(expected, key=str)


def test_what_finds_no_room_leaves_what_was_there() -> None:
    retained = RetainedMessages(Limits(retained_messages=3, retained_bytes=12))
    assert retained.keep(message("a", b"12345678")) is None
    assert "12 bytes" in (retained.keep(message("a", b"123456789012")) or "")
    assert retained.keep(message("b", b"123"))
    assert retained.keep(message("b", b"12")) is None
    assert {each.payload for each in retained.matching("+", NOW)} == {b"12345678", b"12"}
    assert retained.keep(message("c", b"")) is None, "clearing what is not there always works"
    assert retained.keep(message("a", b"1")) is None
    assert retained.keep(message("c", b"1")) is None
    assert "3 messages" in (retained.keep(message("d", b"1")) or "")
    assert retained.keep(message("a", b"2")) is None, "a topic that is there takes no more room"


def test_one_client_does_not_take_the_place_of_all_others() -> None:
    retained = RetainedMessages(Limits(retained_per_client=1))
    assert retained.keep(message("a", b"1", principal="p")) is None
    assert "1 messages" in (retained.keep(message("b", b"1", principal="p")) or "")
    assert retained.keep(message("a", b"2", principal="p")) is None
    assert retained.keep(message("b", b"1", principal="q")) is None
    assert retained.keep(message("a", b"3", principal="q")), "taking over a topic is one more, too"
    assert retained.keep(message("b", b"", principal="p")) is None, "whoever may publish there may clear it"
    assert retained.keep(message("a", b"3", principal="q")) is None
    assert retained.keep(message("b", b"1", principal="p")) is None


@pytest.mark.parametrize("cleared", ["a", "a/b", "a/b/c"])
def test_what_is_cleared_leaves_what_is_above_and_below_it(cleared: str) -> None:
    retained, topics = RetainedMessages(Limits()), {"a", "a/b", "a/b/c"}
    for topic in topics:
        retained.keep(message(topic, b"1"))
    retained.keep(message(cleared, b""))
    assert {each.topic for each in retained.matching("#", NOW)} == topics - {cleared}


@pytest.mark.parametrize(
    "properties",
    [
        Properties(correlation_data=b"12345678"),
        Properties(content_type="text/xä"),
        Properties(response_topic="a/b/c/de"),
        Properties(user_properties=(("12", "34"), ("5", "678"))),
    ],
)
def test_properties_take_room_too(properties: Properties) -> None:
    retained = RetainedMessages(Limits(retained_bytes=10))
    assert retained.keep(message("a", b"12", properties=properties))
    assert retained.keep(message("a", b"1", properties=properties)) is None
    assert retained.stored_bytes == 10


def test_a_topic_that_is_written_for_ever_leaves_few_notes_of_when_it_expires() -> None:
    retained = RetainedMessages(Limits())
    for number in range(1_000):
        assert retained.keep(message("a", b"x", expires_at=NOW + number)) is None
        assert len(retained._due) <= 2 * len(retained) + STALE_LIMIT
    assert not retained.expired(NOW + 998)
    assert [each.topic for each in retained.expired(NOW + 999)] == ["a"]
