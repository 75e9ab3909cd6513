import asyncio

import pytest

from broker.message import Message
from broker.packets import V5, Subscribe, Subscription
from tests.web.house import House
from tests.web.wired import plugged
from web.sessions import FILTERS_SHOWN, SESSIONS_SHOWN, UnknownSessionError, end_sessions, sessions_of


def publish(house: House, count: int, topic: str = "cmd/sensor-001/go") -> None:
    for _ in range(count):
        house.gateway.broker.publish(Message(1, "", "", topic, b"x" * 100, 1, retain=False, arrived_at=0))


async def test_a_device_without_a_session_has_none(house: House) -> None:
    await house.add_device("sensor-001")
    assert sessions_of(house.gateway.broker, 1, "sensor-001") == ()


async def test_a_session_tells_what_waits_and_what_was_lost(house: House) -> None:
    await house.add_device("sensor-001")
    broker = house.gateway.broker
    limits = broker.limits
    wire = plugged(house, "sensor-001", level=V5, expiry_s=600)
    wire.say(Subscribe(1, (Subscription("cmd/sensor-001/#", 1),)), level=V5)
    publish(house, limits.in_flight + 3)
    [view] = sessions_of(broker, 1, "sensor-001")
    assert (view.is_connected, view.version, view.expiry_s) == (True, "5", 600)
    assert (view.in_flight_count, view.waiting_count, view.dropped_count) == (limits.in_flight, 3, 0)
    assert (view.topic_filters, view.subscription_count) == (("cmd/sensor-001/#",), 1)
    wire.close("gone")
    publish(house, limits.queue_messages)
    [view] = sessions_of(broker, 1, "sensor-001")
    assert not view.is_connected
    assert view.version == ""
    assert view.dropped_count > 0
    assert view.ends_at is not None
    assert abs(view.ends_at - house.clock() - 600_000) < 60_000


async def test_sessions_under_other_client_identifiers_are_found(house: House) -> None:
    await house.add_device("sensor-001")
    plugged(house, "sensor-001", "b")
    plugged(house, "sensor-001", "a", level=V5, expiry_s=60).close("gone")
    plugged(house, "sensor-001", "c", is_operator=True)
    plugged(house, "sensor-002", "sensor-001")
    views = sessions_of(house.gateway.broker, 1, "sensor-001")
    assert [(view.client_id, view.version) for view in views] == [("b", "3.1.1"), ("a", "")]


async def test_no_more_is_shown_than_a_page_can_hold(house: House) -> None:
    await house.add_device("sensor-001")
    wires = [plugged(house, "sensor-001", f"client-{number}") for number in range(SESSIONS_SHOWN + 1)]
    wanted = tuple(Subscription(f"cmd/sensor-001/{number:03}", 0) for number in range(FILTERS_SHOWN + 5))
    wires[0].say(Subscribe(1, wanted))
    views = sessions_of(house.gateway.broker, 1, "sensor-001")
    assert len(views) == SESSIONS_SHOWN
    assert max(len(view.topic_filters) for view in views) <= FILTERS_SHOWN


async def test_sessions_of_people_under_the_name_of_a_device_are_not_ended_with_its_own(house: House) -> None:
    await house.add_device("sensor-001")
    person = plugged(house, "sensor-001", "by hand", is_operator=True)
    own = plugged(house, "sensor-001")
    with pytest.raises(UnknownSessionError):
        await end_sessions(house.gateway, 1, "sensor-001", "by hand")
    await end_sessions(house.gateway, 1, "sensor-001")
    assert (person.is_open, own.is_open) == (True, False)


async def test_who_takes_the_identifier_of_a_session_that_is_being_ended_keeps_its_own(house: House) -> None:
    for device_id in ("sensor-001", "sensor-002"):
        await house.add_device(device_id)
    wires = [plugged(house, "sensor-001", name) for name in "ab"]
    ending = asyncio.create_task(end_sessions(house.gateway, 1, "sensor-001"))
    await asyncio.sleep(0)
    assert not ending.done()
    wires[1].close("gone")
    other = plugged(house, "sensor-002", "b")
    await ending
    assert ([wire.is_open for wire in wires], other.is_open) == ([False, False], True)
    ended = [one.subject for one in await house.gateway.registry.audit.entries(1) if one.action == "session.end"]
    assert ended == ["sensor-001"]
