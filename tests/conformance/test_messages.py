"""MQTT 3.1.1, sections 3.3 to 3.11 and 4: each normative statement that QoS 0 and 1 touch."""

import pytest

from broker.packets import (
    Pingreq,
    Pingresp,
    Puback,
    Publish,
    Suback,
    Subscribe,
    Subscription,
    Unsuback,
    Unsubscribe,
)
from tests.broker.house import House, Wire


async def published(house: House, *messages: Publish) -> Wire:
    wire = await house.client("publisher")
    for message in messages:
        await wire.publish(message.topic, message.payload, message.qos, retain=message.retain)
    return wire


async def everything(wire: Wire) -> list[object]:
    """What waits for a client, up to now."""
    await wire.send(Pingreq())
    return list(await wire.until(Pingresp))


async def test_mqtt_3_3_1_1_and_4_4_0_1_what_was_not_acknowledged_comes_again_with_dup(house: House) -> None:
    wire = await house.client("c", clean_start=False)
    await wire.subscribe(("t", 1))
    await published(house, *(Publish("t", payload, 1) for payload in (b"1", b"2", b"3")))
    first = [await wire.receive() for _ in range(3)]
    assert first == [Publish("t", b"%d" % number, 1, packet_id=number) for number in (1, 2, 3)]
    await wire.send(Puback(2))
    await wire.ping()
    wire.abort()
    again = await house.client("c", clean_start=False)
    # In the order in which they were sent first [MQTT-4.6.0-1].
    assert await everything(again) == [
        Publish("t", b"1", 1, duplicate=True, packet_id=1),
        Publish("t", b"3", 1, duplicate=True, packet_id=3),
    ]


async def test_mqtt_3_3_1_3_dup_is_not_passed_on(house: House) -> None:
    wire = await house.client("c")
    await wire.subscribe(("t", 1))
    await wire.send(Publish("t", b"", 1, duplicate=True, packet_id=9), Pingreq())
    assert Publish("t", b"", 1, packet_id=1) in await wire.until(Pingresp)


@pytest.mark.parametrize("qos", [0, 1])
async def test_mqtt_3_3_1_5_to_8_a_new_subscription_gets_the_last_retained_message(house: House, qos: int) -> None:
    await published(house, Publish("t", b"old", 1, retain=True), Publish("t", b"new", qos, retain=True))
    wire = await house.client("c")
    await wire.subscribe(("+", 1))
    assert await everything(wire) == [Publish("t", b"new", qos, retain=True, packet_id=qos)]


async def test_mqtt_3_3_1_9_an_established_subscription_gets_it_without_the_flag(house: House) -> None:
    wire = await house.client("c")
    await wire.subscribe(("t", 0))
    await published(house, Publish("t", b"x", retain=True))
    assert await everything(wire) == [Publish("t", b"x")]


async def test_mqtt_3_3_1_10_and_11_an_empty_payload_is_delivered_and_clears(house: House) -> None:
    old = await house.client("old")
    await old.subscribe(("t", 0))
    await published(house, Publish("t", b"x", retain=True), Publish("t", b"", retain=True))
    assert await everything(old) == [Publish("t", b"x"), Publish("t", b"")]
    new = await house.client("new")
    await new.subscribe(("t", 0))
    assert await everything(new) == []


async def test_mqtt_3_3_1_12_what_is_not_retained_replaces_nothing(house: House) -> None:
    await published(house, Publish("t", b"kept", retain=True), Publish("t", b"passing"), Publish("t", b""))
    wire = await house.client("c")
    await wire.subscribe(("t", 0))
    assert await everything(wire) == [Publish("t", b"kept", retain=True)]


async def test_mqtt_3_3_2_3_and_4_5_0_1_a_message_reaches_all_whose_filter_matches(house: House) -> None:
    wires = {topic_filter: await house.client(topic_filter) for topic_filter in ("a/b", "a/+", "#", "a/c", "+")}
    for topic_filter, wire in wires.items():
        await wire.subscribe((topic_filter, 0))
    await published(house, Publish("a/b", b"x"))
    got = {topic_filter: await everything(wire) for topic_filter, wire in wires.items()}
    assert [topic_filter for topic_filter, messages in got.items() if messages] == ["a/b", "a/+", "#"]


async def test_mqtt_3_3_5_1_overlapping_filters_deliver_at_their_highest_qos(house: House) -> None:
    wire = await house.client("c")
    await wire.subscribe(("a/b", 0), ("a/+", 1), ("#", 0))
    await published(house, Publish("a/b", b"x", 1))
    assert await everything(wire) == [Publish("a/b", b"x", 1, packet_id=1)]


@pytest.mark.parametrize(("sent", "granted"), [(0, 0), (0, 1), (1, 0), (1, 1), (0, 2), (1, 2)])
async def test_mqtt_3_8_4_6_a_message_comes_at_the_lower_of_both_qos(house: House, sent: int, granted: int) -> None:
    wire = await house.client("c")
    await wire.subscribe(("t", granted))
    await published(house, Publish("t", b"x", sent))
    qos = min(sent, granted)
    assert await everything(wire) == [Publish("t", b"x", qos, packet_id=1 if qos else 0)]


async def test_mqtt_3_8_4_1_to_5_and_3_9_3_1_suback_answers_each_filter_in_order(house: House) -> None:
    house.authorizer.denied_filters.add("no")
    wire = await house.client("c")
    await wire.send(Subscribe(77, tuple(Subscription(*one) for one in (("a", 1), ("no", 0), ("b", 0)))))
    assert await wire.receive() == Suback(77, (1, 0x80, 0))


async def test_mqtt_3_8_4_3_subscribing_again_replaces_the_qos_and_repeats_retained(house: House) -> None:
    await published(house, Publish("t", b"kept", 1, retain=True))
    wire = await house.client("c")
    await wire.subscribe(("t", 0))
    assert await everything(wire) == [Publish("t", b"kept", 0, retain=True)]
    await wire.subscribe(("t", 1))
    assert await everything(wire) == [Publish("t", b"kept", 1, retain=True, packet_id=1)]
    await published(house, Publish("t", b"live", 1))
    assert await everything(wire) == [Publish("t", b"live", 1, packet_id=2)]
    await wire.subscribe(("t", 0))
    await everything(wire)
    await published(house, Publish("t", b"live", 1))
    assert await everything(wire) == [Publish("t", b"live")]


async def test_mqtt_3_10_4_1_and_2_unsubscribing_takes_exactly_the_same_filter_away(house: House) -> None:
    wire = await house.client("c")
    await wire.subscribe(("a/+", 0), ("b", 0))
    await wire.send(Unsubscribe(1, ("a/b", "#", "b")))
    assert await wire.receive() == Unsuback(1)
    await published(house, Publish("a/b", b"1"), Publish("b", b"2"))
    assert await everything(wire) == [Publish("a/b", b"1")]


async def test_mqtt_3_10_4_3_what_is_under_way_at_qos_1_is_completed(house: House) -> None:
    wire = await house.client("c", clean_start=False)
    await wire.subscribe(("t", 1))
    await published(house, Publish("t", b"x", 1))
    assert await everything(wire) == [Publish("t", b"x", 1, packet_id=1)]
    await wire.send(Unsubscribe(1, ("t",)))
    assert await wire.receive() == Unsuback(1)
    wire.abort()
    wire = await house.client("c", clean_start=False)
    assert await everything(wire) == [Publish("t", b"x", 1, duplicate=True, packet_id=1)]


async def test_mqtt_3_10_4_4_to_6_unsuback_comes_once_and_also_for_nothing(house: House) -> None:
    wire = await house.client("c")
    await wire.send(Unsubscribe(5, ("never", "subscribed")))
    assert await everything(wire) == [Unsuback(5)]


async def test_mqtt_4_3_2_1_identifiers_in_flight_differ_and_are_free_after_the_acknowledgement(house: House) -> None:
    wire = await house.client("c")
    await wire.subscribe(("t", 1))
    await published(house, *[Publish("t", b"", 1)] * 10)
    identifiers = [packet.packet_id for packet in await everything(wire) if isinstance(packet, Publish)]
    assert len(set(identifiers)) == len(identifiers) == 10


async def test_mqtt_4_3_2_2_a_message_that_comes_twice_is_acknowledged_twice(house: House) -> None:
    wire = await house.client("c")
    await wire.send(Publish("t", b"", 1, packet_id=4), Publish("t", b"", 1, duplicate=True, packet_id=4))
    assert [await wire.receive(), await wire.receive()] == [Puback(4), Puback(4)]


async def test_mqtt_4_6_0_2_acknowledgements_come_in_the_order_of_the_messages(house: House) -> None:
    wire = await house.client("c")
    identifiers = [7, 1, 65_535, 2]
    await wire.send(*(Publish("t", b"", 1, packet_id=number) for number in identifiers))
    assert [await wire.receive() for _ in identifiers] == [Puback(number) for number in identifiers]


@pytest.mark.parametrize("qos", [0, 1])
async def test_mqtt_4_6_0_5_and_6_messages_of_a_topic_keep_their_order(house: House, qos: int) -> None:
    wire = await house.client("c")
    await wire.subscribe(("#", 1))
    publisher = await house.client("publisher")
    await publisher.send(*(Publish("t", b"%d" % number, qos, packet_id=qos * number) for number in range(1, 301)))
    received: list[bytes] = []
    while len(received) < 300:
        packet = await wire.expect(Publish)
        received.append(packet.payload)
        if qos:
            await wire.send(Puback(packet.packet_id))
    assert received == [b"%d" % number for number in range(1, 301)]


async def test_mqtt_4_7_2_1_wildcards_do_not_match_topics_that_begin_with_a_dollar(house: House) -> None:
    wire = await house.client("c")
    await wire.subscribe(("#", 0), ("+/x", 0), ("$sys/+", 1))
    await published(house, Publish("$sys/x", b"1"), Publish("$other/x", b"2"))
    assert await everything(wire) == [Publish("$sys/x", b"1")]
    await published(house, Publish("$other/x", b"kept", retain=True))
    await wire.subscribe(("#", 0))
    assert await everything(wire) == []


async def test_mqtt_4_7_3_1_and_4_topics_are_compared_character_by_character(house: House) -> None:
    wire = await house.client("c")
    await wire.subscribe(("\u00e9", 0), ("/A ", 0))
    names = ["e\u0301", "\u00e9", "/a ", "/A", "/A ", "A "]
    await published(house, *(Publish(name, b"") for name in names))
    assert await everything(wire) == [Publish("\u00e9", b""), Publish("/A ", b"")]
