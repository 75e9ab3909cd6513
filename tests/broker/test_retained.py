"""What is retained is the newest message of each topic, within its bounds."""

from hypothesis import given
from hypothesis import strategies as st

from broker.limits import Limits
from broker.packets import Publish
from broker.retained import RetainedMessages
from broker.topics import matches
from tests.broker.strategies import filters, names

LIMITS = Limits(retained_messages=3, retained_bytes=10)
messages = st.builds(Publish, names, st.binary(max_size=6))


@given(st.lists(messages, max_size=30))
def test_the_bounds_are_kept_and_the_count_of_bytes_is_true(published: list[Publish]) -> None:
    retained = RetainedMessages(LIMITS)
    refused = 0
    for message in published:
        refused += not retained.keep(message)
        kept = [*retained.matching("#"), *retained.matching("$x/#")]
        assert len(kept) == len(retained) <= LIMITS.retained_messages
        assert sum(len(message.payload) for message in kept) == retained.stored_bytes <= LIMITS.retained_bytes
        assert all(message.payload for message in kept)
    assert retained.refused_count == refused


@given(st.lists(messages, max_size=30), filters)
def test_a_filter_finds_the_newest_message_of_each_topic_it_matches(
    published: list[Publish], topic_filter: str
) -> None:
    retained = RetainedMessages(Limits())
    newest: dict[str, Publish] = {}
    for message in published:
        assert retained.keep(message)
        newest[message.topic] = message
    expected = [message for topic, message in newest.items() if message.payload and matches(topic_filter, topic)]
    found = list(retained.matching(topic_filter))
    assert len(found) == len(set(found))
    assert sorted(found, key=str) == sorted(expected, key=str)


def test_what_finds_no_room_leaves_what_was_there() -> None:
    retained = RetainedMessages(LIMITS)
    assert retained.keep(Publish("a", b"12345678"))
    assert not retained.keep(Publish("a", b"12345678901"))
    assert not retained.keep(Publish("b", b"123"))
    assert retained.keep(Publish("b", b"12"))
    assert {message.payload for message in retained.matching("+")} == {b"12345678", b"12"}
    assert retained.keep(Publish("c", b"")), "clearing what is not there always works"
    assert retained.keep(Publish("a", b"1"))
    assert retained.keep(Publish("c", b"1"))
    assert not retained.keep(Publish("d", b"1"))
    assert retained.keep(Publish("a", b"2")), "a topic that is there takes no more room"


@given(st.lists(messages, max_size=30))
def test_nothing_remains_of_what_was_cleared(published: list[Publish]) -> None:
    retained = RetainedMessages(Limits())
    for message in published:
        retained.keep(message)
    for message in published:
        retained.keep(Publish(message.topic, b""))
    assert (len(retained), retained.stored_bytes, retained._root.below) == (0, 0, {})
