"""MQTT 5.0, sections 3.1.2.11.5, 3.2.2.3.8 and 3.3.2.3.4: short numbers in place of topics, both ways."""

import pytest

from tests.conformance.site import Site
from tests.conformance.wire import Wire
from tests.conformance.wire_format import Name, Properties, Publish

PROTOCOL_ERROR, ALIAS_INVALID = 0x82, 0x94
OFFERED = 5


def aliased(alias: int) -> Properties:
    return ((Name.TOPIC_ALIAS, alias),)


def offered_by(wire: Wire) -> int:
    return wire.connack.number_of(Name.TOPIC_ALIAS_MAXIMUM)


async def accepting(site: Site, maximum: int = OFFERED) -> Wire:
    """A subscriber to everything that lets the server use aliases up to a number."""
    wire = await site.client("subscriber", properties=((Name.TOPIC_ALIAS_MAXIMUM, maximum),))
    await wire.subscribe(("#", 0))
    return wire


async def test_the_server_offers_aliases(v5: Site) -> None:
    """[MQTT-3.2.2-18]: clients may use them only because it does."""
    assert offered_by(await v5.client()) > 0


async def test_an_alias_stands_for_the_topic_it_came_with(v5: Site) -> None:
    """[MQTT-3.3.2-12]"""
    subscriber = await v5.client("subscriber")
    await subscriber.subscribe(("#", 1))
    wire = await v5.client()
    last = offered_by(wire)
    await wire.publish("a", b"1", 1, properties=aliased(1))
    await wire.publish("b", b"2", 1, properties=aliased(last))
    await wire.publish("", b"3", 1, properties=aliased(1))
    await wire.publish("", b"4", 1, properties=aliased(last))
    received = [await subscriber.take() for _ in range(4)]
    assert [(found.topic, found.payload) for found in received] == [
        ("a", b"1"),
        ("b", b"2"),
        ("a", b"3"),
        ("b", b"4"),
    ]
    # The mapping is the publisher's; a subscriber that offers none sees no alias [MQTT-3.1.2-27].
    assert all(found.value_of(Name.TOPIC_ALIAS) is None for found in received)


async def test_an_alias_can_be_given_to_another_topic(v5: Site) -> None:
    """[MQTT-3.3.2-12]: section 3.3.2.3.4."""
    subscriber = await v5.client("subscriber")
    await subscriber.subscribe(("#", 0))
    wire = await v5.client()
    for topic in ("a", "", "b", ""):
        await wire.publish(topic, properties=aliased(1))
    assert [topic for topic, *_ in await subscriber.messages()] == ["a", "a", "b", "b"]


async def test_two_clients_use_the_same_alias_for_different_topics(v5: Site) -> None:
    """[MQTT-3.3.2-7]"""
    subscriber = await v5.client("subscriber")
    await subscriber.subscribe(("#", 0))
    first, second = await v5.client("first"), await v5.client("second")
    await first.publish("a", properties=aliased(1))
    await second.publish("b", properties=aliased(1))
    await first.publish("", properties=aliased(1))
    await second.publish("", properties=aliased(1))
    assert [topic for topic, *_ in await subscriber.messages()] == ["a", "b", "a", "b"]


async def test_an_alias_lasts_as_long_as_its_connection(v5: Site) -> None:
    """[MQTT-3.3.2-7]"""
    keep: Properties = ((Name.SESSION_EXPIRY, 60),)
    wire = await v5.client(properties=keep)
    await wire.publish("a", properties=aliased(1))
    wire.abort()
    wire = await v5.client(clean=False, properties=keep)
    assert wire.connack.session_present
    await wire.send(Publish("", properties=aliased(1)))
    await wire.expect_closed(PROTOCOL_ERROR, ALIAS_INVALID)


async def test_a_retained_message_is_kept_under_its_topic(v5: Site) -> None:
    """[MQTT-3.3.2-12]"""
    wire = await v5.client()
    await wire.publish("a", properties=aliased(1))
    await wire.publish("", b"kept", retain=True, properties=aliased(1))
    subscriber = await v5.client("subscriber")
    await subscriber.subscribe(("a", 0))
    assert await subscriber.messages() == [("a", b"kept", 0, True)]


async def test_an_alias_that_stands_for_nothing_is_a_protocol_error(v5: Site) -> None:
    """[MQTT-3.3.2-12]: section 3.3.2.3.4."""
    await v5.violates(Publish("", properties=aliased(1)).data(5), PROTOCOL_ERROR, ALIAS_INVALID)


async def test_alias_0_is_invalid(v5: Site) -> None:
    """[MQTT-3.3.2-8]"""
    await v5.violates(Publish("t", properties=aliased(0)).data(5), ALIAS_INVALID)


async def test_an_alias_above_what_was_offered_is_invalid(v5: Site) -> None:
    """[MQTT-3.3.2-9] [MQTT-3.2.2-17]"""
    beyond = offered_by(await v5.client("probe")) + 1
    if beyond > 65_535:
        pytest.skip("every alias is offered")
    await v5.violates(Publish("t", properties=aliased(beyond)).data(5), ALIAS_INVALID)


@pytest.mark.parametrize("maximum", [None, 0])
async def test_a_client_that_offers_no_alias_gets_none(v5: Site, maximum: int | None) -> None:
    """[MQTT-3.1.2-27]"""
    properties: Properties = () if maximum is None else ((Name.TOPIC_ALIAS_MAXIMUM, maximum),)
    subscriber = await v5.client("subscriber", properties=properties)
    await subscriber.subscribe(("t", 1))
    publisher = await v5.client("publisher")
    for _ in range(3):
        await publisher.publish("t", b"x", 1)
        message = await subscriber.take()
        assert (message.topic, message.value_of(Name.TOPIC_ALIAS)) == ("t", None)


async def test_the_server_uses_aliases_within_what_a_client_offers(v5: Site) -> None:
    """[MQTT-3.1.2-26] [MQTT-3.3.2-11] [MQTT-3.3.2-8]: each alias comes first together with its topic."""
    subscriber = await accepting(v5)
    publisher = await v5.client("publisher")
    topics = [f"topic/{number}" for number in range(OFFERED + 3)]
    expected = [(topic, b"%d" % turn) for turn in range(3) for topic in topics]
    for topic, payload in expected:
        await publisher.publish(topic, payload)
    known: dict[object, str] = {}
    received = []
    for found in await subscriber.everything():
        alias = found.value_of(Name.TOPIC_ALIAS)
        if alias is not None:
            assert 1 <= found.number_of(Name.TOPIC_ALIAS) <= OFFERED
            known[alias] = found.topic or known[alias]
        received.append((known[alias] if alias is not None else found.topic, found.payload))
    assert received == expected


async def test_the_server_saves_bytes_by_aliases(v5: Site) -> None:
    """[MQTT-3.3.2-11]: that it may is the client's offer; that it does is ours."""
    subscriber = await accepting(v5)
    publisher = await v5.client("publisher")
    for _ in range(2):
        await publisher.publish("a/long/topic/name")
    first, second = await subscriber.everything()
    assert first.topic == "a/long/topic/name"
    assert (second.topic, second.value_of(Name.TOPIC_ALIAS)) == ("", first.value_of(Name.TOPIC_ALIAS))


async def test_the_aliases_of_the_server_begin_anew_with_each_connection(v5: Site) -> None:
    """[MQTT-3.3.2-7]"""
    publisher = await v5.client("publisher")
    for _ in range(2):
        subscriber = await accepting(v5)
        await publisher.publish("t")
        (found,) = await subscriber.everything()
        assert found.topic == "t"


async def test_what_comes_again_after_a_reconnect_has_its_topic(v5: Site) -> None:
    """[MQTT-3.3.2-7] [MQTT-4.4.0-1]"""
    properties: Properties = ((Name.SESSION_EXPIRY, 60), (Name.TOPIC_ALIAS_MAXIMUM, OFFERED))
    subscriber = await v5.client("subscriber", properties=properties)
    await subscriber.subscribe(("t", 1))
    publisher = await v5.client("publisher")
    for _ in range(2):
        await publisher.publish("t", b"x", 1)
    assert len(await subscriber.everything()) == 2
    subscriber.abort()
    subscriber = await v5.client("subscriber", clean=False, properties=((Name.SESSION_EXPIRY, 60),))
    again = await subscriber.everything()
    assert [(found.topic, found.duplicate) for found in again] == [("t", True), ("t", True)]
