"""MQTT 5.0, sections 3.14 and 4.13: how a connection ends."""

import pytest

from tests.conformance.site import Site
from tests.conformance.wire_format import DISCONNECT, PINGREQ, Kind, Name, Publish, disconnect, packet

MALFORMED, PROTOCOL_ERROR = 0x81, 0x82
CLIENT_CODES = bytes.fromhex("00 04 80 81 82 83 90 93 94 95 96 97 98 99")


@pytest.mark.parametrize("code", CLIENT_CODES, ids=hex)
async def test_a_goodbye_with_any_code_of_a_client_closes_the_connection(v5: Site, code: int) -> None:
    """[MQTT-3.14.4-1] [MQTT-3.14.4-2] [MQTT-3.14.2-1]: table 3-10; the server says nothing more."""
    wire = await v5.client()
    properties = ((Name.REASON_STRING, "because"), (Name.USER_PROPERTY, ("a", "b")))
    await wire.send(disconnect(code, properties))
    assert await wire.until_closed() == []


@pytest.mark.parametrize("data", [DISCONNECT, packet(Kind.DISCONNECT, b"\0"), packet(Kind.DISCONNECT, b"\0\0")])
async def test_a_goodbye_may_be_short(v5: Site, data: bytes) -> None:
    """[MQTT-3.14.4-2]: section 3.14.2.1: without properties, and without a code."""
    wire = await v5.client()
    await wire.send(data)
    assert await wire.until_closed() == []


async def test_nothing_after_a_goodbye_is_processed(v5: Site) -> None:
    """[MQTT-3.14.4-1]"""
    witness = await v5.client("witness")
    await witness.subscribe(("#", 0))
    wire = await v5.client()
    await wire.send(Publish("t", b"before"), DISCONNECT, Publish("t", b"after"))
    assert await wire.until_closed() == []
    assert await witness.messages() == [("t", b"before", 0, False)]


async def test_nothing_comes_after_the_goodbye_of_the_server(v5: Site) -> None:
    """[MQTT-3.14.4-1] [MQTT-3.14.4-2] [MQTT-4.13.2-1] [MQTT-3.14.2-2]"""
    wire = await v5.client()
    await wire.subscribe(("t", 1))
    await wire.send(Publish("t", b"x", 3), Publish("t", b"y", 1), PINGREQ)
    packets = await wire.until_closed()
    assert [found.kind for found in packets] == [Kind.DISCONNECT]


async def test_one_clients_fault_is_its_own(v5: Site) -> None:
    """[MQTT-4.13.2-1]: no other session feels it."""
    witness = await v5.client("witness")
    await witness.subscribe(("t", 1))
    await v5.violates(b"\0\0", MALFORMED, PROTOCOL_ERROR)
    await (await v5.client()).publish("t", b"x", 1)
    assert (await witness.take()).message == ("t", b"x", 1, False)


async def test_a_session_outlives_a_fault(v5: Site) -> None:
    """[MQTT-3.1.2-23] [MQTT-4.13.1-1]: the connection ends, the session does not."""
    session = ((Name.SESSION_EXPIRY, 60),)
    wire = await v5.client(properties=session)
    await wire.send(b"\0\0")
    await wire.until_closed()
    assert (await v5.client(clean=False, properties=session)).connack.session_present


VIOLATIONS = {
    "MQTT-3.14.1-1 flags of DISCONNECT": (bytes.fromhex("e2 00"), (MALFORMED,)),
    "MQTT-4.13.1-1 bytes after the properties": (packet(Kind.DISCONNECT, b"\0\0\0"), (MALFORMED,)),
    "MQTT-4.13.1-1 properties longer than the packet": (packet(Kind.DISCONNECT, b"\0\x05"), (MALFORMED,)),
}


@pytest.mark.parametrize(("data", "codes"), VIOLATIONS.values(), ids=list(VIOLATIONS))
async def test_a_goodbye_that_is_wrong_is_answered(v5: Site, data: bytes, codes: tuple[int, ...]) -> None:
    """[MQTT-3.14.1-1] [MQTT-4.13.1-1]"""
    await v5.violates(data, *codes)


WRONG_GOODBYES = {
    "a code that is not defined": disconnect(0x7F),
    "a code of servers only": disconnect(0x8E),
    "a server reference": disconnect(0, ((Name.SERVER_REFERENCE, "elsewhere"),)),
}


@pytest.mark.parametrize("data", WRONG_GOODBYES.values(), ids=list(WRONG_GOODBYES))
async def test_a_goodbye_with_what_a_client_may_not_say_is_one_all_the_same(v5: Site, data: bytes) -> None:
    """[MQTT-3.14.2-1]: the connection ends; whoever says goodbye need not listen any more."""
    wire = await v5.client()
    await wire.send(data, PINGREQ)
    packets = await wire.until_closed()
    assert all(found.kind is Kind.DISCONNECT and found.code in {MALFORMED, PROTOCOL_ERROR} for found in packets)


@pytest.mark.parametrize("asked", [None, 0, 1])
async def test_problems_are_explained_only_to_those_who_ask(v5: Site, asked: int | None) -> None:
    """[MQTT-3.1.2-29]: with 0, in CONNACK, PUBLISH and DISCONNECT only."""
    if v5.own is not None:
        v5.deny_topic("no")
        v5.deny_filter("no")
    properties = () if asked is None else ((Name.REQUEST_PROBLEM_INFORMATION, asked),)
    wire = await v5.client(properties=properties)
    await wire.subscribe(("no", 0), ("t", 0))
    await wire.send(Publish("no", b"x", 1, number=1), Publish("no", b"x", 2, number=2))
    await wire.acknowledge(Kind.PUBREL, 77)
    told = [found.kind for found in await wire.everything() if found.value_of(Name.REASON_STRING)]
    if asked == 0:
        assert told == []
    elif v5.own is not None:
        assert {Kind.PUBACK, Kind.PUBREC} <= set(told)
