"""MQTT 5.0, sections 1.5 and 2.2.2: properties that are malformed, repeated, or in the wrong packet."""

import pytest

from tests.conformance.site import Site
from tests.conformance.wire_format import (
    Connect,
    Kind,
    Name,
    Publish,
    Will,
    acknowledgement,
    authenticate,
    binary,
    disconnect,
    numbered,
    one_property,
    packet,
    property_field,
    subscribe,
    text,
    unsubscribe,
    varint,
)

MALFORMED, PROTOCOL_ERROR = 0x81, 0x82
EITHER = MALFORMED, PROTOCOL_ERROR


def connect(*properties: tuple[Name, int | str | bytes | tuple[str, str]]) -> bytes:
    return Connect(properties=properties).data


def willed(*properties: tuple[Name, int | str | bytes | tuple[str, str]]) -> bytes:
    return Connect(will=Will("gone", properties=properties)).data


def published(field: bytes) -> bytes:
    """A PUBLISH with any bytes for its properties."""
    return packet(Kind.PUBLISH, text("t") + field + b"x")


def connected(field: bytes) -> bytes:
    """A CONNECT with any bytes for its properties."""
    return packet(Kind.CONNECT, text("MQTT") + bytes([5, 2]) + numbered(0) + field + text("c"))


def sized(data: bytes) -> bytes:
    return varint(len(data)) + data


ONCE_IN_CONNECT = {
    Name.SESSION_EXPIRY: 1,
    Name.RECEIVE_MAXIMUM: 10,
    Name.MAXIMUM_PACKET_SIZE: 1_000,
    Name.TOPIC_ALIAS_MAXIMUM: 1,
    Name.REQUEST_RESPONSE_INFORMATION: 0,
    Name.REQUEST_PROBLEM_INFORMATION: 1,
}
ONCE_IN_MESSAGES: dict[Name, int | str | bytes] = {
    Name.PAYLOAD_FORMAT: 1,
    Name.MESSAGE_EXPIRY: 60,
    Name.CONTENT_TYPE: "none",
    Name.RESPONSE_TOPIC: "answer",
    Name.CORRELATION_DATA: b"1",
}
NOT_IN_CONNECT = (
    (Name.PAYLOAD_FORMAT, 0),
    (Name.SUBSCRIPTION_IDENTIFIER, 1),
    (Name.ASSIGNED_CLIENT_IDENTIFIER, "c"),
    (Name.SERVER_KEEP_ALIVE, 1),
    (Name.WILL_DELAY, 1),
    (Name.REASON_STRING, "because"),
    (Name.TOPIC_ALIAS, 1),
    (Name.MAXIMUM_QOS, 1),
    (Name.RETAIN_AVAILABLE, 1),
)

BAD_CONNECTS = {
    "receive maximum 0": connect((Name.RECEIVE_MAXIMUM, 0)),
    "maximum packet size 0": connect((Name.MAXIMUM_PACKET_SIZE, 0)),
    "request problem information 2": connect((Name.REQUEST_PROBLEM_INFORMATION, 2)),
    "request response information 2": connect((Name.REQUEST_RESPONSE_INFORMATION, 2)),
    "authentication data without a method": connect((Name.AUTHENTICATION_DATA, b"x")),
    "a will whose payload format is 2": willed((Name.PAYLOAD_FORMAT, 2)),
    "a will delay twice": willed((Name.WILL_DELAY, 1), (Name.WILL_DELAY, 1)),
    "a will with a topic alias": willed((Name.TOPIC_ALIAS, 1)),
    "a will with a session expiry": willed((Name.SESSION_EXPIRY, 1)),
    "a will whose response topic is not UTF-8": willed((Name.RESPONSE_TOPIC, "ZZ")).replace(b"ZZ", b"\xc3\x28"),
    "a will with a wildcard in its response topic": willed((Name.RESPONSE_TOPIC, "a/#")),
    "an unknown property": connected(sized(b"\x7f\x00")),
    "a property of two bytes": connected(sized(b"\x80\x01\x00")),
    "a property that ends too early": connected(sized(b"\x11\0\0")),
    "properties longer than the packet": packet(Kind.CONNECT, text("MQTT") + b"\x05\x02\0\0" + b"\x7f" + text("c")),
    "a length that is not in its shortest form": connected(b"\x80\x00"),
    "a length of five bytes": connected(b"\x80\x80\x80\x80\x00"),
    "a user property that is not UTF-8": connected(sized(b"\x26" + binary(b"\xff") + text("value"))),
    "a user property with half a pair": connected(sized(b"\x26" + text("name"))),
    **{f"{name.name} twice": connect((name, value), (name, value)) for name, value in ONCE_IN_CONNECT.items()},
    **{f"{name.name} in CONNECT": connect((name, value)) for name, value in NOT_IN_CONNECT},
    **{
        f"{name.name} twice in a will": willed((name, value), (name, value)) for name, value in ONCE_IN_MESSAGES.items()
    },
}


@pytest.mark.parametrize("data", BAD_CONNECTS.values(), ids=list(BAD_CONNECTS))
async def test_a_connect_with_bad_properties_is_refused(v5: Site, data: bytes) -> None:
    """[MQTT-3.1.4-1] [MQTT-4.13.1-1] [MQTT-1.5.7-1] [MQTT-1.5.5-1]"""
    await v5.refused(data, *EITHER, 0x8C, 0x90)


BAD_PACKETS = {
    "payload format 2": Publish("t", properties=((Name.PAYLOAD_FORMAT, 2),)).data(5),
    "a content type that is not UTF-8": published(sized(b"\x03" + binary(b"\xff"))),
    "a response topic that is not UTF-8": published(sized(b"\x08" + binary(b"\xed\xa0\x80"))),
    "a user property with a null character": published(sized(b"\x26" + text("a\0") + text("b"))),
    "a user property whose value is not UTF-8": published(sized(b"\x26" + text("a") + binary(b"\xc0\x80"))),
    "an unknown property": published(sized(b"\x04\x00")),
    "property 0": published(sized(b"\x00\x00")),
    "a property that ends too early": published(sized(b"\x02\0\0")),
    "properties longer than the packet": packet(Kind.PUBLISH, text("t") + b"\x40"),
    "no properties at all": packet(Kind.PUBLISH, text("t")),
    "a length that is not in its shortest form": published(b"\x80\x00"),
    "a length of five bytes": published(b"\x80\x80\x80\x80\x01"),
    "a session expiry in PUBLISH": published(sized(one_property(Name.SESSION_EXPIRY, 1))),
    "a will delay in PUBLISH": published(sized(one_property(Name.WILL_DELAY, 1))),
    "a reason string in PUBLISH": published(sized(one_property(Name.REASON_STRING, "because"))),
    "a subscription identifier in PUBLISH": published(sized(one_property(Name.SUBSCRIPTION_IDENTIFIER, 1))),
    "a topic alias twice": published(property_field([(Name.TOPIC_ALIAS, 1)] * 2)),
    "a content type in SUBSCRIBE": subscribe(1, 5, [("t", 0)], ((Name.CONTENT_TYPE, "none"),)),
    "a subscription identifier twice": subscribe(1, 5, [("t", 0)], ((Name.SUBSCRIPTION_IDENTIFIER, 1),) * 2),
    "subscription identifier 0": subscribe(1, 5, [("t", 0)], ((Name.SUBSCRIPTION_IDENTIFIER, 0),)),
    "a subscription identifier of five bytes": packet(
        Kind.SUBSCRIBE, numbered(1) + sized(b"\x0b\xff\xff\xff\xff\x7f") + text("t") + b"\0", 2
    ),
    "a subscription identifier in UNSUBSCRIBE": unsubscribe(1, 5, ["t"], ((Name.SUBSCRIPTION_IDENTIFIER, 1),)),
    "a session expiry in PUBACK": acknowledgement(Kind.PUBACK, 1, 0, ((Name.SESSION_EXPIRY, 1),)),
    "a reason string twice in PUBREL": acknowledgement(Kind.PUBREL, 1, 0, ((Name.REASON_STRING, "because"),) * 2),
    "a session expiry twice in DISCONNECT": disconnect(0, ((Name.SESSION_EXPIRY, 0),) * 2),
    "a content type in AUTH": authenticate(0x18, ((Name.CONTENT_TYPE, "none"),)),
    **{
        f"{name.name} twice": Publish("t", properties=((name, value),) * 2).data(5)
        for name, value in ONCE_IN_MESSAGES.items()
    },
}


@pytest.mark.parametrize("data", BAD_PACKETS.values(), ids=list(BAD_PACKETS))
async def test_a_packet_with_bad_properties_ends_the_connection(v5: Site, data: bytes) -> None:
    """[MQTT-4.13.1-1] [MQTT-1.5.5-1] [MQTT-1.5.7-1] [MQTT-2.2.2-1] [MQTT-3.3.4-6] [MQTT-3.3.2-19] [MQTT-3.3.2-13]"""
    await v5.violates(data, *EITHER)


async def test_the_largest_lengths_of_each_form_are_read(v5: Site) -> None:
    """[MQTT-1.5.5-1]: property lengths of one, two and three bytes, at their borders."""
    wire = await v5.client()
    await wire.subscribe(("t", 0))
    for length in (127, 128, 16_383, 16_384):
        value = "v" * (length - 5 - 1)
        properties = ((Name.USER_PROPERTY, ("n", value)),)
        assert len(property_field(properties)) == length + len(varint(length))
        await wire.send(Publish("t", properties=properties))
        assert (await wire.receive()).all_of(Name.USER_PROPERTY) == [("n", value)]


async def test_user_properties_may_repeat_everywhere(v5: Site) -> None:
    """[MQTT-1.5.7-1]: section 2.2.2.2, in each packet that a client sends."""
    twice = ((Name.USER_PROPERTY, ("name", "1")), (Name.USER_PROPERTY, ("name", "2")))
    will = Will("gone", properties=twice)
    wire = await v5.client(properties=twice, will=will)
    assert await wire.subscribe(("t", 2), properties=twice) == (2,)
    await wire.send(unsubscribe(9, 5, ["t"], twice))
    assert (await wire.expect(Kind.UNSUBACK)).number == 9
    await wire.send(Publish("t", b"x", 2, number=1, properties=twice))
    await wire.expect(Kind.PUBREC)
    await wire.send(acknowledgement(Kind.PUBREL, 1, 0, twice))
    await wire.expect(Kind.PUBCOMP)
    await wire.leave(0, twice)


async def test_properties_come_in_any_order(v5: Site) -> None:
    """[MQTT-4.13.1-1]: the order of different properties means nothing (section 2.2.2.2)."""
    wire = await v5.client()
    await wire.subscribe(("t", 0))
    properties = tuple(ONCE_IN_MESSAGES.items())
    for some in (properties, properties[::-1]):
        await wire.send(Publish("t", properties=some))
        received = await wire.receive()
        assert received.value_of(Name.CONTENT_TYPE) == "none"
        assert received.value_of(Name.CORRELATION_DATA) == b"1"
