"""MQTT 3.1.1, sections 3.8 to 3.11 and 4.7: which messages a client asks for, and which it gets."""

import pytest

from tests.conformance.site import Site
from tests.conformance.wire_format import Kind, Publish, numbered, packet, subscribe, text, unsubscribe

# Topic filter → names it matches, and names it does not (sections 4.7.1 and 4.7.2).
MATCHES = {
    "sport/tennis/#": ({"sport/tennis", "sport/tennis/p1", "sport/tennis/p1/score"}, {"sport", "sport/tennisp"}),
    "sport/#": ({"sport", "sport/", "sport/tennis"}, {"sports", "/sport"}),
    "#": ({"sport", "/", "/a", "a/b/c"}, {"$a", "$a/b"}),
    "sport/+": ({"sport/", "sport/tennis"}, {"sport", "sport/tennis/p1"}),
    "+": ({"finance"}, {"/finance", "a/b", "$a"}),
    "+/+": ({"/finance", "a/b", "/"}, {"finance", "a/b/c", "$a/b"}),
    "/+": ({"/finance", "/"}, {"finance", "//"}),
    "+/tennis/#": ({"a/tennis", "a/tennis/b/c", "/tennis"}, {"tennis", "$a/tennis"}),
    "a//b": ({"a//b"}, {"a/b", "a///b"}),
    "$a/#": ({"$a", "$a/b"}, {"a/b", "$ab"}),
}


@pytest.mark.parametrize(("topic_filter", "names"), MATCHES.items(), ids=list(MATCHES))
async def test_a_filter_matches_level_by_level(v4: Site, topic_filter: str, names: tuple[set[str], set[str]]) -> None:
    """[MQTT-3.3.2-3] [MQTT-4.7.1-2] [MQTT-4.7.1-3] [MQTT-4.7.2-1] [MQTT-4.5.0-1]"""
    matching, others = names
    wire = await v4.client()
    await wire.subscribe((topic_filter, 0))
    publisher = await v4.client("publisher")
    for name in sorted(matching | others):
        await publisher.publish(name)
    assert {topic for topic, *_ in await wire.messages()} == matching


async def test_names_are_compared_character_by_character(v4: Site) -> None:
    """[MQTT-4.7.3-4] [MQTT-1.5.3-3]"""
    wire = await v4.client()
    await wire.subscribe(("é", 0), ("/A ", 0), ("\ufefft", 0))
    publisher = await v4.client("publisher")
    for name in ("e\u0301", "é", "/a ", "/A", "/A ", "A ", "t", "\ufefft"):
        await publisher.publish(name)
    assert [topic for topic, *_ in await wire.messages()] == ["é", "/A ", "\ufefft"]


@pytest.mark.parametrize("topic_filter", ["a/#/b", "a#", "##", "#/", "a+", "+a", "a/+b", "++"])
async def test_a_misplaced_wildcard_is_refused(v4: Site, topic_filter: str) -> None:
    """[MQTT-4.7.1-2] [MQTT-4.7.1-3]: by its return code, or by closing the connection."""
    wire = await v4.client()
    await wire.send(subscribe(1, 4, [(topic_filter, 0)]))
    try:
        answer = await wire.receive()
    except EOFError:
        return
    assert (answer.kind, answer.codes) == (Kind.SUBACK, (0x80,))


async def test_suback_answers_each_filter_in_order_with_the_identifier_of_its_question(v4: Site) -> None:
    """[MQTT-3.8.4-1] [MQTT-3.8.4-2] [MQTT-3.8.4-4] [MQTT-3.8.4-5] [MQTT-3.9.3-1] [MQTT-2.3.1-7]"""
    wire = await v4.client()
    await wire.send(subscribe(0xFFFF, 4, [("a", 2), ("b", 0), ("c", 1), ("a", 1)]))
    answer = await wire.expect(Kind.SUBACK)
    assert (answer.number, answer.codes) == (0xFFFF, (2, 0, 1, 1))


async def test_a_denied_filter_fails_alone(v4: Site) -> None:
    """[MQTT-3.8.4-5] [MQTT-3.9.3-2]"""
    v4.deny_filter("no")
    wire = await v4.client()
    assert await wire.subscribe(("a", 2), ("no", 0), ("b", 0)) == (2, 0x80, 0)
    await wire.publish("no")
    await wire.publish("b")
    assert await wire.messages() == [("b", b"x", 0, False)]


async def test_subscribing_again_replaces_the_qos_and_repeats_what_is_retained(v4: Site) -> None:
    """[MQTT-3.8.4-3]"""
    publisher = await v4.client("publisher")
    await publisher.publish("t", b"kept", 2, retain=True)
    wire = await v4.client()
    for qos in (0, 2, 1):
        await wire.subscribe(("t", qos))
        assert (await wire.take()).message == ("t", b"kept", qos, True)
        await publisher.publish("t", b"live", 2)
        assert (await wire.take()).message == ("t", b"live", qos, False)
    await wire.expect_nothing()


async def test_subscribing_again_interrupts_nothing(v4: Site) -> None:
    """[MQTT-3.8.4-3]"""
    wire = await v4.client()
    await wire.subscribe(("t", 0))
    for number in range(20):
        await wire.send(Publish("t", b"%d" % number), subscribe(7, 4, [("t", 0)]))
    received = [found.payload for found in await wire.everything() if found.kind is Kind.PUBLISH]
    assert received == [b"%d" % number for number in range(20)]


async def test_unsubscribing_takes_exactly_the_same_filter_away(v4: Site) -> None:
    """[MQTT-3.10.4-1] [MQTT-3.10.4-2]"""
    wire = await v4.client()
    await wire.subscribe(("a/+", 0), ("b", 0))
    await wire.unsubscribe("a/b", "#", "B", "b")
    await wire.publish("a/b")
    await wire.publish("b")
    assert await wire.messages() == [("a/b", b"x", 0, False)]


async def test_unsuback_comes_once_and_also_for_nothing(v4: Site) -> None:
    """[MQTT-3.10.4-4] [MQTT-3.10.4-5] [MQTT-3.10.4-6] [MQTT-2.3.1-7]"""
    wire = await v4.client()
    await wire.send(unsubscribe(0x1234, 4, ["never", "subscribed"]))
    assert (await wire.expect(Kind.UNSUBACK)).number == 0x1234
    await wire.expect_nothing()


async def test_a_message_goes_to_one_of_those_who_share_a_filter(v4: Site) -> None:
    """Shared subscriptions are MQTT 5's (section 4.8.2), offered to clients of 3.1.1 too."""
    sharing = [await v4.client(f"c{number}") for number in range(3)]
    alone = await v4.client("alone")
    await alone.subscribe(("t/+", 0))
    for wire in sharing:
        assert await wire.subscribe(("$share/group/t/+", 1)) == (1,)
    publisher = await v4.client("publisher")
    for number in range(30):
        await publisher.publish("t/x", b"%d" % number)
    received = [await wire.messages() for wire in sharing]
    assert sorted(int(payload) for messages in received for _, payload, *_ in messages) == list(range(30))
    assert len(await alone.messages()) == 30


async def test_no_retained_message_is_sent_for_a_shared_subscription(v4: Site) -> None:
    """MQTT 5's section 4.8.2, for clients of 3.1.1 too."""
    wire = await v4.client()
    await wire.publish("t", retain=True)
    await wire.subscribe(("$share/group/t", 0))
    await wire.expect_nothing()


VIOLATIONS = {
    "MQTT-2.3.1-1 SUBSCRIBE with identifier 0": subscribe(0, 4, [("t", 0)]),
    "MQTT-2.3.1-1 UNSUBSCRIBE with identifier 0": unsubscribe(0, 4, ["t"]),
    "MQTT-3.8.1-1 flags 0 of SUBSCRIBE": bytes.fromhex("80 06 0001 0001 74 00"),
    "MQTT-3.8.1-1 flags 3 of SUBSCRIBE": bytes.fromhex("83 06 0001 0001 74 00"),
    "MQTT-3.8.3-1 a filter that is not UTF-8": bytes.fromhex("82 06 0001 0001 ff 00"),
    "MQTT-3.8.3-3 SUBSCRIBE without a filter": packet(Kind.SUBSCRIBE, numbered(1), 2),
    "MQTT-3-8.3-4 QoS 3": subscribe(1, 4, [("t", 3)]),
    "MQTT-3-8.3-4 a reserved bit": subscribe(1, 4, [("t", 0x80)]),
    "MQTT-3-8.3-4 an option of MQTT 5": subscribe(1, 4, [("t", 0x04)]),
    "MQTT-4.8.0-1 a filter without its QoS": packet(Kind.SUBSCRIBE, numbered(1) + text("t"), 2),
    "MQTT-4.8.0-1 a filter longer than the packet": packet(Kind.SUBSCRIBE, numbered(1) + b"\0\x05t\0", 2),
    "MQTT-4.7.3-1 an empty filter": subscribe(1, 4, [("", 0)]),
    "MQTT-4.7.3-2 a null character": subscribe(1, 4, [("a\0", 0)]),
    "MQTT-3.10.1-1 flags 0 of UNSUBSCRIBE": bytes.fromhex("a0 05 0001 0001 74"),
    "MQTT-3.10.3-1 a filter that is not UTF-8": bytes.fromhex("a2 05 0001 0001 ff"),
    "MQTT-3.10.3-2 UNSUBSCRIBE without a filter": packet(Kind.UNSUBSCRIBE, numbered(1), 2),
}


@pytest.mark.parametrize("data", VIOLATIONS.values(), ids=list(VIOLATIONS))
async def test_a_violation_closes_the_connection(v4: Site, data: bytes) -> None:
    await v4.violates(data)
