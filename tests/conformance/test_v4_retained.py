"""MQTT 3.1.1, section 3.3.1.3: the last known good value of a topic."""

import pytest

from tests.conformance.site import Site


@pytest.mark.parametrize("sent", [0, 1, 2])
@pytest.mark.parametrize("granted", [0, 1, 2])
async def test_a_new_subscription_gets_the_last_message_at_the_lower_qos(v4: Site, sent: int, granted: int) -> None:
    """[MQTT-3.3.1-5] [MQTT-3.3.1-6] [MQTT-3.3.1-7] [MQTT-3.3.1-8] [MQTT-3.8.4-6]"""
    publisher = await v4.client("publisher")
    await publisher.publish("t", b"old", 1, retain=True)
    await publisher.publish("t", b"new", sent, retain=True)
    wire = await v4.client()
    await wire.subscribe(("t", granted))
    assert (await wire.take()).message == ("t", b"new", min(sent, granted), True)
    await wire.expect_nothing()


async def test_a_wildcard_gets_every_retained_message_it_matches(v4: Site) -> None:
    """[MQTT-3.3.1-6] [MQTT-4.7.2-1]"""
    publisher = await v4.client("publisher")
    for topic in ("a", "a/b", "a/b/c", "b", "$own/a"):
        await publisher.publish(topic, topic.encode(), retain=True)
    for topic_filter, expected in {
        "a/#": {"a", "a/b", "a/b/c"},
        "+/b": {"a/b"},
        "#": {"a", "a/b", "a/b/c", "b"},
    }.items():
        wire = await v4.client(topic_filter)
        await wire.subscribe((topic_filter, 0))
        assert {topic for topic, *_ in await wire.messages()} == expected


@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_an_established_subscription_gets_it_without_the_flag(v4: Site, qos: int) -> None:
    """[MQTT-3.3.1-9]"""
    wire = await v4.client()
    await wire.subscribe(("t", 2))
    await (await v4.client("publisher")).publish("t", b"x", qos, retain=True)
    assert (await wire.take()).message == ("t", b"x", qos, False)


async def test_a_subscription_of_a_client_that_is_away_is_established(v4: Site) -> None:
    """[MQTT-3.3.1-9] [MQTT-3.1.2-5]"""
    wire = await v4.client(clean=False)
    await wire.subscribe(("t", 1))
    await wire.leave()
    await (await v4.client("publisher")).publish("t", b"x", 1, retain=True)
    wire = await v4.client(clean=False)
    assert (await wire.take()).message == ("t", b"x", 1, False)
    await wire.expect_nothing()


@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_an_empty_payload_is_delivered_and_clears(v4: Site, qos: int) -> None:
    """[MQTT-3.3.1-10] [MQTT-3.3.1-11]"""
    old = await v4.client("old")
    await old.subscribe(("t", 0))
    publisher = await v4.client("publisher")
    await publisher.publish("t", b"x", retain=True)
    await publisher.publish("t", b"", qos, retain=True)
    assert await old.messages() == [("t", b"x", 0, False), ("t", b"", 0, False)]
    new = await v4.client("new")
    await new.subscribe(("t", 0))
    await new.expect_nothing()


async def test_what_is_not_retained_replaces_and_removes_nothing(v4: Site) -> None:
    """[MQTT-3.3.1-12]"""
    publisher = await v4.client("publisher")
    await publisher.publish("t", b"kept", 1, retain=True)
    await publisher.publish("t", b"passing", 1)
    await publisher.publish("t", b"", 1)
    await publisher.publish("u", b"passing", 1)
    wire = await v4.client()
    await wire.subscribe(("#", 0))
    assert await wire.messages() == [("t", b"kept", 0, True)]


async def test_retained_messages_outlive_the_session_that_sent_them(v4: Site) -> None:
    """[MQTT-3.1.2-7]"""
    publisher = await v4.client("publisher")
    await publisher.publish("t", b"kept", retain=True)
    await publisher.leave()
    await (await v4.client("publisher")).leave()
    wire = await v4.client()
    await wire.subscribe(("t", 0))
    assert await wire.messages() == [("t", b"kept", 0, True)]


async def test_a_session_that_comes_back_is_no_new_subscription(v4: Site) -> None:
    """[MQTT-3.3.1-6]"""
    await (await v4.client("publisher")).publish("t", b"kept", 1, retain=True)
    wire = await v4.client(clean=False)
    await wire.subscribe(("t", 1))
    assert (await wire.take()).retain
    await wire.leave()
    await (await v4.client(clean=False)).expect_nothing()


async def test_each_filter_of_one_subscribe_gets_its_retained_messages(v4: Site) -> None:
    """[MQTT-3.8.4-4] [MQTT-3.3.1-6]"""
    publisher = await v4.client("publisher")
    for topic in ("a", "b", "c"):
        await publisher.publish(topic, retain=True)
    wire = await v4.client()
    await wire.subscribe(("a", 0), ("b", 0))
    assert {topic for topic, *_ in await wire.messages()} == {"a", "b"}
