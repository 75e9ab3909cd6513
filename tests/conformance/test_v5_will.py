"""MQTT 5.0, sections 3.1.2.5, 3.1.3.2 and 3.14.4: what a client leaves behind, and when it is published."""

import asyncio

import pytest

from tests.conformance.site import Site
from tests.conformance.wire import Wire
from tests.conformance.wire_format import Connect, Kind, Name, Properties, Publish, Will, disconnect

PROTOCOL_ERROR, TAKEN_OVER, DISCONNECT_WITH_WILL = 0x82, 0x8E, 0x04
SESSION: Properties = ((Name.SESSION_EXPIRY, 60),)
CARRIED: Properties = (
    (Name.PAYLOAD_FORMAT, 1),
    (Name.CONTENT_TYPE, "none"),
    (Name.RESPONSE_TOPIC, "answers"),
    (Name.CORRELATION_DATA, b"\0\xff"),
    (Name.USER_PROPERTY, ("b", "1")),
    (Name.USER_PROPERTY, ("a", "2")),
    (Name.USER_PROPERTY, ("b", "1")),
)


async def witnessing(site: Site) -> Wire:
    wire = await site.client("witness")
    await wire.subscribe(("gone", 2))
    return wire


def delayed(seconds: int, payload: bytes = b"gone") -> Will:
    return Will("gone", payload, properties=((Name.WILL_DELAY, seconds),))


@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("retain", [False, True])
async def test_the_will_of_a_client_that_vanishes_is_published(v5: Site, qos: int, retain: bool) -> None:
    """[MQTT-3.1.2-7] [MQTT-3.1.2-8] [MQTT-3.1.2-14] [MQTT-3.1.2-15]"""
    witness = await witnessing(v5)
    (await v5.client(will=Will("gone", b"\0\xff", qos, retain))).abort()
    assert (await witness.take()).message == ("gone", b"\0\xff", qos, False)
    late = await v5.client("late")
    await late.subscribe(("gone", 0))
    assert await late.messages() == ([("gone", b"\0\xff", 0, True)] if retain else [])


async def test_a_will_carries_its_properties_in_their_order(v5: Site) -> None:
    """[MQTT-3.1.3-10] [MQTT-3.1.2-9]"""
    witness = await witnessing(v5)
    (await v5.client(will=Will("gone", b"x", 1, properties=CARRIED))).abort()
    message = await witness.take()
    for name in {name for name, _ in CARRIED}:
        assert message.all_of(name) == [value for found, value in CARRIED if found is name]
    # The delay is not a property of the message.
    assert len(message.properties) == len(CARRIED)


async def test_a_retained_will_keeps_its_properties(v5: Site) -> None:
    """[MQTT-3.1.2-15] [MQTT-3.1.3-10]"""
    witness = await witnessing(v5)
    (await v5.client(will=Will("gone", b"x", 0, retain=True, properties=CARRIED))).abort()
    await witness.expect(Kind.PUBLISH)
    late = await v5.client("late")
    await late.subscribe(("gone", 0))
    (message,) = await late.everything()
    assert [value for name, value in CARRIED if name is Name.USER_PROPERTY] == message.all_of(Name.USER_PROPERTY)


async def test_an_empty_retained_will_clears(v5: Site) -> None:
    """[MQTT-3.3.1-6] [MQTT-3.1.2-15]"""
    witness = await witnessing(v5)
    await (await v5.client("publisher")).publish("gone", b"kept", 1, retain=True)
    await witness.take()
    (await v5.client(will=Will("gone", b"", 0, retain=True))).abort()
    assert (await witness.take()).payload == b""
    late = await v5.client("late")
    await late.subscribe(("gone", 0))
    await late.expect_nothing()


@pytest.mark.parametrize("properties", [(), SESSION])
async def test_a_normal_goodbye_discards_the_will(v5: Site, properties: Properties) -> None:
    """[MQTT-3.1.2-10] [MQTT-3.14.4-3]"""
    witness = await witnessing(v5)
    for code in (None, 0):
        wire = await v5.client(properties=properties, will=Will("gone"))
        await wire.leave(code)
    await witness.expect_nothing()


@pytest.mark.parametrize("code", [DISCONNECT_WITH_WILL, 0x80, 0x83, 0x97])
async def test_any_other_goodbye_publishes_the_will(v5: Site, code: int) -> None:
    """[MQTT-3.1.2-8]: section 3.1.2.5."""
    witness = await witnessing(v5)
    wire = await v5.client(will=Will("gone"))
    await wire.send(disconnect(code))
    await wire.expect_closed()
    assert (await witness.take()).message == ("gone", b"gone", 0, False)


async def test_a_violation_publishes_the_will(v5: Site) -> None:
    """[MQTT-3.1.2-8]"""
    witness = await witnessing(v5)
    wire = await v5.client(will=Will("gone"))
    await wire.send(b"\0\0")
    await wire.until_closed()
    assert (await witness.take()).message == ("gone", b"gone", 0, False)


async def test_a_will_is_published_once(v5: Site) -> None:
    """[MQTT-3.1.2-10]"""
    witness = await witnessing(v5)
    (await v5.client(properties=SESSION, will=Will("gone"))).abort()
    assert (await witness.take()).message == ("gone", b"gone", 0, False)
    (await v5.client(clean=False, properties=SESSION)).abort()
    await v5.client(clean=False)
    await witness.expect_nothing()


async def test_a_delayed_will_waits(v5: Site) -> None:
    """[MQTT-3.1.2-8]: section 3.1.3.2.2."""
    witness = await witnessing(v5)
    wire = await v5.client(properties=SESSION, will=delayed(1))
    wire.abort()
    begun_at = asyncio.get_running_loop().time()
    assert (await witness.expect(Kind.PUBLISH)).message == ("gone", b"gone", 0, False)
    assert 0.5 < asyncio.get_running_loop().time() - begun_at < 5


async def test_a_client_that_comes_back_in_time_takes_its_will_with_it(v5: Site) -> None:
    """[MQTT-3.1.3-9]"""
    witness = await witnessing(v5)
    (await v5.client(properties=SESSION, will=delayed(1, b"first"))).abort()
    wire = await v5.client(clean=False, properties=SESSION, will=delayed(1, b"second"))
    assert wire.connack.session_present
    wire.abort()
    # Later than the first would have been, for its delay began later.
    assert (await witness.expect(Kind.PUBLISH)).payload == b"second"
    await witness.expect_nothing()


async def test_the_end_of_the_session_ends_the_delay(v5: Site) -> None:
    """[MQTT-3.1.2-8]: section 3.1.3.2.2: whichever happens first."""
    witness = await witnessing(v5)
    (await v5.client(properties=((Name.SESSION_EXPIRY, 1),), will=delayed(1_000))).abort()
    assert (await witness.expect(Kind.PUBLISH)).topic == "gone"


async def test_a_session_without_expiry_has_no_delay(v5: Site) -> None:
    """[MQTT-3.1.2-8]: section 3.1.3.2.2: the session ends with its connection."""
    witness = await witnessing(v5)
    (await v5.client(will=delayed(1_000))).abort()
    assert (await witness.expect(Kind.PUBLISH)).topic == "gone"


async def test_a_clean_start_ends_the_session_and_publishes_its_will(v5: Site) -> None:
    """[MQTT-3.1.2-4] [MQTT-3.1.2-8]: section 3.1.3.2.2; the old session ends when the new one begins."""
    witness = await witnessing(v5)
    (await v5.client(properties=SESSION, will=delayed(1_000))).abort()
    await v5.client(clean=True)
    assert (await witness.expect(Kind.PUBLISH)).topic == "gone"


async def test_a_clean_start_beside_an_open_connection_ends_its_session_too(v5: Site) -> None:
    """[MQTT-3.1.2-4] [MQTT-3.1.4-3]: sections 3.1.4 and 3.1.3.2.2; the delay of the will ends with the session."""
    witness = await witnessing(v5)
    old = await v5.client(properties=SESSION, will=delayed(1_000, b"old"))
    new = await v5.client(clean=True, properties=SESSION, will=delayed(1_000, b"new"))
    await old.until_closed()
    assert (await witness.expect(Kind.PUBLISH)).payload == b"old"
    await new.leave()
    await witness.expect_nothing()


async def test_a_take_over_publishes_the_will_of_the_older_connection(v5: Site) -> None:
    """[MQTT-3.1.4-3] [MQTT-3.1.2-8]: section 3.1.4: a will without a delay."""
    witness = await witnessing(v5)
    old = await v5.client(properties=SESSION, will=Will("gone", b"old"))
    await v5.client(clean=False, properties=SESSION, will=Will("gone", b"new"))
    await old.until_closed()
    assert (await witness.take()).payload == b"old"
    await witness.expect_nothing()


async def test_a_take_over_in_time_discards_a_delayed_will(v5: Site) -> None:
    """[MQTT-3.1.3-9] [MQTT-3.1.4-3]"""
    witness = await witnessing(v5)
    old = await v5.client(properties=SESSION, will=delayed(60, b"old"))
    new = await v5.client(clean=False, properties=SESSION)
    await old.until_closed()
    await new.leave(0, ((Name.SESSION_EXPIRY, 0),))
    await witness.expect_nothing()


async def test_a_refused_client_leaves_no_will(v5: Site) -> None:
    """[MQTT-3.1.2-7]"""
    witness = await witnessing(v5)
    bad = Connect("c", will=Will("gone"), properties=((Name.RECEIVE_MAXIMUM, 0),))
    await v5.refused(bad.data, 0x81, PROTOCOL_ERROR)
    await witness.expect_nothing()


async def test_what_was_published_before_comes_before_the_will(v5: Site) -> None:
    """[MQTT-4.6.0-5]"""
    witness = await witnessing(v5)
    wire = await v5.client(will=Will("gone", b"will"))
    await wire.send(Publish("gone", b"last words"), b"\0\0")
    await wire.until_closed()
    assert [(await witness.take()).payload for _ in range(2)] == [b"last words", b"will"]


async def test_a_will_may_expire(v5: Site) -> None:
    """[MQTT-3.3.2-6]: its expiry begins when it is published (section 3.1.3.2.4)."""
    witness = await witnessing(v5)
    (await v5.client(will=Will("gone", properties=((Name.MESSAGE_EXPIRY, 60),)))).abort()
    message = await witness.expect(Kind.PUBLISH)
    assert 58 <= message.number_of(Name.MESSAGE_EXPIRY) <= 60
