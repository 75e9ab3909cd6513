"""MQTT 5.0, sections 3.1.2.11.3, 3.1.2.11.4, 3.3.4 and 4.9: how many messages at once, and how large."""

import pytest

from tests.conformance.site import Site
from tests.conformance.wire import Wire
from tests.conformance.wire_format import (
    DISCONNECT,
    PINGREQ,
    Connect,
    Kind,
    Name,
    Properties,
    Publish,
    acknowledgement,
    packet,
    subscribe,
    text,
    unsubscribe,
    varint,
)

RECEIVE_MAXIMUM_EXCEEDED, PACKET_TOO_LARGE, UNSPECIFIED_ERROR = 0x93, 0x95, 0x80


async def limited(site: Site, *limits: tuple[Name, int], clean: bool = True) -> Wire:
    properties: Properties = ((Name.SESSION_EXPIRY, 60), *limits)
    return await site.client("subscriber", clean=clean, properties=properties)


async def publish_all(site: Site, count: int, qos: int) -> None:
    wire = await site.client("publisher")
    for number in range(count):
        await wire.publish("t", b"%d" % number, qos)


@pytest.mark.parametrize("maximum", [1, 3])
@pytest.mark.parametrize("qos", [1, 2])
async def test_no_more_messages_are_in_flight_than_a_client_receives(v5: Site, qos: int, maximum: int) -> None:
    """[MQTT-3.3.4-9] [MQTT-4.9.0-1] [MQTT-4.9.0-2]"""
    wire = await limited(v5, (Name.RECEIVE_MAXIMUM, maximum))
    await wire.subscribe(("t", qos))
    await publish_all(v5, 8, qos)
    waiting = await wire.everything()
    assert [found.payload for found in waiting] == [b"%d" % number for number in range(maximum)]
    received = []
    while waiting:
        message = waiting.pop(0)
        received.append(message.payload)
        if qos == 1:
            await wire.acknowledge(Kind.PUBACK, message.number)
        else:
            await wire.acknowledge(Kind.PUBREC, message.number)
            # The exchange is not over, so there is room for nobody yet.
            await wire.expect(Kind.PUBREL)
            await wire.expect_nothing()
            await wire.acknowledge(Kind.PUBCOMP, message.number)
        waiting += await wire.everything()
        assert len(waiting) <= maximum
    assert received == [b"%d" % number for number in range(8)]


async def test_a_refused_message_makes_room(v5: Site) -> None:
    """[MQTT-4.9.0-2] [MQTT-4.4.0-2]: a PUBREC of 0x80 or more ends the exchange."""
    wire = await limited(v5, (Name.RECEIVE_MAXIMUM, 1))
    await wire.subscribe(("t", 2))
    await publish_all(v5, 2, 2)
    (first,) = await wire.everything()
    await wire.acknowledge(Kind.PUBREC, first.number, UNSPECIFIED_ERROR)
    (second,) = await wire.everything()
    assert (first.payload, second.payload) == (b"0", b"1")


async def test_what_is_not_counted_still_flows(v5: Site) -> None:
    """[MQTT-3.3.4-10] [MQTT-4.9.0-3]: QoS 0, and every packet that is not PUBLISH."""
    wire = await limited(v5, (Name.RECEIVE_MAXIMUM, 1))
    await wire.subscribe(("t", 2), ("u", 0))
    await publish_all(v5, 2, 1)
    (first,) = await wire.everything()
    await wire.publish("u", b"at QoS 0")
    assert (await wire.expect(Kind.PUBLISH)).message == ("u", b"at QoS 0", 0, False)
    assert await wire.publish("v", b"to the server", 2) in {0, 0x10}
    assert await wire.subscribe(("w", 0)) == (0,)
    assert await wire.unsubscribe("w") == (0,)
    await wire.acknowledge(Kind.PUBACK, first.number)
    assert (await wire.take()).payload == b"1"


async def test_the_limit_holds_after_a_reconnect_too(v5: Site) -> None:
    """[MQTT-3.3.4-9] [MQTT-4.4.0-1]: what is in flight counts first, and in its order."""
    wire = await limited(v5, (Name.RECEIVE_MAXIMUM, 5))
    await wire.subscribe(("t", 1))
    await publish_all(v5, 5, 1)
    assert len(await wire.everything()) == 5
    wire.abort()
    wire = await limited(v5, (Name.RECEIVE_MAXIMUM, 2), clean=False)
    assert wire.connack.session_present
    waiting = await wire.everything()
    assert [found.payload for found in waiting] == [b"0", b"1"]
    received = []
    while waiting:
        received.append(waiting[0].payload)
        await wire.acknowledge(Kind.PUBACK, waiting.pop(0).number)
        waiting += await wire.everything()
        assert len(waiting) <= 2
    assert received == [b"0", b"1", b"2", b"3", b"4"]


async def test_more_than_the_server_receives_ends_the_connection(v5: Site) -> None:
    """[MQTT-3.3.4-7]: section 3.3.4; QoS 2 without PUBREL is what a server cannot finish by itself."""
    wire = await v5.client()
    maximum = wire.connack.number_of(Name.RECEIVE_MAXIMUM, 65_535)
    if maximum == 65_535:
        pytest.skip("there are no more identifiers than the server receives")
    await wire.send(*(Publish("t", b"", 2, number=number) for number in range(1, maximum + 1)))
    assert [(await wire.expect(Kind.PUBREC)).number for _ in range(maximum)] == list(range(1, maximum + 1))
    await wire.send(Publish("t", b"", 2, number=maximum + 1), PINGREQ)
    await wire.expect_closed(RECEIVE_MAXIMUM_EXCEEDED)


async def test_the_count_begins_anew_with_each_connection(v5: Site) -> None:
    """[MQTT-3.3.4-7] [MQTT-4.9.0-1]: quotas are no part of the session (section 4.9)."""
    wire = await limited(v5)
    maximum = min(wire.connack.number_of(Name.RECEIVE_MAXIMUM, 65_535), 2_000)
    await wire.send(*(Publish("t", b"", 2, number=number) for number in range(1, maximum + 1)))
    for number in range(1, maximum + 1):
        assert (await wire.expect(Kind.PUBREC)).number == number
    wire.abort()
    wire = await limited(v5, clean=False)
    assert wire.connack.session_present
    await wire.send(Publish("t", b"", 2, number=maximum + 1))
    assert (await wire.expect(Kind.PUBREC)).number == maximum + 1
    await wire.send(*(acknowledgement(Kind.PUBREL, number) for number in range(1, maximum + 2)))
    for number in range(1, maximum + 2):
        assert (await wire.expect(Kind.PUBCOMP)).number == number


async def test_what_is_finished_counts_no_more(v5: Site) -> None:
    """[MQTT-3.3.4-7]"""
    wire = await v5.client()
    maximum = min(wire.connack.number_of(Name.RECEIVE_MAXIMUM, 65_535), 500)
    for _ in range(2):
        numbers = range(1, maximum + 1)
        await wire.send(*(Publish("t", b"", 2, number=number) for number in numbers))
        for number in numbers:
            assert (await wire.expect(Kind.PUBREC)).number == number
        await wire.send(*(acknowledgement(Kind.PUBREL, number) for number in numbers))
        for number in numbers:
            assert (await wire.expect(Kind.PUBCOMP)).number == number
    await wire.expect_nothing()


def size_of(topic: str, payload: bytes, qos: int) -> int:
    """Of a PUBLISH without properties, in bytes."""
    return len(Publish(topic, payload, qos).data(5))


@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_a_message_too_large_for_a_client_is_dropped_and_the_others_come(v5: Site, qos: int) -> None:
    """[MQTT-3.1.2-24] [MQTT-3.1.2-25]: as if it had been delivered, so it holds no place in flight either."""
    fits = b"x" * 50
    wire = await limited(v5, (Name.MAXIMUM_PACKET_SIZE, size_of("t", fits, qos)), (Name.RECEIVE_MAXIMUM, 1))
    await wire.subscribe(("t", qos))
    publisher = await v5.client("publisher")
    for payload in (b"1", fits + b"x", b"2", fits):
        assert await publisher.publish("t", payload, qos) == 0
    assert [(await wire.take()).payload for _ in range(3)] == [b"1", b"2", fits]
    await wire.expect_nothing()


async def test_properties_count_towards_the_size(v5: Site) -> None:
    """[MQTT-3.1.2-24]"""
    wire = await limited(v5, (Name.MAXIMUM_PACKET_SIZE, 60))
    await wire.subscribe(("t", 0))
    publisher = await v5.client("publisher")
    await publisher.publish("t", b"x", properties=((Name.USER_PROPERTY, ("name", "v" * 60)),))
    await publisher.publish("t", b"y")
    assert await wire.messages() == [("t", b"y", 0, False)]


async def test_a_retained_message_too_large_for_a_client_is_not_sent(v5: Site) -> None:
    """[MQTT-3.1.2-24] [MQTT-3.1.2-25]"""
    publisher = await v5.client("publisher")
    await publisher.publish("t/large", b"x" * 100, 1, retain=True)
    await publisher.publish("t/small", b"x", 1, retain=True)
    wire = await limited(v5, (Name.MAXIMUM_PACKET_SIZE, 60))
    await wire.subscribe(("t/#", 1))
    assert (await wire.take()).message == ("t/small", b"x", 1, True)
    await wire.expect_nothing()


@pytest.mark.parametrize("qos", [1, 2])
async def test_what_is_in_flight_may_be_too_large_for_the_next_connection(v5: Site, qos: int) -> None:
    """[MQTT-3.1.2-24] [MQTT-3.1.2-25]"""
    wire = await limited(v5)
    await wire.subscribe(("t", qos))
    publisher = await v5.client("publisher")
    for payload in (b"x" * 100, b"small"):
        await publisher.publish("t", payload, qos)
    assert len(await wire.everything()) == 2
    wire.abort()
    wire = await limited(v5, (Name.MAXIMUM_PACKET_SIZE, 60), (Name.RECEIVE_MAXIMUM, 1), clean=False)
    assert (await wire.take()).payload == b"small"
    await wire.expect_nothing()


async def test_a_message_too_large_goes_to_those_who_can_take_it(v5: Site) -> None:
    """[MQTT-3.1.2-25]"""
    small, large = await limited(v5, (Name.MAXIMUM_PACKET_SIZE, 40)), await v5.client("large")
    for wire in (small, large):
        await wire.subscribe(("t", 1))
    await (await v5.client("publisher")).publish("t", b"x" * 100, 1)
    assert (await large.take()).payload == b"x" * 100
    await small.expect_nothing()


async def test_no_answer_is_larger_than_a_client_takes(v5: Site) -> None:
    """[MQTT-3.1.2-24] [MQTT-3.9.2-1] [MQTT-3.9.2-2] [MQTT-3.11.2-1] [MQTT-3.11.2-2] [MQTT-3.4.2-2] [MQTT-3.4.2-3]
    [MQTT-3.5.2-2] [MQTT-3.5.2-3] [MQTT-3.6.2-2] [MQTT-3.6.2-3] [MQTT-3.7.2-2] [MQTT-3.7.2-3]"""
    if v5.own is not None:
        v5.deny_filter("no")
        v5.deny_topic("no")
    maximum = (await v5.client("probe")).connack.size
    wire = await limited(v5, (Name.MAXIMUM_PACKET_SIZE, maximum))
    await wire.send(subscribe(1, 5, [("t", 2), ("no", 0)]), unsubscribe(2, 5, ["t", "never", "subscribed"]))
    await wire.send(Publish("no", b"", 1, number=1), Publish("no", b"", 2, number=2))
    await wire.send(acknowledgement(Kind.PUBREL, 2), acknowledgement(Kind.PUBREL, 77))
    await wire.send(acknowledgement(Kind.PUBREC, 78))
    answers = await wire.everything()
    assert {found.kind for found in answers} >= {Kind.SUBACK, Kind.UNSUBACK, Kind.PUBACK, Kind.PUBREC, Kind.PUBCOMP}
    assert [found for found in answers if found.size > maximum] == []


async def test_a_goodbye_is_no_larger_than_a_client_takes(v5: Site) -> None:
    """[MQTT-3.14.2-3] [MQTT-3.14.2-4] [MQTT-3.1.2-24]"""
    maximum = (await v5.client("probe")).connack.size
    wire = await limited(v5, (Name.MAXIMUM_PACKET_SIZE, maximum))
    await wire.send(subscribe(1, 5, [("t", 0x3F)]))
    (found,) = await wire.until_closed()
    assert found.kind is Kind.DISCONNECT
    assert found.size <= maximum


async def test_a_packet_too_large_for_the_server_ends_the_connection(v5: Site) -> None:
    """[MQTT-3.2.2-15]"""
    wire = await v5.client()
    maximum = wire.connack.number_of(Name.MAXIMUM_PACKET_SIZE)
    if not maximum:
        pytest.skip("the server names no limit")
    room = maximum - size_of("t", b"", 1) - len(varint(maximum)) + 1
    assert await wire.publish("t", b"x" * room, 1) in {0, 0x10}
    # The length alone says it: a server need not wait for the rest.
    await wire.send(packet(Kind.PUBLISH, text("t") + b"\0" + b"x" * maximum)[:100])
    await wire.expect_closed(PACKET_TOO_LARGE)


@pytest.mark.parametrize("maximum", [1, 4, 5, 8, 12])
async def test_connack_is_no_larger_than_a_client_takes(v5: Site, maximum: int) -> None:
    """[MQTT-3.2.2-19] [MQTT-3.2.2-20] [MQTT-3.1.2-24]: where what must be said has no room, nothing is."""
    if v5.own is not None:
        v5.deny_client("denied")
    for client_id in ("c", "denied"):
        wire = await v5.knock()
        await wire.send(Connect(client_id, properties=((Name.MAXIMUM_PACKET_SIZE, maximum),)).data, DISCONNECT)
        assert [found for found in await wire.until_closed() if found.size > maximum] == []
