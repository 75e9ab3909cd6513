"""How messages are written for one connection, read back as its client would."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.codec import Decoder
from broker.encode import encode
from broker.outgoing import LONGEST_REASON_BYTES, Outgoing
from broker.packets import NO_PROPERTIES, V4, V5, Connack, Disconnect, Properties, Puback, Publish, Suback
from tests.broker.parts import message
from tests.broker.strategies import names, properties_of, texts

QOS_1 = 0x32
properties = properties_of(Publish)


class Reader:
    """A client of MQTT 5: it knows topics by the aliases that it was told [MQTT-3.3.2-7]."""

    def __init__(self, alias_limit: int) -> None:
        self.alias_limit = alias_limit
        self.aliases: dict[int, str] = {}
        self._decoder = Decoder(protocol_level=V5)

    def read(self, data: bytes) -> tuple[str, Publish]:
        (packet,) = self._decoder.feed(data)
        assert isinstance(packet, Publish)
        alias = packet.properties.topic_alias
        if alias is None:
            assert packet.topic
            return packet.topic, packet
        assert 1 <= alias <= self.alias_limit
        if packet.topic:
            assert packet.topic not in self.aliases.values(), "one alias for one topic"
            self.aliases[alias] = packet.topic
        return self.aliases[alias], packet


published = st.lists(st.tuples(names, st.binary(max_size=8), st.booleans()), max_size=30)


@given(published, st.integers(0, 3), st.none() | st.integers(8, 20))
def test_whoever_knows_the_aliases_reads_the_topics_that_were_published(
    published: list[tuple[str, bytes, bool]], alias_limit: int, packet_limit: int | None
) -> None:
    outgoing, reader = Outgoing(V5, alias_limit, packet_limit), Reader(alias_limit)
    plain = Outgoing(V5)
    for topic, payload, may_alias in published:
        data = outgoing.publish_bytes(message(topic, payload), QOS_1, 7, 0, may_alias=may_alias)
        whole = plain.publish_bytes(message(topic, payload), QOS_1, 7, 0)
        assert whole is not None
        if data is None:
            assert packet_limit is not None
            assert len(whole) > packet_limit, "what fits is never kept from a client"
            continue
        assert packet_limit is None or len(data) <= packet_limit
        name, packet = reader.read(data)
        assert (name, packet.payload, packet.qos, packet.packet_id) == (topic, payload, 1, 7)
        if not may_alias:
            assert data == whole


def test_a_topic_that_comes_again_is_not_written_again() -> None:
    outgoing = Outgoing(V5, alias_limit=1)
    first, second, third = (outgoing.publish_bytes(message(topic), 0x30, 0, 0) or b"" for topic in ("abc", "abc", "de"))
    assert b"abc" in first
    assert b"abc" not in second
    assert Decoder(protocol_level=V5).feed(third) == [Publish("de", b"")]


def test_an_alias_that_was_never_told_is_given_to_the_next_topic() -> None:
    outgoing, reader = Outgoing(V5, alias_limit=1, packet_limit=20), Reader(1)
    assert outgoing.publish_bytes(message("abc", bytes(20)), 0x30, 0, 0) is None
    data = outgoing.publish_bytes(message("de"), 0x30, 0, 0)
    assert data is not None
    assert reader.read(data)[0] == "de"
    assert reader.aliases == {1: "de"}


def test_a_message_that_only_an_alias_makes_too_long_goes_without() -> None:
    size = len(Outgoing(V5).publish_bytes(message("abcd"), 0x30, 0, 0) or b"")
    outgoing = Outgoing(V5, alias_limit=1, packet_limit=size)
    for _ in range(2):
        assert Decoder(protocol_level=V5).feed(outgoing.publish_bytes(message("abcd"), 0x30, 0, 0) or b"") == [
            Publish("abcd", b"")
        ]
    smaller = Outgoing(V5, alias_limit=1, packet_limit=size - 1)
    assert smaller.publish_bytes(message("abcd"), 0x30, 0, 0) is None


@given(names, st.binary(max_size=8), properties, st.integers(1, 5_000), st.lists(st.integers(1, 9), max_size=2))
def test_a_client_of_311_gets_no_properties(
    topic: str, payload: bytes, properties: Properties, expires_at: int, identifiers: list[int]
) -> None:
    written = message(topic, payload, properties=properties, expires_at=expires_at)
    data = Outgoing(V4, alias_limit=3).publish_bytes(written, QOS_1, 7, 0, tuple(identifiers))
    assert Decoder().feed(data or b"") == [Publish(topic, payload, 1, packet_id=7)]


def test_time_that_is_left_and_identifiers_go_along() -> None:
    data = Outgoing(V5).publish_bytes(message("t", expires_at=2_001), 0x30, 0, 1_000, (5, 6))
    (packet,) = Decoder(protocol_level=V5).feed(data or b"")
    assert packet == Publish("t", b"", properties=Properties(message_expiry_s=2, subscription_identifiers=(5, 6)))


@pytest.mark.parametrize(
    ("outgoing", "is_plain"),
    [(Outgoing(), True), (Outgoing(V5), True), (Outgoing(V5, alias_limit=1), False), (Outgoing(V5, 0, 100), False)],
)
def test_only_what_nobody_asked_for_specially_is_plain(outgoing: Outgoing, is_plain: bool) -> None:
    assert outgoing.is_plain == is_plain


@given(texts | st.just("ä" * 300), st.none() | st.integers(1, 400))
def test_a_reason_fits_into_every_packet_that_has_one(text: str, packet_limit: int | None) -> None:
    reason = Outgoing(V5, packet_limit=packet_limit).reason(text)
    told = reason.reason_string
    if told is None:
        assert packet_limit is not None
        return
    assert text.startswith(told)
    assert len(told.encode()) <= LONGEST_REASON_BYTES
    if packet_limit is None:
        assert len(told) == min(len(text), 128), "as much as there is room for"
    else:
        for packet in (Puback(1, 0x87, reason), Disconnect(0x87, reason), Connack(False, 0x87, reason)):
            assert len(encode(packet, V5)) <= packet_limit


@given(texts | st.just("ä" * 300), st.integers(1, 400), st.integers(1, 300))
def test_a_reason_fits_beside_many_codes(text: str, packet_limit: int, code_count: int) -> None:
    reason = Outgoing(V5, packet_limit=packet_limit).reason(text, code_count)
    if reason is not NO_PROPERTIES:
        assert len(encode(Suback(1, (0x87,) * code_count, reason), V5)) <= packet_limit


def test_a_client_of_311_is_told_no_reason() -> None:
    assert Outgoing(V4).reason("because") is NO_PROPERTIES


def test_an_alias_that_was_told_stays_when_a_message_is_too_large() -> None:
    outgoing, reader = Outgoing(V5, alias_limit=3, packet_limit=20), Reader(3)
    for topic, payload in (("a", b""), ("b", b""), ("a", bytes(50)), ("c", b""), ("b", b""), ("a", b"")):
        data = outgoing.publish_bytes(message(topic, payload), QOS_1, 7, 0)
        if data is not None:
            assert reader.read(data)[0] == topic
    assert outgoing.publish_bytes(message("a", bytes(50)), QOS_1, 7, 0) is None
