"""A flood: connections that publish at QoS 1 as fast as their windows let them.

Run as `python -m bench.flood`; asked a `Flood`, it answers with a `Flooded`.

As little as possible is done for a message, so that the generator is not what is measured: a window is one block
that was made beforehand, and the kernel wakes the generator only when all of a window has been acknowledged.
"""

import contextlib
import select
import socket
import time
from collections.abc import Callable, Iterator, Mapping

import msgspec

from bench import generator, packets
from bench.children import cpu_seconds
from bench.message import Press, device_ids

FIRST_SEQUENCE = 65_535 * 2_000
"""Its packet identifier is 1, and the sequence number has the nine digits of the others."""
WARM_S = 0.5


class Flood(msgspec.Struct, frozen=True):
    """What is to be done."""

    host: str
    port: int
    pid: int
    """The process that is measured."""
    connections: int
    window: int
    seconds: float


class Flooded(msgspec.Struct, frozen=True):
    """What was done."""

    acknowledged_a_second: float
    cpu_percent: float
    """Of one core, of the process that was measured."""
    generator_percent: float


def window_block(device_id: str, place: int, window: int) -> bytes:
    """The PUBLISH packets of a whole window, with packet identifiers from 1."""
    press = Press(device_id, place)
    now = time.time_ns() // 1_000_000
    return b"".join(press.packet(FIRST_SEQUENCE + number, now) for number in range(window))


def flood(task: Flood) -> Flooded:
    """Connect, publish for some seconds, wait for what is under way."""
    with contextlib.ExitStack() as stack:
        streams = [stack.enter_context(socket.socket()) for _ in range(task.connections)]
        calls = {}
        for place, (stream, name) in enumerate(zip(streams, device_ids(task.connections), strict=True)):
            _greet(stream, task, name)
            calls[stream.fileno()] = (stream.recv, stream.send, window_block(name, place, task.window))
        poll = stack.enter_context(contextlib.closing(select.epoll()))
        for stream in streams:
            poll.register(stream, select.EPOLLIN)
        for _, send, block in calls.values():
            send(block)
        _run(poll, calls, task.window, time.perf_counter() + WARM_S)
        before, own_before, began = cpu_seconds(task.pid), generator.own_cpu_seconds(), time.perf_counter()
        windows = _run(poll, calls, task.window, began + task.seconds)
        took = time.perf_counter() - began
        spent, own_spent = cpu_seconds(task.pid) - before, generator.own_cpu_seconds() - own_before
        _drain(streams, task.window)
    return Flooded(windows * task.window / took, 100 * spent / took, 100 * own_spent / took)


def _greet(stream: socket.socket, task: Flood, name: str) -> None:
    stream.connect((task.host, task.port))
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    stream.send(packets.connect(name))
    packets.check_connack(stream.recv(packets.CONNACK_BYTES, socket.MSG_WAITALL))
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, task.window * packets.PUBACK_BYTES)


def _run(
    poll: select.epoll,
    calls: Mapping[int, tuple[Callable[[int], bytes], Callable[[bytes], int], bytes]],
    window: int,
    until: float,
) -> int:
    """Answer every window that was acknowledged by the next one; gives how many there were."""
    size = window * packets.PUBACK_BYTES
    windows = 0
    while time.perf_counter() < until:
        ready = poll.poll(0.2)
        for fd, _ in ready:
            receive, send, block = calls[fd]
            if len(receive(size)) != size:
                raise ConnectionError("the broker closed a connection")
            send(block)
        windows += len(ready)
    return windows


def _drain(streams: list[socket.socket], window: int) -> None:
    """Wait for the windows under way, and look at their acknowledgements: each must be there once."""
    wanted = {packets.puback(number + 1) for number in range(window)}
    for stream in streams:
        stream.settimeout(20)
        answer = stream.recv(window * packets.PUBACK_BYTES, socket.MSG_WAITALL)
        if set(_pieces(answer, packets.PUBACK_BYTES)) != wanted:
            raise ConnectionError(f"a window was not acknowledged: {answer.hex()}")


def _pieces(text: bytes, size: int) -> Iterator[bytes]:
    return (text[start : start + size] for start in range(0, len(text), size))


if __name__ == "__main__":
    while (wanted := generator.asked(msgspec.json.Decoder(Flood))) is not None:
        generator.answer(flood(wanted))
