"""MQTT 5.0, sections 3.3.2.3.3 and 4.3.3: messages that grow old."""

from tests.conformance.site import Site
from tests.conformance.wire import Wire
from tests.conformance.wire_format import Kind, Name, Properties

SESSION: Properties = ((Name.SESSION_EXPIRY, 60),)
LONGER_THAN_A_SECOND_S = 2.1


def expiring(seconds: int) -> Properties:
    return ((Name.MESSAGE_EXPIRY, seconds),)


async def away(site: Site) -> None:
    """A subscriber that has left."""
    wire = await site.client("subscriber", properties=SESSION)
    await wire.subscribe(("t", 2))
    await wire.leave()


async def back(site: Site) -> Wire:
    return await site.client("subscriber", clean=False, properties=SESSION)


async def test_a_message_that_did_not_wait_keeps_its_whole_time(v5: Site) -> None:
    """[MQTT-3.3.2-6]"""
    wire = await v5.client()
    await wire.subscribe(("t", 0))
    for seconds in (60, 0xFFFF_FFFF):
        await wire.publish("t", properties=expiring(seconds))
        (message,) = await wire.everything()
        assert seconds - 1 <= message.number_of(Name.MESSAGE_EXPIRY) <= seconds


async def test_a_message_that_waited_has_less_time(v5: Site) -> None:
    """[MQTT-3.3.2-6]"""
    await away(v5)
    publisher = await v5.client("publisher")
    await publisher.publish("t", b"x", 1, properties=expiring(60))
    await publisher.publish("r", b"x", 1, retain=True, properties=expiring(60))
    await v5.elapse(LONGER_THAN_A_SECOND_S)
    wire = await back(v5)
    assert 55 <= (await wire.take()).number_of(Name.MESSAGE_EXPIRY) <= 58
    await wire.subscribe(("r", 1))
    assert 55 <= (await wire.take()).number_of(Name.MESSAGE_EXPIRY) <= 58


async def test_a_message_that_waited_too_long_is_dropped(v5: Site) -> None:
    """[MQTT-3.3.2-5]: those without an expiry, and those that live longer, still come."""
    await away(v5)
    publisher = await v5.client("publisher")
    for payload, properties in ((b"1", ()), (b"2", expiring(1)), (b"3", expiring(60)), (b"4", expiring(1))):
        await publisher.publish("t", payload, 1, properties=properties)
    await v5.elapse(LONGER_THAN_A_SECOND_S)
    wire = await back(v5)
    assert [(await wire.take()).payload for _ in range(2)] == [b"1", b"3"]
    await wire.expect_nothing()


async def test_a_retained_message_that_is_too_old_is_not_sent(v5: Site) -> None:
    """[MQTT-3.3.2-5]"""
    publisher = await v5.client("publisher")
    await publisher.publish("t/old", b"x", 1, retain=True, properties=expiring(1))
    await publisher.publish("t/kept", b"x", 1, retain=True)
    await v5.elapse(LONGER_THAN_A_SECOND_S)
    wire = await v5.client()
    await wire.subscribe(("t/#", 0))
    assert await wire.messages() == [("t/kept", b"x", 0, True)]


async def test_a_message_expires_behind_one_that_is_in_flight(v5: Site) -> None:
    """[MQTT-3.3.2-5]: its delivery has not begun while the receive maximum holds it back."""
    wire = await v5.client("subscriber", properties=(*SESSION, (Name.RECEIVE_MAXIMUM, 1)))
    await wire.subscribe(("t", 1))
    publisher = await v5.client("publisher")
    await publisher.publish("t", b"1", 1)
    await publisher.publish("t", b"2", 1, properties=expiring(1))
    await publisher.publish("t", b"3", 1)
    first = await wire.expect(Kind.PUBLISH)
    await v5.elapse(LONGER_THAN_A_SECOND_S)
    await wire.acknowledge(Kind.PUBACK, first.number)
    assert (await wire.take()).payload == b"3"


async def test_what_was_sent_once_does_not_expire(v5: Site) -> None:
    """[MQTT-4.3.3-7] [MQTT-4.3.3-13]: the exchange of QoS 2 is completed."""
    wire = await v5.client("subscriber", properties=SESSION)
    await wire.subscribe(("t", 2))
    await (await v5.client("publisher")).publish("t", b"x", 2, properties=expiring(1))
    message = await wire.expect(Kind.PUBLISH)
    await v5.elapse(LONGER_THAN_A_SECOND_S)
    wire.abort()
    wire = await back(v5)
    again = await wire.take()
    assert (again.number, again.payload, again.duplicate) == (message.number, b"x", True)
    await wire.expect_nothing()
