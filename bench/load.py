"""The load generator: devices that publish, in a process of its own.

Run as `python -m bench.load '<JSON of Load>'`. When all devices are connected it prints one line and
waits for a line; then it publishes, and prints its `Result`.

Paced, it is an open loop: a message is due by the clock, however slow the broker is, and the time from
PUBLISH to PUBACK is taken for each. Flat out, every connection keeps its window full.
"""

import asyncio
import gc
import sys
import time
from array import array
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import msgspec

from appliance import bundle_folder
from appliance.simulator.client import Client, Options
from appliance.simulator.model import SimulatedDevice
from appliance.simulator.wire import Endpoint
from bench.message import FIRST_SEQUENCE, Press, device_ids, packet_id_of
from bench.numbers import Spread, spread

HANDSHAKES_AT_ONCE = 20
DRAIN_S = 20.0
PUBACK_BYTES = 4


class Load(msgspec.Struct, frozen=True):
    """What is to be done."""

    host: str
    port: int
    folder: str
    """Holds a folder with certificate, key and root for each device; empty: without TLS."""
    device_count: int
    seconds: float
    rate: float
    """Messages a second of all devices together; 0: as many as the window lets through."""
    window: int = 20


class Result(msgspec.Struct, frozen=True):
    """What was done."""

    connect_seconds: float
    sent_count: int
    acknowledged: tuple[int, ...]
    """How many messages of each device were acknowledged."""
    acknowledged_in_time: int
    """Of these, how many before the end of the measured seconds."""
    lost_connections: int
    latency: Spread
    """From writing PUBLISH to reading PUBACK."""
    lateness: Spread
    """How much later than due the generator itself was."""


class _Device(Client):
    """One connection of the load, and the clock beside each message."""

    __slots__ = ("acknowledged", "latencies", "press", "sent_at", "sequence")

    def __init__(self, load: Load, simulated: SimulatedDevice, place: int, latencies: "array[int]") -> None:
        super().__init__(
            Options(
                simulated.device_id,
                Endpoint(load.host, load.port, "localhost"),
                simulated.identity,
                clean_session=True,
                # Flat out, only PUBACK may come: the bytes that arrive are counted, not read.
                keep_alive_s=60 if load.rate else 0,
                timeout_s=120.0,
            )
        )
        self.press = Press(simulated.device_id, place)
        self.latencies = latencies
        self.sequence = FIRST_SEQUENCE
        self.acknowledged = 0
        self.sent_at: dict[int, int] = {}
        self.on_acknowledged = self._note

    def send_one(self) -> None:
        """Publish the next message."""
        packet = self.press.packet(self.sequence, time.time_ns() // 1_000_000)
        self.sent_at[packet_id_of(self.sequence)] = time.perf_counter_ns()
        self.send(packet)
        self.sequence += 1

    def _note(self, packet_id: int) -> None:
        self.latencies.append(time.perf_counter_ns() - self.sent_at.pop(packet_id))
        self.acknowledged += 1


class _Torrent(_Device):
    """A connection that keeps its window full; acknowledgements are counted, not looked at one by one."""

    __slots__ = ("batches", "is_flowing", "surplus_bytes")

    def __init__(self, load: Load, simulated: SimulatedDevice, place: int, latencies: "array[int]") -> None:
        super().__init__(load, simulated, place, latencies)
        self.batches: deque[tuple[int, int]] = deque()
        self.is_flowing = False
        self.surplus_bytes = 0

    def send_many(self, count: int) -> None:
        """Publish the next messages in one write."""
        now = time.time_ns() // 1_000_000
        first = self.sequence
        self.sequence += count
        packet = self.press.packet
        self.batches.append((self.sequence - FIRST_SEQUENCE, time.perf_counter_ns()))
        self.send(b"".join([packet(sequence, now) for sequence in range(first, self.sequence)]))

    def take(self, arrived: bytes) -> None:
        """Count PUBACKs, which come in the order of their PUBLISH, and send as many messages again."""
        if not self.batches:
            super().take(arrived)
            return
        count, self.surplus_bytes = divmod(len(arrived) + self.surplus_bytes, PUBACK_BYTES)
        self.acknowledged += count
        now = time.perf_counter_ns()
        while self.batches and self.batches[0][0] <= self.acknowledged:
            self.latencies.append(now - self.batches.popleft()[1])
        if self.is_flowing and count:
            self.send_many(count)


async def generate(load: Load) -> Result:
    """Connect, wait for the word, publish, wait for what is under way."""
    latencies: array[int] = array("Q")
    kind = _Device if load.rate else _Torrent
    devices = [kind(load, simulated, place, latencies) for place, simulated in enumerate(_simulated(load))]
    lost: list[str] = []
    for device in devices:
        device.on_lost = lost.append
        device.prepare()
    began = time.perf_counter()
    await _connect(devices)
    connect_seconds = time.perf_counter() - began
    # Garbage is not collected while times are taken: nothing here makes cycles.
    gc.collect()
    gc.freeze()
    gc.disable()
    print("connected", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    lateness: array[int] = array("Q")
    if load.rate:
        await _pace(load, devices, lateness)
    else:
        await _flood(load, devices)
    in_time = sum(device.acknowledged for device in devices)
    await _drain(devices)
    result = Result(
        connect_seconds,
        sum(device.sequence - FIRST_SEQUENCE for device in devices),
        tuple(device.acknowledged for device in devices),
        in_time,
        len(lost),
        spread(latencies),
        spread(lateness),
    )
    for device in devices:
        device.on_lost = _ignore
        device.drop()
    return result


async def _connect(devices: list[_Device]) -> None:
    doors = asyncio.Semaphore(HANDSHAKES_AT_ONCE)

    async def connect(device: _Device) -> None:
        async with doors:
            await device.connect()

    async with asyncio.TaskGroup() as group:
        for device in devices:
            group.create_task(connect(device), name="connect")


async def _pace(load: Load, devices: list[_Device], lateness: "array[int]") -> None:
    """The devices take turns, each message at its own moment."""
    interval = 1e9 / load.rate
    began = time.perf_counter_ns()
    for message in range(round(load.rate * load.seconds)):
        due = began + message * interval
        wait = due - time.perf_counter_ns()
        if wait > 0:
            await asyncio.sleep(wait / 1e9)
        lateness.append(max(0, int(time.perf_counter_ns() - due)))
        device = devices[message % len(devices)]
        if device.is_connected:
            device.send_one()
        if message & 0xF == 0:
            # Acknowledgements are read even while the generator is behind.
            await asyncio.sleep(0)
    await asyncio.sleep(max(0.0, began / 1e9 + load.seconds - time.perf_counter()))


async def _flood(load: Load, devices: list[_Device]) -> None:
    torrents = [device for device in devices if isinstance(device, _Torrent)]
    for torrent in torrents:
        torrent.is_flowing = True
        torrent.send_many(load.window)
    await asyncio.sleep(load.seconds)
    for torrent in torrents:
        torrent.is_flowing = False


async def _drain(devices: list[_Device]) -> None:
    deadline = time.perf_counter() + DRAIN_S
    while time.perf_counter() < deadline:
        if all(device.acknowledged == device.sequence - FIRST_SEQUENCE for device in devices if device.is_connected):
            return
        await asyncio.sleep(0.05)


def _simulated(load: Load) -> Sequence[SimulatedDevice]:
    names = device_ids(load.device_count)
    if load.folder:
        return bundle_folder.simulated(Path(load.folder), names)
    return [SimulatedDevice(name, None) for name in names]


def _ignore(_: object) -> None:
    """What is heard of a connection that is being let go."""


if __name__ == "__main__":
    outcome = asyncio.run(generate(msgspec.json.decode(sys.argv[1].encode(), type=Load)))
    print(msgspec.json.encode(outcome).decode(), flush=True)
