import asyncio

import pytest

from appliance.registry.model import UnknownDeviceError
from broker.packets import Pingreq, Publish, Subscribe, Subscription, Unsubscribe
from tests.web.house import House
from tests.web.wired import plugged
from web.packet_log import (
    ENTRIES_LIMIT,
    LENGTH_MS,
    LOGS_KEPT_LIMIT,
    LOGS_ON_LIMIT,
    TEXT_LIMIT,
    PacketLogs,
    TooManyLogsError,
)

SECRET = b"the temperature of the vault"


class Moving:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1_800_000_000_000

    def __call__(self) -> int:
        return self.now


@pytest.fixture
async def logs(house: House) -> PacketLogs:
    await house.add_device("sensor-001")
    return PacketLogs(house.gateway, Moving())


def kinds(logs: PacketLogs) -> list[str]:
    return [packet.entry.type for packet in logs.view(1, "sensor-001").packets]


async def test_packets_of_both_ways_are_logged_the_newest_first(house: House, logs: PacketLogs) -> None:
    wire = plugged(house, "sensor-001")
    changes: list[None] = []
    logs.changed = lambda: changes.append(None)
    logs.switch_on(1, "sensor-001")
    wire.say(Subscribe(1, (Subscription("cmd/sensor-001/#", 1),)))
    wire.say(Publish("sensors/sensor-001/telemetry", SECRET, 0), Pingreq())
    view = logs.view(1, "sensor-001")
    assert kinds(logs) == ["PINGRESP", "PINGREQ", "PUBLISH", "SUBACK", "SUBSCRIBE"]
    assert [packet.number for packet in view.packets] == [5, 4, 3, 2, 1]
    assert (view.packets[2].entry.topic, view.packets[2].entry.size_bytes) == (
        "sensors/sensor-001/telemetry",
        len(SECRET),
    )
    assert SECRET.decode() not in repr(view)
    assert len(changes) == 6


async def test_only_the_device_that_was_asked_for_is_logged(house: House, logs: PacketLogs) -> None:
    await house.add_device("sensor-002")
    logs.switch_on(1, "sensor-001")
    plugged(house, "sensor-002").say(Pingreq())
    plugged(house, "sensor-001", "screen", is_operator=True).say(Pingreq())
    logs._look()
    assert kinds(logs) == []


async def test_every_connection_of_the_device_is_logged(house: House, logs: PacketLogs) -> None:
    wires = [plugged(house, "sensor-001", client_id) for client_id in ("sensor-001", "sensor-001-shadow")]
    logs.switch_on(1, "sensor-001")
    for wire in wires:
        wire.say(Pingreq())
    assert {packet.client_id for packet in logs.view(1, "sensor-001").packets} == {"sensor-001", "sensor-001-shadow"}


async def test_a_device_that_comes_back_is_logged_on(house: House) -> None:
    await house.add_device("sensor-001", is_connected=False)
    logs = PacketLogs(house.gateway, house.clock)
    async with asyncio.timeout(20), logs.running():
        logs.switch_on(1, "sensor-001")
        for _ in range(2):
            wire = plugged(house, "sensor-001")
            before = logs.view(1, "sensor-001").packet_count
            while logs.view(1, "sensor-001").packet_count == before:
                wire.say(Pingreq())
                await asyncio.sleep(0.01)
            wire.close("the network went away")


async def test_a_log_keeps_the_newest_packets_and_counts_the_others(house: House, logs: PacketLogs) -> None:
    wire = plugged(house, "sensor-001")
    logs.switch_on(1, "sensor-001")
    for _ in range(ENTRIES_LIMIT):
        wire.say(Pingreq())
    view = logs.view(1, "sensor-001")
    assert (len(view.packets), view.packet_count) == (ENTRIES_LIMIT, 2 * ENTRIES_LIMIT)
    assert view.packets[0].number == 2 * ENTRIES_LIMIT


async def test_a_packet_that_names_many_topic_filters_takes_no_more_room(house: House, logs: PacketLogs) -> None:
    wire = plugged(house, "sensor-001")
    logs.switch_on(1, "sensor-001")
    wire.say(Unsubscribe(1, tuple(f"cmd/sensor-001/{number}" for number in range(2_000))))
    for packet in logs.view(1, "sensor-001").packets:
        assert len(packet.entry.topic) <= TEXT_LIMIT
        assert len(packet.entry.detail) <= TEXT_LIMIT
    [asked] = [packet.entry for packet in logs.view(1, "sensor-001").packets if packet.entry.type == "UNSUBSCRIBE"]
    assert asked.topic.startswith("cmd/sensor-001/0, cmd/sensor-001/1, ")
    assert asked.topic.endswith("…")


async def test_a_log_switches_itself_off_and_can_still_be_read(house: House, logs: PacketLogs) -> None:
    wire = plugged(house, "sensor-001")
    clock = logs._clock
    assert isinstance(clock, Moving)
    assert logs.view(1, "sensor-001").ends_at is None
    logs.switch_on(1, "sensor-001")
    wire.say(Pingreq())
    clock.now += LENGTH_MS
    assert not logs.view(1, "sensor-001").is_on
    logs._look()
    wire.say(Pingreq())
    assert kinds(logs) == ["PINGRESP", "PINGREQ"]
    logs.switch_on(1, "sensor-001")
    assert kinds(logs) == []


async def test_a_log_that_is_switched_off_costs_nothing_more(house: House, logs: PacketLogs) -> None:
    wire = plugged(house, "sensor-001")
    logs.switch_off(1, "sensor-001")
    logs.switch_on(1, "sensor-001")
    [session] = house.gateway.broker.sessions(1)
    assert session.client is not None
    assert not session.client.is_plain
    logs.switch_off(1, "sensor-001")
    assert session.client.is_plain
    wire.say(Pingreq())
    assert kinds(logs) == []


async def test_stopping_switches_every_log_off(house: House, logs: PacketLogs) -> None:
    async with logs.running():
        logs.switch_on(1, "sensor-001")
    assert not logs.view(1, "sensor-001").is_on


async def test_a_few_logs_are_on_at_a_time_and_some_more_are_kept(house: House, logs: PacketLogs) -> None:
    names = [f"pump-{number}" for number in range(LOGS_KEPT_LIMIT + 4)]
    for name in names:
        await house.add_device(name)
    for name in names[:LOGS_ON_LIMIT]:
        logs.switch_on(1, name)
    with pytest.raises(TooManyLogsError, match="pump-0"):
        logs.switch_on(1, names[LOGS_ON_LIMIT])
    logs.switch_on(1, names[0])
    for name in names[:LOGS_ON_LIMIT]:
        logs.switch_off(1, name)
    for name in names:
        logs.switch_on(1, name)
        logs.switch_off(1, name)
    assert len(logs._logs) == LOGS_KEPT_LIMIT
    assert (1, names[-1]) in logs._logs


async def test_an_unknown_device_has_no_log(logs: PacketLogs) -> None:
    for call in (logs.switch_on, logs.view):
        with pytest.raises(UnknownDeviceError):
            call(1, "nobody")
