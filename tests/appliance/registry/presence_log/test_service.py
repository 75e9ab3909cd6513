"""Presence at work: told at once, on disk soon, and recalled after a restart."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from appliance.registry.authority import RELEASED_AT
from appliance.registry.model import DEFAULT_TENANT, UnknownDeviceError
from appliance.registry.presence_log.model import EventKind
from appliance.registry.presence_log.service import PresenceLog
from appliance.registry.service import Registry
from appliance.store.database import Database
from broker.message import Message
from broker.ports import Connected, Disconnected, Refused, Subscribed
from broker.reason_codes import ReasonCode
from tests.appliance.registry.examples import NOW, FakeClock, der


class Air:
    """Where events are published to."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self._came = asyncio.Event()

    def publish(self, message: Message) -> None:
        self.messages.append(message)
        self._came.set()

    async def until(self, count: int) -> list[dict[str, Any]]:
        async with asyncio.timeout(30):
            while len(self.messages) < count:
                self._came.clear()
                await self._came.wait()
        return [json.loads(message.payload) for message in self.messages]


@pytest.fixture
def air() -> Air:
    return Air()


@pytest.fixture
async def log(database: Database, registry: Registry, clock: FakeClock, air: Air) -> AsyncIterator[PresenceLog]:
    await registry.add_device(DEFAULT_TENANT, "pump")
    presence = PresenceLog(database, registry, 60_000)
    async with presence.running(air.publish):
        yield presence


def connected(connection: str, client_id: str = "pump", certificate: bytes | None = None) -> Connected:
    return Connected(DEFAULT_TENANT, client_id, client_id, "192.0.2.7:4711", NOW, connection, certificate)


def disconnected(connection: str, code: ReasonCode | None = None) -> Disconnected:
    return Disconnected(DEFAULT_TENANT, "pump", "pump", "went away", NOW + 1, connection, code)


async def test_connections_are_numbered_and_their_ends_have_the_same_number(log: PresenceLog, air: Air) -> None:
    # Who takes over a session may be heard before whom it took it from.
    for event in (connected("a"), connected("b"), disconnected("a", ReasonCode.SESSION_TAKEN_OVER), disconnected("b")):
        log.note(event)
    log.note(disconnected("unheard of"))
    told = await air.until(4)
    assert [each["versionNumber"] for each in told] == [0, 1, 0, 1]
    assert told[0]["sessionIdentifier"] == told[2]["sessionIdentifier"] != told[1]["sessionIdentifier"]
    events = await log.events(DEFAULT_TENANT, "pump")
    assert [each.kind for each in reversed(events)] == [EventKind.CONNECTED] * 2 + [EventKind.DISCONNECTED] * 2


async def test_subscriptions_are_told_of_with_the_connection_they_belong_to(log: PresenceLog, air: Air) -> None:
    log.note_subscribed(Subscribed(DEFAULT_TENANT, "pump", ("cmd/pump/#",), "nobody", NOW))
    log.note(connected("a"))
    log.note_subscribed(Subscribed(DEFAULT_TENANT, "pump", ("cmd/pump/#",), "a", NOW))
    first, second = await air.until(2)
    assert (second["eventType"], second["topics"]) == ("subscribed", ["cmd/pump/#"])
    assert first["sessionIdentifier"] == second["sessionIdentifier"]


async def test_a_refusal_is_kept_with_the_device_whose_certificate_was_shown(
    log: PresenceLog, registry: Registry, air: Air
) -> None:
    certificate = der(await registry.issue_certificate(DEFAULT_TENANT, "pump"))
    at_connect = {"at_connect": True, "certificate": certificate}
    log.note(Refused(0, "", "valve", "192.0.2.7:1", "connect_denied", "not its name", NOW, **at_connect))  # type: ignore[arg-type]
    log.note(Refused(0, "", "pump", "192.0.2.7:1", "publish_denied", "elsewhere", NOW))
    [told] = await air.until(1)
    assert (told["clientId"], told["thingName"]) == ("valve", "pump")
    [event] = await log.events(DEFAULT_TENANT, "pump")
    assert (event.kind, event.reason, event.client_id) == (EventKind.REFUSED, "not its name", "valve")


async def test_nothing_is_kept_of_those_who_are_no_devices(log: PresenceLog, air: Air) -> None:
    log.note(connected("a", "somebody"))
    [told] = await air.until(1)
    assert told["principalIdentifier"] == "somebody"
    assert "thingName" not in told
    assert await log.events(DEFAULT_TENANT, "pump") == []
    with pytest.raises(UnknownDeviceError):
        await log.events(DEFAULT_TENANT, "somebody")


@pytest.mark.parametrize("was_heard_to_leave", [False, True])
async def test_presence_survives_a_restart(
    database: Database, registry: Registry, clock: FakeClock, air: Air, was_heard_to_leave: bool
) -> None:
    await registry.add_device(DEFAULT_TENANT, "pump")
    first = PresenceLog(database, registry)
    async with first.running(air.publish):
        first.note(connected("a"))
        if was_heard_to_leave:
            first.note(disconnected("a"))
    async with registry.opened():
        again = PresenceLog(database, registry)
        async with again.running(air.publish):
            presence = registry.presence(DEFAULT_TENANT, "pump")
            again.note(connected("b"))
            told = await air.until(1)
    assert not presence.connected
    assert presence.since == NOW + was_heard_to_leave
    assert presence.reason.startswith("went away" if was_heard_to_leave else "not seen since the gateway started")
    assert told[-1]["versionNumber"] == 1


async def test_how_often_a_device_should_speak_is_its_types_to_say(log: PresenceLog) -> None:
    assert log.is_silent(DEFAULT_TENANT, "pump", NOW, NOW + 180_001)
    log.interval_ms = lambda _tenant_id, _device_id: 3_600_000
    assert not log.is_silent(DEFAULT_TENANT, "pump", NOW, NOW + 180_001)


async def test_what_is_old_goes_unless_the_clock_is_wrong(
    database: Database, registry: Registry, clock: FakeClock, air: Air
) -> None:
    await registry.add_device(DEFAULT_TENANT, "pump")
    presence = PresenceLog(database, registry)
    async with presence.running(air.publish):
        presence.note(connected("a"))
        presence.note(disconnected("a"))
        assert len(await presence.events(DEFAULT_TENANT, "pump")) == 2
    # Nobody has to believe a clock by itself, ten years ahead or one; what a time server vouches for is believed.
    for is_vouched_for, days, count in ((False, 3_650, 2), (False, 365, 2), (True, 200, 1)):
        clock.now = NOW + days * 86_400_000
        registry.time.is_vouched_for = lambda _, answer=is_vouched_for: answer  # type: ignore[misc]
        again = PresenceLog(database, registry)
        async with again.running(air.publish):
            # What is old goes at the start, if at all: each look lets the loop and its threads get on.
            for _ in range(20):
                await database.write(lambda _: None)
            assert len(await again.events(DEFAULT_TENANT, "pump")) == count


@pytest.mark.parametrize("shown_at", [0, NOW - 10_000 * 86_400_000, NOW + 10_000 * 86_400_000])
async def test_what_happens_while_the_clock_is_wrong_is_kept_once_it_is_right(
    database: Database, registry: Registry, clock: FakeClock, air: Air, shown_at: int
) -> None:
    await registry.add_device(DEFAULT_TENANT, "pump")
    registry.time.is_vouched_for = lambda _: False
    clock.now = shown_at
    presence = PresenceLog(database, registry)
    async with presence.running(air.publish):
        for connection in ("a", "b"):
            presence.note(Connected(DEFAULT_TENANT, "pump", "pump", "192.0.2.7:4711", shown_at, connection, None))
        told = await air.until(2)
    clock.now = NOW
    registry.time.is_vouched_for = lambda _: True
    await registry.time.mark()
    again = PresenceLog(database, registry)
    async with again.running(air.publish):
        for _ in range(20):
            await database.write(lambda _: None)
        events = await again.events(DEFAULT_TENANT, "pump")
    assert [event.kind for event in events] == [EventKind.CONNECTED] * 2
    assert all(RELEASED_AT <= event.at <= NOW for event in events)
    # Whoever listens hears what the clock shows.
    assert [each["timestamp"] for each in told] == [shown_at] * 2
