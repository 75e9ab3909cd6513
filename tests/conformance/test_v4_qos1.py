"""MQTT 3.1.1, sections 3.3, 3.4, 3.12, 4.3.2 and 4.7.3: at least once, and what else every message meets."""

import pytest

from tests.conformance.site import Site
from tests.conformance.wire_format import PINGREQ, Connect, Kind, Publish, acknowledgement


async def test_a_message_that_comes_again_after_puback_is_a_new_one(v4: Site) -> None:
    """[MQTT-4.3.2-2] [MQTT-3.3.1-3]: whatever its DUP flag says, which is not passed on."""
    subscriber, wire = await v4.client("subscriber"), await v4.client()
    await subscriber.subscribe(("t", 1))
    for duplicate in (False, True, True):
        await wire.send(Publish("t", b"x", 1, number=4, duplicate=duplicate))
        assert (await wire.expect(Kind.PUBACK)).number == 4
    received = [await subscriber.take() for _ in range(3)]
    assert not any(found.duplicate for found in received)
    await subscriber.expect_nothing()


async def test_acknowledgements_come_in_the_order_of_the_messages(v4: Site) -> None:
    """[MQTT-4.6.0-2] [MQTT-2.3.1-6] [MQTT-3.3.4-1]"""
    wire = await v4.client()
    numbers = [7, 1, 65_535, 2]
    await wire.send(*(Publish("t", b"", 1, number=number) for number in numbers))
    assert [(await wire.expect(Kind.PUBACK)).number for _ in numbers] == numbers


async def test_what_was_not_acknowledged_comes_again_with_dup(v4: Site) -> None:
    """[MQTT-3.3.1-1] [MQTT-4.4.0-1] [MQTT-4.6.0-1] [MQTT-4.3.2-1] [MQTT-2.3.1-4]"""
    subscriber, publisher = await v4.client("subscriber", clean=False), await v4.client("publisher")
    await subscriber.subscribe(("t", 1))
    for payload in (b"1", b"2", b"3"):
        await publisher.publish("t", payload, 1)
    first = [await subscriber.expect(Kind.PUBLISH) for _ in range(3)]
    await subscriber.acknowledge(Kind.PUBACK, first[1].number)
    await subscriber.ping()
    subscriber.abort()
    subscriber = await v4.client("subscriber", clean=False)
    again = await subscriber.everything()
    assert [(found.payload, found.number) for found in again] == [(b"1", first[0].number), (b"3", first[2].number)]
    assert all(found.duplicate for found in again)


async def test_acknowledgements_may_come_in_any_order(v4: Site) -> None:
    """[MQTT-4.3.2-1]: each PUBACK is for the message of its identifier; one that is for none changes nothing."""
    subscriber, publisher = await v4.client("subscriber", clean=False), await v4.client("publisher")
    await subscriber.subscribe(("t", 1))
    for _ in range(3):
        await publisher.publish("t", b"x", 1)
    numbers = [(await subscriber.expect(Kind.PUBLISH)).number for _ in range(3)]
    await subscriber.send(*(acknowledgement(Kind.PUBACK, number) for number in (*reversed(numbers), 60_000)))
    await subscriber.ping()
    subscriber.abort()
    await (await v4.client("subscriber", clean=False)).expect_nothing()


@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_messages_of_a_topic_keep_their_order(v4: Site, qos: int) -> None:
    """[MQTT-4.6.0-5] [MQTT-4.6.0-6]"""
    subscriber, publisher = await v4.client("subscriber"), await v4.client("publisher")
    await subscriber.subscribe(("#", qos))
    payloads = [b"%d" % number for number in range(50)]
    for payload in payloads:
        await publisher.publish("t", payload, 2)
    assert [(await subscriber.take()).payload for _ in payloads] == payloads


@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_a_publish_that_is_not_authorised_is_acknowledged_or_ends_the_connection(v4: Site, qos: int) -> None:
    """[MQTT-3.3.5-2]: and reaches nobody."""
    v4.deny_topic("no")
    witness, wire = await v4.client("witness"), await v4.client()
    await witness.subscribe(("#", 0))
    await wire.send(Publish("no", b"x", qos, number=5), PINGREQ)
    try:
        answer = await wire.pick(Kind.PUBACK if qos == 1 else Kind.PUBREC if qos == 2 else Kind.PINGRESP)
    except EOFError:
        pass
    else:
        assert answer.number == (5 if qos else 0)
    await witness.expect_nothing()


async def test_a_ping_is_answered(v4: Site) -> None:
    """[MQTT-3.12.4-1]"""
    wire = await v4.client()
    await wire.send(PINGREQ, PINGREQ)
    await wire.expect(Kind.PINGRESP)
    await wire.expect(Kind.PINGRESP)


@pytest.mark.parametrize("size", [1_000, 65_535])
async def test_a_long_topic_is_delivered_or_ends_the_connection(v4: Site, size: int) -> None:
    """[MQTT-4.7.3-3]: a server may have limits of its own, and keeps them for itself."""
    witness, wire = await v4.client("witness"), await v4.client()
    await witness.subscribe(("#", 0))
    topic = "x" * size
    await wire.send(Publish(topic), PINGREQ)
    try:
        await wire.pick(Kind.PINGRESP)
    except EOFError:
        await witness.expect_nothing()
    else:
        assert await witness.messages() == [(topic, b"x", 0, False)]


async def test_a_client_identifier_that_the_server_does_not_take_is_refused(v4: Site) -> None:
    """[MQTT-3.1.3-9] [MQTT-3.2.2-5]"""
    wire = await v4.attempt(Connect("x" * 60_000, 4))
    if wire.connack.code != 0:
        assert wire.connack.code == 2
        await wire.expect_closed()


async def test_a_session_lasts_at_least_as_long_as_its_connection(v4: Site) -> None:
    """[MQTT-4.1.0-2]"""
    wire = await v4.client(clean=True)
    await wire.subscribe(("t", 0))
    await v4.elapse(3)
    for _ in range(3):
        await wire.publish("t")
        assert await wire.messages() == [("t", b"x", 0, False)]
