"""The bytes that packets become, by the examples of the specification, and what does not fit."""

import pytest
from hypothesis import given

from broker.codec import LARGEST_REMAINING_LENGTH
from broker.encode import PINGRESP, encode, encode_puback, publish_bytes, publish_head
from broker.packets import (
    V4,
    V5,
    Auth,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Pingresp,
    Properties,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Suback,
    Subscribe,
    Subscription,
    Unsuback,
    Unsubscribe,
    Will,
)
from broker.properties import encode_properties
from tests.broker.strategies import levels, publishes_of

WHY = Properties(reason_string="w")


@given(publishes_of(V5, of_client=False), levels)
def test_the_parts_of_a_publish_give_the_same_bytes(publish: Publish, level: int) -> None:
    first = 0x30 | publish.duplicate << 3 | publish.qos << 1 | publish.retain
    properties = encode_properties(publish.properties) if level == V5 else b""
    parts = publish_bytes(first, publish.topic.encode(), publish.packet_id, properties, publish.payload)
    assert parts == encode(publish, level)
    rest = publish.packet_id.to_bytes(2, "big") * (publish.qos > 0) + properties + publish.payload
    assert publish_head(first, publish.topic.encode(), len(rest)) + rest == parts


EXAMPLES_OF_4: list[tuple[Packet, str]] = [
    (Connect(V4, "", clean_start=True, keep_alive_s=60), "10 0c 0004 4d515454 04 02 003c 0000"),
    (
        Connect(V4, "c", False, 1, Will("t", b"w", 1, retain=True), "u", b"p"),
        "10 19 0004 4d515454 04 ec 0001 0001 63 0001 74 0001 77 0001 75 0001 70",
    ),
    (Connack(True, 0), "20 02 01 00"),
    (Publish("a/b", b"", 1, packet_id=10), "32 07 0003 612f62 000a"),
    (Publish("a/b", b"x", 2, retain=True, duplicate=True, packet_id=10), "3d 08 0003 612f62 000a 78"),
    (Puback(1, 0x10, WHY), "40 02 0001"),
    (Pubrec(1), "50 02 0001"),
    (Pubrel(1), "62 02 0001"),
    (Pubcomp(1), "70 02 0001"),
    (Subscribe(10, (Subscription("a/b", 1), Subscription("c/d", 2))), "82 0e 000a 0003 612f62 01 0003 632f64 02"),
    (Suback(10, (0, 2, 0x80)), "90 05 000a 00 02 80"),
    (Unsubscribe(10, ("a/b",)), "a2 07 000a 0003 612f62"),
    (Unsuback(10, (0,), WHY), "b0 02 000a"),
    (Disconnect(4, WHY), "e0 00"),
]
EXAMPLES_OF_5: list[tuple[Packet, str]] = [
    (Connect(V5, "", clean_start=True, keep_alive_s=60), "10 0d 0004 4d515454 05 02 003c 00 0000"),
    (
        Connect(V5, "", True, 0, Will("t", b"w", 0, False, Properties(will_delay_s=1)), None, b"p"),
        "10 1c 0004 4d515454 05 46 0000 00 0000 05 1800000001 0001 74 0001 77 0001 70",
    ),
    (
        Connack(False, 0, Properties(topic_alias_maximum=10, maximum_packet_bytes=2_000_000, receive_maximum=20)),
        "20 0e 00 00 0b 22000a 27001e8480 210014",
    ),
    (Publish("t", b"x"), "30 05 0001 74 00 78"),
    (Puback(1), "40 02 0001"),
    (Puback(1, 0x10), "40 03 0001 10"),
    (Pubrec(1, 0, WHY), "50 08 0001 00 04 1f0001 77"),
    (Pubrel(1, 0x92), "62 03 0001 92"),
    (Pubcomp(1), "70 02 0001"),
    (
        Subscribe(10, (Subscription("t", 1, no_local=True, retain_as_published=True, retain_handling=2),)),
        "82 07 000a 00 0001 74 2d",
    ),
    (Suback(10, (0x87,)), "90 04 000a 00 87"),
    (Unsubscribe(10, ("t",)), "a2 06 000a 00 0001 74"),
    (Unsuback(10, (0, 0x11)), "b0 05 000a 00 00 11"),
    (Disconnect(), "e0 00"),
    (Disconnect(0x8E), "e0 01 8e"),
    (Disconnect(0, WHY), "e0 06 00 04 1f0001 77"),
    (Auth(), "f0 00"),
]


@pytest.mark.parametrize(("packet", "data"), EXAMPLES_OF_4, ids=lambda value: type(value).__name__)
def test_examples_of_3_1_1_without_reasons_and_properties(packet: Packet, data: str) -> None:
    assert encode(packet) == bytes.fromhex(data)


@pytest.mark.parametrize(("packet", "data"), EXAMPLES_OF_5, ids=lambda value: type(value).__name__)
def test_examples_of_5_leave_out_what_says_nothing(packet: Packet, data: str) -> None:
    assert encode(packet, V5) == bytes.fromhex(data)


def test_the_two_packets_that_are_always_the_same() -> None:
    assert encode(Pingresp()) == PINGRESP
    assert encode_puback(258) == encode(Puback(258)) == bytes.fromhex("40 02 0102")


@pytest.mark.parametrize(
    "packet",
    [
        Puback(65_536),
        Publish("t" * 65_536, b""),
        Publish("t", bytes(500), qos=1, packet_id=70_000),
        Publish("t", b"", qos=1),
        Publish("t", bytes(LARGEST_REMAINING_LENGTH)),
        Publish("\ud800", b""),
        Publish("t", b"", properties=Properties(topic_alias=65_536)),
        Suback(1, (256,)),
        Connect(V5, "c", clean_start=True, keep_alive_s=65_536),
        Packet(),
    ],
    ids=lambda packet: type(packet).__name__,
)
def test_what_does_not_fit_on_the_wire_is_not_encoded(packet: Packet) -> None:
    with pytest.raises(ValueError, match=r".+"):
        encode(packet, V5)


def test_auth_is_no_packet_of_3_1_1() -> None:
    with pytest.raises(ValueError, match="AUTH"):
        encode(Auth())


def test_a_first_byte_that_is_none_is_not_encoded() -> None:
    for payload in (b"", bytes(200)):
        with pytest.raises(ValueError, match=r".+"):
            publish_bytes(256, b"t", 0, b"", payload)
