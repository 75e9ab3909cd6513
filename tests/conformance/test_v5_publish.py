"""MQTT 5.0, sections 3.3 to 3.7, 4.3, 4.4 and 4.6: messages, their properties and their acknowledgements."""

import pytest

from tests.conformance.site import Site
from tests.conformance.wire import Wire
from tests.conformance.wire_format import (
    PINGREQ,
    Kind,
    Name,
    Properties,
    Publish,
    acknowledgement,
    numbered,
    packet,
    property_field,
    text,
)

MALFORMED, PROTOCOL_ERROR, NOT_AUTHORIZED, TOPIC_NAME_INVALID = 0x81, 0x82, 0x87, 0x90
NO_SUBSCRIBERS, UNKNOWN_IDENTIFIER, UNSPECIFIED_ERROR = 0x10, 0x92, 0x80
PACKET_TOO_LARGE, QUOTA_EXCEEDED = 0x95, 0x97
SESSION: Properties = ((Name.SESSION_EXPIRY, 60),)


async def subscribed(site: Site, qos: int = 2) -> Wire:
    wire = await site.client("subscriber", properties=SESSION)
    assert await wire.subscribe(("t", qos)) == (qos,)
    return wire


async def back(site: Site, client_id: str = "subscriber") -> Wire:
    return await site.client(client_id, clean=False, properties=SESSION)


@pytest.mark.parametrize("sent", [0, 1, 2])
@pytest.mark.parametrize("granted", [0, 1, 2])
async def test_a_message_comes_at_the_lower_of_both_qos(v5: Site, sent: int, granted: int) -> None:
    """[MQTT-3.8.4-8] [MQTT-4.3.1-1] [MQTT-4.3.2-2] [MQTT-4.3.3-2] [MQTT-2.2.1-2] [MQTT-3.3.1-2] [MQTT-3.3.1-4]"""
    subscriber = await subscribed(v5, granted)
    assert await (await v5.client("publisher")).publish("t", b"x", sent) == 0
    message = await subscriber.take()
    assert (message.message, message.duplicate) == (("t", b"x", min(sent, granted), False), False)
    await subscriber.expect_nothing()


@pytest.mark.parametrize("qos", [1, 2])
async def test_a_message_is_acknowledged_as_its_qos_asks(v5: Site, qos: int) -> None:
    """[MQTT-3.3.4-1] [MQTT-2.2.1-5] [MQTT-4.3.2-4] [MQTT-4.3.3-8] [MQTT-4.3.3-11] [MQTT-3.4.2-1] [MQTT-3.5.2-1]"""
    wire = await v5.client()
    await wire.send(Publish("t", b"x", qos, number=0xABCD))
    answer = await wire.expect(Kind.PUBACK if qos == 1 else Kind.PUBREC)
    assert answer.number == 0xABCD
    assert answer.code in {0, NO_SUBSCRIBERS}
    if qos == 2:
        await wire.acknowledge(Kind.PUBREL, 0xABCD)
        completed = await wire.expect(Kind.PUBCOMP)
        assert (completed.number, completed.code) == (0xABCD, 0)
    await wire.expect_nothing()


async def test_an_identifier_is_new_again_after_puback(v5: Site) -> None:
    """[MQTT-4.3.2-5] [MQTT-3.3.1-3]: whatever its DUP flag says, which is not passed on."""
    subscriber, wire = await subscribed(v5), await v5.client()
    for payload, duplicate in ((b"1", False), (b"2", False), (b"3", True)):
        await wire.send(Publish("t", payload, 1, number=9, duplicate=duplicate))
        assert (await wire.expect(Kind.PUBACK)).number == 9
    received = [await subscriber.take() for _ in range(3)]
    assert [found.payload for found in received] == [b"1", b"2", b"3"]
    assert not any(found.duplicate for found in received)


async def test_a_message_that_comes_again_before_its_release_is_delivered_once(v5: Site) -> None:
    """[MQTT-4.3.3-10] [MQTT-4.3.3-12]"""
    subscriber, wire = await subscribed(v5), await v5.client(properties=SESSION)
    await wire.send(Publish("t", b"1", 2, number=5))
    await wire.expect(Kind.PUBREC)
    wire.abort()
    wire = await back(v5, "c")
    await wire.send(Publish("t", b"1", 2, number=5, duplicate=True))
    again = await wire.expect(Kind.PUBREC)
    assert (again.number, again.code) == (5, 0)
    await wire.acknowledge(Kind.PUBREL, 5)
    await wire.expect(Kind.PUBCOMP)
    await wire.send(Publish("t", b"2", 2, number=5))
    await wire.expect(Kind.PUBREC)
    await wire.acknowledge(Kind.PUBREL, 5)
    await wire.expect(Kind.PUBCOMP)
    assert [(await subscriber.take()).payload for _ in range(2)] == [b"1", b"2"]
    await subscriber.expect_nothing()


async def test_an_unknown_release_and_an_unknown_receipt_are_answered(v5: Site) -> None:
    """[MQTT-4.3.3-11] [MQTT-3.6.2-1] [MQTT-3.7.2-1]: sections 3.6.2.1 and 3.7.2.1."""
    wire = await v5.client()
    await wire.acknowledge(Kind.PUBREL, 77)
    completed = await wire.expect(Kind.PUBCOMP)
    assert completed.number == 77
    assert completed.code in {0, UNKNOWN_IDENTIFIER}
    await wire.acknowledge(Kind.PUBREC, 78)
    released = await wire.expect(Kind.PUBREL)
    assert released.number == 78
    assert released.code in {0, UNKNOWN_IDENTIFIER}
    await wire.acknowledge(Kind.PUBCOMP, 78)
    await wire.expect_nothing()


async def test_what_is_unfinished_comes_again_on_a_new_connection_only(v5: Site) -> None:
    """[MQTT-4.4.0-1] [MQTT-3.3.1-1] [MQTT-4.3.2-3] [MQTT-4.3.3-3] [MQTT-4.3.3-5] [MQTT-4.3.3-6]"""
    subscriber, publisher = await subscribed(v5), await v5.client("publisher")
    for payload, qos in ((b"1", 1), (b"2", 2), (b"3", 2), (b"4", 1)):
        await publisher.publish("t", payload, qos)
    first = [await subscriber.expect(Kind.PUBLISH) for _ in range(4)]
    await subscriber.acknowledge(Kind.PUBREC, first[1].number)
    assert (await subscriber.expect(Kind.PUBREL)).number == first[1].number
    for _ in range(5):
        await subscriber.expect_nothing()
    subscriber.abort()
    again = await (await back(v5)).everything()
    repeated = [found for found in again if found.kind is Kind.PUBLISH]
    assert [found.number for found in again if found.kind is Kind.PUBREL] == [first[1].number]
    # In order for each QoS [MQTT-4.6.0-5].
    for qos, places in ((1, (0, 3)), (2, (2,))):
        assert [(found.message, found.number) for found in repeated if found.qos == qos] == [
            (first[place].message, first[place].number) for place in places
        ]
    assert all(found.duplicate for found in repeated)
    assert len(again) == 4


@pytest.mark.parametrize(("qos", "kind"), [(1, Kind.PUBACK), (2, Kind.PUBREC)])
async def test_a_refused_message_is_acknowledged_and_does_not_come_again(v5: Site, qos: int, kind: Kind) -> None:
    """[MQTT-4.4.0-2] [MQTT-4.3.3-4]"""
    subscriber, publisher = await subscribed(v5), await v5.client("publisher")
    await publisher.publish("t", b"x", qos)
    message = await subscriber.expect(Kind.PUBLISH)
    await subscriber.acknowledge(kind, message.number, UNSPECIFIED_ERROR)
    await subscriber.expect_nothing()
    subscriber.abort()
    await (await back(v5)).expect_nothing()


async def test_answers_come_in_the_order_of_what_they_answer(v5: Site) -> None:
    """[MQTT-4.6.0-2] [MQTT-4.6.0-3] [MQTT-4.6.0-4]"""
    wire = await v5.client()
    numbers = [7, 1, 65_535, 2]
    await wire.send(*(Publish("t", b"", 1, number=number) for number in numbers))
    assert [(await wire.expect(Kind.PUBACK)).number for _ in numbers] == numbers
    await wire.send(*(Publish("t", b"", 2, number=number) for number in numbers))
    assert [(await wire.expect(Kind.PUBREC)).number for _ in numbers] == numbers
    await wire.send(*(acknowledgement(Kind.PUBREL, number) for number in numbers))
    assert [(await wire.expect(Kind.PUBCOMP)).number for _ in numbers] == numbers


@pytest.mark.parametrize(("qos", "kind"), [(1, Kind.PUBACK), (2, Kind.PUBREC)])
async def test_refusals_keep_their_place_among_the_answers(v5: Site, qos: int, kind: Kind) -> None:
    """[MQTT-4.6.0-2] [MQTT-4.6.0-3]"""
    v5.deny_topic("no")
    wire = await v5.client()
    topics = ["yes", "no", "yes", "no", "no", "yes"]
    await wire.send(*(Publish(topic, b"", qos, number=number) for number, topic in enumerate(topics, 1)))
    answers = [await wire.expect(kind) for _ in topics]
    assert [found.number for found in answers] == [1, 2, 3, 4, 5, 6]
    assert [found.code == NOT_AUTHORIZED for found in answers] == [topic == "no" for topic in topics]


@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_messages_of_a_topic_keep_their_order(v5: Site, qos: int) -> None:
    """[MQTT-4.6.0-5] [MQTT-4.6.0-6]"""
    subscriber, publisher = await subscribed(v5), await v5.client("publisher")
    payloads = [b"%d" % number for number in range(40)]
    for payload in payloads:
        await publisher.publish("t", payload, qos)
    assert [(await subscriber.take()).payload for _ in payloads] == payloads


async def test_packets_may_come_a_byte_at_a_time(v5: Site) -> None:
    """[MQTT-4.2.0-1]: the transport is a stream of bytes, whose pieces mean nothing."""
    wire = await subscribed(v5)
    for byte in Publish("t", b"piecemeal", 1, number=3).data(5):
        await wire.send(bytes([byte]))
    assert (await wire.pick(Kind.PUBACK)).number == 3
    assert (await wire.take()).payload == b"piecemeal"


@pytest.mark.parametrize("size", [1_000, 65_535])
async def test_a_long_topic_is_delivered_or_ends_the_connection(v5: Site, size: int) -> None:
    """[MQTT-4.7.3-3]: a server may have limits of its own, and keeps them for itself."""
    witness, wire = await v5.client("witness"), await v5.client()
    await witness.subscribe(("#", 0))
    topic = "x" * size
    await wire.send(Publish(topic), PINGREQ)
    answer = await wire.receive()
    if answer.kind is Kind.PINGRESP:
        assert await witness.messages() == [(topic, b"x", 0, False)]
    else:
        assert answer.code in {TOPIC_NAME_INVALID, QUOTA_EXCEEDED, PACKET_TOO_LARGE}
        await wire.expect_closed()
        await witness.expect_nothing()


async def test_identifiers_in_flight_differ(v5: Site) -> None:
    """[MQTT-2.2.1-4] [MQTT-4.3.2-1] [MQTT-4.3.3-1]"""
    subscriber, publisher = await subscribed(v5), await v5.client("publisher")
    for number in range(10):
        await publisher.publish("t", b"x", 1 + number % 2)
    numbers = [(await subscriber.expect(Kind.PUBLISH)).number for _ in range(10)]
    assert len(set(numbers)) == 10
    assert 0 not in numbers


CARRIED: Properties = (
    (Name.PAYLOAD_FORMAT, 1),
    (Name.CONTENT_TYPE, "text/plain; größe=1"),
    (Name.RESPONSE_TOPIC, "answers/to/c"),
    (Name.CORRELATION_DATA, b"\0\xff\x80"),
    (Name.USER_PROPERTY, ("b", "2")),
    (Name.USER_PROPERTY, ("a", "1")),
    (Name.USER_PROPERTY, ("b", "2")),
    (Name.USER_PROPERTY, ("", "")),
    (Name.USER_PROPERTY, ("a", "0")),
)


@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_properties_are_carried_through_unaltered(v5: Site, qos: int) -> None:
    """[MQTT-3.3.2-4] [MQTT-3.3.2-15] [MQTT-3.3.2-16] [MQTT-3.3.2-17] [MQTT-3.3.2-18] [MQTT-3.3.2-20]"""
    subscriber = await subscribed(v5)
    await (await v5.client("publisher")).publish("t", "größe".encode(), qos, properties=CARRIED)
    received = await subscriber.take()
    for name in {name for name, _ in CARRIED}:
        assert received.all_of(name) == [value for found, value in CARRIED if found is name]
    assert len(received.properties) == len(CARRIED)


async def test_a_request_is_answered_where_it_asks(v5: Site) -> None:
    """[MQTT-3.3.2-15] [MQTT-3.3.2-16]: section 4.10, from one end to the other and back."""
    requester, responder = await v5.client("requester"), await v5.client("responder")
    await requester.subscribe(("answers/1", 1))
    await responder.subscribe(("requests", 1))
    asked: Properties = ((Name.RESPONSE_TOPIC, "answers/1"), (Name.CORRELATION_DATA, b"\0\x17"))
    await requester.publish("requests", b"what time is it?", 1, properties=asked)
    request = await responder.take()
    where, which = request.value_of(Name.RESPONSE_TOPIC), request.value_of(Name.CORRELATION_DATA)
    assert isinstance(where, str)
    assert which is not None
    await responder.publish(where, b"late", 1, properties=((Name.CORRELATION_DATA, which),))
    answer = await requester.take()
    assert (answer.message, answer.value_of(Name.CORRELATION_DATA)) == (("answers/1", b"late", 1, False), b"\0\x17")


async def test_properties_wait_with_their_message(v5: Site) -> None:
    """[MQTT-3.3.2-17] [MQTT-3.3.2-18] [MQTT-4.5.0-1]"""
    subscriber = await subscribed(v5)
    await subscriber.leave()
    await (await v5.client("publisher")).publish("t", b"x", 1, properties=CARRIED)
    received = await (await back(v5)).take()
    users = [value for name, value in CARRIED if name is Name.USER_PROPERTY]
    assert received.all_of(Name.USER_PROPERTY) == users


async def test_a_message_without_properties_gets_none(v5: Site) -> None:
    """[MQTT-2.2.2-1]"""
    subscriber = await subscribed(v5)
    await (await v5.client("publisher", level=4)).publish("t", b"from an older client", 1)
    assert (await subscriber.take()).properties == ()


async def test_an_older_client_gets_the_message_without_its_properties(v5: Site) -> None:
    """[MQTT-3.3.2-3]: a 3.1.1 client could not read them; its reader would find them in the payload."""
    subscriber = await v5.client("subscriber", level=4)
    await subscriber.subscribe(("t", 1))
    await (await v5.client("publisher")).publish("t", b"x", 1, properties=CARRIED)
    assert (await subscriber.take()).message == ("t", b"x", 1, False)


@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_a_publish_that_is_not_authorised_reaches_nobody(v5: Site, qos: int) -> None:
    """[MQTT-3.4.2-1] [MQTT-3.5.2-1] [MQTT-4.3.3-9]: sections 3.4.2.1 and 3.5.2.1."""
    v5.deny_topic("no")
    wire = await v5.client()
    await wire.subscribe(("#", 0))
    if qos:
        assert await wire.publish("no", b"x", qos) == NOT_AUTHORIZED
        await wire.expect_nothing()
        # The exchange is over, so its identifier is free.
        await wire.send(Publish("yes", b"x", qos, number=1))
        assert (await wire.pick(Kind.PUBACK if qos == 1 else Kind.PUBREC)).code == 0
        assert (await wire.pick(Kind.PUBLISH)).topic == "yes"
        return
    # Nothing answers a PUBLISH at QoS 0 but the end of the connection.
    witness = await v5.client("witness")
    await witness.subscribe(("#", 0))
    await wire.send(Publish("no"), PINGREQ)
    assert [(found.kind, found.code) for found in [await wire.receive()]] in (
        [(Kind.PINGRESP, 0)],
        [(Kind.DISCONNECT, NOT_AUTHORIZED)],
    )
    await witness.expect_nothing()


VIOLATIONS = {
    "MQTT-2.2.1-3 packet identifier 0": (Publish("t", qos=1, number=0).data(5), (MALFORMED, PROTOCOL_ERROR)),
    "MQTT-3.3.1-2 DUP at QoS 0": (Publish("t", duplicate=True).data(5), (MALFORMED, PROTOCOL_ERROR)),
    "MQTT-3.3.1-4 QoS 3": (packet(Kind.PUBLISH, text("t") + numbered(1) + property_field(), 6), (MALFORMED,)),
    "MQTT-3.3.2-2 a topic with a wildcard": (Publish("a/#").data(5), (TOPIC_NAME_INVALID, MALFORMED, PROTOCOL_ERROR)),
    "MQTT-3.3.2-14 a response topic with a wildcard": (
        Publish("t", properties=((Name.RESPONSE_TOPIC, "a/+"),)).data(5),
        (PROTOCOL_ERROR, TOPIC_NAME_INVALID),
    ),
    "MQTT-4.7.3-1 neither a topic nor an alias": (Publish("").data(5), (PROTOCOL_ERROR,)),
    "MQTT-3.6.1-1 flags of PUBREL": (bytes.fromhex("60 02 0001"), (MALFORMED, PROTOCOL_ERROR)),
    "MQTT-2.1.3-1 flags of PUBACK": (bytes.fromhex("41 02 0001"), (MALFORMED,)),
    "MQTT-2.1.3-1 flags of PINGREQ": (bytes.fromhex("c2 00"), (MALFORMED,)),
    "MQTT-4.13.1-1 an undefined code in PUBACK": (acknowledgement(Kind.PUBACK, 1, 0x01), (MALFORMED, PROTOCOL_ERROR)),
    "MQTT-4.13.1-1 an undefined code in PUBREL": (acknowledgement(Kind.PUBREL, 1, 0x80), (MALFORMED, PROTOCOL_ERROR)),
    "MQTT-4.13.1-1 PUBACK of one byte": (bytes.fromhex("40 01 00"), (MALFORMED,)),
    "MQTT-4.13.1-1 packet type 0": (bytes.fromhex("00 00"), (MALFORMED, PROTOCOL_ERROR)),
    "MQTT-4.13.1-1 CONNACK from a client": (bytes.fromhex("20 03 00 00 00"), (PROTOCOL_ERROR, MALFORMED)),
}


@pytest.mark.parametrize(("data", "codes"), VIOLATIONS.values(), ids=list(VIOLATIONS))
async def test_a_violation_ends_the_connection_with_its_reason(v5: Site, data: bytes, codes: tuple[int, ...]) -> None:
    """[MQTT-4.13.1-1] [MQTT-4.13.2-1]"""
    await v5.violates(data, *codes)


BROKEN = {"a remaining length of five bytes": "30 80 80 80 80 01", "PINGREQ with a body": "c0 01 00"}


@pytest.mark.parametrize("data", BROKEN.values(), ids=list(BROKEN))
async def test_what_is_hardly_a_packet_ends_the_connection_with_or_without_a_word(v5: Site, data: str) -> None:
    """[MQTT-4.13.1-1]: a DISCONNECT is only recommended (section 4.13.1)."""
    wire = await v5.client()
    await wire.send(bytes.fromhex(data), PINGREQ)
    assert [found.code for found in await wire.until_closed()] in ([], [MALFORMED])


UNICODE = {
    "a truncated sequence": b"a\xe2\x82",
    "an overlong slash": b"\xc0\xaf",
    "a surrogate": b"\xed\xa0\x80",
    "beyond U+10FFFF": b"\xf4\x90\x80\x80",
    "MQTT-1.5.4-2 a null character": b"a\0",
}


@pytest.mark.parametrize("name", UNICODE.values(), ids=list(UNICODE))
async def test_a_topic_that_is_not_utf_8_ends_the_connection(v5: Site, name: bytes) -> None:
    """[MQTT-1.5.4-1] [MQTT-3.3.2-1] [MQTT-4.7.3-2]"""
    field = numbered(len(name)) + name + property_field()
    await v5.violates(packet(Kind.PUBLISH, field + b"x"), MALFORMED, PROTOCOL_ERROR, TOPIC_NAME_INVALID)
