"""Thousands of devices over mutual TLS that keep their shadow and take commands, each with a certificate of its own.

Run as `python -m bench.plane_crowd`; asked `Devices` it connects them, then it does what it is asked as often as it is
asked: `Updates` by the clock, `Return` (all leave, come back and fetch their shadow), `Orders` (commands are taken).
"""

import gc
import sys
import time
from array import array
from collections import deque
from pathlib import Path

import msgspec

from bench import generator, packets
from bench.crowd import Gathered
from bench.device import CONNECT_PACKET_ID, Device, State
from bench.message import device_ids
from bench.numbers import Spread, spread
from bench.telemetry_crowd import DRAIN_S, LONGEST_WAIT_S, Devices, Fleet, client_context

_PUBLISH, _PUBACK = 3, 4
_QOS_BITS = 0x06
_CONTINUES = 0x80
_SUCCEEDED = b'{"status":"SUCCEEDED"}'


class Updates(msgspec.Struct, frozen=True, tag=True):
    """Shadow updates, by all in turn."""

    rate: float
    seconds: float


class Return(msgspec.Struct, frozen=True, tag=True):
    """All leave, come back, and fetch their shadow."""

    at_once: int
    patience_s: float


class Orders(msgspec.Struct, frozen=True, tag=True):
    """A command for each of them will come; it succeeds at once."""

    patience_s: float


class Updated(msgspec.Struct, frozen=True):
    """How updates went."""

    sent: int
    accepted: int
    rejected: int
    lost_connections: int
    latencies: list[int]
    """From writing an update to reading that it was accepted, in nanoseconds."""
    lateness: Spread
    """How much later than due the generator itself was."""
    generator_percent: float


class Returned(msgspec.Struct, frozen=True):
    """How coming back went."""

    seconds: float
    """From the first that began to connect to the last that had its shadow."""
    failures: int
    generator_percent: float


class Ordered(msgspec.Struct, frozen=True):
    """How commands came."""

    taken: int
    repeated: int
    """Of these, taken by a device that had taken one already."""
    first_at: float
    last_at: float
    """On the clock that all processes share."""


class Owner(Device):
    """A device that keeps its shadow, and does what it is told."""

    __slots__ = ("_crew", "_number", "_ordered", "_partial", "_shadow", "_waiting")

    def follow(self, crew: "Owners") -> None:
        """Subscribe to what a device is answered and told."""
        self._crew = crew
        self._partial = b""
        self._number = self._ordered = 0
        self._waiting: deque[int] = deque()
        self._shadow = f"$aws/things/{self._name}/shadow"
        filters = [
            f"{self._shadow}/get/+",
            f"{self._shadow}/update/accepted",
            f"{self._shadow}/update/rejected",
            f"cmd/{self._name}/request/+",
        ]
        self._subscribe = packets.subscribe(CONNECT_PACKET_ID, filters, 1)
        self._suback_bytes = packets.suback_bytes(len(filters))

    @property
    def is_waiting(self) -> bool:
        """Whether an update is not answered yet that still can be."""
        return bool(self._waiting)

    def publish(self) -> None:
        """Report what has changed."""
        self._number += 1
        moved = b'{"state":{"reported":{"position":%d,"temperature":%d.5,"mode":"auto"}}}' % (
            self._number,
            self._number % 40,
        )
        if self._say(f"{self._shadow}/update", moved):
            self._waiting.append(time.perf_counter_ns())

    def fetch(self) -> None:
        """Ask for the shadow."""
        self._say(f"{self._shadow}/get", b"")

    def forget_orders(self) -> None:
        """Take the next command for the first one."""
        self._ordered = 0

    def leave(self) -> None:
        """End the connection, if there is one."""
        if self._state is State.PUBACKS:
            self._end()

    def _say(self, topic: str, payload: bytes) -> bool:
        if self._state is not State.PUBACKS:
            return False
        self._packet_id = self._packet_id % 65_535 + 1
        try:
            self._socket.send(packets.publish(topic, payload, self._packet_id))
        except OSError:
            self._end()
            return False
        return True

    def _take(self, answer: bytes) -> None:
        super()._take(answer)
        if self._state is State.PUBACKS:
            self._partial = b""
            self._waiting.clear()
            if self._crew.is_fetching:
                self.fetch()

    def _count(self, arrived: bytes) -> None:
        if not arrived:
            raise ConnectionResetError
        unread = self._partial + arrived if self._partial else arrived
        at, acknowledged = 0, b""
        while (found := packet_at(unread, at)) is not None:
            begins, ends = found
            if unread[at] >> 4 == _PUBLISH:
                topic_ends = begins + 2 + int.from_bytes(unread[begins : begins + 2])
                if unread[at] & _QOS_BITS:
                    acknowledged += b"\x40\x02" + unread[topic_ends : topic_ends + 2]
                self._hear(unread[begins + 2 : topic_ends])
            elif unread[at] >> 4 == _PUBACK:
                self.acknowledged += 1
            at = ends
        self._partial = unread[at:]
        if acknowledged:
            self._socket.send(acknowledged)

    def _hear(self, topic: bytes) -> None:
        if topic.endswith(b"/update/accepted"):
            self._company.latencies.append(time.perf_counter_ns() - self._waiting.popleft())
        elif topic.endswith(b"/update/rejected"):
            self._waiting.popleft()
            self._crew.rejected += 1
        elif b"/shadow/get/" in topic:
            self._crew.fetched += 1
        elif b"/request/" in topic:
            self._crew.order(is_repeated=self._ordered > 0)
            self._ordered += 1
            self._say(topic.decode().replace("/request/", "/response/"), _SUCCEEDED)


class Owners(Fleet):
    """All devices of the load."""

    def __init__(self, task: Devices) -> None:
        self.owners: list[Owner] = []
        for place, name in enumerate(device_ids(task.count)):
            owner = Owner(self, place, (task.host, task.port), client_context(Path(task.bundles) / name))
            owner.follow(self)
            self.owners.append(owner)
        super().__init__(self.owners)
        self.fetched = self.rejected = 0
        self.is_fetching = False
        self._ordered_at: list[float] = []
        self._repeated = 0

    def order(self, *, is_repeated: bool) -> None:
        """Hear that a command has come."""
        self._ordered_at.append(time.monotonic())
        self._repeated += is_repeated

    def update(self, task: Updates) -> Updated:
        """Update shadows by the clock, then wait for what is under way."""
        self.latencies, self.rejected = array("Q"), 0
        began, cpu = time.monotonic(), generator.own_cpu_seconds()
        lateness = self.send_by_clock(task.rate, task.seconds)
        percent = 100 * (generator.own_cpu_seconds() - cpu) / max(1e-3, time.monotonic() - began)
        deadline = time.monotonic() + DRAIN_S
        while any(owner.is_waiting for owner in self.owners) and time.monotonic() < deadline:
            self.turn(LONGEST_WAIT_S)
        return Updated(
            sent=len(lateness),
            accepted=len(self.latencies),
            rejected=self.rejected,
            lost_connections=len(self.outside),
            latencies=self.latencies.tolist(),
            lateness=spread(lateness),
            generator_percent=percent,
        )

    def come_back(self, task: Return) -> Returned:
        """Leave together; connect again, a bounded number at a time, and fetch."""
        for owner in self.owners:
            owner.leave()
        self.fetched, self.is_fetching = 0, True
        began, cpu = time.monotonic(), generator.own_cpu_seconds()
        gathered = self.gather(task.at_once, task.patience_s)
        while self.fetched < len(self.owners):
            self.turn(LONGEST_WAIT_S)
            if time.monotonic() - began > task.patience_s:
                raise TimeoutError(f"{self.fetched:,} of {len(self.owners):,} shadows came")
        self.is_fetching = False
        took = time.monotonic() - began
        return Returned(took, gathered.failures, 100 * (generator.own_cpu_seconds() - cpu) / took)

    def take_orders(self, task: Orders) -> Ordered:
        """Wait until as many commands have come as there are devices, and do them."""
        self._ordered_at, self._repeated = [], 0
        for owner in self.owners:
            owner.forget_orders()
        deadline = time.monotonic() + task.patience_s
        while len(self._ordered_at) < len(self.owners) and time.monotonic() < deadline:
            self.turn(LONGEST_WAIT_S)
        told = self._ordered_at or [0.0]
        return Ordered(len(self._ordered_at), self._repeated, min(told), max(told))

    def serve_on(self, seconds: float) -> None:
        """Answer what comes for some time."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.turn(LONGEST_WAIT_S)


def packet_at(unread: bytes, at: int) -> tuple[int, int] | None:
    """Where the body of the packet that begins there lies, if all of it has come [2.2.3]."""
    place, length, shift = at + 1, 0, 0
    while place < len(unread):
        digit = unread[place]
        length |= (digit & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if not digit & _CONTINUES:
            return (place, place + length) if place + length <= len(unread) else None
    return None


def serve() -> None:
    """Do what is asked until nothing is asked any more."""
    generator.files_raised()
    first = generator.asked(msgspec.json.Decoder(Devices))
    if first is None:
        return
    generator.end_after(first.patience_s)
    crew = Owners(first)
    # Garbage is not collected while times are taken: nothing here makes cycles worth it.
    gc.collect()
    gc.freeze()
    gc.disable()
    gathered: Gathered = crew.gather(first.at_once, first.patience_s)
    generator.answer(gathered)
    requests: msgspec.json.Decoder[Updates | Return | Orders] = msgspec.json.Decoder(Updates | Return | Orders)
    while (task := generator.asked(requests)) is not None:
        if isinstance(task, Updates):
            generator.end_after(task.seconds + DRAIN_S)
            generator.answer(crew.update(task))
        elif isinstance(task, Return):
            generator.end_after(task.patience_s)
            generator.answer(crew.come_back(task))
        else:
            generator.end_after(task.patience_s)
            # Said first: whoever measures sends the commands only now.
            generator.answer(task)
            generator.answer(crew.take_orders(task))
            crew.serve_on(1.0)


if __name__ == "__main__":
    sys.setswitchinterval(1)
    serve()
