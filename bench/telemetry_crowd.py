"""Thousands of devices over mutual TLS, each with a certificate of its own, whose every message is a new one.

Run as `python -m bench.telemetry_crowd`; asked `Devices` it connects them, then it paces as often as it is asked to.
It is an open loop, as that of `bench.crowd`. Like that one it never sleeps when it is told to keep awake; else it does
while nothing is due, for charts are asked for on the same core.
"""

import gc
import select
import ssl
import sys
import time
from array import array
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import msgspec

from bench import generator, packets
from bench.crowd import SENDS_AT_ONCE, Crew, Gathered
from bench.device import CONNECT_PACKET_ID, Device, State
from bench.message import FIRST_SEQUENCE, Press, device_ids
from bench.numbers import Spread, spread

DRAIN_S = 90.0
LONGEST_WAIT_S = 0.05


class Devices(msgspec.Struct, frozen=True, tag=True):
    """Who is to connect, with the bundle in the folder of its name."""

    host: str
    port: int
    bundles: str
    count: int
    at_once: int
    """Connections being made at a time."""
    patience_s: float


class Load(msgspec.Struct, frozen=True):
    """Messages to be published, by all in turn."""

    rate: float
    seconds: float
    is_awake: bool = False
    """Whether the generator never sleeps: then no acknowledgement has to wake it up first, at the gateway's cost, where
    the network would deliver it to another machine."""


class Delivered(msgspec.Struct, frozen=True):
    """How publishing went."""

    sent: int
    acknowledged: int
    in_time: int
    """Of these, before the last message was due."""
    lost_connections: int
    latency: Spread
    lateness: Spread
    """How much later than due the generator itself was."""
    generator_percent: float
    """Of one core, for as long as messages were due: near 100 it is the limit."""
    by_device: tuple[int, ...]
    """How many messages of each device were acknowledged since it connected."""


class Reporter(Device):
    """A device that prints each of its messages anew: the gateway would know an old one again."""

    __slots__ = ("_press", "_sequence")

    def prepare(self, press: Press) -> None:
        """Have the messages printed by this press, and subscribe to what a device of the gateway may."""
        self._press = press
        self._sequence = FIRST_SEQUENCE
        filters = [f"cmd/{self._name}/#", f"fw/{self._name}/offer"]
        self._subscribe = packets.subscribe(CONNECT_PACKET_ID, filters, 1)
        self._suback_bytes = packets.suback_bytes(len(filters))

    @property
    def is_waiting(self) -> bool:
        """Whether something is not acknowledged yet that still can be."""
        return bool(self._sent_at)

    def publish(self) -> None:
        """Write the next message."""
        if self._state is not State.PUBACKS:
            return
        packet = self._press.packet(self._sequence, time.time_ns() // 1_000_000)
        self._sequence += 1
        self._sent_at.append(time.perf_counter_ns())
        try:
            self._socket.send(packet)
        except OSError:
            self._end()


class Fleet(Crew):
    """Devices with a certificate each, and the one loop that serves them."""

    def __init__(self, devices: Sequence[Device]) -> None:  # no certificate is shared, as it is in the crowd of brokers
        self.poll = select.epoll()
        self.devices = [*devices]
        self.by_fd = {}
        self.there = self.failures = self.entering = 0
        self.outside = deque(self.devices)
        self.closed_until = 0.0
        self.latencies = array("Q")

    def send_by_clock(self, rate: float, seconds: float, *, is_awake: bool = False) -> "array[int]":
        """Have all publish in turn, an open loop; give how late each message was sent, in nanoseconds."""
        lateness: array[int] = array("Q")
        total, interval = round(rate * seconds), 1e9 / rate
        began = time.perf_counter_ns()
        while len(lateness) < total:
            sent = len(lateness)
            due = min(total, int((time.perf_counter_ns() - began) / interval) + 1, sent + SENDS_AT_ONCE)
            for number in range(sent, due):
                lateness.append(max(0, int(time.perf_counter_ns() - began - number * interval)))
                self.devices[number % len(self.devices)].publish()
            wait_s = (began + due * interval - time.perf_counter_ns()) / 1e9
            self.turn(0 if is_awake else min(LONGEST_WAIT_S, max(0.0, wait_s)))
        return lateness


class Reporters(Fleet):
    """All devices of the load."""

    def __init__(self, task: Devices) -> None:
        self.reporters: list[Reporter] = []
        for place, name in enumerate(device_ids(task.count)):
            reporter = Reporter(self, place, (task.host, task.port), client_context(Path(task.bundles) / name))
            reporter.prepare(Press(name, place))
            self.reporters.append(reporter)
        super().__init__(self.reporters)

    def deliver(self, task: Load) -> Delivered:
        """Publish by the clock, then wait for what is under way."""
        self.latencies = array("Q")
        before = sum(device.acknowledged for device in self.devices)
        began, cpu = time.monotonic(), generator.own_cpu_seconds()
        lateness = self.send_by_clock(task.rate, task.seconds, is_awake=task.is_awake)
        percent = 100 * (generator.own_cpu_seconds() - cpu) / max(1e-3, time.monotonic() - began)
        in_time = sum(device.acknowledged for device in self.devices) - before
        deadline = time.monotonic() + DRAIN_S
        while any(reporter.is_waiting for reporter in self.reporters) and time.monotonic() < deadline:
            self.turn(LONGEST_WAIT_S)
        by_device = tuple(device.acknowledged for device in self.devices)
        return Delivered(
            sent=len(lateness),
            acknowledged=sum(by_device) - before,
            in_time=in_time,
            lost_connections=len(self.outside),
            latency=spread(self.latencies),
            lateness=spread(lateness),
            generator_percent=percent,
            by_device=by_device,
        )


def client_context(bundle: Path) -> ssl.SSLContext:
    """What a device of the load connects with."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # What is measured is the gateway: the generator spares itself a verification.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.load_cert_chain(bundle / "certificate.pem", bundle / "key.pem")
    return context


def serve() -> None:
    """Do what is asked until nothing is asked any more."""
    generator.files_raised()
    first = generator.asked(msgspec.json.Decoder(Devices))
    if first is None:
        return
    generator.end_after(first.patience_s)
    crew = Reporters(first)
    # Garbage is not collected while times are taken: nothing here makes cycles worth it.
    gc.collect()
    gc.freeze()
    gc.disable()
    gathered: Gathered = crew.gather(first.at_once, first.patience_s)
    generator.answer(gathered)
    while (task := generator.asked(msgspec.json.Decoder(Load))) is not None:
        generator.end_after(task.seconds + DRAIN_S)
        generator.answer(crew.deliver(task))


if __name__ == "__main__":
    sys.setswitchinterval(1)
    serve()
