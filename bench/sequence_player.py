"""Plays packet sequences against a broker: what was expected, and what came instead.

Sockets are plain ones, not streams: what a broker sent before it reset the connection must still be read.
"""

import asyncio
import socket
from collections.abc import Iterable, Sequence
from enum import Enum

import msgspec

from bench.packet_sequences import Action, PacketSequence, Publication, Step, variable_length

TOGETHER = 20
"""Connections at a time, where sequences cannot disturb one another."""

_PING, _PONG = bytes.fromhex("c000"), bytes.fromhex("d000")
_KEEP_ALIVE_S = 60
_MORE_S = 0.05
"""How long the rest of an unexpected answer is waited for, to be able to tell it."""
# MQTT 5 only: Receive Maximum 20 in CONNECT; Topic Alias Maximum 10, Maximum Packet Size 2,000,000 and
# Receive Maximum 20 in CONNACK, in the order in which the project's own driver compares them.
_CONNECT_PROPERTIES = bytes.fromhex("03 21 0014")
_CONNACKS = {3: "20 02 0000", 4: "20 02 0000", 5: "20 0e 0000 0b 22 000a 27 001e8480 21 0014"}


class Target(msgspec.Struct, frozen=True):
    """The broker that sequences are played against."""

    host: str
    port: int
    patience_s: float = 2.0
    """How long one step may take."""


class Failure(msgspec.Struct, frozen=True):
    """Where a sequence went another way."""

    expected: str
    came: str


class Played(msgspec.Struct, frozen=True):
    """One sequence and how it went."""

    sequence: PacketSequence
    failure: Failure | None


class _Ending(Enum):
    """Why reading ended."""

    ENOUGH = ""
    QUIET = "and nothing more"
    CLOSED = "then the connection was closed"
    RESET = "then the connection was reset"


class _UnexpectedError(Exception):
    def __init__(self, expected: str, came: str) -> None:
        super().__init__(expected, came)
        self.failure = Failure(expected, came)


class _Wire:
    """One connection, read byte by byte as expected."""

    def __init__(self, connection: socket.socket, patience_s: float) -> None:
        self._socket = connection
        self._patience_s = patience_s

    async def send(self, data: bytes) -> None:
        try:
            async with asyncio.timeout(self._patience_s):
                await asyncio.get_running_loop().sock_sendall(self._socket, data)
        except ConnectionError as error:
            raise _UnexpectedError(f"to send {data[:40].hex(' ')}", f"{type(error).__name__}") from error
        except TimeoutError:
            raise _UnexpectedError(f"to send {data[:40].hex(' ')}", "no room for it") from None

    async def expect(self, data: bytes, what: str) -> None:
        received, ending = await self._read(len(data), self._patience_s)
        if received != data:
            raise _UnexpectedError(f"{data.hex(' ')} {what}".strip(), _said(received, ending))

    async def expect_close(self) -> None:
        received, ending = await self._read(1, self._patience_s)
        if received:
            more, ending = await self._read(64, _MORE_S)
            raise _UnexpectedError("the connection closed, and nothing more", _said(received + more, ending))
        if ending is _Ending.QUIET:
            raise _UnexpectedError("the connection closed", "nothing: it is still open")

    async def _read(self, size: int, patience_s: float) -> tuple[bytes, _Ending]:
        received = bytearray()
        try:
            async with asyncio.timeout(patience_s):
                while len(received) < size:
                    data = await asyncio.get_running_loop().sock_recv(self._socket, size - len(received))
                    if not data:
                        return bytes(received), _Ending.CLOSED
                    received += data
        except TimeoutError:
            return bytes(received), _Ending.QUIET
        except ConnectionError:
            return bytes(received), _Ending.RESET
        return bytes(received), _Ending.ENOUGH


def play_all(sequences: Sequence[PacketSequence], target: Target) -> list[Played]:
    """Play every sequence against the broker there; gives how each went, in the order given.

    Refusals go together. The others follow one after the other: they share topics and client identifiers.
    """
    return asyncio.run(_play_all(sequences, target))


async def play(sequence: PacketSequence, client_id: str, target: Target) -> Failure | None:
    """Play one sequence on a connection of its own; None when all of it went as expected."""
    try:
        with await _connected(target) as connection:
            wire = _Wire(connection, target.patience_s)
            if sequence.connects_first:
                await wire.send(connect_packet(client_id, sequence.version))
                await wire.expect(bytes.fromhex(_CONNACKS[sequence.version]), "(CONNACK of the plain CONNECT)")
            for step in sequence.steps:
                await _take(step, wire, target)
            if sequence.ends_closed:
                await wire.expect_close()
            else:
                await wire.send(_PING)
                await wire.expect(_PONG, "(PINGRESP: still connected)")
    except _UnexpectedError as unexpected:
        return unexpected.failure
    return None


def connect_packet(client_id: str, version: int) -> bytes:
    """The plain CONNECT: a clean session, keep alive 60 s, no will, nobody's name."""
    name = "MQIsdp" if version == min(_CONNACKS) else "MQTT"
    properties = _CONNECT_PROPERTIES if version == max(_CONNACKS) else b""
    body = _text(name) + bytes((version, 2)) + _KEEP_ALIVE_S.to_bytes(2) + properties + _text(client_id)
    return b"\x10" + variable_length(len(body)) + body


async def _play_all(sequences: Sequence[PacketSequence], target: Target) -> list[Played]:
    outcomes: dict[int, Failure | None] = {}
    places = asyncio.Semaphore(TOGETHER)

    async def play_one(number: int) -> None:
        async with places:
            outcomes[number] = await play(sequences[number], f"sequence-{number}", target)

    refusals, others = _parted(enumerate(sequences))
    async with asyncio.TaskGroup() as group:
        for number in refusals:
            group.create_task(play_one(number), name=f"sequence {number}")
    for number in others:
        await play_one(number)
    return [Played(sequence, outcomes[number]) for number, sequence in enumerate(sequences)]


def _parted(numbered: Iterable[tuple[int, PacketSequence]]) -> tuple[list[int], list[int]]:
    refusals: list[int] = []
    others: list[int] = []
    for number, sequence in numbered:
        (refusals if sequence.is_refusal else others).append(number)
    return refusals, others


async def _connected(target: Target) -> socket.socket:
    connection = socket.socket()
    try:
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        async with asyncio.timeout(target.patience_s):
            await asyncio.get_running_loop().sock_connect(connection, (target.host, target.port))
    except (OSError, TimeoutError) as error:
        connection.close()
        raise _UnexpectedError(f"a connection to {target.host}:{target.port}", f"{type(error).__name__}") from error
    return connection


async def _take(step: Step, wire: _Wire, target: Target) -> None:
    if step.publication is not None:
        await _publish(step.publication, target)
    elif step.action is Action.SEND:
        await wire.send(step.data)
    else:
        await wire.expect(step.data, f"({step.comment})" if step.comment else "")


async def _publish(publication: Publication, target: Target) -> None:
    """Publish with MQTT 3.1.1 from a client of its own, and wait until the broker has taken it."""
    identifier = b"\0\1" if publication.qos else b""
    body = _text(publication.topic) + identifier + publication.payload.encode()
    first = 0x30 | publication.qos << 1 | publication.retain
    with await _connected(target) as connection:
        wire = _Wire(connection, target.patience_s)
        await wire.send(connect_packet("helper", 4))
        await wire.expect(bytes.fromhex(_CONNACKS[4]), "(CONNACK of the other client)")
        await wire.send(bytes((first,)) + variable_length(len(body)) + body)
        if publication.qos == 1:
            await wire.expect(bytes.fromhex("40 02 0001"), "(PUBACK of the other client)")
        elif publication.qos:
            await wire.expect(bytes.fromhex("50 02 0001"), "(PUBREC of the other client)")
            await wire.send(bytes.fromhex("62 02 0001"))
            await wire.expect(bytes.fromhex("70 02 0001"), "(PUBCOMP of the other client)")


def _said(received: bytes, ending: _Ending) -> str:
    return f"{received.hex(' ') or 'nothing'} {ending.value}".strip()


def _text(text: str) -> bytes:
    encoded = text.encode()
    return len(encoded).to_bytes(2) + encoded
