"""Sessions that end because whoever they belong to may not be here any more."""

from collections.abc import AsyncIterator

import pytest

from broker.changes import SessionGone
from broker.forgetting import abandon
from broker.message import Message
from broker.packets import Connack, Puback, Publish, ReturnCode, Will
from tests.broker.house import House, serving

LEFT_BEHIND = Will("last/words", b"gone", 1, retain=False)


@pytest.fixture
async def house() -> AsyncIterator[House]:
    async with serving() as house:
        yield house


async def test_a_connection_ends_and_neither_its_will_nor_its_queue_is_left(house: House) -> None:
    wire = await house.client("pump", clean_start=False, will=LEFT_BEHIND)
    await wire.subscribe(("cmd", 1))
    [session] = house.broker.sessions(1, "pump")
    house.broker.publish(Message(1, "", "", "cmd", b"one", 1, False, 1_000))
    house.broker.forget(1, "pump")
    assert len(session.deliveries) == 0
    await wire.until_closed()
    await house.owner.until(lambda owner: bool(owner.left))
    assert list(house.broker.sessions(1)) == []
    assert house.owner.messages == []
    assert isinstance(house.owner.kept["session", session.number, ""], SessionGone)
    again = await house.knock()
    assert await again.connect("pump", clean_start=False) == Connack(False, ReturnCode.ACCEPTED)


async def test_a_session_of_a_client_that_is_away_ends_with_its_queue(house: House) -> None:
    wire = await house.client("pump", clean_start=False)
    await wire.subscribe(("cmd", 1))
    wire.abort()
    await house.owner.until(lambda owner: bool(owner.left))
    [session] = house.broker.sessions(1, "pump")
    house.broker.publish(Message(1, "", "", "cmd", b"one", 1, False, 1_000))
    assert len(session.deliveries) == 1
    house.broker.forget(1, "pump")
    assert (len(session.deliveries), list(house.broker.sessions(1))) == (0, [])


async def test_others_are_left_alone(house: House) -> None:
    wire = await house.client("valve")
    house.broker.forget(1, "pump")
    house.broker.forget(2, "valve")
    await wire.ping()


async def test_whoever_would_not_be_let_in_today_loses_its_session_and_its_queue(house: House) -> None:
    wire = await house.client("pump", clean_start=False, will=LEFT_BEHIND)
    await wire.subscribe(("cmd", 1))
    house.authorizer.denied_clients.add("pump")
    await house.broker.review(1, "pump")
    await wire.until_closed()
    await house.owner.until(lambda owner: bool(owner.left))
    assert (list(house.broker.sessions(1)), house.owner.messages) == ([], [])


@pytest.mark.parametrize("is_away", [False, True])
async def test_one_session_is_ended_by_its_client_identifier(house: House, is_away: bool) -> None:
    other = await house.client("valve")
    wire = await house.client("pump", clean_start=False, will=None if is_away else LEFT_BEHIND)
    [session] = house.broker.sessions(1, "pump")
    if is_away:
        wire.abort()
        await house.owner.until(lambda owner: bool(owner.left))
    assert house.broker.end_session(1, "pump", "ended by hand")
    assert not house.broker.end_session(1, "pump", "ended by hand")
    if not is_away:
        await wire.until_closed()
    gone = SessionGone(session.number)
    await house.owner.until(lambda owner: owner.kept.get(("session", session.number, "")) == gone)
    assert house.owner.messages == []
    assert not house.broker.end_session(2, "valve", "ended by hand")
    await other.ping()


@pytest.mark.parametrize("qos", [1, 2])
async def test_what_was_meant_for_one_connection_is_kept_from_the_next_at_qos_1(house: House, qos: int) -> None:
    wire = await house.client("pump", clean_start=False)
    await wire.subscribe(("cmd/#", 2))
    for topic in ("cmd/meant", "cmd/other"):
        house.broker.publish(Message(1, "", "", topic, b"", qos, False, 1_000))
    [session] = house.broker.sessions(1, "pump")
    count = abandon(house.broker.exchange, 1, "pump", lambda message: message.topic == "cmd/meant")
    left = [delivery.message.topic for delivery in session.deliveries]
    assert (count, left) == ((1, ["cmd/other"]) if qos == 1 else (0, ["cmd/meant", "cmd/other"]))
    assert abandon(house.broker.exchange, 1, "nobody", lambda _: True) == 0
    # The client answers late for what was given up: that is no fault.
    for packet in [await wire.expect(Publish) for _ in range(2)]:
        if qos == 1:
            await wire.send(Puback(packet.packet_id))
    await wire.ping()


@pytest.mark.parametrize("qos", [1, 2])
async def test_what_waits_in_a_session_of_a_client_that_is_away_is_given_up_too(house: House, qos: int) -> None:
    wire = await house.client("pump", clean_start=False)
    await wire.subscribe(("cmd/#", qos))
    wire.abort()
    await house.owner.until(lambda owner: bool(owner.left))
    house.broker.publish(Message(1, "", "", "cmd/meant", b"", qos, False, 1_000))
    assert abandon(house.broker.exchange, 1, "pump", lambda _: True) == 1
    [session] = house.broker.sessions(1, "pump")
    assert len(session.deliveries) == 0
