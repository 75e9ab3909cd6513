"""MQTT 5.0, sections 3.15 and 4.12: a server that offers no exchange of proofs says so."""

import pytest

from tests.conformance.site import Site
from tests.conformance.wire_format import PINGREQ, Connect, Kind, Name, Properties, authenticate, packet

MALFORMED, PROTOCOL_ERROR, NOT_AUTHORIZED, BAD_METHOD = 0x81, 0x82, 0x87, 0x8C
METHOD: Properties = ((Name.AUTHENTICATION_METHOD, "SCRAM-SHA-1"),)
WITH_DATA: Properties = (*METHOD, (Name.AUTHENTICATION_DATA, b"\0client-first"))


@pytest.mark.parametrize("properties", [METHOD, WITH_DATA])
async def test_a_method_that_the_server_does_not_offer_is_refused(v5: Site, properties: Properties) -> None:
    """[MQTT-4.12.0-1] [MQTT-4.12.0-4] [MQTT-3.2.2-6] [MQTT-3.2.2-7] [MQTT-3.14.0-1]"""
    wire = await v5.knock()
    await wire.send(Connect(properties=properties).data, PINGREQ)
    connack = await wire.expect(Kind.CONNACK)
    assert connack.code in {BAD_METHOD, NOT_AUTHORIZED}
    assert not connack.session_present
    await wire.expect_closed()


async def test_a_refused_method_ends_no_session(v5: Site) -> None:
    """[MQTT-4.12.0-1] [MQTT-3.1.4-2]: the connection that is there stays."""
    old = await v5.client(properties=((Name.SESSION_EXPIRY, 60),))
    await v5.refused(Connect(properties=METHOD).data, BAD_METHOD, NOT_AUTHORIZED)
    await old.ping()


@pytest.mark.parametrize("code", [0x00, 0x18, 0x19])
async def test_auth_without_a_method_in_connect_is_a_protocol_error(v5: Site, code: int) -> None:
    """[MQTT-4.12.0-6] [MQTT-4.12.0-7] [MQTT-4.12.1-2]"""
    await v5.violates(authenticate(code, METHOD), PROTOCOL_ERROR)


async def test_the_shortest_auth_is_out_of_place_too(v5: Site) -> None:
    """[MQTT-4.12.0-7]: without a body it is a success (section 3.15.2.1)."""
    await v5.violates(packet(Kind.AUTH), PROTOCOL_ERROR)


async def test_auth_before_connect_closes_the_connection(v5: Site) -> None:
    """[MQTT-3.1.0-1] [MQTT-3.14.0-1]"""
    wire = await v5.knock()
    await wire.send(authenticate(0x18, METHOD))
    await wire.expect_closed()


VIOLATIONS = {
    "MQTT-3.15.1-1 flags of AUTH": bytes.fromhex("f1 00"),
    "MQTT-3.15.2-1 a code that is not defined": authenticate(0x80, METHOD),
    "MQTT-4.13.1-1 authentication data twice": authenticate(0x18, (*METHOD, *WITH_DATA[1:], *WITH_DATA[1:])),
}


@pytest.mark.parametrize("data", VIOLATIONS.values(), ids=list(VIOLATIONS))
async def test_an_auth_that_is_wrong_ends_the_connection(v5: Site, data: bytes) -> None:
    """[MQTT-3.15.1-1] [MQTT-4.13.1-1]"""
    await v5.violates(data, MALFORMED, PROTOCOL_ERROR)


async def test_auth_is_no_packet_of_an_older_client(v4: Site) -> None:
    """[MQTT-4.12.0-7]: at level 4 the packet type is reserved."""
    await v4.violates(packet(Kind.AUTH))
