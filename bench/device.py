"""One device of a crowd: a socket, TLS on it, and what it waits for."""

import errno
import select
import socket
import ssl
import struct
import time
from array import array
from collections import deque
from enum import Enum, auto
from typing import Protocol

from bench import packets
from bench.message import Press

KEEP_ALIVE_S = 600
READ_BYTES = 16_384
PER_ADDRESS = 100
"""Devices that share a source address."""
BIND_ADDRESS_NO_PORT = 24
"""IP_BIND_ADDRESS_NO_PORT of Linux: the port is chosen when the whole connection is known."""
CONNECT_PACKET_ID = 1
FIRST_SEQUENCE = 65_535 * 2_000
LARGEST_PACKET_ID = 65_535
_TOPIC_AT = 5
"""Where the topic of a PUBLISH begins: after a byte, two of remaining length, and two of its own length."""
_SHORT = struct.Struct("!H").pack
_NOT_NOW = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Company(Protocol):
    """What a device is part of."""

    poll: select.epoll
    by_fd: "dict[int, Device]"
    latencies: "array[int]"

    def lose(self, device: "Device", *, was_there: bool, nobody_home: bool) -> None:
        """Hear that a connection has ended."""

    def enter(self) -> None:
        """Hear that a device has connected and subscribed."""


class State(Enum):
    """What a device waits for."""

    NOTHING = auto()
    TCP = auto()
    TLS = auto()
    CONNACK = auto()
    SUBACK = auto()
    PUBACKS = auto()


class Device:
    """A client of the broker."""

    __slots__ = (
        "_address",
        "_company",
        "_connect",
        "_context",
        "_head",
        "_name",
        "_packet_id",
        "_sent_at",
        "_socket",
        "_source",
        "_state",
        "_suback_bytes",
        "_subscribe",
        "_tail",
        "acknowledged",
    )

    def __init__(self, company: Company, place: int, address: tuple[str, int], context: ssl.SSLContext) -> None:
        self.acknowledged = 0
        self._company = company
        self._address = address
        self._context = context
        self._source = source_address(place)
        self._name = f"load-{place:05d}"
        self._socket = socket.socket()
        self._state = State.NOTHING
        self._sent_at: deque[int] = deque()
        filters = [f"devices/{self._name}/{kind}" for kind in ("commands", "shadow/delta", "jobs/notify")]
        self._connect = packets.connect(self._name, keep_alive_s=KEEP_ALIVE_S)
        self._subscribe = packets.subscribe(CONNECT_PACKET_ID, filters, 1)
        self._suback_bytes = packets.suback_bytes(len(filters))
        self._head = self._tail = b""
        self._packet_id = CONNECT_PACKET_ID

    def prepare(self, press: Press) -> None:
        """Make the message beforehand that this device publishes again and again, but for its packet identifier."""
        packet = press.packet(FIRST_SEQUENCE, time.time_ns() // 1_000_000)
        place = _TOPIC_AT + int.from_bytes(packet[_TOPIC_AT - 2 : _TOPIC_AT])
        self._head, self._tail = packet[:place], packet[place + 2 :]

    def connect(self) -> None:
        """Begin to connect."""
        opened = self._socket = socket.socket()
        opened.setblocking(False)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        opened.setsockopt(socket.IPPROTO_IP, BIND_ADDRESS_NO_PORT, 1)
        opened.bind((self._source, 0))
        self._state = State.TCP
        error = opened.connect_ex(self._address)
        self._company.by_fd[opened.fileno()] = self
        self._company.poll.register(opened, select.EPOLLOUT)
        if error not in (0, errno.EINPROGRESS):
            self._end(nobody_home=error == errno.ECONNREFUSED)

    def publish(self) -> None:
        """Write the message."""
        if self._state is not State.PUBACKS:
            return
        self._packet_id = self._packet_id % LARGEST_PACKET_ID + 1
        packet = self._head + _SHORT(self._packet_id) + self._tail
        self._sent_at.append(time.perf_counter_ns())
        try:
            self._socket.send(packet)
        except OSError:
            self._end()

    def ready(self) -> None:
        """Go on, because the socket is ready."""
        try:
            if self._state is State.PUBACKS:
                self._count(self._socket.recv(READ_BYTES))
            elif self._state is State.TCP:
                self._secure()
            elif self._state is State.TLS:
                self._shake_hands()
            else:
                self._take(self._socket.recv(READ_BYTES))
        except _NOT_NOW:
            return
        except (OSError, packets.RefusedError):
            self._end()

    def _secure(self) -> None:
        error = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            self._end(nobody_home=error == errno.ECONNREFUSED)
            return
        self._company.poll.modify(self._socket, select.EPOLLIN)
        self._state = State.TLS
        # The same descriptor goes on below TLS.
        self._socket = self._context.wrap_socket(self._socket, do_handshake_on_connect=False)
        self._shake_hands()

    def _shake_hands(self) -> None:
        if isinstance(self._socket, ssl.SSLSocket):
            self._socket.do_handshake()
        self._state = State.CONNACK
        self._socket.send(self._connect)

    def _take(self, answer: bytes) -> None:
        if self._state is State.CONNACK:
            packets.check_connack(answer)
            self._state = State.SUBACK
            self._socket.send(self._subscribe)
            return
        packets.check_suback(answer)
        if len(answer) != self._suback_bytes:
            raise packets.RefusedError("more than a SUBACK arrived")
        self._state = State.PUBACKS
        self._company.enter()

    def _count(self, arrived: bytes) -> None:
        if not arrived:
            raise ConnectionResetError
        now = time.perf_counter_ns()
        for _ in range(len(arrived) // packets.PUBACK_BYTES):
            self._company.latencies.append(now - self._sent_at.popleft())
            self.acknowledged += 1

    def _end(self, *, nobody_home: bool = False) -> None:
        was_there = self._state is State.PUBACKS
        self._state = State.NOTHING
        self._sent_at.clear()
        self._company.by_fd.pop(self._socket.fileno(), None)
        self._socket.close()
        self._company.lose(self, was_there=was_there, nobody_home=nobody_home)


def source_address(place: int) -> str:
    """From where a device comes: a hundred share an address, as behind a router."""
    block = place // PER_ADDRESS
    return f"127.78.{block // 250}.{block % 250 + 1}"
