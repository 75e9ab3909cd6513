"""Sessions that end because whoever they belong to may not be here any more."""

from collections.abc import AsyncIterator

import pytest

from broker.changes import SessionGone
from broker.message import Message
from broker.packets import Connack, ReturnCode, Will
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
