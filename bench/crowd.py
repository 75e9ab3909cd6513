"""A crowd: thousands of devices over mutual TLS, each with subscriptions of its own.

Run as `python -m bench.crowd`; asked a `Crowd` it connects them, then it paces (`Pace`) or lets them come back after
a restart (`Storm`) as often as it is asked.

Paced, it is an open loop: a message is due by the clock, however slow the broker is, and the time from writing
PUBLISH to reading PUBACK is taken for each. The generator never sleeps meanwhile, so that it is not late itself.
"""

import gc
import select
import ssl
import sys
import time
from array import array
from collections import deque
from pathlib import Path

import msgspec

from bench import certificates, generator
from bench.device import Device
from bench.message import Press
from bench.numbers import Spread, spread

DRAIN_S = 10.0
PAUSE_S = 0.05
"""How long nobody knocks after nobody was there."""
SENDS_AT_ONCE = 16


class Crowd(msgspec.Struct, frozen=True, tag=True):
    """Who is to connect: each device subscribes to three topics of its own."""

    host: str
    port: int
    certificates: str
    count: int
    at_once: int
    """Connections being made at a time."""
    patience_s: float


class Pace(msgspec.Struct, frozen=True, tag=True):
    """Messages to be published, by all in turn."""

    rate: float
    seconds: float


class Storm(msgspec.Struct, frozen=True, tag=True):
    """All will be disconnected; they are to come back. Answered when they are ready for it, and when all are back."""

    at_once: int
    patience_s: float


class Gathered(msgspec.Struct, frozen=True):
    """How connecting went."""

    seconds: float
    failures: int
    """Connections that broke before they were of use, and were tried again."""
    generator_percent: float
    all_there_at: float
    """On the clock that all processes share."""


class Paced(msgspec.Struct, frozen=True):
    """How publishing went."""

    sent: int
    acknowledged: int
    lost_connections: int
    latency: Spread
    lateness: Spread
    """How much later than due the generator itself was."""


class Crew:
    """All devices, and the one loop that serves them."""

    def __init__(self, task: Crowd) -> None:
        folder = Path(task.certificates)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        # What is measured is the broker: the generator spares itself a verification.
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.load_cert_chain(folder / certificates.CLIENT, folder / certificates.CLIENT_KEY)
        self.poll = select.epoll()
        self.devices = [Device(self, place, (task.host, task.port), context) for place in range(task.count)]
        self.by_fd: dict[int, Device] = {}
        self.there = 0
        self.failures = 0
        self.outside: deque[Device] = deque()
        self.entering = 0
        self.closed_until = 0.0
        self.latencies: array[int] = array("Q")

    def lose(self, device: Device, *, was_there: bool, nobody_home: bool) -> None:
        """Hear that a connection has ended; the device will come back when it is let."""
        self.outside.append(device)
        if was_there:
            self.there -= 1
            return
        self.entering -= 1
        if nobody_home:
            self.closed_until = time.monotonic() + PAUSE_S
        else:
            self.failures += 1

    def enter(self) -> None:
        """Hear that a device has connected and subscribed."""
        self.entering -= 1
        self.there += 1

    def turn(self, wait_s: float) -> None:
        """Serve whoever is ready."""
        for fd, _ in self.poll.poll(wait_s):
            device = self.by_fd.get(fd)
            if device is not None:
                device.ready()

    def gather(self, at_once: int, patience_s: float, *, lost_first: bool = False) -> Gathered:
        """Let all come in, a bounded number at a time; raises `TimeoutError` when that takes too long.

        With `lost_first` they are all in, and their connections are about to end.
        """
        began, cpu = time.monotonic(), generator.own_cpu_seconds()
        failures = self.failures
        while lost_first and not self.outside:
            self.turn(0.2)
            if time.monotonic() - began > patience_s:
                raise TimeoutError("nobody was disconnected")
        left_at = time.monotonic() if lost_first else began
        while self.there < len(self.devices):
            if self.closed_until <= time.monotonic():
                while self.outside and self.entering < at_once:
                    self.entering += 1
                    self.outside.popleft().connect()
            self.turn(PAUSE_S)
            if time.monotonic() - left_at > patience_s:
                raise TimeoutError(f"{self.there:,} of {len(self.devices):,} connected in {patience_s:.0f} s")
        took = time.monotonic() - left_at
        percent = 100 * (generator.own_cpu_seconds() - cpu) / max(took, 1e-3)
        return Gathered(took, self.failures - failures, percent, time.monotonic())

    def pace(self, task: Pace) -> Paced:
        """Publish by the clock, then wait for what is under way."""
        self.latencies = array("Q")
        lateness: array[int] = array("Q")
        acknowledged = sum(device.acknowledged for device in self.devices)
        total, interval = round(task.rate * task.seconds), 1e9 / task.rate
        began = time.perf_counter_ns()
        sent = 0
        while sent < total:
            now = time.perf_counter_ns()
            due = min(total, int((now - began) / interval) + 1, sent + SENDS_AT_ONCE)
            while sent < due:
                lateness.append(max(0, int(time.perf_counter_ns() - began - sent * interval)))
                self.devices[sent % len(self.devices)].publish()
                sent += 1
            self.turn(0)
        deadline = time.monotonic() + DRAIN_S
        while len(self.latencies) < total and time.monotonic() < deadline:
            self.turn(0.05)
        acknowledged = sum(device.acknowledged for device in self.devices) - acknowledged
        return Paced(sent, acknowledged, len(self.outside), spread(self.latencies), spread(lateness))


def serve() -> None:
    """Do what is asked until nothing is asked any more."""
    first = generator.asked(msgspec.json.Decoder(Crowd))
    if first is None:
        return
    generator.files_raised()
    crew = Crew(first)
    presses = (Press(f"load-{place:05d}", place) for place in range(first.count))
    for device, press in zip(crew.devices, presses, strict=True):
        device.prepare(press)
    crew.outside.extend(crew.devices)
    # Garbage is not collected while times are taken: nothing here makes cycles worth it.
    gc.collect()
    gc.freeze()
    gc.disable()
    generator.answer(crew.gather(first.at_once, first.patience_s))
    requests: msgspec.json.Decoder[Pace | Storm] = msgspec.json.Decoder(Pace | Storm)
    while (task := generator.asked(requests)) is not None:
        if isinstance(task, Pace):
            generator.answer(crew.pace(task))
        else:
            generator.answer(task)
            generator.answer(crew.gather(task.at_once, task.patience_s, lost_first=True))


if __name__ == "__main__":
    sys.setswitchinterval(1)
    serve()
