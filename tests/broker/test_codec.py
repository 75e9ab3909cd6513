"""Laws of streams and packets, for both versions and both directions."""

import sys
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.codec import LARGEST_REMAINING_LENGTH, Decoder, encode
from broker.errors import FramingError
from broker.packets import V4, V5, Auth, Connect, Packet, Pingreq, Pingresp, Properties, Publish
from broker.reason_codes import ReasonCode
from tests.broker.strategies import client_packets, connects, levels, server_packets

PUBLISH = Publish("sensors/pump-001/telemetry", bytes(500), 1, packet_id=7)

# What comes over one connection: first the CONNECT, which says the version of all that follows.
conversations = levels.flatmap(
    lambda level: st.tuples(connects(level), st.lists(client_packets(level), max_size=6)).map(
        lambda parts: [parts[0], *parts[1]]
    )
)


def encoded(packets: list[Packet]) -> bytes:
    assert isinstance(packets[0], Connect)
    level = packets[0].protocol_level
    return b"".join(encode(packet, level) for packet in packets)


def decoded(data: bytes, decoder: Decoder | None = None) -> tuple[list[Packet], ReasonCode | None]:
    decoder = decoder or Decoder()
    found = decoder.feed(data)
    return found, decoder.failure.code if decoder.failure else None


@given(conversations)
def test_a_server_decodes_what_a_client_encoded(sent: list[Packet]) -> None:
    assert decoded(encoded(sent)) == (sent, None)


@given(st.data(), levels)
def test_a_client_decodes_what_a_server_encoded(draw: st.DataObject, level: int) -> None:
    sent = draw.draw(st.lists(server_packets(level), max_size=6))
    stream = b"".join(encode(packet, level) for packet in sent)
    assert decoded(stream, Decoder(protocol_level=level)) == (sent, None)


@given(conversations, st.data())
def test_however_a_stream_is_sliced_the_same_packets_come_out(sent: list[Packet], draw: st.DataObject) -> None:
    stream = encoded(sent)
    cuts = draw.draw(st.lists(st.integers(0, len(stream)), max_size=12).map(sorted))
    decoder = Decoder()
    found = [packet for start, end in pairwise([0, *cuts, len(stream)]) for packet in decoder.feed(stream[start:end])]
    assert (found, decoder.failure) == (sent, None)


@given(conversations)
def test_a_stream_may_come_byte_by_byte(sent: list[Packet]) -> None:
    decoder = Decoder()
    assert [found for byte in encoded(sent) for found in decoder.feed(bytes((byte,)))] == sent


@given(levels, st.data())
def test_a_publish_is_read_alike_whatever_came_before(level: int, draw: st.DataObject) -> None:
    topics = st.sampled_from(["a", "b", "ab"])
    sizes = st.sampled_from([0, 1, 130])
    publishes = st.builds(
        lambda topic, size, qos, packet_id: Publish(topic, bytes(size), qos, packet_id=packet_id if qos else 0),
        topics,
        sizes,
        st.integers(0, 2),
        st.sampled_from([1, 0x0100, 0xFFFF]),
    )
    sent = draw.draw(st.lists(publishes, max_size=12))
    assert decoded(b"".join(encode(one, level) for one in sent), Decoder(protocol_level=level)) == (sent, None)


# Bytes that begin like a packet, so that the search gets past the first byte.
nearly_packets = st.builds(
    lambda first, body, cut: bytes((first, max(0, len(body) - cut))) + body,
    st.sampled_from([*range(0x10, 0x100, 0x10), 0x31, 0x32, 0x34, 0x3D, 0x62, 0x82, 0xA2]) | st.integers(0, 255),
    st.binary(max_size=60)
    | st.binary(max_size=40).map(lambda rest: b"\0\4MQTT\4" + rest)
    | st.binary(max_size=40).map(lambda rest: b"\0\4MQTT\5" + rest)
    | st.binary(max_size=40).map(lambda rest: b"\0\1" + rest)
    | st.binary(max_size=40).map(lambda rest: b"\0\1\0" + bytes((len(rest),)) + rest),
    st.integers(0, 2),
)


@given(st.lists(nearly_packets | st.binary(max_size=20), max_size=4).map(b"".join), levels)
def test_no_bytes_raise_and_what_is_decoded_can_be_encoded(data: bytes, level: int) -> None:
    decoder = Decoder(protocol_level=level)
    for packet in decoder.feed(data):
        encode(packet, V5 if isinstance(packet, Auth) else level)
    if decoder.failure is not None:
        assert decoder.failure.reason
        assert decoder.feed(encode(Pingreq())) == []


@given(levels, st.data(), st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=3))
def test_no_changed_byte_raises(level: int, draw: st.DataObject, changes: list[tuple[int, int]]) -> None:
    stream = bytearray(encode(draw.draw(client_packets(level) | server_packets(level) | connects(level)), level))
    for place, byte in changes:
        stream[place % len(stream)] = byte
    whole, sliced = Decoder(protocol_level=level), Decoder(protocol_level=level)
    found = whole.feed(bytes(stream))
    half = len(stream) // 2
    assert sliced.feed(bytes(stream[:half])) + sliced.feed(bytes(stream[half:])) == found
    assert str(sliced.failure) == str(whole.failure)


@given(st.lists(nearly_packets, max_size=4).map(b"".join), st.integers(0, 300), levels)
def test_slicing_changes_neither_the_packets_nor_the_failure(data: bytes, cut: int, level: int) -> None:
    whole, sliced = Decoder(protocol_level=level), Decoder(protocol_level=level)
    found = whole.feed(data)
    assert sliced.feed(data[:cut]) + sliced.feed(data[cut:]) == found
    assert str(sliced.failure) == str(whole.failure)


@pytest.mark.parametrize("size", [0, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152])
def test_the_length_of_a_packet_takes_one_to_four_bytes(size: int) -> None:
    packet = Publish("", b"\1" * (size - 2) if size else b"")
    assert decoded(encode(packet)) == ([packet], None)


@pytest.mark.parametrize("length", ["8000", "808000", "80808000"])
def test_a_length_may_have_more_bytes_than_it_needs(length: str) -> None:
    assert decoded(bytes.fromhex("c0" + length)) == ([Pingreq()], None)


def test_a_packet_before_the_fault_is_still_given() -> None:
    assert decoded(encode(Pingreq()) + b"\xd1\x00") == ([Pingreq()], ReasonCode.MALFORMED_PACKET)


def test_a_packet_that_is_too_large_is_refused_by_its_header() -> None:
    claim = bytes.fromhex("30 ff ff ff 7f")
    assert decoded(claim, Decoder(packet_limit_bytes=1_000)) == ([], ReasonCode.PACKET_TOO_LARGE)
    assert decoded(bytes.fromhex("30 e9 07"), Decoder(1_000)) == ([], ReasonCode.PACKET_TOO_LARGE)
    assert decoded(bytes.fromhex("30 e8 07"), Decoder(1_000)) == ([], None)


def test_a_length_of_five_bytes_is_malformed() -> None:
    decoder = Decoder()
    assert decoded(bytes.fromhex("30 ff ff ff ff 01"), decoder) == ([], ReasonCode.MALFORMED_PACKET)
    assert isinstance(decoder.failure, FramingError)


def test_the_first_packet_has_a_limit_of_its_own() -> None:
    assert decoded(encode(PUBLISH), Decoder(1_000, 100)) == ([], ReasonCode.PACKET_TOO_LARGE)
    first = encode(Connect(V4, "c", clean_start=True, keep_alive_s=0))
    packets, failure = decoded(first + encode(PUBLISH), Decoder(1_000, 100))
    assert (packets[1:], failure) == ([PUBLISH], None)


def test_a_packet_that_drips_in_takes_the_memory_of_its_bytes_only() -> None:
    decoder = Decoder()
    stream = encode(Publish("t", bytes(100_000)))
    for position in range(0, len(stream) - 2, 2):
        decoder.feed(stream[position : position + 2])
    assert sum(sys.getsizeof(getattr(decoder, name)) for name in Decoder.__slots__) < 2 * len(stream)


def test_a_topic_that_comes_again_is_the_same_object() -> None:
    publishes = decoded(encode(PUBLISH) * 3 + encode(Publish(PUBLISH.topic, b"short")))[0]
    topics = {id(packet.topic) for packet in publishes if isinstance(packet, Publish)}
    assert (len(publishes), len(topics)) == (4, 1)


def test_a_repeated_publish_is_judged_like_the_first() -> None:
    without_identifier = encode(PUBLISH).replace(b"telemetry\0\7", b"telemetry\0\0")
    assert decoded(encode(PUBLISH) * 2 + without_identifier) == ([PUBLISH] * 2, ReasonCode.PROTOCOL_ERROR)
    packets, failure = decoded(encode(PUBLISH, V5) * 3, Decoder(protocol_level=V5))
    assert (packets, failure) == ([PUBLISH] * 3, None)


def test_a_repeated_publish_may_have_properties() -> None:
    aliased = Publish(PUBLISH.topic, PUBLISH.payload[3:], 1, packet_id=7, properties=Properties(topic_alias=1))
    sent = [PUBLISH, PUBLISH, PUBLISH, aliased, PUBLISH]
    stream = b"".join(encode(packet, V5) for packet in sent)
    assert decoded(stream, Decoder(protocol_level=V5)) == (sent, None)


def test_a_publish_that_was_whole_in_one_version_may_be_short_in_the_other() -> None:
    connects = [encode(Connect(level, "c", clean_start=True, keep_alive_s=0)) for level in (V4, V5)]
    empty = encode(Publish("t", b"", 1, packet_id=7))
    assert decoded(connects[0] + 3 * empty + connects[1] + empty)[1] is ReasonCode.MALFORMED_PACKET


@pytest.mark.parametrize("level", [V4, V5])
def test_the_decoder_speaks_the_version_of_the_connect(level: int) -> None:
    decoder = Decoder()
    decoder.feed(encode(Connect(level, "c", clean_start=True, keep_alive_s=0)))
    assert decoder.protocol_level == level


def test_the_version_of_a_broken_connect_is_known() -> None:
    decoder = Decoder()
    decoder.feed(bytes.fromhex("10 0a 0004 4d515454 05 02 003c"))
    assert (decoder.failure is not None, decoder.protocol_level) == (True, V5)


@pytest.mark.parametrize("first", ["20 02 0000", "90 03 0001 00", "b0 02 0001", "d0 00", "20 00"])
def test_a_server_refuses_what_only_servers_send(first: str) -> None:
    connect = Connect(V4, "c", clean_start=True, keep_alive_s=0)
    found, failure = decoded(encode(connect) + bytes.fromhex(first))
    assert (found, failure) == ([connect], ReasonCode.PROTOCOL_ERROR)
    assert decoded(encode(Pingresp())) == ([Pingresp()], None)


def test_a_client_may_not_send_a_subscription_identifier() -> None:
    connect = encode(Connect(V5, "c", clean_start=True, keep_alive_s=0))
    publish = bytes.fromhex("30 06 0001 74 02 0b 01")
    assert decoded(connect + publish)[1] is ReasonCode.PROTOCOL_ERROR
    assert decoded(publish, Decoder(protocol_level=V5))[1] is None


def test_the_longest_packet_is_what_four_bytes_can_say() -> None:
    assert LARGEST_REMAINING_LENGTH == 128**4 - 1
