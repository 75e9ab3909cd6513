"""Laws of bytes and packets, then the single bytes that decide."""

import sys
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.codec import LARGEST_REMAINING_LENGTH, PINGRESP, Decoder, encode, encode_puback
from broker.packets import (
    Connect,
    Packet,
    Pingreq,
    Pingresp,
    Puback,
    Publish,
    Suback,
    Subscribe,
    Unsuback,
    Unsubscribe,
    Will,
)
from broker.reason_codes import ReasonCode
from tests.broker.strategies import packets

CONNECT = bytes.fromhex("10 0c 0004 4d515454 04 02 003c 0000")


def decoded(data: bytes, decoder: Decoder | None = None) -> tuple[list[Packet], ReasonCode | None]:
    decoder = decoder or Decoder()
    found = decoder.feed(data)
    return found, decoder.failure.code if decoder.failure else None


@given(packets)
def test_decoding_what_was_encoded_gives_the_same_packet(packet: Packet) -> None:
    assert decoded(encode(packet)) == ([packet], None)


@given(st.lists(packets, max_size=6), st.data())
def test_however_a_stream_is_sliced_the_same_packets_come_out(sent: list[Packet], draw: st.DataObject) -> None:
    stream = b"".join(map(encode, sent))
    cuts = draw.draw(st.lists(st.integers(0, len(stream)), max_size=12).map(sorted))
    decoder = Decoder()
    found = [packet for start, end in pairwise([0, *cuts, len(stream)]) for packet in decoder.feed(stream[start:end])]
    assert (found, decoder.failure) == (sent, None)


@given(packets)
def test_a_stream_may_come_byte_by_byte(packet: Packet) -> None:
    decoder = Decoder()
    assert [found for byte in encode(packet) for found in decoder.feed(bytes((byte,)))] == [packet]


# Bytes that begin like a packet, so that the search gets past the first byte.
nearly_packets = st.builds(
    lambda first, body, cut: bytes((first, max(0, len(body) - cut))) + body,
    st.sampled_from([0x10, 0x20, 0x30, 0x31, 0x32, 0x3D, 0x40, 0x82, 0x90, 0xA2, 0xB0, 0xC0, 0xD0, 0xE0])
    | st.integers(0, 255),
    st.binary(max_size=60)
    | st.binary(max_size=40).map(lambda rest: b"\0\4MQTT\4" + rest)
    | st.binary(max_size=40).map(lambda rest: b"\0\1" + rest),
    st.integers(0, 2),
)


@given(st.lists(nearly_packets | st.binary(max_size=20), max_size=4).map(b"".join))
def test_no_bytes_raise_and_what_is_decoded_can_be_encoded(data: bytes) -> None:
    decoder = Decoder()
    for packet in decoder.feed(data):
        encode(packet)
    if decoder.failure is not None:
        assert decoder.failure.reason
        assert decoder.feed(encode(Pingreq())) == []


@given(st.lists(nearly_packets, max_size=4).map(b"".join), st.integers(0, 300))
def test_slicing_changes_neither_the_packets_nor_the_failure(data: bytes, cut: int) -> None:
    whole, sliced = Decoder(), Decoder()
    found = whole.feed(data)
    assert sliced.feed(data[:cut]) + sliced.feed(data[cut:]) == found
    assert str(sliced.failure) == str(whole.failure)


@pytest.mark.parametrize("size", [0, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152])
def test_the_length_of_a_packet_takes_one_to_four_bytes(size: int) -> None:
    packet = Publish("", b"\1" * (size - 2) if size else b"")
    assert decoded(encode(packet)) == ([packet], None)


def test_a_packet_before_the_fault_is_still_given() -> None:
    assert decoded(encode(Pingreq()) + b"\x00\x00") == ([Pingreq()], ReasonCode.MALFORMED_PACKET)


def test_a_packet_that_is_too_large_is_refused_by_its_header() -> None:
    claim = bytes.fromhex("30 ff ff ff 7f")
    assert decoded(claim, Decoder(packet_limit_bytes=1_000)) == ([], ReasonCode.PACKET_TOO_LARGE)
    assert decoded(bytes.fromhex("30 e9 07"), Decoder(1_000)) == ([], ReasonCode.PACKET_TOO_LARGE)
    assert decoded(bytes.fromhex("30 e8 07"), Decoder(1_000)) == ([], None)


def test_the_first_packet_has_a_limit_of_its_own() -> None:
    large = Publish("t", bytes(500))
    assert decoded(encode(large), Decoder(1_000, 100)) == ([], ReasonCode.PACKET_TOO_LARGE)
    first = encode(Connect(4, "c", clean_session=True, keep_alive_s=0))
    packets, failure = decoded(first + encode(large), Decoder(1_000, 100))
    assert (packets[1:], failure) == ([large], None)


def test_a_packet_that_drips_in_takes_the_memory_of_its_bytes_only() -> None:
    decoder = Decoder()
    stream = encode(Publish("t", bytes(100_000)))
    for position in range(0, len(stream) - 2, 2):
        decoder.feed(stream[position : position + 2])
    assert sum(sys.getsizeof(getattr(decoder, name)) for name in Decoder.__slots__) < 2 * len(stream)


BROKEN = {
    "five bytes of length": "30 ff ff ff ff 01",
    "packet type 0": "00 00",
    "packet type 15": "f0 00",
    "QoS 3": "36 07 0001 74 0001 78 78",
    "DUP at QoS 0": "38 03 0001 74",
    "packet identifier 0": "32 05 0001 74 0000",
    "PUBLISH without a topic": "30 01 00",
    "PUBLISH shorter than its topic": "30 03 0002 74",
    "PUBLISH that ends in its packet identifier": "32 04 0001 74 01",
    "invalid UTF-8": "30 03 0001 ff",
    "a surrogate in UTF-8": "30 05 0003 eda080",
    "a null character": "30 03 0001 00",
    "CONNECT with its reserved flag": "10 0c 0004 4d515454 04 03 003c 0000",
    "CONNECT of another protocol": "10 0c 0004 4d515455 04 02 003c 0000",
    "CONNECT of level 4 by the name of level 3": "10 0e 0006 4d5149736470 04 02 003c 0000",
    "CONNECT that ends early": "10 0b 0004 4d515454 04 02 003c 00",
    "CONNECT that goes on": "10 0d 0004 4d515454 04 02 003c 0000 00",
    "will QoS without a will": "10 0c 0004 4d515454 04 0a 003c 0000",
    "will retain without a will": "10 0c 0004 4d515454 04 22 003c 0000",
    "will QoS 3": "10 12 0004 4d515454 04 1e 003c 0000 0001 74 0001 78",
    "a password but no username": "10 0f 0004 4d515454 04 42 003c 0000 0001 78",
    "SUBSCRIBE with flags 0": "80 06 0001 0001 74 00",
    "SUBSCRIBE without filters": "82 02 0001",
    "SUBSCRIBE that asks for QoS 3": "82 06 0001 0001 74 03",
    "SUBSCRIBE with packet identifier 0": "82 06 0000 0001 74 00",
    "UNSUBSCRIBE with flags 0": "a0 05 0001 0001 74",
    "UNSUBSCRIBE without filters": "a2 02 0001",
    "PUBACK with flags": "42 02 0001",
    "PUBACK that goes on": "40 03 0001 00",
    "PINGREQ with a body": "c0 01 00",
    "DISCONNECT with flags": "e1 00",
    "CONNACK with reserved flags": "20 02 02 00",
    "CONNACK with an unknown return code": "20 02 00 06",
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=list(BROKEN))
def test_a_broken_packet_is_malformed(data: str) -> None:
    assert decoded(bytes.fromhex(data)) == ([], ReasonCode.MALFORMED_PACKET)


@pytest.mark.parametrize(
    ("data", "level"),
    [("10 0c 0004 4d515454 05 02 003c 0000", 5), ("10 0e 0006 4d5149736470 03 02 003c 0000", 3)],
)
def test_connect_of_another_version_says_only_its_level(data: str, level: int) -> None:
    packets, failure = decoded(bytes.fromhex(data))
    assert (packets, failure) == ([Connect(level, "", clean_session=True, keep_alive_s=0)], None)


def test_examples_of_the_specification() -> None:
    assert encode(Connect(4, "", clean_session=True, keep_alive_s=60)) == CONNECT
    will = Connect(4, "c", False, 1, Will("t", b"w", 1, retain=True), "u", b"p")
    assert encode(will)[9] == 0b1110_1100
    assert encode(Publish("a/b", b"", 1, packet_id=10)) == bytes.fromhex("32 07 0003 612f62 000a")
    assert encode(Subscribe(10, (("a/b", 1), ("c/d", 2)))) == bytes.fromhex("82 0e 000a 0003 612f62 01 0003 632f64 02")
    assert encode(Suback(10, (0, 2, 0x80))) == bytes.fromhex("90 05 000a 00 02 80")
    assert encode(Unsubscribe(10, ("a/b",))) == bytes.fromhex("a2 07 000a 0003 612f62")
    assert encode(Unsuback(10)) == bytes.fromhex("b0 02 000a")
    assert encode(Pingresp()) == PINGRESP
    assert encode_puback(258) == bytes.fromhex("40 02 0102")


@pytest.mark.parametrize(
    "packet",
    [
        Puback(65_536),
        Publish("t" * 65_536, b""),
        Publish("t", b"", qos=1, packet_id=70_000),
        Publish("t", bytes(LARGEST_REMAINING_LENGTH)),
        Suback(1, (256,)),
        Packet(),
    ],
    ids=lambda packet: type(packet).__name__,
)
def test_what_does_not_fit_on_the_wire_is_not_encoded(packet: Packet) -> None:
    with pytest.raises(ValueError, match=r".+"):
        encode(packet)
