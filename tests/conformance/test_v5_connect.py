"""MQTT 5.0, sections 3.1 and 3.2: how a connection begins."""

import asyncio

import pytest

from tests.conformance.site import Site
from tests.conformance.wire_format import (
    PINGREQ,
    Connect,
    Kind,
    Name,
    Publish,
    Will,
    binary,
    numbered,
    packet,
    property_field,
    subscribe,
    text,
)

MALFORMED, PROTOCOL_ERROR, UNSUPPORTED_VERSION = 0x81, 0x82, 0x84
INVALID_IDENTIFIER, NOT_AUTHORIZED, TOPIC_NAME_INVALID = 0x85, 0x87, 0x90
KEEP_ALIVE_TIMEOUT, TAKEN_OVER = 0x8D, 0x8E
NAME = text("MQTT")
NO_PROPERTIES = property_field()


def connect(flags: int, payload: bytes, name: bytes = NAME, level: int = 5) -> bytes:
    """A CONNECT with any flags and payload, and without properties."""
    return packet(Kind.CONNECT, name + bytes([level, flags]) + numbered(60) + NO_PROPERTIES + payload)


BAD_CONNECTS = {
    "MQTT-2.1.3-1 flags of CONNECT": b"\x11" + Connect().data[1:],
    "MQTT-3.1.2-1 another protocol name": connect(2, text("c"), text("MQTX")),
    "MQTT-3.1.2-3 the reserved flag": connect(3, text("c")),
    "MQTT-3.1.2-9 a will without anything": connect(0x06, text("c")),
    "MQTT-3.1.2-9 a will without its properties": connect(0x06, text("c") + text("t") + binary(b"x")),
    "MQTT-3.1.2-9 a will without its payload": connect(0x06, text("c") + NO_PROPERTIES + text("t")),
    "MQTT-3.1.2-11 will QoS without will flag": connect(0x0A, text("c")),
    "MQTT-3.1.2-12 will QoS 3": connect(0x1E, text("c") + NO_PROPERTIES + text("t") + binary(b"x")),
    "MQTT-3.1.2-13 will retain without will flag": connect(0x22, text("c")),
    "MQTT-3.1.2-16 a user name without its flag": connect(0x02, text("c") + text("user")),
    "MQTT-3.1.2-17 no user name but its flag": connect(0x82, text("c")),
    "MQTT-3.1.2-18 a password without its flag": connect(0x82, text("c") + text("user") + binary(b"x")),
    "MQTT-3.1.2-19 no password but its flag": connect(0xC2, text("c") + text("user")),
    "MQTT-3.1.3-3 no client identifier": connect(2, b""),
    "MQTT-3.1.3-4 a client identifier that is not UTF-8": connect(2, binary(b"\xff")),
    "MQTT-3.1.3-11 a will topic that is not UTF-8": Connect(will=Will("TOPIC")).data.replace(b"TOPIC", b"TO\xc3\x28C"),
    "MQTT-3.1.3-12 a user name that is not UTF-8": connect(0x82, text("c") + binary(b"\xed\xa0\x80")),
    "MQTT-1.5.4-2 a client identifier with a null character": connect(2, text("a\0b")),
    "MQTT-4.7.0-1 a will topic with a wildcard": Connect(will=Will("a/#")).data,
    "MQTT-4.7.3-1 an empty will topic": Connect(will=Will("")).data,
    "MQTT-3.1.4-1 bytes after the payload": connect(2, text("c") + b"\0"),
    "MQTT-3.1.4-1 a field longer than the packet": connect(2, b"\0\x05c"),
    "MQTT-3.1.4-1 a CONNECT of no bytes": packet(Kind.CONNECT),
}


@pytest.mark.parametrize("data", BAD_CONNECTS.values(), ids=list(BAD_CONNECTS))
async def test_a_malformed_connect_is_refused_and_closed(v5: Site, data: bytes) -> None:
    """[MQTT-3.1.4-1] [MQTT-3.2.2-7] [MQTT-4.13.1-1]"""
    codes = MALFORMED, PROTOCOL_ERROR, UNSUPPORTED_VERSION, INVALID_IDENTIFIER, TOPIC_NAME_INVALID
    await v5.refused(data, *codes)


@pytest.mark.parametrize("kind", [Kind.PINGREQ, Kind.DISCONNECT, Kind.AUTH, Kind.PUBLISH, Kind.SUBSCRIBE])
async def test_before_connect_nothing_is_said_but_the_connection_closed(v5: Site, kind: Kind) -> None:
    """[MQTT-3.1.0-1] [MQTT-3.14.0-1]"""
    wire = await v5.knock()
    first = {Kind.PUBLISH: Publish("t").data(5), Kind.SUBSCRIBE: subscribe(1, 5, [("t", 0)])}.get(kind, packet(kind))
    await wire.send(first)
    assert await wire.until_closed() == []
    await v5.refused(first + Connect().data, MALFORMED, PROTOCOL_ERROR)


async def test_a_second_connect_is_a_protocol_error(v5: Site) -> None:
    """[MQTT-3.1.0-2] [MQTT-3.2.0-2]"""
    await v5.violates(Connect("violator").data, PROTOCOL_ERROR)


@pytest.mark.parametrize("level", [0, 1, 6, 7, 255])
async def test_another_level_is_refused(v5: Site, level: int) -> None:
    """[MQTT-3.1.2-2]: with 0x84, or in the words of MQTT 3.1.1."""
    wire = await v5.knock()
    await wire.send(connect(2, text("c"), level=level))
    connack = await wire.expect(Kind.CONNACK)
    assert connack.code in {0x01, UNSUPPORTED_VERSION}
    assert not connack.session_present
    await wire.expect_closed()


async def test_a_password_needs_no_user_name(v5: Site) -> None:
    """[MQTT-3.1.2-19]: unlike 3.1.1 (section 3.1.2.9)."""
    wire = await v5.attempt(Connect(password=b"\0secret"))
    assert wire.connack.code == 0


async def test_all_fields_are_read_in_their_order(v5: Site) -> None:
    """[MQTT-3.1.3-1] [MQTT-3.1.2-17] [MQTT-3.1.2-7]"""
    witness = await v5.client("witness")
    await witness.subscribe(("gone/#", 1))
    will = Will("gone/c", b"\xff", 1, properties=((Name.CONTENT_TYPE, "none"),))
    wire = await v5.attempt(Connect(will=will, username="somebody", password=b"\xff"))
    assert wire.connack.code == 0
    wire.abort()
    message = await witness.take()
    assert message.message == ("gone/c", b"\xff", 1, False)
    assert message.value_of(Name.CONTENT_TYPE) == "none"


@pytest.mark.parametrize("client_id", ["0", "abcdefghijklmnopqrstuvw", "ABCDEFGHIJKLMNOPQRSTUVW", "0123456789XYZxyz"])
async def test_an_ordinary_client_identifier_is_accepted_and_kept(v5: Site, client_id: str) -> None:
    """[MQTT-3.1.3-5] [MQTT-3.1.3-2]"""
    wire = await v5.client(client_id)
    assert wire.connack.value_of(Name.ASSIGNED_CLIENT_IDENTIFIER) is None


async def test_a_client_identifier_that_the_server_does_not_take_is_refused(v5: Site) -> None:
    """[MQTT-3.1.3-8] [MQTT-3.2.2-7]"""
    wire = await v5.attempt(Connect("x" * 60_000))
    if wire.connack.code != 0:
        assert wire.connack.code == INVALID_IDENTIFIER
        await wire.expect_closed()


@pytest.mark.parametrize("clean", [False, True])
async def test_clients_without_an_identifier_are_told_theirs(v5: Site, clean: bool) -> None:
    """[MQTT-3.1.3-6] [MQTT-3.1.3-7] [MQTT-3.2.2-16]"""
    keep = ((Name.SESSION_EXPIRY, 60),)
    wires = [await v5.client("", clean=clean, properties=keep) for _ in range(3)]
    assert not any(wire.connack.session_present for wire in wires)
    assigned = [wire.connack.value_of(Name.ASSIGNED_CLIENT_IDENTIFIER) for wire in wires]
    assert len(set(assigned)) == 3
    name = assigned[-1]
    assert isinstance(name, str)
    assert name
    await wires[-1].leave()
    assert (await v5.client(name, clean=False)).connack.session_present


async def test_connack_says_that_the_connection_is_accepted(v5: Site) -> None:
    """[MQTT-3.1.4-5] [MQTT-3.2.0-1] [MQTT-3.2.0-2] [MQTT-3.2.2-1] [MQTT-3.2.2-8]"""
    wire = await v5.knock()
    await wire.send(Connect().data, PINGREQ, subscribe(1, 5, [("t", 0)]))
    assert (await wire.expect(Kind.CONNACK)).code == 0
    await wire.expect(Kind.PINGRESP)
    await wire.expect(Kind.SUBACK)
    await wire.expect_nothing()


async def test_everything_that_is_offered_is_not_denied(v5: Site) -> None:
    """[MQTT-3.2.2-9]: QoS 2, retained messages, wildcards, identifiers and sharing: none of them is said to be 0."""
    connack = (await v5.client()).connack
    for name in (
        Name.RETAIN_AVAILABLE,
        Name.WILDCARDS_AVAILABLE,
        Name.SUBSCRIPTION_IDENTIFIERS_AVAILABLE,
        Name.SHARED_SUBSCRIPTIONS_AVAILABLE,
    ):
        assert connack.value_of(name) in {None, 1}
    assert connack.value_of(Name.MAXIMUM_QOS) is None


@pytest.mark.parametrize("asked", [None, 0])
async def test_response_information_is_not_sent_unasked(v5: Site, asked: int | None) -> None:
    """[MQTT-3.1.2-28]"""
    properties = () if asked is None else ((Name.REQUEST_RESPONSE_INFORMATION, asked),)
    wire = await v5.client(properties=properties)
    assert wire.connack.value_of(Name.RESPONSE_INFORMATION) is None


async def test_a_server_without_authentication_exchange_names_no_method(v5: Site) -> None:
    """[MQTT-4.12.0-6]"""
    wire = await v5.client()
    assert wire.connack.value_of(Name.AUTHENTICATION_METHOD) is None
    await wire.expect_nothing()


async def test_the_older_connection_is_told_that_it_was_taken_over(v5: Site) -> None:
    """[MQTT-3.1.4-3] [MQTT-4.13.2-1]"""
    old = await v5.client()
    new = await v5.client()
    await old.expect_closed(TAKEN_OVER)
    await new.ping()


async def test_a_refused_client_has_no_session_and_nothing_of_it_is_processed(v5: Site) -> None:
    """[MQTT-3.1.4-2] [MQTT-3.1.4-6] [MQTT-3.2.2-6] [MQTT-3.2.2-7]"""
    v5.deny_client("c")
    witness = await v5.client("witness")
    await witness.subscribe(("#", 0))
    wire = await v5.knock()
    await wire.send(Connect(will=Will("gone")).data, Publish("t"))
    connack = await wire.expect(Kind.CONNACK)
    assert (connack.code, connack.session_present) == (NOT_AUTHORIZED, False)
    await wire.expect_closed()
    await witness.expect_nothing()


async def test_a_silent_client_is_let_go_after_one_and_a_half_keep_alives(v5: Site) -> None:
    """[MQTT-3.1.2-22] [MQTT-3.2.2-22]: as if the network had failed, so the will is published."""
    witness = await v5.client("witness")
    await witness.subscribe(("gone", 0))
    wire = await v5.client(keep_alive_s=1, will=Will("gone"))
    assert wire.connack.value_of(Name.SERVER_KEEP_ALIVE) in {None, 1}
    begun_at = asyncio.get_running_loop().time()
    await wire.expect_closed(KEEP_ALIVE_TIMEOUT)
    silent_s = asyncio.get_running_loop().time() - begun_at
    assert 1.0 < silent_s < 5.0
    assert (await witness.receive()).message == ("gone", b"gone", 0, False)


async def test_a_ping_is_answered(v5: Site) -> None:
    """[MQTT-3.12.4-1]"""
    wire = await v5.client()
    await wire.send(PINGREQ, PINGREQ)
    await wire.expect(Kind.PINGRESP)
    await wire.expect(Kind.PINGRESP)
