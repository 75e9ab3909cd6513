"""MQTT 5.0, table 2-4: each property in each packet of a client, where it may stand and where it may not."""

import pytest

from tests.conformance.site import Site
from tests.conformance.wire_format import (
    DISCONNECT,
    PINGREQ,
    Connect,
    Kind,
    Name,
    Properties,
    Publish,
    Value,
    Will,
    acknowledgement,
    disconnect,
    subscribe,
    unsubscribe,
)

MALFORMED, PROTOCOL_ERROR = 0x81, 0x82

VALUES: dict[Name, Value] = {
    Name.PAYLOAD_FORMAT: 0,
    Name.MESSAGE_EXPIRY: 60,
    Name.CONTENT_TYPE: "none",
    Name.RESPONSE_TOPIC: "answer",
    Name.CORRELATION_DATA: b"1",
    Name.SUBSCRIPTION_IDENTIFIER: 1,
    Name.SESSION_EXPIRY: 0,
    Name.ASSIGNED_CLIENT_IDENTIFIER: "c",
    Name.SERVER_KEEP_ALIVE: 60,
    Name.AUTHENTICATION_METHOD: "none",
    Name.AUTHENTICATION_DATA: b"1",
    Name.REQUEST_PROBLEM_INFORMATION: 1,
    Name.WILL_DELAY: 0,
    Name.REQUEST_RESPONSE_INFORMATION: 0,
    Name.RESPONSE_INFORMATION: "answers",
    Name.SERVER_REFERENCE: "elsewhere",
    Name.REASON_STRING: "because",
    Name.RECEIVE_MAXIMUM: 10,
    Name.TOPIC_ALIAS_MAXIMUM: 1,
    Name.TOPIC_ALIAS: 1,
    Name.MAXIMUM_QOS: 1,
    Name.RETAIN_AVAILABLE: 1,
    Name.USER_PROPERTY: ("a", "b"),
    Name.MAXIMUM_PACKET_SIZE: 1_000,
    Name.WILDCARDS_AVAILABLE: 1,
    Name.SUBSCRIPTION_IDENTIFIERS_AVAILABLE: 1,
    Name.SHARED_SUBSCRIPTIONS_AVAILABLE: 1,
}
OF_MESSAGES = {
    Name.PAYLOAD_FORMAT,
    Name.MESSAGE_EXPIRY,
    Name.CONTENT_TYPE,
    Name.RESPONSE_TOPIC,
    Name.CORRELATION_DATA,
    Name.USER_PROPERTY,
}
OF_ANSWERS = {Name.REASON_STRING, Name.USER_PROPERTY}
OF_CONNECT = {
    Name.SESSION_EXPIRY,
    Name.RECEIVE_MAXIMUM,
    Name.MAXIMUM_PACKET_SIZE,
    Name.TOPIC_ALIAS_MAXIMUM,
    Name.REQUEST_RESPONSE_INFORMATION,
    Name.REQUEST_PROBLEM_INFORMATION,
    Name.USER_PROPERTY,
    Name.AUTHENTICATION_METHOD,
    Name.AUTHENTICATION_DATA,
}
# Where a server that offers no exchange of proofs refuses what may stand there.
REFUSED = {Name.AUTHENTICATION_METHOD, Name.AUTHENTICATION_DATA}


def one(name: Name) -> Properties:
    return ((name, VALUES[name]),)


@pytest.mark.parametrize("name", sorted(set(Name) - OF_CONNECT), ids=lambda name: name.name)
async def test_connect_takes_no_other_property(v5: Site, name: Name) -> None:
    """[MQTT-3.1.4-1] [MQTT-4.13.1-1]"""
    await v5.refused(Connect(properties=one(name)).data, MALFORMED, PROTOCOL_ERROR)


@pytest.mark.parametrize("name", sorted(set(Name) - OF_MESSAGES - {Name.WILL_DELAY}), ids=lambda name: name.name)
async def test_a_will_takes_no_other_property(v5: Site, name: Name) -> None:
    """[MQTT-3.1.4-1] [MQTT-4.13.1-1]"""
    await v5.refused(Connect(will=Will("gone", properties=one(name))).data, MALFORMED, PROTOCOL_ERROR)


async def test_connect_and_will_take_their_own(v5: Site) -> None:
    """[MQTT-3.1.4-5]"""
    for name in sorted(OF_CONNECT - REFUSED):
        await v5.client(properties=one(name))
    for name in sorted(OF_MESSAGES | {Name.WILL_DELAY}):
        await v5.client(will=Will("gone", properties=one(name)))


def packet_with(kind: Kind, properties: Properties) -> bytes:
    """A packet of a connected client that is right but for its properties."""
    match kind:
        case Kind.PUBLISH:
            return Publish("t", b"x", properties=properties).data(5)
        case Kind.SUBSCRIBE:
            return subscribe(1, 5, [("u", 0)], properties)
        case Kind.UNSUBSCRIBE:
            return unsubscribe(2, 5, ["u"], properties)
        case Kind.DISCONNECT:
            return disconnect(0, properties)
        case _:
            return acknowledgement(kind, 3, 0, properties)


TAKEN: dict[Kind, set[Name]] = {
    Kind.PUBLISH: OF_MESSAGES | {Name.TOPIC_ALIAS},
    Kind.PUBACK: OF_ANSWERS,
    Kind.PUBREC: OF_ANSWERS,
    Kind.PUBREL: OF_ANSWERS,
    Kind.PUBCOMP: OF_ANSWERS,
    Kind.SUBSCRIBE: {Name.SUBSCRIPTION_IDENTIFIER, Name.USER_PROPERTY},
    Kind.UNSUBSCRIBE: {Name.USER_PROPERTY},
    Kind.DISCONNECT: OF_ANSWERS | {Name.SESSION_EXPIRY},
}


@pytest.mark.parametrize("kind", TAKEN, ids=lambda kind: kind.name)
async def test_no_packet_takes_a_property_of_another(v5: Site, kind: Kind) -> None:
    """[MQTT-4.13.1-1]: a goodbye need not be answered, for whoever says it need not listen."""
    for name in sorted(set(Name) - TAKEN[kind]):
        wire = await v5.client(name.name)
        await wire.send(packet_with(kind, one(name)), PINGREQ)
        told = [found.code for found in await wire.until_closed()]
        assert told in ([MALFORMED], [PROTOCOL_ERROR]) or (kind is Kind.DISCONNECT and told == []), name


@pytest.mark.parametrize("kind", TAKEN, ids=lambda kind: kind.name)
async def test_every_packet_takes_its_own(v5: Site, kind: Kind) -> None:
    """[MQTT-4.13.1-1]"""
    for name in sorted(TAKEN[kind]):
        wire = await v5.client(name.name)
        await wire.send(packet_with(kind, one(name)))
        if kind is not Kind.DISCONNECT:
            await wire.ping()
            await wire.send(DISCONNECT)
        assert all(found.kind is not Kind.DISCONNECT for found in await wire.until_closed())
