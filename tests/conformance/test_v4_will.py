"""MQTT 3.1.1, sections 3.1.2.5 to 3.1.2.7 and 3.14.4: what a client leaves behind."""

import pytest

from tests.conformance.site import Site
from tests.conformance.wire import Wire
from tests.conformance.wire_format import Connect, Kind, Publish, Will


async def witnessing(site: Site, qos: int = 2) -> Wire:
    wire = await site.client("witness")
    await wire.subscribe(("gone", qos))
    return wire


@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("retain", [False, True])
async def test_the_will_of_a_client_that_vanishes_is_published(v4: Site, qos: int, retain: bool) -> None:
    """[MQTT-3.1.2-8] [MQTT-3.1.2-16] [MQTT-3.1.2-17]"""
    witness = await witnessing(v4)
    wire = await v4.client(will=Will("gone", b"\0\xff", qos, retain))
    wire.abort()
    assert (await witness.take()).message == ("gone", b"\0\xff", qos, False)
    late = await v4.client("late")
    await late.subscribe(("gone", 0))
    assert await late.messages() == ([("gone", b"\0\xff", 0, True)] if retain else [])


async def test_a_will_may_be_empty(v4: Site) -> None:
    """[MQTT-3.1.2-8]: a will message of zero bytes (section 3.1.3.3)."""
    witness = await witnessing(v4)
    (await v4.client(will=Will("gone", b""))).abort()
    assert (await witness.take()).message == ("gone", b"", 0, False)


async def test_a_violation_publishes_the_will(v4: Site) -> None:
    """[MQTT-3.1.2-8]: the server closes the connection because of a protocol error."""
    witness = await witnessing(v4)
    wire = await v4.client(will=Will("gone"))
    await wire.send(b"\0\0")
    await wire.expect_closed()
    assert (await witness.take()).message == ("gone", b"gone", 0, False)


async def test_closing_without_a_goodbye_publishes_the_will(v4: Site) -> None:
    """[MQTT-3.1.2-8]"""
    witness = await witnessing(v4)
    await (await v4.client(will=Will("gone"))).aclose()
    assert (await witness.take()).message == ("gone", b"gone", 0, False)


@pytest.mark.parametrize("clean", [False, True])
async def test_a_goodbye_discards_the_will(v4: Site, clean: bool) -> None:
    """[MQTT-3.1.2-10] [MQTT-3.14.4-3]"""
    witness = await witnessing(v4)
    wire = await v4.client(clean=clean, will=Will("gone"))
    await wire.leave()
    await witness.expect_nothing()


async def test_a_will_is_published_once(v4: Site) -> None:
    """[MQTT-3.1.2-10]"""
    witness = await witnessing(v4)
    (await v4.client(clean=False, will=Will("gone"))).abort()
    assert (await witness.take()).message == ("gone", b"gone", 0, False)
    wire = await v4.client(clean=False)
    wire.abort()
    await v4.client(clean=False)
    await witness.expect_nothing()


async def test_without_the_flag_nothing_is_published(v4: Site) -> None:
    """[MQTT-3.1.2-12]"""
    witness = await v4.client("witness")
    await witness.subscribe(("#", 0))
    wire = await v4.client()
    await wire.send(b"\0\0")
    await wire.expect_closed()
    await witness.expect_nothing()


async def test_a_take_over_publishes_the_will_of_the_older_connection(v4: Site) -> None:
    """[MQTT-3.1.2-8] [MQTT-3.1.4-2]"""
    witness = await witnessing(v4)
    old = await v4.client(will=Will("gone", b"old"))
    await v4.client(will=Will("gone", b"new"))
    await old.expect_closed()
    assert (await witness.take()).message == ("gone", b"old", 0, False)
    await witness.expect_nothing()


async def test_a_refused_client_leaves_no_will(v4: Site) -> None:
    """[MQTT-3.1.2-8]: only an accepted CONNECT has its will stored."""
    witness = await witnessing(v4)
    wire = await v4.attempt(Connect("", 4, clean=False, will=Will("gone")))
    assert wire.connack.code == 2
    await wire.expect_closed()
    await witness.expect_nothing()


async def test_a_will_waits_for_a_session_that_is_away(v4: Site) -> None:
    """[MQTT-3.1.2-8] [MQTT-4.5.0-1]"""
    witness = await v4.client("witness", clean=False)
    await witness.subscribe(("gone", 1))
    await witness.leave()
    other = await v4.client("other")
    await other.subscribe(("gone", 0))
    (await v4.client(will=Will("gone", qos=1))).abort()
    await other.expect(Kind.PUBLISH)
    witness = await v4.client("witness", clean=False)
    assert (await witness.take()).message == ("gone", b"gone", 1, False)


async def test_what_was_published_before_comes_before_the_will(v4: Site) -> None:
    """[MQTT-4.6.0-6]"""
    witness = await witnessing(v4)
    wire = await v4.client(will=Will("gone", b"will"))
    await wire.send(Publish("gone", b"last words"), b"\0\0")
    await wire.expect_closed()
    assert [(await witness.take()).payload for _ in range(2)] == [b"last words", b"will"]
