"""What a message weighs."""

from hypothesis import given
from hypothesis import strategies as st

from broker.codec import encode
from broker.message import Message
from broker.packets import V4, V5, Properties, Publish

texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=40)
properties = st.builds(
    Properties,
    content_type=st.none() | texts,
    response_topic=st.none() | texts,
    correlation_data=st.none() | st.binary(max_size=300),
    user_properties=st.lists(st.tuples(texts, texts), max_size=5).map(tuple),
)
FRAME_BYTES = 5 + 2 + 2 + 5 + 3 * 3
"""Fixed header, topic length, identifier, length of the properties, and what stands before three of them."""
PAIR_BYTES = 5


def message(topic: str, payload: bytes, properties: Properties) -> Message:
    return Message(1, "c", "c", topic, payload, 1, retain=False, arrived_at=1, properties=properties)


@given(texts.filter(bool), st.binary(max_size=2_000), properties)
def test_its_size_is_that_on_the_wire_within_the_bytes_around_its_fields(
    topic: str, payload: bytes, properties: Properties
) -> None:
    size = message(topic, payload, properties).size_bytes
    wire = len(encode(Publish(topic, payload, 1, packet_id=1, properties=properties), V5))
    assert size <= wire <= size + FRAME_BYTES + PAIR_BYTES * len(properties.user_properties)


@given(texts.filter(bool), st.binary(max_size=2_000))
def test_without_properties_it_is_topic_and_payload(topic: str, payload: bytes) -> None:
    size = message(topic, payload, Properties()).size_bytes
    assert size == len(topic.encode()) + len(payload)
    assert size < len(encode(Publish(topic, payload), V4))
