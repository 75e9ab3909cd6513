import asyncio
import contextlib
import itertools
import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
import pytest

from appliance.simulator.client import Client
from appliance.simulator.model import Scenario, SimulatedDevice
from appliance.simulator.service import Fleet, Simulation, _Unit
from appliance.simulator.wire import Endpoint
from broker.message import Message
from tests.appliance.simulator.gateways import Gate, broker
from tests.fakes import FakeOwner

NAMES = ("pump-001", "pump-002", "pump-003")


def ticking(step_ms: int = 1) -> Callable[[], int]:
    """A clock that goes on by itself whenever it is looked at."""
    moments = itertools.count(1_769_855_400_000, step_ms)
    return lambda: next(moments)


def fleet(gate: Gate, scenario: Scenario = Scenario.STEADY, clock: Callable[[], int] | None = None) -> Fleet:
    devices = tuple(SimulatedDevice(name, gate.identity) for name in NAMES)
    return Fleet(Simulation(devices, 200.0, scenario), gate.endpoint, clock or ticking(), lambda: 0.5)


def sequences(messages: Sequence[Message]) -> dict[str, list[int]]:
    """What came of each device, in the order it came."""
    found: dict[str, list[int]] = defaultdict(list)
    for message in messages:
        found[message.client_id].append(msgspec.json.decode(message.payload)["sequence"])
    return found


@contextlib.contextmanager
def logged(event: asyncio.Event) -> Iterator[None]:
    """Sets the event when the simulator logs something."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            event.set()

    logger, handler = logging.getLogger("appliance.simulator.service"), Handler()
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


async def test_every_device_publishes_in_turn_over_tls(tmp_path: Path) -> None:
    async with broker(tmp_path) as gate:
        async with fleet(gate).running():
            await gate.owner.until(lambda owner: len(owner.messages) >= 30)
        found = sequences(gate.owner.messages)
        assert set(found) == set(NAMES)
        for numbers in found.values():
            assert numbers == list(range(1, len(numbers) + 1))
        assert {message.topic for message in gate.owner.messages} == {f"sensors/{name}/telemetry" for name in NAMES}


async def test_leaving_waits_for_acknowledgements_and_says_goodbye() -> None:
    async with broker() as gate:
        gate.owner.holds_back = True
        running = fleet(gate)
        async with running.running():
            # Some may have sent much before the last one is there.
            await gate.owner.until(lambda owner: len(owner.messages) >= 10 and running.status().ok)
            asyncio.get_running_loop().call_later(0.1, _acknowledge_all, gate.owner)
        details = running.status().details
        assert details["connected"] == 0
        assert details["waiting"] == 0
        assert details["sent"] == details["acknowledged"] == len(gate.owner.messages)
        await gate.owner.until(lambda owner: len(owner.left) == len(NAMES))
        assert {event.reason for event in gate.owner.left} == {"the client disconnected"}


async def test_a_broker_that_starts_again_loses_nothing() -> None:
    trouble = asyncio.Event()
    async with contextlib.AsyncExitStack() as first, contextlib.AsyncExitStack() as second:
        before = await first.enter_async_context(broker())
        running = fleet(before)
        second.enter_context(logged(trouble))
        await second.enter_async_context(running.running())
        await before.owner.until(lambda owner: len(owner.messages) >= 10)
        before.owner.holds_back = True
        known = len(before.owner.messages)
        await before.owner.until(lambda owner: len(owner.messages) >= known + 10)
        await first.aclose()
        acknowledged = sequences(before.owner.messages[:known])
        await trouble.wait()
        assert not running.status().ok
        async with broker(port=before.endpoint.port) as after:
            await after.owner.until(lambda owner: len(owner.messages) >= 100)
            await second.aclose()
        found = sequences(after.owner.messages)
        for name in NAMES:
            assert set(acknowledged[name] + found[name]) == set(range(1, max(found[name]) + 1))


async def test_in_a_storm_all_are_lost_at_once_and_come_back() -> None:
    async with broker() as gate:
        # A clock that runs a minute for every few looks brings storm upon storm.
        async with fleet(gate, Scenario.STORM, ticking(1_000)).running():
            await gate.owner.until(lambda owner: len(owner.left) >= len(NAMES))
            came_back = len(gate.owner.messages) + 30
            await gate.owner.until(lambda owner: len(owner.messages) >= came_back)
        assert {event.client_id for event in gate.owner.left} == set(NAMES)
        for numbers in sequences(gate.owner.messages).values():
            assert set(numbers) == set(range(1, max(numbers) + 1))


async def test_the_faulty_device_measures_too_much() -> None:
    async with broker() as gate:
        async with fleet(gate, Scenario.PRESSURE_FAULT, ticking(100)).running():
            await gate.owner.until(lambda owner: any(_pressure(each.payload) > 60 for each in owner.messages))
        assert {each.client_id for each in gate.owner.messages if _pressure(each.payload) > 60} == {"pump-003"}


async def test_a_defect_in_the_block_is_not_hidden_by_the_fleet() -> None:
    async with broker() as gate:
        with pytest.raises(ExceptionGroup) as caught:
            async with fleet(gate).running():
                raise LookupError
        assert caught.group_contains(LookupError)


async def test_a_fleet_without_devices_does_nothing() -> None:
    async with Fleet(Simulation((), 1.0, Scenario.STEADY), Endpoint("127.0.0.1", 1, ""), ticking(), float).running():
        await asyncio.sleep(0)


async def test_devices_that_obey_hear_commands_and_answer_also_after_they_were_lost() -> None:
    async with broker() as gate:
        devices = tuple(SimulatedDevice(name, gate.identity) for name in NAMES)
        simulation = Simulation(devices, 1.0, Scenario.STEADY, obeys=True)
        async with Fleet(simulation, gate.endpoint, ticking(), lambda: 0.5).running():
            for turn in (1, 2):
                greetings = await _heard(gate.owner, "shadow/update", turn * len(NAMES))
                tenant_id = greetings[0].tenant_id
                request = f"cmd/pump-002/request/{turn}"
                gate.broker.publish(Message(tenant_id, "", "", request, b'{"command": "restart"}', 1, False, 1_000))
                [answer] = await _heard(gate.owner, f"response/{turn}", 1)
                assert (answer.client_id, answer.topic) == ("pump-002", f"cmd/pump-002/response/{turn}")
                assert b"in_progress" in answer.payload
                for name in NAMES:
                    gate.broker.disconnect(tenant_id, name, "a test")


async def test_devices_of_a_load_hear_nothing() -> None:
    async with broker() as gate:
        async with fleet(gate).running():
            await gate.owner.until(lambda owner: len(owner.messages) >= 10)
        assert _of(gate.owner, "shadow/update") == []


def test_a_device_without_a_connection_keeps_the_newest() -> None:
    unit = _Unit(SimulatedDevice("pump-001", None), Endpoint("127.0.0.1", 1, ""))
    for number in range(610):
        unit.report(b"%d" % number)
    assert unit.waiting_count == 600
    assert unit.given_up_count == 10
    assert isinstance(unit.client, Client)
    assert unit._waiting[0] == ("sensors/pump-001/telemetry", b"10")


def _pressure(payload: bytes) -> float:
    pressure: float = msgspec.json.decode(payload)["readings"]["pressure"]
    return pressure


def _acknowledge_all(owner: FakeOwner) -> None:
    owner.holds_back = False
    owner.release()


async def _heard(owner: FakeOwner, ending: str, count: int) -> list[Message]:
    """What has come at topics that end so, when there is enough of it."""
    await owner.until(lambda heard: len(_of(heard, ending)) >= count)
    return _of(owner, ending)


def _of(owner: FakeOwner, ending: str) -> list[Message]:
    return [message for message in owner.messages if message.topic.endswith(ending)]
