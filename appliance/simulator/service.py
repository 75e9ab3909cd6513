"""A fleet of devices that do not exist: each connects, publishes at its pace and comes back when it is lost.

Open loop: messages are due by the clock, however slow the broker is. What a device cannot send yet
waits in it, as in a real one, and the oldest is given up beyond a bound.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress

import msgspec

from appliance.health import Status
from appliance.instant import SECOND_MS, Clock
from appliance.simulator import duties
from appliance.simulator.client import Client, NotConnectedError, Options, SubscriptionRefusedError
from appliance.simulator.duties import Pump, Saying
from appliance.simulator.message import payload_of, topic_of
from appliance.simulator.model import Scenario, SimulatedDevice
from appliance.simulator.pace import due_s, pause_ms, storm_count
from appliance.simulator.wave import fault_of, measure
from appliance.simulator.wire import Endpoint
from broker.packets import Publish

log = logging.getLogger(__name__)

_HANDSHAKES_LIMIT = 50
_UNSENT_LIMIT = 600
_LONGEST_SLEEP_S = 1.0
_DRAIN_TIMEOUT_S = 2.0


class Simulation(msgspec.Struct, frozen=True):
    """What is simulated."""

    devices: tuple[SimulatedDevice, ...]
    rate: float
    """Messages a second of each device."""
    scenario: Scenario
    seed: int = 1
    obeys: bool = False
    """Whether the devices also do what they are told: commands, shadows and jobs."""


class Fleet:
    """Simulated devices while they are `running`."""

    def __init__(self, simulation: Simulation, endpoint: Endpoint, clock: Clock, choose: Callable[[], float]) -> None:
        """`choose` gives a number of 0 to 1: the chance in how long a device waits before it comes back."""
        self._simulation = simulation
        self._clock = clock
        self._choose = choose
        self._units = [_Unit(device, endpoint) for device in simulation.devices]
        self._handshakes = asyncio.Semaphore(_HANDSHAKES_LIMIT)
        self._last_trouble = ""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Let the devices live; on leaving, what is under way is acknowledged and each says goodbye."""
        async with asyncio.TaskGroup() as group:
            pacer = group.create_task(self._pace(), name="simulator pace")
            lives = [
                group.create_task(self._live(unit), name=f"simulated {unit.device.device_id}") for unit in self._units
            ]
            try:
                yield
                pacer.cancel()
                await self._drained()
            finally:
                for task in (pacer, *lives):
                    task.cancel()

    def status(self) -> Status:
        """How many devices are connected, and what became of their messages."""
        connected = sum(unit.client.is_connected for unit in self._units)
        details = {
            "connected": connected,
            "sent": sum(unit.sent_count for unit in self._units),
            "acknowledged": sum(unit.acknowledged_count for unit in self._units),
            "waiting": sum(unit.waiting_count for unit in self._units),
            "given_up": sum(unit.given_up_count for unit in self._units),
        }
        summary = f"{connected} of {len(self._units)} simulated devices connected"
        return Status(connected == len(self._units), summary, details)

    async def _live(self, unit: "_Unit") -> None:
        failure_count = 0
        try:
            while True:
                try:
                    async with self._handshakes:
                        await unit.client.connect()
                except NotConnectedError as error:
                    failure_count += 1
                    self._note_trouble(unit.device.device_id, str(error))
                else:
                    failure_count = 0
                    unit.send_waiting()
                    if self._simulation.obeys:
                        await self._attend(unit)
                    await unit.client.ended()
                await asyncio.sleep(pause_ms(failure_count, self._choose()) / SECOND_MS)
        finally:
            await unit.client.disconnect()

    async def _attend(self, unit: "_Unit") -> None:
        """Let a device hear what it is told, and say how it is."""
        try:
            for topic_filter in duties.filters(unit.device.device_id):
                await unit.client.subscribe(topic_filter, 1)
        except (NotConnectedError, SubscriptionRefusedError) as error:
            self._note_trouble(unit.device.device_id, str(error))
        else:
            unit.greet()

    async def _pace(self) -> None:
        """Publish what is due, one device after the other, and bring the storms."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        began_at = self._clock()
        simulation = self._simulation
        count = len(self._units)
        message = storms = 0
        while count:
            elapsed_ms = self._clock() - began_at
            while (wait := began + due_s(message, count, simulation.rate) - loop.time()) <= 0:
                self._report(message % count, elapsed_ms)
                message += 1
            if storm_count(simulation.scenario, elapsed_ms) > storms:
                storms += 1
                self._storm()
            await asyncio.sleep(min(wait, _LONGEST_SLEEP_S))

    def _report(self, place: int, elapsed_ms: int) -> None:
        now = self._clock()
        fault = fault_of(self._simulation.scenario, place, elapsed_ms)
        unit = self._units[place]
        measurement = measure(self._simulation.seed, place, now, fault)
        unit.report(payload_of(unit.device.device_id, now, measurement, unit.next_sequence()))

    def _storm(self) -> None:
        log.info("simulated storm began devices=%d", len(self._units))
        for unit in self._units:
            unit.client.drop()

    def _note_trouble(self, device_id: str, trouble: str) -> None:
        """Log a reason once, not for every device and attempt that meets it."""
        if trouble != self._last_trouble:
            self._last_trouble = trouble
            log.warning("simulated device did not connect device_id=%s reason=%s", device_id, trouble)

    async def _drained(self) -> None:
        """Wait a moment for what is under way to be acknowledged."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_TIMEOUT_S):
                for unit in self._units:
                    await unit.settled()


class _Unit:
    """One simulated device: its client, and the messages that wait in it."""

    def __init__(self, device: SimulatedDevice, endpoint: Endpoint) -> None:
        self.device = device
        self.sent_count = 0
        self.acknowledged_count = 0
        self.given_up_count = 0
        # A lasting session: what is under way when the connection breaks goes out again after it.
        self.client = Client(Options(device.device_id, endpoint, device.identity, clean_session=False))
        self.client.on_acknowledged = self._acknowledged
        self.client.on_message = self._told
        self._pump = Pump()
        self._topic = topic_of(device.device_id)
        self._waiting: deque[tuple[str, bytes]] = deque()
        self._sequence = 0
        self._settled: asyncio.Event = asyncio.Event()
        self._settled.set()

    @property
    def waiting_count(self) -> int:
        """How many messages are not acknowledged, sent or not."""
        return len(self._waiting) + self.client.in_flight_count

    def next_sequence(self) -> int:
        """The number of the next message, from 1."""
        self._sequence += 1
        return self._sequence

    def report(self, payload: bytes) -> None:
        """Take a measurement, and send it as soon as that is possible."""
        self._say(self._topic, payload)

    def greet(self) -> None:
        """Say how it is."""
        self._say_all(duties.greeting(self.device.device_id, self._pump))

    def send_waiting(self) -> None:
        """Send what the in-flight window allows."""
        while self._waiting and self.client.has_room:
            topic, payload = self._waiting.popleft()
            self.client.publish(topic, payload, 1)
            self.sent_count += 1

    async def settled(self) -> None:
        """Wait until everything that was reported is acknowledged."""
        await self._settled.wait()

    def _say(self, topic: str, payload: bytes) -> None:
        self._settled.clear()
        if len(self._waiting) == _UNSENT_LIMIT:
            self._waiting.popleft()
            self.given_up_count += 1
        self._waiting.append((topic, payload))
        self.send_waiting()

    def _say_all(self, sayings: Sequence[Saying]) -> None:
        for saying in sayings:
            if saying.after_s:
                loop = asyncio.get_running_loop()
                loop.call_later(saying.after_s, self._say, saying.topic, saying.payload)
            else:
                self._say(saying.topic, saying.payload)

    def _told(self, message: Publish) -> None:
        done = duties.told(self.device.device_id, self._pump, message.topic, message.payload)
        self._pump = done.pump
        self._say_all(done.sayings)

    def _acknowledged(self, _: int) -> None:
        self.acknowledged_count += 1
        self.send_waiting()
        if not self.waiting_count:
            self._settled.set()
