"""MQTT 5.0, sections 3.8 to 3.11 and 4.7: subscriptions, their options and identifiers."""

import pytest

from tests.conformance.site import Site
from tests.conformance.wire_format import (
    Kind,
    Name,
    Properties,
    Publish,
    binary,
    numbered,
    packet,
    property_field,
    subscribe,
    text,
    unsubscribe,
)

MALFORMED, PROTOCOL_ERROR, NOT_AUTHORIZED, FILTER_INVALID = 0x81, 0x82, 0x87, 0x8F
NO_SUBSCRIPTION_EXISTED = 0x11
NO_LOCAL = 4


def identified(number: int) -> Properties:
    return ((Name.SUBSCRIPTION_IDENTIFIER, number),)


async def test_suback_answers_each_filter_in_order(v5: Site) -> None:
    """[MQTT-3.8.4-1] [MQTT-3.8.4-2] [MQTT-3.8.4-5] [MQTT-3.8.4-6] [MQTT-3.8.4-7] [MQTT-3.9.3-1] [MQTT-3.9.3-2]
    [MQTT-2.2.1-6] [MQTT-3.2.2-10]"""
    wire = await v5.client()
    await wire.send(subscribe(0xFFFF, 5, [("a", 2), ("b", 0), ("c", 1), ("a", 1)]))
    answer = await wire.expect(Kind.SUBACK)
    assert (answer.number, answer.codes) == (0xFFFF, (2, 0, 1, 1))


async def test_a_filter_that_is_not_authorised_fails_alone(v5: Site) -> None:
    """[MQTT-3.8.4-7]"""
    v5.deny_filter("no")
    wire = await v5.client()
    assert await wire.subscribe(("a", 2), ("no", 0), ("b", 0)) == (2, NOT_AUTHORIZED, 0)
    await wire.publish("no")
    await wire.publish("b")
    assert await wire.messages() == [("b", b"x", 0, False)]


@pytest.mark.parametrize("topic_filter", ["a/#/b", "a#", "##", "a+", "+a", "a/+b", "$share", "$share/g", "$share//t"])
async def test_a_filter_that_is_not_valid_is_refused(v5: Site, topic_filter: str) -> None:
    """[MQTT-4.7.1-1] [MQTT-4.7.1-2] [MQTT-4.8.2-1] [MQTT-4.8.2-2]: by its reason code, or by a DISCONNECT."""
    wire = await v5.client()
    await wire.send(subscribe(1, 5, [(topic_filter, 0)]))
    answer = await wire.receive()
    if topic_filter == "$share" and answer.codes == (0,):
        return  # An ordinary topic that begins with a dollar.
    assert {answer.code, *answer.codes} & {FILTER_INVALID, MALFORMED, PROTOCOL_ERROR}


async def test_unsuback_answers_each_filter_in_order(v5: Site) -> None:
    """[MQTT-3.10.4-4] [MQTT-3.10.4-5] [MQTT-3.10.4-6] [MQTT-3.11.3-1] [MQTT-3.11.3-2] [MQTT-2.2.1-6]"""
    wire = await v5.client()
    await wire.subscribe(("a", 0), ("b/+", 0))
    await wire.send(unsubscribe(0x1234, 5, ["never", "a", "b/c", "b/+", "a"]))
    answer = await wire.expect(Kind.UNSUBACK)
    none = NO_SUBSCRIPTION_EXISTED
    assert (answer.number, answer.codes) == (0x1234, (none, 0, none, 0, none))


async def test_unsubscribing_takes_exactly_the_same_filter_away(v5: Site) -> None:
    """[MQTT-3.10.4-1] [MQTT-3.10.4-2]"""
    wire = await v5.client()
    await wire.subscribe(("a/+", 0), ("b", 0))
    await wire.unsubscribe("a/b", "#", "B", "b")
    await wire.publish("a/b")
    await wire.publish("b")
    assert await wire.messages() == [("a/b", b"x", 0, False)]


async def test_what_is_under_way_is_completed_after_unsubscribing(v5: Site) -> None:
    """[MQTT-3.10.4-3]"""
    wire = await v5.client()
    await wire.subscribe(("t", 2))
    await (await v5.client("publisher")).publish("t", b"x", 2)
    message = await wire.expect(Kind.PUBLISH)
    await wire.unsubscribe("t")
    await wire.acknowledge(Kind.PUBREC, message.number)
    assert (await wire.expect(Kind.PUBREL)).number == message.number


async def test_names_are_compared_character_by_character(v5: Site) -> None:
    """[MQTT-4.7.3-4] [MQTT-1.5.4-3] [MQTT-4.7.2-1] [MQTT-3.3.2-3]"""
    wire = await v5.client()
    await wire.subscribe(("é", 0), ("/A ", 0), ("\ufefft", 0), ("+/x", 0), ("$a/+", 0))
    publisher = await v5.client("publisher")
    for name in ("e\u0301", "é", "/a ", "/A", "/A ", "t", "\ufefft", "$b/x", "$a/x", "b/x"):
        await publisher.publish(name)
    assert [topic for topic, *_ in await wire.messages()] == ["é", "/A ", "\ufefft", "$a/x", "b/x"]


async def test_no_local_keeps_a_clients_own_messages_from_it(v5: Site) -> None:
    """[MQTT-3.8.3-3]"""
    wire, other = await v5.client(), await v5.client("other")
    assert await wire.subscribe(("t", 1 | NO_LOCAL)) == (1,)
    assert await other.subscribe(("t", 1)) == (1,)
    await wire.publish("t", b"own", 1)
    await other.publish("t", b"other", 1)
    assert (await wire.take()).payload == b"other"
    await wire.expect_nothing()
    assert [(await other.take()).payload for _ in range(2)] == [b"own", b"other"]


async def test_no_local_concerns_the_client_and_not_its_connection(v5: Site) -> None:
    """[MQTT-3.8.3-3]"""
    keep: Properties = ((Name.SESSION_EXPIRY, 60),)
    wire = await v5.client(properties=keep)
    await wire.subscribe(("t", NO_LOCAL))
    wire.abort()
    wire = await v5.client(clean=False, properties=keep)
    await wire.publish("t", b"own")
    await (await v5.client("other")).publish("t", b"other")
    assert [payload for _, payload, *_ in await wire.messages()] == [b"other"]


async def test_another_overlapping_subscription_is_not_silenced_by_no_local(v5: Site) -> None:
    """[MQTT-3.8.3-3]"""
    wire = await v5.client()
    await wire.subscribe(("t", NO_LOCAL))
    await wire.subscribe(("+", 1), properties=identified(2))
    await wire.publish("t", b"own", 1)
    message = await wire.take()
    assert (message.message, message.all_of(Name.SUBSCRIPTION_IDENTIFIER)) == (("t", b"own", 1, False), [2])
    await wire.expect_nothing()


async def test_subscribing_again_replaces_options_and_identifier(v5: Site) -> None:
    """[MQTT-3.8.4-3]"""
    wire = await v5.client()
    for options, properties, expected in (
        (0, identified(1), [1]),
        (2, identified(2), [2]),
        (1, (), []),
    ):
        await wire.subscribe(("t", options), properties=properties)
        await wire.publish("t", b"x", 2)
        message = await wire.take()
        assert (message.qos, message.all_of(Name.SUBSCRIPTION_IDENTIFIER)) == (options, expected)
    await wire.subscribe(("t", 1 | NO_LOCAL))
    await wire.publish("t", b"x", 2)
    await wire.expect_nothing()


async def test_subscribing_again_loses_nothing(v5: Site) -> None:
    """[MQTT-3.8.4-4]"""
    wire = await v5.client()
    await wire.subscribe(("t", 0))
    for number in range(20):
        await wire.send(Publish("t", b"%d" % number), subscribe(7, 5, [("t", 0)]))
    received = [found.payload for found in await wire.everything() if found.kind is Kind.PUBLISH]
    assert received == [b"%d" % number for number in range(20)]


@pytest.mark.parametrize("number", [1, 127, 128, 16_384, 2_097_152, 268_435_455])
async def test_a_message_carries_the_identifier_of_its_subscription(v5: Site, number: int) -> None:
    """[MQTT-3.3.4-3]"""
    wire = await v5.client()
    await wire.subscribe(("t", 1), ("u", 0), properties=identified(number))
    await wire.subscribe(("v", 0))
    publisher = await v5.client("publisher")
    for topic in ("t", "u", "v"):
        await publisher.publish(topic, b"x", 1)
    received = [await wire.take() for _ in range(3)]
    assert [found.all_of(Name.SUBSCRIPTION_IDENTIFIER) for found in received] == [[number], [number], []]


async def test_overlapping_subscriptions_give_the_highest_qos_and_all_identifiers(v5: Site) -> None:
    """[MQTT-3.3.4-2] [MQTT-3.3.4-3] [MQTT-3.3.4-4] [MQTT-3.3.4-5]: in one copy or in several."""
    wire = await v5.client()
    for topic_filter, qos, number in (("a/b", 0, 1), ("a/+", 2, 2), ("#", 1, 3), ("a/#", 0, None), ("b", 2, 4)):
        await wire.subscribe((topic_filter, qos), properties=identified(number) if number else ())
    await (await v5.client("publisher")).publish("a/b", b"x", 2)
    copies = await wire.everything()
    assert max(found.qos for found in copies) == 2
    identifiers = [found.all_of(Name.SUBSCRIPTION_IDENTIFIER) for found in copies]
    if len(copies) == 1:
        assert {*identifiers[0]} == {1, 2, 3}
        assert len(identifiers[0]) == 3
    else:
        assert sorted(map(str, identifiers)) == ["[1]", "[2]", "[3]", "[]"]


async def test_identifiers_are_kept_with_the_session_and_its_messages(v5: Site) -> None:
    """[MQTT-3.3.4-3] [MQTT-4.1.0-1]"""
    keep: Properties = ((Name.SESSION_EXPIRY, 60),)
    wire = await v5.client(properties=keep)
    await wire.subscribe(("t", 1), properties=identified(7))
    await wire.leave()
    publisher = await v5.client("publisher")
    await publisher.publish("t", b"while away", 1)
    wire = await v5.client(clean=False, properties=keep)
    await publisher.publish("t", b"now", 1)
    received = [await wire.take() for _ in range(2)]
    assert [found.all_of(Name.SUBSCRIPTION_IDENTIFIER) for found in received] == [[7], [7]]


async def test_identifiers_belong_to_their_client(v5: Site) -> None:
    """[MQTT-3.3.4-3]"""
    wires = {number: await v5.client(f"c{number}") for number in (1, 2)}
    for number, wire in wires.items():
        await wire.subscribe(("t", 0), properties=identified(number))
    await (await v5.client("publisher")).publish("t")
    for number, wire in wires.items():
        (found,) = await wire.everything()
        assert found.all_of(Name.SUBSCRIPTION_IDENTIFIER) == [number]


NONE = property_field()
VIOLATIONS = {
    "MQTT-2.2.1-3 SUBSCRIBE with identifier 0": subscribe(0, 5, [("t", 0)]),
    "MQTT-2.2.1-3 UNSUBSCRIBE with identifier 0": unsubscribe(0, 5, ["t"]),
    "MQTT-3.8.1-1 flags 0 of SUBSCRIBE": bytes.fromhex("80 07 0001 00 0001 74 00"),
    "MQTT-3.8.3-1 a filter that is not UTF-8": packet(Kind.SUBSCRIBE, numbered(1) + NONE + binary(b"\xff") + b"\0", 2),
    "MQTT-3.8.3-2 SUBSCRIBE without a filter": packet(Kind.SUBSCRIBE, numbered(1) + NONE, 2),
    "MQTT-3.8.3-5 a reserved bit": subscribe(1, 5, [("t", 0x40)]),
    "MQTT-3.8.3-5 another reserved bit": subscribe(1, 5, [("t", 0x80)]),
    "MQTT-4.13.1-1 QoS 3": subscribe(1, 5, [("t", 3)]),
    "MQTT-4.13.1-1 retain handling 3": subscribe(1, 5, [("t", 0x30)]),
    "MQTT-4.13.1-1 a filter without its options": packet(Kind.SUBSCRIBE, numbered(1) + NONE + text("t"), 2),
    "MQTT-4.7.3-1 an empty filter": subscribe(1, 5, [("", 0)]),
    "MQTT-4.7.3-2 a null character": subscribe(1, 5, [("a\0", 0)]),
    "MQTT-3.10.1-1 flags 0 of UNSUBSCRIBE": bytes.fromhex("a0 06 0001 00 0001 74"),
    "MQTT-3.10.3-1 a filter that is not UTF-8": packet(Kind.UNSUBSCRIBE, numbered(1) + NONE + binary(b"\xff"), 2),
    "MQTT-3.10.3-2 UNSUBSCRIBE without a filter": packet(Kind.UNSUBSCRIBE, numbered(1) + NONE, 2),
}


@pytest.mark.parametrize("data", VIOLATIONS.values(), ids=list(VIOLATIONS))
async def test_a_violation_ends_the_connection(v5: Site, data: bytes) -> None:
    """[MQTT-4.13.1-1]"""
    await v5.violates(data, MALFORMED, PROTOCOL_ERROR, FILTER_INVALID)
