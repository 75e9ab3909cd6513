"""MQTT 5.0, section 4.8.2: one of several subscribers gets each message."""

import pytest

from tests.conformance.site import Site
from tests.conformance.wire import Wire
from tests.conformance.wire_format import Kind, Name, Properties, subscribe

PROTOCOL_ERROR, FILTER_INVALID, MALFORMED, UNSPECIFIED_ERROR = 0x82, 0x8F, 0x81, 0x80
NO_LOCAL = 4
SESSION: Properties = ((Name.SESSION_EXPIRY, 60),)


async def sharing(site: Site, *granted: int, topic_filter: str = "$share/group/t/#") -> list[Wire]:
    """Clients that share a filter, each with its QoS."""
    wires = [await site.client(f"c{number}", properties=SESSION) for number in range(len(granted))]
    for wire, qos in zip(wires, granted, strict=True):
        assert await wire.subscribe((topic_filter, qos)) == (qos,)
    return wires


async def publish_all(site: Site, count: int, qos: int = 1) -> None:
    wire = await site.client("publisher")
    for number in range(count):
        await wire.publish("t/x", b"%d" % number, qos)


async def numbers(wire: Wire) -> list[int]:
    return [int(payload) for _, payload, *_ in await wire.messages()]


@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_each_message_goes_to_one_of_them(v5: Site, qos: int) -> None:
    """[MQTT-4.8.2-1] [MQTT-4.8.2-2]"""
    wires = await sharing(v5, qos, qos, qos)
    await publish_all(v5, 15, qos)
    received = [await numbers(wire) for wire in wires]
    assert sorted(number for some in received for number in some) == list(range(15))
    assert all(some == sorted(some) for some in received)
    # The specification leaves the choice to the server; sharing work is what it is for.
    assert all(received)


async def test_groups_and_ordinary_subscriptions_are_independent(v5: Site) -> None:
    """[MQTT-4.8.2-1]: each group gets each message once, and each ordinary subscription too."""
    first = await sharing(v5, 1, 1)
    second, alone = await v5.client("second"), await v5.client("alone")
    await second.subscribe(("$share/other/t/#", 1))
    await alone.subscribe(("t/#", 1))
    await publish_all(v5, 6)
    assert sorted(await numbers(first[0]) + await numbers(first[1])) == list(range(6))
    assert await numbers(second) == list(range(6))
    assert await numbers(alone) == list(range(6))


async def test_a_client_may_subscribe_to_a_filter_alone_and_in_a_group(v5: Site) -> None:
    """[MQTT-4.8.2-1] [MQTT-3.8.4-3]: a shared subscription is another one than that of its filter."""
    wire = await v5.client()
    await wire.subscribe(("t", 1))
    await wire.subscribe(("$share/group/t", 1))
    await (await v5.client("publisher")).publish("t", b"x", 1)
    assert len(await wire.messages()) in {1, 2}
    assert await wire.unsubscribe("$share/group/t", "t", "$share/other/t") == (0, 0, 0x11)


async def test_each_gets_it_at_the_qos_it_was_granted(v5: Site) -> None:
    """[MQTT-4.8.2-3]"""
    wires = await sharing(v5, 0, 1, 2)
    await publish_all(v5, 9, 2)
    for granted, wire in enumerate(wires):
        assert {qos for *_, qos, _ in await wire.messages()} == {granted}


async def test_a_client_that_unsubscribed_shares_no_more(v5: Site) -> None:
    """[MQTT-3.10.4-1] [MQTT-3.10.4-2]"""
    first, second = await sharing(v5, 1, 1)
    assert await first.unsubscribe("$share/group/t/#", "$share/group/t/#", "t/#") == (0, 0x11, 0x11)
    await publish_all(v5, 4)
    await first.expect_nothing()
    assert await numbers(second) == [0, 1, 2, 3]


async def test_a_client_that_left_for_good_shares_no_more(v5: Site) -> None:
    """[MQTT-4.1.0-2]"""
    first, second = await sharing(v5, 1, 1)
    await first.leave(0, ((Name.SESSION_EXPIRY, 0),))
    await publish_all(v5, 4)
    assert await numbers(second) == [0, 1, 2, 3]


async def test_messages_prefer_those_who_are_there(v5: Site) -> None:
    """[MQTT-4.8.2-1]: a server may choose any subscriber (section 4.8.2); ours prefers one that is connected."""
    if v5.own is None:
        pytest.skip("the specification leaves the choice to the server")
    first, second = await sharing(v5, 1, 1)
    await first.leave()
    await publish_all(v5, 4)
    assert await numbers(second) == [0, 1, 2, 3]


async def test_messages_wait_for_a_group_that_is_away(v5: Site) -> None:
    """[MQTT-4.5.0-1]"""
    (wire,) = await sharing(v5, 1)
    await wire.leave()
    await publish_all(v5, 3)
    wire = await v5.client("c0", clean=False, properties=SESSION)
    assert wire.connack.session_present
    assert await numbers(wire) == [0, 1, 2]


async def test_an_unfinished_qos_2_delivery_is_completed_to_its_client(v5: Site) -> None:
    """[MQTT-4.8.2-4]"""
    (wire,) = await sharing(v5, 2)
    await publish_all(v5, 1, 2)
    message = await wire.expect(Kind.PUBLISH)
    other = await v5.client("other")
    await other.subscribe(("$share/group/t/#", 2))
    wire.abort()
    wire = await v5.client("c0", clean=False, properties=SESSION)
    again = await wire.take()
    assert (again.number, again.payload, again.duplicate) == (message.number, b"0", True)
    await other.expect_nothing()


async def test_an_unfinished_qos_2_delivery_goes_to_nobody_else(v5: Site) -> None:
    """[MQTT-4.8.2-5]"""
    (wire,) = await sharing(v5, 2)
    await publish_all(v5, 1, 2)
    await wire.expect(Kind.PUBLISH)
    other = await v5.client("other")
    await other.subscribe(("$share/group/t/#", 2))
    await wire.leave(0, ((Name.SESSION_EXPIRY, 0),))
    assert not (await v5.client("c0", clean=False)).connack.session_present
    await other.expect_nothing()


@pytest.mark.parametrize(("qos", "kind"), [(1, Kind.PUBACK), (2, Kind.PUBREC)])
async def test_a_message_that_its_client_refuses_goes_to_nobody_else(v5: Site, qos: int, kind: Kind) -> None:
    """[MQTT-4.8.2-6]"""
    (wire,) = await sharing(v5, qos)
    await publish_all(v5, 1, qos)
    message = await wire.expect(Kind.PUBLISH)
    other = await v5.client("other")
    await other.subscribe(("$share/group/t/#", qos))
    await wire.acknowledge(kind, message.number, UNSPECIFIED_ERROR)
    await wire.expect_nothing()
    await other.expect_nothing()


async def test_no_local_is_a_protocol_error_for_a_shared_subscription(v5: Site) -> None:
    """[MQTT-3.8.3-4]"""
    await v5.violates(subscribe(1, 5, [("$share/group/t", NO_LOCAL)]), PROTOCOL_ERROR)


@pytest.mark.parametrize("retain_handling", [0, 1, 2])
async def test_no_retained_message_is_sent_for_it(v5: Site, retain_handling: int) -> None:
    """[MQTT-3.3.1-9]: section 4.8.2: not even with retain handling 0."""
    wire = await v5.client()
    await wire.publish("t", retain=True)
    assert await wire.subscribe(("$share/group/t", retain_handling << 4)) == (0,)
    await wire.expect_nothing()


async def test_it_may_have_an_identifier(v5: Site) -> None:
    """[MQTT-3.3.4-3]"""
    wire = await v5.client()
    await wire.subscribe(("$share/group/t", 1), properties=((Name.SUBSCRIPTION_IDENTIFIER, 9),))
    await (await v5.client("publisher")).publish("t", b"x", 1)
    message = await wire.take()
    assert (message.topic, message.all_of(Name.SUBSCRIPTION_IDENTIFIER)) == ("t", [9])


async def test_wildcards_match_no_dollar_topics(v5: Site) -> None:
    """[MQTT-4.7.2-1]"""
    wire = await v5.client()
    await wire.subscribe(("$share/group/#", 0), ("$share/group/+/x", 0))
    publisher = await v5.client("publisher")
    await publisher.publish("$own/x")
    await publisher.publish("a")
    assert await wire.messages() == [("a", b"x", 0, False)]


@pytest.mark.parametrize("topic_filter", ["$share/g+/t", "$share/#/t", "$share/+/t", "$share/g/a#", "$share/g/"])
async def test_a_filter_that_is_not_valid_is_refused(v5: Site, topic_filter: str) -> None:
    """[MQTT-4.8.2-2] [MQTT-4.7.1-1]: by its reason code, or by a DISCONNECT."""
    wire = await v5.client()
    await wire.send(subscribe(1, 5, [(topic_filter, 0)]))
    answer = await wire.receive()
    assert {answer.code, *answer.codes} & {FILTER_INVALID, MALFORMED, PROTOCOL_ERROR}
