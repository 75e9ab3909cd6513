"""Fan-out: every message goes to many subscribers, as fast as they take it and no faster.

Run as `python -m bench.fanout`; asked a `Fan`, it answers with a `Fanned`.

A closed loop: no more than `under_way` messages are published before they have been delivered, so that no broker has
to drop any. What arrives is counted in bytes, because all packets are equally long; at QoS 1 the packet identifiers
are cut out of them to be acknowledged.
"""

import contextlib
import select
import socket
import time
from collections.abc import Callable

import msgspec

from bench import generator, packets
from bench.children import cpu_seconds
from bench.message import PAYLOAD_BYTES

WARM_S = 0.5
DRAIN_S = 5.0
READ_BYTES = 65_536
_PUBLISH = 0x30
_REMAINING_BYTES = 2
"""What the remaining length of these packets takes: they are longer than 127 bytes."""
_IDENTIFIERS = 8
"""A block comes with so many sets of packet identifiers, so that none is used while its last use is under way."""


class Fan(msgspec.Struct, frozen=True):
    """What is to be done. All topics are equally long."""

    host: str
    port: int
    pid: int
    """The process that is measured."""
    publishers: tuple[tuple[str, ...], ...]
    """For each the topics of one block, which is written at once."""
    subscribers: tuple[tuple[str, ...], ...]
    """For each its topic filters."""
    copies: int
    """How many subscribers get each message."""
    qos: int
    under_way: int
    """Messages published and not delivered to all yet, at most."""
    batch: int
    """Messages published when there is room for so many; a number of whole blocks."""
    seconds: float


class Fanned(msgspec.Struct, frozen=True):
    """What was done."""

    delivered_a_second: float
    cpu_percent: float
    """Of one core, of the process that was measured."""
    generator_percent: float
    cpu_us_per_message: float
    """Processor time of the broker for a published message, with all its deliveries."""
    sent: int
    lost: int
    """Deliveries that did not come."""
    connect_seconds: float
    """Until all were connected and subscribed."""


class _Subscriber:
    """One that counts what it gets."""

    def __init__(self, fan: "Fan", place: int) -> None:
        self.stream = _connected(fan, f"subscriber-{place:05d}")
        filters = fan.subscribers[place]
        self.stream.send(packets.subscribe(1, filters, fan.qos))
        packets.check_suback(self.stream.recv(packets.suback_bytes(len(filters)), socket.MSG_WAITALL))
        self.packet_bytes = len(packets.publish(fan.publishers[0][0], b"." * PAYLOAD_BYTES, fan.qos))

    def take(self) -> int:
        """Give how many bytes arrived; the kernel throws them away."""
        count = self.stream.recv_into(_THROWN_AWAY, READ_BYTES, socket.MSG_TRUNC)
        if not count:
            raise ConnectionError("the broker closed a subscriber's connection")
        return count


class _AcknowledgingSubscriber(_Subscriber):
    """One that acknowledges what it gets."""

    def __init__(self, fan: "Fan", place: int) -> None:
        super().__init__(fan, place)
        self.rest = b""
        self.identifier_at = 1 + _REMAINING_BYTES + 2 + len(fan.publishers[0][0])

    def take(self) -> int:
        """Cut all packet identifiers out at once, and acknowledge them in one write."""
        arrived = self.stream.recv(READ_BYTES)
        if not arrived:
            raise ConnectionError("the broker closed a subscriber's connection")
        arrived_bytes = len(arrived)
        arrived = self.rest + arrived if self.rest else arrived
        size = self.packet_bytes
        count = len(arrived) // size
        if arrived[0] & 0xF0 != _PUBLISH:
            raise ConnectionError(f"something other than PUBLISH arrived: {arrived[:10].hex()}")
        self.rest = arrived[count * size :]
        block = bytearray(b"\x40\x02\x00\x00" * count)
        end = count * size
        block[2::4] = arrived[self.identifier_at : end : size]
        block[3::4] = arrived[self.identifier_at + 1 : end : size]
        if count:
            self.stream.send(block)
        return arrived_bytes


class _Publisher:
    """One that writes a block of messages when it is its turn."""

    def __init__(self, fan: "Fan", place: int) -> None:
        self.stream = _connected(fan, f"publisher-{place:05d}")
        self.blocks = [_block(fan, place, use) for use in range(_IDENTIFIERS)]
        self.use = 0

    def publish(self) -> None:
        """Write the next block."""
        self.use = (self.use + 1) % _IDENTIFIERS
        self.stream.send(self.blocks[self.use])

    def take(self) -> int:
        """Throw acknowledgements away: they are no deliveries."""
        if not self.stream.recv_into(_THROWN_AWAY, READ_BYTES, socket.MSG_TRUNC):
            raise ConnectionError("the broker closed a publisher's connection")
        return 0


class _Run:
    """All publishers and subscribers of one task."""

    def __init__(self, fan: Fan, stack: contextlib.ExitStack) -> None:
        self.fan = fan
        self.sent = 0
        kind = _AcknowledgingSubscriber if fan.qos else _Subscriber
        self.subscribers = [kind(fan, place) for place in range(len(fan.subscribers))]
        self.publishers = [_Publisher(fan, place) for place in range(len(fan.publishers))]
        self._turn = 0
        self._arrived_bytes = 0
        self._packet_bytes = self.subscribers[0].packet_bytes
        self._poll = stack.enter_context(contextlib.closing(select.epoll()))
        self._takes: dict[int, Callable[[], int]] = {}
        ends: tuple[_Subscriber | _Publisher, ...] = (*self.subscribers, *self.publishers)
        for end in ends:
            stack.enter_context(end.stream)
            self._takes[end.stream.fileno()] = end.take
            self._poll.register(end.stream, select.EPOLLIN)

    @property
    def delivered(self) -> int:
        """Deliveries so far."""
        return self._arrived_bytes // self._packet_bytes

    def go_on(self, until: float) -> None:
        """Publish whenever there is room, until the moment."""
        fan = self.fan
        while time.perf_counter() < until:
            while self.sent - self.delivered // fan.copies + fan.batch <= fan.under_way:
                self._publish()
            self._take(0.2)

    def drain(self) -> None:
        """Wait for what is under way, as long as something still comes."""
        progress, quiet_since = -1, time.perf_counter()
        while self.delivered < self.sent * self.fan.copies and time.perf_counter() - quiet_since < DRAIN_S:
            if self.delivered != progress:
                progress, quiet_since = self.delivered, time.perf_counter()
            self._take(0.2)

    def _publish(self) -> None:
        target = self.sent + self.fan.batch
        while self.sent < target:
            self.publishers[self._turn].publish()
            self.sent += len(self.fan.publishers[self._turn])
            self._turn = (self._turn + 1) % len(self.publishers)

    def _take(self, wait_s: float) -> None:
        for fd, _ in self._poll.poll(wait_s):
            self._arrived_bytes += self._takes[fd]()


def fan_out(fan: Fan) -> Fanned:
    """Connect, publish for some seconds, wait for what is under way."""
    with contextlib.ExitStack() as stack:
        began = time.perf_counter()
        run = _Run(fan, stack)
        connect_seconds = time.perf_counter() - began
        run.go_on(time.perf_counter() + WARM_S)
        before, own_before, began = cpu_seconds(fan.pid), generator.own_cpu_seconds(), time.perf_counter()
        delivered_before = run.delivered
        run.go_on(began + fan.seconds)
        took = time.perf_counter() - began
        spent, own_spent = cpu_seconds(fan.pid) - before, generator.own_cpu_seconds() - own_before
        delivered = run.delivered - delivered_before
        run.drain()
        lost = run.sent * fan.copies - run.delivered
    return Fanned(
        delivered / took,
        100 * spent / took,
        100 * own_spent / took,
        1e6 * spent / max(1.0, delivered / fan.copies),
        run.sent,
        lost,
        connect_seconds,
    )


def _connected(fan: Fan, client_id: str) -> socket.socket:
    stream = socket.create_connection((fan.host, fan.port))
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    stream.send(packets.connect(client_id))
    packets.check_connack(stream.recv(packets.CONNACK_BYTES, socket.MSG_WAITALL))
    return stream


def _block(fan: Fan, place: int, use: int) -> bytes:
    topics = fan.publishers[place]
    payload = b"." * PAYLOAD_BYTES
    first = use * len(topics) + 1
    return b"".join(packets.publish(topic, payload, fan.qos and first + number) for number, topic in enumerate(topics))


_THROWN_AWAY = bytearray(READ_BYTES)


if __name__ == "__main__":
    while (wanted := generator.asked(msgspec.json.Decoder(Fan))) is not None:
        generator.answer(fan_out(wanted))
