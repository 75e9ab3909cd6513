"""MQTT 3.1.1, sections 3.5 to 3.7, 4.3.3 and 4.4: exactly once, both ways."""

import pytest

from tests.conformance.site import Site
from tests.conformance.wire import Wire
from tests.conformance.wire_format import Kind, Publish, acknowledgement


async def subscribed(site: Site, qos: int = 2, client_id: str = "subscriber") -> Wire:
    wire = await site.client(client_id, clean=False)
    assert await wire.subscribe(("t", qos)) == (qos,)
    return wire


async def published(site: Site, *payloads: bytes, qos: int = 2) -> None:
    wire = await site.client("publisher")
    for payload in payloads:
        assert await wire.publish("t", payload, qos) == 0


async def test_a_message_is_received_released_and_completed(v4: Site) -> None:
    """[MQTT-4.3.3-2] [MQTT-3.3.4-1] [MQTT-2.3.1-6]"""
    wire = await v4.client()
    await wire.send(Publish("t", b"x", 2, number=0xABCD))
    received = await wire.expect(Kind.PUBREC)
    assert received.number == 0xABCD
    await wire.acknowledge(Kind.PUBREL, 0xABCD)
    assert (await wire.expect(Kind.PUBCOMP)).number == 0xABCD
    await wire.expect_nothing()


async def test_a_message_that_comes_again_before_its_release_is_delivered_once(v4: Site) -> None:
    """[MQTT-4.3.3-2]"""
    subscriber, wire = await subscribed(v4), await v4.client()
    await wire.send(Publish("t", b"x", 2, number=5))
    await wire.expect(Kind.PUBREC)
    await wire.send(*[Publish("t", b"x", 2, number=5, duplicate=True)] * 2)
    assert [(await wire.expect(Kind.PUBREC)).number for _ in range(2)] == [5, 5]
    await wire.acknowledge(Kind.PUBREL, 5)
    assert (await wire.expect(Kind.PUBCOMP)).number == 5
    assert (await subscriber.take()).message == ("t", b"x", 2, False)
    await subscriber.expect_nothing()


async def test_a_message_that_comes_again_after_a_reconnect_is_delivered_once(v4: Site) -> None:
    """[MQTT-4.3.3-2] [MQTT-4.4.0-1] [MQTT-4.1.0-1]"""
    subscriber = await subscribed(v4)
    wire = await v4.client(clean=False)
    await wire.send(Publish("t", b"x", 2, number=5))
    await wire.expect(Kind.PUBREC)
    wire.abort()
    wire = await v4.client(clean=False)
    assert wire.connack.session_present
    await wire.send(Publish("t", b"x", 2, number=5, duplicate=True))
    assert (await wire.expect(Kind.PUBREC)).number == 5
    await wire.acknowledge(Kind.PUBREL, 5)
    assert (await wire.expect(Kind.PUBCOMP)).number == 5
    assert (await subscriber.take()).message == ("t", b"x", 2, False)
    await subscriber.expect_nothing()


async def test_a_release_is_answered_after_a_reconnect(v4: Site) -> None:
    """[MQTT-4.3.3-2]"""
    wire = await v4.client(clean=False)
    await wire.send(Publish("t", b"x", 2, number=5))
    await wire.expect(Kind.PUBREC)
    wire.abort()
    wire = await v4.client(clean=False)
    await wire.acknowledge(Kind.PUBREL, 5)
    assert (await wire.expect(Kind.PUBCOMP)).number == 5
    await wire.acknowledge(Kind.PUBREL, 5)
    assert (await wire.expect(Kind.PUBCOMP)).number == 5


async def test_an_identifier_is_new_again_after_completion(v4: Site) -> None:
    """[MQTT-4.3.3-2]"""
    subscriber, wire = await subscribed(v4), await v4.client()
    for payload in (b"1", b"2"):
        await wire.send(Publish("t", payload, 2, number=9))
        await wire.expect(Kind.PUBREC)
        await wire.acknowledge(Kind.PUBREL, 9)
        await wire.expect(Kind.PUBCOMP)
    assert [(await subscriber.take()).payload for _ in range(2)] == [b"1", b"2"]


async def test_a_new_session_knows_no_identifier_of_the_old_one(v4: Site) -> None:
    """[MQTT-3.1.2-6]: a server may deliver on PUBLISH or on PUBREL, so the first message may come or not."""
    subscriber = await subscribed(v4)
    wire = await v4.client()
    await wire.send(Publish("t", b"1", 2, number=9))
    await wire.expect(Kind.PUBREC)
    wire.abort()
    wire = await v4.client()
    await wire.send(Publish("t", b"2", 2, number=9))
    await wire.expect(Kind.PUBREC)
    await wire.acknowledge(Kind.PUBREL, 9)
    await wire.expect(Kind.PUBCOMP)
    message = await subscriber.take()
    if message.payload == b"1":
        message = await subscriber.take()
    assert message.payload == b"2"


async def test_a_delivery_goes_through_all_four_packets(v4: Site) -> None:
    """[MQTT-4.3.3-1] [MQTT-2.3.1-6] [MQTT-2.2.2-1]: the reader takes no other flags."""
    subscriber = await subscribed(v4)
    await published(v4, b"x")
    message = await subscriber.expect(Kind.PUBLISH)
    assert (message.message, message.duplicate) == (("t", b"x", 2, False), False)
    await subscriber.expect_nothing()
    await subscriber.acknowledge(Kind.PUBREC, message.number)
    assert (await subscriber.expect(Kind.PUBREL)).number == message.number
    await subscriber.expect_nothing()
    await subscriber.acknowledge(Kind.PUBCOMP, message.number)
    await subscriber.expect_nothing()


async def test_every_receipt_is_answered(v4: Site) -> None:
    """[MQTT-4.3.3-1]: also one that comes twice, until PUBCOMP."""
    subscriber = await subscribed(v4)
    await published(v4, b"x")
    message = await subscriber.expect(Kind.PUBLISH)
    for _ in range(3):
        await subscriber.acknowledge(Kind.PUBREC, message.number)
        assert (await subscriber.expect(Kind.PUBREL)).number == message.number
    await subscriber.acknowledge(Kind.PUBCOMP, message.number)
    await subscriber.expect_nothing()


async def test_what_was_not_received_comes_again_with_dup_and_its_identifier(v4: Site) -> None:
    """[MQTT-4.4.0-1] [MQTT-3.3.1-1] [MQTT-2.3.1-4]"""
    subscriber = await subscribed(v4)
    await published(v4, b"x")
    first = await subscriber.expect(Kind.PUBLISH)
    subscriber.abort()
    subscriber = await v4.client("subscriber", clean=False)
    again = await subscriber.expect(Kind.PUBLISH)
    assert (again.message, again.number, again.duplicate) == (first.message, first.number, True)


async def test_what_was_received_is_released_again_and_not_published_again(v4: Site) -> None:
    """[MQTT-4.3.3-1] [MQTT-4.4.0-1]"""
    subscriber = await subscribed(v4)
    await published(v4, b"x")
    message = await subscriber.expect(Kind.PUBLISH)
    await subscriber.acknowledge(Kind.PUBREC, message.number)
    await subscriber.expect(Kind.PUBREL)
    subscriber.abort()
    subscriber = await v4.client("subscriber", clean=False)
    assert (await subscriber.expect(Kind.PUBREL)).number == message.number
    await subscriber.acknowledge(Kind.PUBCOMP, message.number)
    await subscriber.expect_nothing()
    subscriber.abort()
    subscriber = await v4.client("subscriber", clean=False)
    await subscriber.expect_nothing()


async def test_what_is_unfinished_comes_again_in_the_order_it_was_sent(v4: Site) -> None:
    """[MQTT-4.6.0-1] [MQTT-4.6.0-6]"""
    subscriber = await subscribed(v4)
    await published(v4, b"1", b"2", b"3", b"4")
    first = [await subscriber.expect(Kind.PUBLISH) for _ in range(4)]
    await subscriber.acknowledge(Kind.PUBREC, first[1].number)
    await subscriber.expect(Kind.PUBREL)
    subscriber.abort()
    subscriber = await v4.client("subscriber", clean=False)
    again = await subscriber.everything()
    assert [found.payload for found in again if found.kind is Kind.PUBLISH] == [b"1", b"3", b"4"]
    assert [found.number for found in again if found.kind is Kind.PUBREL] == [first[1].number]
    assert len(again) == 4


async def test_what_comes_again_keeps_its_order_over_qos_1_and_2(v4: Site) -> None:
    """[MQTT-4.6.0-1] [MQTT-4.6.0-6]: "this applies to QoS 1 and QoS 2 messages"."""
    subscriber = await subscribed(v4)
    for payload, qos in ((b"1", 1), (b"2", 2), (b"3", 1), (b"4", 2), (b"5", 1)):
        await published(v4, payload, qos=qos)
    first = [await subscriber.expect(Kind.PUBLISH) for _ in range(5)]
    subscriber.abort()
    subscriber = await v4.client("subscriber", clean=False)
    again = await subscriber.everything()
    assert [found.number for found in again] == [found.number for found in first]


async def test_releases_come_in_the_order_of_what_they_answer(v4: Site) -> None:
    """[MQTT-4.6.0-4]"""
    subscriber = await subscribed(v4)
    await published(v4, b"1", b"2", b"3")
    numbers = [(await subscriber.expect(Kind.PUBLISH)).number for _ in range(3)]
    answered = [numbers[2], numbers[0], numbers[1]]
    await subscriber.send(*(acknowledgement(Kind.PUBREC, number) for number in answered))
    assert [(await subscriber.expect(Kind.PUBREL)).number for _ in numbers] == answered


async def test_receipts_come_in_the_order_of_the_messages(v4: Site) -> None:
    """[MQTT-4.6.0-3]"""
    wire = await v4.client()
    numbers = [7, 1, 65_535, 2]
    await wire.send(*(Publish("t", b"", 2, number=number) for number in numbers))
    assert [(await wire.expect(Kind.PUBREC)).number for _ in numbers] == numbers


async def test_messages_of_a_topic_keep_their_order(v4: Site) -> None:
    """[MQTT-4.6.0-5] [MQTT-4.6.0-6]"""
    subscriber = await subscribed(v4)
    payloads = [b"%d" % number for number in range(60)]
    await published(v4, *payloads)
    assert [(await subscriber.take()).payload for _ in payloads] == payloads


async def test_both_directions_count_identifiers_of_their_own(v4: Site) -> None:
    """[MQTT-2.3.1-4]: a client may use the identifier that the server uses at the same moment (section 2.3.1)."""
    subscriber = await subscribed(v4)
    await published(v4, b"to the client")
    message = await subscriber.expect(Kind.PUBLISH)
    await subscriber.send(Publish("other", b"to the server", 2, number=message.number))
    assert (await subscriber.expect(Kind.PUBREC)).number == message.number
    await subscriber.acknowledge(Kind.PUBREC, message.number)
    assert (await subscriber.expect(Kind.PUBREL)).number == message.number
    await subscriber.acknowledge(Kind.PUBREL, message.number)
    assert (await subscriber.expect(Kind.PUBCOMP)).number == message.number
    await subscriber.acknowledge(Kind.PUBCOMP, message.number)
    await subscriber.expect_nothing()


async def test_identifiers_in_flight_differ(v4: Site) -> None:
    """[MQTT-4.3.3-1] [MQTT-2.3.1-4]"""
    subscriber = await subscribed(v4)
    await published(v4, *[b"x"] * 10)
    numbers = [(await subscriber.expect(Kind.PUBLISH)).number for _ in range(10)]
    assert len(set(numbers)) == 10


@pytest.mark.parametrize("sent", [0, 1, 2])
@pytest.mark.parametrize("granted", [0, 1, 2])
async def test_a_message_comes_at_the_lower_of_both_qos(v4: Site, sent: int, granted: int) -> None:
    """[MQTT-3.8.4-6] [MQTT-4.3.1-1] [MQTT-4.3.2-1] [MQTT-4.3.3-1] [MQTT-2.3.1-5]"""
    subscriber = await subscribed(v4, granted)
    await published(v4, b"x", qos=sent)
    message = await subscriber.take()
    assert (message.message, message.duplicate) == (("t", b"x", min(sent, granted), False), False)
    await subscriber.expect_nothing()


async def test_overlapping_filters_deliver_at_their_highest_qos(v4: Site) -> None:
    """[MQTT-3.3.5-1]: several copies are allowed, and one of them comes at the highest QoS."""
    subscriber = await v4.client("subscriber")
    await subscriber.subscribe(("a/b", 0), ("a/+", 2), ("#", 1))
    publisher = await v4.client("publisher")
    await publisher.publish("a/b", b"x", 2)
    assert max(qos for _, _, qos, _ in await subscriber.messages()) == 2


async def test_what_is_under_way_is_completed_after_unsubscribing(v4: Site) -> None:
    """[MQTT-3.10.4-3] [MQTT-3.10.4-2]"""
    subscriber = await subscribed(v4)
    await published(v4, b"x")
    message = await subscriber.expect(Kind.PUBLISH)
    await subscriber.unsubscribe("t")
    await published(v4, b"too late")
    await subscriber.acknowledge(Kind.PUBREC, message.number)
    assert (await subscriber.expect(Kind.PUBREL)).number == message.number
    await subscriber.acknowledge(Kind.PUBCOMP, message.number)
    await subscriber.expect_nothing()


async def test_messages_for_a_session_that_is_away_wait_at_qos_1_and_2(v4: Site) -> None:
    """[MQTT-3.1.2-5] [MQTT-4.5.0-1]"""
    subscriber = await subscribed(v4)
    await subscriber.leave()
    publisher = await v4.client("publisher")
    for payload, qos in ((b"1", 1), (b"2", 2), (b"3", 2), (b"4", 1)):
        await publisher.publish("t", payload, qos)
    subscriber = await v4.client("subscriber", clean=False)
    taken = [await subscriber.take() for _ in range(4)]
    # In order for each QoS [MQTT-4.6.0-6].
    assert [found.payload for found in taken if found.qos == 1] == [b"1", b"4"]
    assert [found.payload for found in taken if found.qos == 2] == [b"2", b"3"]
    assert not any(found.duplicate for found in taken)
    await subscriber.expect_nothing()


VIOLATIONS = {
    "MQTT-2.3.1-1 packet identifier 0": Publish("t", b"x", 2, number=0).data(4),
    "MQTT-3.6.1-1 flags 0 of PUBREL": bytes.fromhex("60 02 0001"),
    "MQTT-3.6.1-1 flags 3 of PUBREL": bytes.fromhex("63 02 0001"),
    "MQTT-2.2.2-2 flags of PUBREC": bytes.fromhex("52 02 0001"),
    "MQTT-2.2.2-2 flags of PUBCOMP": bytes.fromhex("72 02 0001"),
    "MQTT-4.8.0-1 PUBREC without an identifier": bytes.fromhex("50 00"),
    "MQTT-4.8.0-1 PUBREL of one byte": bytes.fromhex("62 01 00"),
}


@pytest.mark.parametrize("data", VIOLATIONS.values(), ids=list(VIOLATIONS))
async def test_a_violation_closes_the_connection(v4: Site, data: bytes) -> None:
    await v4.violates(data)
