"""MQTT 5.0, section 3.3.1.3: retained messages, and what a subscription says about them."""

import pytest

from tests.conformance.site import Site
from tests.conformance.wire_format import Name, Properties

AS_PUBLISHED = 8
ALWAYS, IF_NEW, NEVER = 0x00, 0x10, 0x20
PROPERTIES: Properties = (
    (Name.CONTENT_TYPE, "none"),
    (Name.USER_PROPERTY, ("b", "1")),
    (Name.USER_PROPERTY, ("a", "2")),
    (Name.RESPONSE_TOPIC, "answers"),
    (Name.CORRELATION_DATA, b"\0"),
    (Name.PAYLOAD_FORMAT, 1),
)


async def kept(site: Site, topic: str = "t", payload: bytes = b"kept", qos: int = 1, **more: Properties) -> None:
    wire = await site.client("publisher")
    await wire.publish(topic, payload, qos, retain=True, **more)


@pytest.mark.parametrize("sent", [0, 1, 2])
@pytest.mark.parametrize("granted", [0, 1, 2])
async def test_a_new_subscription_gets_the_last_message_at_the_lower_qos(v5: Site, sent: int, granted: int) -> None:
    """[MQTT-3.3.1-5] [MQTT-3.3.1-9] [MQTT-3.8.4-8]"""
    await kept(v5, payload=b"old")
    await kept(v5, payload=b"new", qos=sent)
    wire = await v5.client()
    await wire.subscribe(("t", granted))
    assert (await wire.take()).message == ("t", b"new", min(sent, granted), True)
    await wire.expect_nothing()


async def test_it_comes_with_its_properties_and_the_identifier_of_its_subscription(v5: Site) -> None:
    """[MQTT-3.3.1-5] [MQTT-3.3.2-17] [MQTT-3.3.2-18] [MQTT-3.3.4-3]"""
    await kept(v5, properties=PROPERTIES)
    wire = await v5.client()
    await wire.subscribe(("+", 1), properties=((Name.SUBSCRIPTION_IDENTIFIER, 5),))
    message = await wire.take()
    for name in {name for name, _ in PROPERTIES}:
        assert message.all_of(name) == [value for found, value in PROPERTIES if found is name]
    assert message.all_of(Name.SUBSCRIPTION_IDENTIFIER) == [5]


async def test_a_wildcard_gets_every_retained_message_it_matches(v5: Site) -> None:
    """[MQTT-3.3.1-9] [MQTT-4.7.2-1]"""
    for topic in ("a", "a/b", "a/b/c", "b", "$own/a"):
        await kept(v5, topic)
    expected = {"a/#": {"a", "a/b", "a/b/c"}, "+/b": {"a/b"}, "#": {"a", "a/b", "a/b/c", "b"}, "$own/+": {"$own/a"}}
    for topic_filter, topics in expected.items():
        wire = await v5.client(topic_filter)
        await wire.subscribe((topic_filter, 0))
        assert {topic for topic, *_ in await wire.messages()} == topics


async def test_retain_handling_0_sends_it_with_every_subscription(v5: Site) -> None:
    """[MQTT-3.3.1-9] [MQTT-3.8.4-4]"""
    await kept(v5)
    wire = await v5.client()
    for _ in range(3):
        await wire.subscribe(("t", ALWAYS))
        assert await wire.messages() == [("t", b"kept", 0, True)]


async def test_retain_handling_1_sends_it_with_a_new_subscription_only(v5: Site) -> None:
    """[MQTT-3.3.1-10]"""
    await kept(v5)
    wire = await v5.client()
    await wire.subscribe(("t", IF_NEW))
    assert await wire.messages() == [("t", b"kept", 0, True)]
    await wire.subscribe(("t", IF_NEW | 1))
    await wire.expect_nothing()
    await wire.unsubscribe("t")
    await wire.subscribe(("t", IF_NEW))
    assert await wire.messages() == [("t", b"kept", 0, True)]


async def test_retain_handling_1_knows_the_subscriptions_of_a_kept_session(v5: Site) -> None:
    """[MQTT-3.3.1-10]"""
    session: Properties = ((Name.SESSION_EXPIRY, 60),)
    wire = await v5.client(properties=session)
    await wire.subscribe(("t", IF_NEW))
    await wire.leave()
    await kept(v5)
    wire = await v5.client(clean=False, properties=session)
    await wire.subscribe(("t", IF_NEW))
    await wire.expect_nothing()


async def test_retain_handling_2_never_sends_it(v5: Site) -> None:
    """[MQTT-3.3.1-11]"""
    await kept(v5)
    wire = await v5.client()
    for _ in range(2):
        await wire.subscribe(("t", NEVER))
        await wire.expect_nothing()
    await wire.publish("t", b"live")
    assert await wire.messages() == [("t", b"live", 0, False)]


async def test_each_filter_of_one_subscribe_is_handled_by_its_own_options(v5: Site) -> None:
    """[MQTT-3.8.4-5] [MQTT-3.3.1-9] [MQTT-3.3.1-11]"""
    for topic in ("a", "b", "c"):
        await kept(v5, topic)
    wire = await v5.client()
    await wire.subscribe(("a", ALWAYS), ("b", NEVER), ("c", IF_NEW))
    assert {topic for topic, *_ in await wire.messages()} == {"a", "c"}


@pytest.mark.parametrize("retain", [False, True])
@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_the_flag_is_passed_on_as_published_where_that_is_asked_for(v5: Site, retain: bool, qos: int) -> None:
    """[MQTT-3.3.1-12] [MQTT-3.3.1-13]"""
    plain, as_published = await v5.client("plain"), await v5.client("as published")
    await plain.subscribe(("t", 2))
    await as_published.subscribe(("t", 2 | AS_PUBLISHED))
    await (await v5.client("publisher")).publish("t", b"x", qos, retain=retain)
    assert (await plain.take()).message == ("t", b"x", qos, False)
    assert (await as_published.take()).message == ("t", b"x", qos, retain)


@pytest.mark.parametrize("options", [0, AS_PUBLISHED])
async def test_what_is_sent_for_a_new_subscription_has_the_flag(v5: Site, options: int) -> None:
    """[MQTT-3.3.1-9] [MQTT-3.3.1-12]: section 3.3.1.3, whatever the subscription says."""
    await kept(v5)
    wire = await v5.client()
    await wire.subscribe(("t", options))
    assert await wire.messages() == [("t", b"kept", 0, True)]


async def test_the_flag_waits_with_its_message(v5: Site) -> None:
    """[MQTT-3.3.1-13] [MQTT-4.5.0-1]"""
    session: Properties = ((Name.SESSION_EXPIRY, 60),)
    wire = await v5.client(properties=session)
    await wire.subscribe(("t", 1 | AS_PUBLISHED), ("u", 1))
    await wire.leave()
    await kept(v5, "t")
    await kept(v5, "u")
    wire = await v5.client(clean=False, properties=session)
    assert {(await wire.take()).message for _ in range(2)} == {("t", b"kept", 1, True), ("u", b"kept", 1, False)}


@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_an_empty_payload_is_delivered_and_clears(v5: Site, qos: int) -> None:
    """[MQTT-3.3.1-6] [MQTT-3.3.1-7]"""
    old = await v5.client("old")
    await old.subscribe(("t", 0))
    await kept(v5)
    await kept(v5, payload=b"", qos=qos, properties=PROPERTIES)
    assert await old.messages() == [("t", b"kept", 0, False), ("t", b"", 0, False)]
    new = await v5.client("new")
    await new.subscribe(("t", 0))
    await new.expect_nothing()


async def test_what_is_not_retained_replaces_and_removes_nothing(v5: Site) -> None:
    """[MQTT-3.3.1-8]"""
    await kept(v5)
    publisher = await v5.client("publisher")
    for topic, payload in (("t", b"passing"), ("t", b""), ("u", b"passing")):
        await publisher.publish(topic, payload, 1)
    wire = await v5.client()
    await wire.subscribe(("#", 0))
    assert await wire.messages() == [("t", b"kept", 0, True)]


async def test_a_session_that_comes_back_is_no_new_subscription(v5: Site) -> None:
    """[MQTT-3.3.1-9]"""
    session: Properties = ((Name.SESSION_EXPIRY, 60),)
    await kept(v5)
    wire = await v5.client(properties=session)
    await wire.subscribe(("t", 1))
    assert (await wire.take()).retain
    await wire.leave()
    await (await v5.client(clean=False, properties=session)).expect_nothing()


async def test_the_same_filter_twice_in_one_subscribe_is_new_once(v5: Site) -> None:
    """[MQTT-3.8.4-5] [MQTT-3.3.1-10]: as if two SUBSCRIBE packets had come."""
    await kept(v5)
    wire = await v5.client()
    assert await wire.subscribe(("t", IF_NEW), ("t", IF_NEW | 1)) == (0, 1)
    assert len(await wire.messages()) == 1
    await wire.publish("t", b"live", 1)
    assert await wire.messages() == [("t", b"live", 1, False)]


async def test_no_local_keeps_no_retained_message_that_a_client_did_not_send(v5: Site) -> None:
    """[MQTT-3.8.3-3] [MQTT-3.3.1-9]"""
    await kept(v5)
    wire = await v5.client()
    await wire.subscribe(("t", 4))
    assert await wire.messages() == [("t", b"kept", 0, True)]
