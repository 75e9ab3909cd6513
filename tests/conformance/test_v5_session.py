"""MQTT 5.0, sections 3.1.2.4, 3.1.2.11.2, 3.14.2.2.2 and 4.1: what a session keeps, and for how long.

The end of a session is heard, not waited for: a will with a longer delay is published when its session ends.
"""

import pytest

from tests.conformance.site import Site
from tests.conformance.wire import Wire
from tests.conformance.wire_format import Kind, Name, Properties, Will, disconnect

PROTOCOL_ERROR = 0x82
FOR_EVER = 0xFFFF_FFFF


def expiring(seconds: int) -> Properties:
    return ((Name.SESSION_EXPIRY, seconds),)


async def witnessing(site: Site) -> Wire:
    wire = await site.client("witness")
    await wire.subscribe(("gone", 0))
    return wire


def last_will() -> Will:
    """Published when the session of its client ends, for its own delay is longer than any test."""
    return Will("gone", properties=((Name.WILL_DELAY, 1_000),))


async def is_present(site: Site, client_id: str = "c") -> bool:
    wire = await site.client(client_id, clean=False)
    return wire.connack.session_present


async def test_a_session_without_expiry_ends_with_its_connection(v5: Site) -> None:
    """[MQTT-4.1.0-2] [MQTT-3.1.2-6] [MQTT-3.2.2-3]: section 3.1.2.11.2: absent is 0."""
    wire = await v5.client(clean=False)
    await wire.subscribe(("t", 1))
    await wire.leave()
    await (await v5.client("publisher")).publish("t", b"x", 1)
    wire = await v5.client(clean=False)
    assert not wire.connack.session_present
    await wire.expect_nothing()


@pytest.mark.parametrize("seconds", [60, FOR_EVER])
async def test_a_session_with_expiry_is_kept(v5: Site, seconds: int) -> None:
    """[MQTT-3.1.2-23] [MQTT-3.1.2-5] [MQTT-3.2.2-3] [MQTT-4.1.0-1] [MQTT-4.5.0-1]"""
    wire = await v5.client(properties=expiring(seconds))
    assert not wire.connack.session_present
    await wire.subscribe(("t", 2))
    wire.abort()
    publisher = await v5.client("publisher")
    for payload, qos in ((b"1", 1), (b"2", 2)):
        await publisher.publish("t", payload, qos)
    wire = await v5.client(clean=False, properties=expiring(seconds))
    assert wire.connack.session_present
    assert [(await wire.take()).message for _ in range(2)] == [("t", b"1", 1, False), ("t", b"2", 2, False)]
    await wire.expect_nothing()


async def test_a_clean_start_begins_with_nothing(v5: Site) -> None:
    """[MQTT-3.1.2-4] [MQTT-3.2.2-2] [MQTT-3.1.4-4]"""
    wire = await v5.client(properties=expiring(60))
    await wire.subscribe(("t", 1))
    await wire.leave()
    publisher = await v5.client("publisher")
    await publisher.publish("t", b"1", 1)
    wire = await v5.client(clean=True, properties=expiring(60))
    assert not wire.connack.session_present
    await publisher.publish("t", b"2", 1)
    await wire.expect_nothing()


async def test_a_session_ends_when_its_expiry_has_passed(v5: Site) -> None:
    """[MQTT-4.1.0-2] [MQTT-3.1.2-23]"""
    witness = await witnessing(v5)
    wire = await v5.client(properties=expiring(1), will=last_will())
    await wire.subscribe(("t", 1))
    wire.abort()
    assert (await witness.expect(Kind.PUBLISH)).topic == "gone"
    assert not await is_present(v5)


async def test_a_session_that_comes_back_in_time_does_not_end(v5: Site) -> None:
    """[MQTT-4.1.0-1] [MQTT-3.1.3-9]: the expiry runs while the client is away only."""
    witness = await witnessing(v5)
    wire = await v5.client(properties=expiring(1), will=last_will())
    wire.abort()
    wire = await v5.client(clean=False, properties=expiring(1))
    assert wire.connack.session_present
    await v5.elapse(1.6)
    await wire.ping()
    await wire.leave()
    assert await is_present(v5)
    await witness.expect_nothing()


async def test_each_connect_says_anew_how_long_its_session_is_kept(v5: Site) -> None:
    """[MQTT-3.1.2-23]"""
    wire = await v5.client(properties=expiring(60))
    wire.abort()
    wire = await v5.client(clean=False)
    assert wire.connack.session_present
    wire.abort()
    assert not await is_present(v5)


async def test_a_goodbye_may_keep_a_session_longer(v5: Site) -> None:
    """[MQTT-3.1.2-23]: section 3.14.2.2.2."""
    wire = await v5.client(properties=expiring(1))
    await wire.leave(0, expiring(60))
    await v5.elapse(1.6)
    assert await is_present(v5)


async def test_a_goodbye_may_end_a_session(v5: Site) -> None:
    """[MQTT-4.1.0-2]: section 3.14.2.2.2."""
    wire = await v5.client(properties=expiring(60))
    await wire.leave(0, expiring(0))
    assert not await is_present(v5)


async def test_a_goodbye_may_shorten_a_session(v5: Site) -> None:
    """[MQTT-4.1.0-2]: with reason 4 the will stays, so the end of the session is heard."""
    witness = await witnessing(v5)
    wire = await v5.client(properties=expiring(FOR_EVER), will=last_will())
    await wire.leave(4, expiring(1))
    assert (await witness.expect(Kind.PUBLISH)).topic == "gone"
    assert not await is_present(v5)


async def test_a_goodbye_without_an_expiry_changes_nothing(v5: Site) -> None:
    """[MQTT-3.1.2-23]: section 3.14.2.2.2."""
    wire = await v5.client(properties=expiring(60))
    await wire.leave(0)
    assert await is_present(v5)


@pytest.mark.parametrize("properties", [(), expiring(0)])
async def test_an_expiry_of_0_is_not_raised_by_a_goodbye(v5: Site, properties: Properties) -> None:
    """[MQTT-4.13.1-1]: section 3.14.2.2.2: a protocol error."""
    wire = await v5.client(properties=properties)
    await wire.send(disconnect(0, expiring(60)))
    await wire.expect_closed(PROTOCOL_ERROR)
    assert not await is_present(v5)


async def test_a_session_is_taken_over_with_what_is_under_way(v5: Site) -> None:
    """[MQTT-3.1.4-3] [MQTT-4.4.0-1]"""
    old = await v5.client(properties=expiring(60))
    await old.subscribe(("t", 1))
    await (await v5.client("publisher")).publish("t", b"x", 1)
    first = await old.expect(Kind.PUBLISH)
    new = await v5.client(clean=False, properties=expiring(60))
    assert new.connack.session_present
    again = await new.expect(Kind.PUBLISH)
    assert (again.message, again.number, again.duplicate) == (first.message, first.number, True)


async def test_a_session_moves_between_versions(v5: Site) -> None:
    """[MQTT-3.1.3-2]: the client identifier names it; a clean session of 3.1.1 ends with its connection."""
    wire = await v5.client(properties=expiring(60))
    await wire.subscribe(("t", 1))
    await wire.leave()
    wire = await v5.client(level=4, clean=False)
    assert wire.connack.session_present
    await (await v5.client("publisher")).publish("t", b"x", 1)
    assert (await wire.take()).message == ("t", b"x", 1, False)
