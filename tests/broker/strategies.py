"""What Hypothesis draws for MQTT: names, filters and packets."""

from hypothesis import strategies as st

from broker.packets import (
    Connack,
    Connect,
    Disconnect,
    Packet,
    Pingreq,
    Pingresp,
    Puback,
    Publish,
    ReturnCode,
    Suback,
    Subscribe,
    Unsuback,
    Unsubscribe,
    Will,
)

texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
payloads = st.binary(max_size=200)
qualities = st.integers(0, 2)
packet_ids = st.integers(1, 65_535)

# Few different levels, so that names and filters meet often.
_levels = st.sampled_from(["", "a", "b", "$x"])
names = st.lists(_levels, min_size=1, max_size=4).map("/".join).filter(bool)
filters = st.builds(
    lambda levels, rest: "/".join(levels + rest),
    st.lists(_levels | st.just("+"), max_size=4),
    st.sampled_from([[], ["#"]]),
).filter(bool)

wills = st.builds(Will, texts, payloads, qualities, st.booleans())


def _connect(client_id: str, will: Will | None, username: str | None, password: bytes | None) -> Connect:
    return Connect(
        4, client_id, len(client_id) % 2 == 0, len(client_id) * 1_000, will, username, password if username else None
    )


def _publish(topic: str, payload: bytes, qos: int, retain: bool, duplicate: bool, packet_id: int) -> Publish:
    return Publish(topic, payload, qos, retain, duplicate and qos > 0, packet_id if qos else 0)


publishes = st.builds(_publish, texts, payloads, qualities, st.booleans(), st.booleans(), packet_ids)

packets: st.SearchStrategy[Packet] = st.one_of(
    publishes,
    st.builds(_connect, texts, st.none() | wills, st.none() | texts, st.none() | payloads),
    st.builds(Connack, st.booleans(), st.sampled_from(ReturnCode)),
    st.builds(Puback, packet_ids),
    st.builds(Subscribe, packet_ids, st.lists(st.tuples(texts, qualities), min_size=1, max_size=4).map(tuple)),
    st.builds(Suback, packet_ids, st.lists(st.sampled_from([0, 1, 2, 0x80]), max_size=4).map(tuple)),
    st.builds(Unsubscribe, packet_ids, st.lists(texts, min_size=1, max_size=4).map(tuple)),
    st.builds(Unsuback, packet_ids),
    st.just(Pingreq()),
    st.just(Pingresp()),
    st.just(Disconnect()),
)
