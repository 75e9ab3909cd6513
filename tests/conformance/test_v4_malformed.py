"""MQTT 3.1.1, sections 1.5, 2, 3.1 and 4.8: bytes after which a server closes the connection without a word."""

import pytest

from tests.conformance.site import Site
from tests.conformance.wire_format import (
    Connect,
    Kind,
    Publish,
    Will,
    acknowledgement,
    binary,
    numbered,
    packet,
    text,
)

NAME = text("MQTT")
CONNECT = Connect("c", 4).data


def connect(flags: int, payload: bytes, name: bytes = NAME) -> bytes:
    """A CONNECT of level 4 with any flags and payload."""
    return packet(Kind.CONNECT, name + bytes([4, flags]) + numbered(60) + payload)


# A CONNECT that does not conform is closed without a CONNACK [MQTT-3.1.4-1].
BAD_CONNECTS = {
    "MQTT-3.1.0-1 the first packet is PINGREQ": packet(Kind.PINGREQ),
    "MQTT-3.1.0-1 the first packet is PUBLISH": Publish("t").data(4),
    "MQTT-3.1.0-1 the first packet is DISCONNECT": packet(Kind.DISCONNECT),
    "MQTT-3.1.2-1 another protocol name": connect(2, text("c"), text("MQTX")),
    "MQTT-3.1.2-1 the protocol name in small letters": connect(2, text("c"), text("mqtt")),
    "MQTT-3.1.2-1 an empty protocol name": connect(2, text("c"), text("")),
    "MQTT-3.1.2-3 the reserved flag": connect(3, text("c")),
    "MQTT-2.2.2-2 flags of CONNECT": b"\x11" + CONNECT[1:],
    "MQTT-3.1.2-9 a will without topic and message": connect(0x06, text("c")),
    "MQTT-3.1.2-9 a will without message": connect(0x06, text("c") + text("t")),
    "MQTT-3.1.2-11 a will without its flag": connect(0x02, text("c") + text("t") + binary(b"x")),
    "MQTT-3.1.2-13 will QoS without will flag": connect(0x0A, text("c")),
    "MQTT-3.1.2-14 will QoS 3": connect(0x1E, text("c") + text("t") + binary(b"x")),
    "MQTT-3.1.2-15 will retain without will flag": connect(0x22, text("c")),
    "MQTT-3.1.2-18 a user name without its flag": connect(0x02, text("c") + text("user")),
    "MQTT-3.1.2-19 no user name but its flag": connect(0x82, text("c")),
    "MQTT-3.1.2-20 a password without its flag": connect(0x82, text("c") + text("user") + binary(b"x")),
    "MQTT-3.1.2-21 no password but its flag": connect(0xC2, text("c") + text("user")),
    "MQTT-3.1.2-22 a password without a user name": connect(0x42, text("c") + binary(b"x")),
    "MQTT-3.1.3-3 no client identifier": connect(2, b""),
    "MQTT-3.1.3-4 a client identifier that is not UTF-8": connect(2, binary(b"\xff")),
    "MQTT-1.5.3-2 a client identifier with a null character": connect(2, text("a\0b")),
    "MQTT-3.1.3-10 a will topic that is not UTF-8": connect(6, text("c") + binary(b"\xc3\x28") + binary(b"x")),
    "MQTT-4.7.1-1 a will topic with a wildcard": Connect("c", 4, will=Will("a/#")).data,
    "MQTT-4.7.3-1 an empty will topic": Connect("c", 4, will=Will("")).data,
    "MQTT-3.1.3-11 a user name that is not UTF-8": connect(0x82, text("c") + binary(b"\xed\xa0\x80")),
    "MQTT-3.1.4-1 bytes after the payload": connect(2, text("c") + b"\0"),
    "MQTT-3.1.4-1 a CONNECT of no bytes": packet(Kind.CONNECT),
    "MQTT-3.1.4-1 a field longer than the packet": connect(2, b"\0\x05c"),
}


@pytest.mark.parametrize("data", BAD_CONNECTS.values(), ids=list(BAD_CONNECTS))
async def test_a_malformed_connect_is_closed_without_connack(v4: Site, data: bytes) -> None:
    """[MQTT-3.1.4-1] [MQTT-3.2.2-6]"""
    wire = await v4.knock()
    await wire.send(data)
    await wire.expect_closed()


@pytest.mark.parametrize("level", [0, 1, 2, 6, 99, 255])
async def test_another_level_is_refused(v4: Site, level: int) -> None:
    """[MQTT-3.1.2-2]: with code 1, or in the words of MQTT 5, which a level above 5 may understand."""
    wire = await v4.knock(5)
    await wire.send(packet(Kind.CONNECT, NAME + bytes([level, 2]) + numbered(0) + text("c")))
    assert (await wire.expect(Kind.CONNACK)).code in {0x01, 0x84}
    await wire.expect_closed()


@pytest.mark.parametrize("username", [None, "somebody"])
async def test_names_and_passwords_are_read_in_their_order(v4: Site, username: str | None) -> None:
    """[MQTT-3.1.3-1] [MQTT-3.1.2-19] [MQTT-3.1.2-21]"""
    password = b"\0secret" if username else None
    witness = await v4.client("witness")
    await witness.subscribe(("gone/#", 1))
    will = Will("gone/c", b"\xff", 1)
    wire = await v4.attempt(Connect("c", 4, will=will, username=username, password=password))
    assert wire.connack.code == 0
    wire.abort()
    assert (await witness.take()).message == ("gone/c", b"\xff", 1, False)


UNICODE = {
    "a lonely continuation": b"\x80",
    "a truncated sequence": b"a\xe2\x82",
    "an overlong slash": b"\xc0\xaf",
    "an overlong null": b"\xc0\x80",
    "a surrogate": b"\xed\xa0\x80",
    "a pair of surrogates": b"\xed\xa0\xbd\xed\xb8\x80",
    "beyond U+10FFFF": b"\xf4\x90\x80\x80",
    "a byte that never occurs": b"\xfe",
}


@pytest.mark.parametrize("name", UNICODE.values(), ids=list(UNICODE))
async def test_a_topic_that_is_not_utf_8_closes_the_connection(v4: Site, name: bytes) -> None:
    """[MQTT-1.5.3-1] [MQTT-3.3.2-1]"""
    await v4.violates(packet(Kind.PUBLISH, binary(name) + b"x"))


VIOLATIONS = {
    "MQTT-3.1.0-2 a second CONNECT": CONNECT,
    "MQTT-1.5.3-2 a null character": Publish("a\0b").data(4),
    "MQTT-2.2.2-2 flags of PINGREQ": bytes.fromhex("c1 00"),
    "MQTT-2.2.2-2 flags of PUBACK": bytes.fromhex("41 02 0001"),
    "MQTT-2.3.1-1 packet identifier 0": Publish("t", qos=1, number=0).data(4),
    "MQTT-3.3.1-2 DUP at QoS 0": Publish("t", duplicate=True).data(4),
    "MQTT-3.3.1-4 QoS 3": packet(Kind.PUBLISH, text("t") + numbered(1), 6),
    "MQTT-3.3.2-2 a topic with #": Publish("a/#").data(4),
    "MQTT-3.3.2-2 a topic with +": Publish("a/+/b").data(4),
    "MQTT-4.7.1-1 a topic with # inside a level": Publish("a#b").data(4),
    "MQTT-4.7.3-1 an empty topic": Publish("").data(4),
    "MQTT-3.14.1-1 flags of DISCONNECT": bytes.fromhex("e1 00"),
    "MQTT-4.8.0-1 DISCONNECT with a body": bytes.fromhex("e0 01 00"),
    "MQTT-4.8.0-1 PINGREQ with a body": bytes.fromhex("c0 01 00"),
    "MQTT-4.8.0-1 packet type 0": bytes.fromhex("00 00"),
    "MQTT-4.8.0-1 packet type 15": bytes.fromhex("f0 00"),
    "MQTT-4.8.0-1 CONNACK from a client": bytes.fromhex("20 02 00 00"),
    "MQTT-4.8.0-1 SUBACK from a client": bytes.fromhex("90 03 0001 00"),
    "MQTT-4.8.0-1 UNSUBACK from a client": bytes.fromhex("b0 02 0001"),
    "MQTT-4.8.0-1 PINGRESP from a client": bytes.fromhex("d0 00"),
    "MQTT-4.8.0-1 PUBACK with a reason code": acknowledgement(Kind.PUBACK, 1, 0),
    "MQTT-4.8.0-1 PUBACK of one byte": bytes.fromhex("40 01 00"),
    "MQTT-4.8.0-1 PUBLISH of no bytes": bytes.fromhex("30 00"),
    "MQTT-4.8.0-1 a topic longer than the packet": bytes.fromhex("30 03 0002 74"),
    "MQTT-4.8.0-1 no identifier at QoS 1": bytes.fromhex("32 03 0001 74"),
    "MQTT-4.8.0-1 a remaining length of five bytes": bytes.fromhex("30 80 80 80 80 01"),
}


@pytest.mark.parametrize("data", VIOLATIONS.values(), ids=list(VIOLATIONS))
async def test_a_violation_closes_the_connection(v4: Site, data: bytes) -> None:
    """[MQTT-4.8.0-1]"""
    await v4.violates(data)


async def test_packets_may_come_a_byte_at_a_time(v4: Site) -> None:
    """[MQTT-7.1.1-1]: the transport is a stream of bytes, whose pieces mean nothing."""
    wire = await v4.client()
    await wire.subscribe(("t", 1))
    for byte in Publish("t", b"piecemeal", 1, number=3).data(4):
        await wire.send(bytes([byte]))
    assert (await wire.pick(Kind.PUBACK)).number == 3
    assert (await wire.take()).payload == b"piecemeal"


@pytest.mark.parametrize("size", [0, 1, 120, 125, 127, 128, 16_381, 16_384, 40_000])
async def test_a_payload_of_any_length_passes_unchanged(v4: Site, size: int) -> None:
    """[MQTT-3.3.4-1]: every form of the remaining length (section 2.2.3)."""
    wire = await v4.client()
    await wire.subscribe(("t", 1))
    payload = bytes(number % 251 for number in range(size))
    await wire.publish("t", payload, 1)
    assert (await wire.take()).message == ("t", payload, 1, False)
