"""Plays a script of two clients to a broker, step by step, and sees all that comes of each step.

A step is over when every connection has been answered a PINGREQ, or has been closed, and nothing else came. Nothing
is waited for by time, so the same script gives the same of the same broker.
"""

import asyncio
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import msgspec

from broker.codec import Decoder, encode
from broker.packets import (
    V4,
    V5,
    Packet,
    Pingreq,
    Pingresp,
    Properties,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Will,
)
from tests.fuzz.brokers import HOST
from tests.fuzz.mutation import packet_end, split

PATIENCE_S = 1.0
_PADDING_LIMIT = 300
_ROUNDS = 12
_PING = encode(Pingreq())
_PINGREQ = 12


@dataclass(frozen=True)
class Step:
    """Something that one of the clients does."""

    who: int
    data: bytes = b""
    """What it sends. When it has no connection it opens one first."""
    is_anew: bool = False
    """Whether it opens another connection although it has one."""
    is_lost: bool = False
    """Whether its connection ends instead, without a word."""


@dataclass(frozen=True)
class Script:
    """What two clients do, in order."""

    level: int
    steps: tuple[Step, ...]
    answers: bool = True
    """Whether the clients answer for what they receive; the steps may contain answers too."""


@dataclass(frozen=True)
class Seen:
    """What one connection saw within one step."""

    who: int
    answers: tuple[Packet, ...] = ()
    deliveries: tuple[Publish, ...] = ()
    is_closed: bool = False
    """Whether the broker closed the connection, now or before."""
    is_silent: bool = False
    """Whether the broker neither answered nor closed it."""
    fault: str = ""
    """What was wrong with what the broker sent."""


Observed = tuple[tuple[Seen, ...], ...]
"""Of every step: what each connection saw, in the order in which they were opened."""


@dataclass
class Line:
    """A client's end of one connection."""

    who: int
    level: int
    answers: bool
    sock: socket.socket
    decoder: Decoder
    heard: list[Packet] = field(default_factory=list)
    is_closed: bool = False
    is_silent: bool = False
    is_cut: bool = False
    """Whether the last packet it sent lacks bytes, so that it can say nothing more."""
    has_spoken: bool = False
    unanswered_count: int = 0
    """PINGREQs, those of the script among them, that were not answered yet."""
    aliases: dict[int, str] = field(default_factory=dict)

    @property
    def is_over(self) -> bool:
        return self.is_closed or self.is_silent

    async def send(self, data: bytes) -> None:
        try:
            await asyncio.get_running_loop().sock_sendall(self.sock, data)
        except OSError:
            return  # What the broker said before it closed is still to be read.

    async def say(self, data: bytes) -> None:
        """Send what a step says, completed to whole packets where that is possible."""
        if not self.has_spoken and data[:1] == b"\x10":
            # A changed CONNECT may ask for the other version.
            self.level = self.decoder.protocol_level = V5 if b"MQTT\x05" in data[:12] else V4
        self.has_spoken = True
        data, self.is_cut = whole(data)
        self.unanswered_count += sum(packet[0] >> 4 == _PINGREQ for packet in split(data))
        await self.send(data)

    async def settled(self) -> bool:
        """Wait until the broker has taken all that was sent; whether anything came of it."""
        if self.is_over:
            return False
        before = len(self.heard)
        if not self.is_cut:
            self.unanswered_count += 1
            await self.send(_PING)
        try:
            async with asyncio.timeout(PATIENCE_S if not self.is_cut else PATIENCE_S / 10):
                while not await self._read():
                    pass
        except TimeoutError:
            self.is_silent = True
        return len(self.heard) > before or self.is_over

    async def lose(self) -> None:
        """End it, and see the broker end it too."""
        if not self.is_over:
            self.sock.shutdown(socket.SHUT_WR)
            async with asyncio.timeout(PATIENCE_S):
                while not self.is_closed:
                    await self._read()

    def look(self) -> Seen:
        heard, self.heard = self.heard, []
        failure = self.decoder.failure
        return Seen(
            self.who,
            tuple(packet for packet in heard if not isinstance(packet, Publish)),
            tuple(self._named(packet) for packet in heard if isinstance(packet, Publish)),
            self.is_closed,
            self.is_silent,
            failure.reason if failure else "",
        )

    async def _read(self) -> bool:
        """Read once; whether the answer to every PINGREQ, or the end, has come."""
        try:
            data = await asyncio.get_running_loop().sock_recv(self.sock, 65_536)
        except OSError:
            data = b""
        packets = self.decoder.feed(data)
        self.is_closed = not data
        self.heard += [packet for packet in packets if not isinstance(packet, Pingresp)]
        if self.answers and not self.is_cut:
            await self._answer(packets)
        self.unanswered_count -= sum(isinstance(packet, Pingresp) for packet in packets)
        return self.is_closed or self.unanswered_count <= 0

    async def _answer(self, packets: list[Packet]) -> None:
        answers: list[Packet] = []
        for packet in packets:
            match packet:
                case Publish(qos=1):
                    answers.append(Puback(packet.packet_id))
                case Publish(qos=2):
                    answers.append(Pubrec(packet.packet_id))
                case Pubrel():
                    answers.append(Pubcomp(packet.packet_id))
                case _:
                    pass
        if answers:
            await self.send(b"".join(encode(answer, self.level) for answer in answers))

    def _named(self, packet: Publish) -> Publish:
        """With its topic, where an alias stands for it."""
        alias = packet.properties.topic_alias
        if alias is None:
            return packet
        if packet.topic:
            self.aliases[alias] = packet.topic
        topic = self.aliases.get(alias, "an alias that stands for nothing")
        return msgspec.structs.replace(packet, topic=topic)


async def play(script: Script, port: int) -> Observed:
    """Play a script to the broker at this port."""
    lines: list[Line] = []
    try:
        return tuple([await _step(script, step, lines, port) for step in script.steps])
    finally:
        for line in lines:
            line.sock.close()


async def _step(script: Script, step: Step, lines: list[Line], port: int) -> tuple[Seen, ...]:
    line = next((one for one in reversed(lines) if one.who == step.who and not one.is_over and not one.is_cut), None)
    if step.is_lost:
        if line is not None:
            await line.lose()
    else:
        if line is None or step.is_anew:
            line = await _opened(step.who, script, port)
            lines.append(line)
        await line.say(step.data)
        await line.settled()
    for _ in range(_ROUNDS):
        if not any([await one.settled() for one in lines]):
            break
    return tuple(one.look() for one in lines)


async def _opened(who: int, script: Script, port: int) -> Line:
    sock = socket.socket()
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    await asyncio.get_running_loop().sock_connect(sock, (HOST, port))
    return Line(who, script.level, script.answers, sock, Decoder(protocol_level=script.level))


def whole(data: bytes) -> tuple[bytes, bool]:
    """The data, its last packet completed with zeros; and whether it lacks too many bytes for that."""
    at = 0
    while at < len(data):
        end = packet_end(data, at)
        if end is None or end > len(data) + _PADDING_LIMIT:
            return data, True
        at = end
    return data + bytes(at - len(data)), False


def transcript(script: Script, ours: Observed, theirs: Observed) -> str:
    """Every step, with what came of it from both, to be read."""
    lines = [f"MQTT {'5' if script.level == V5 else '3.1.1'}, the clients {'answer' if script.answers else 'are mute'}"]
    for number, step in enumerate(script.steps):
        lines.append(f"{number + 1}. client {step.who} {_action(step, script.level)}")
        for name, observed in (("ours", ours), ("Mosquitto", theirs)):
            if number < len(observed):
                lines += [f"     {name:10} {words}" for words in _news(observed, number)]
    return "\n".join(lines)


def _action(step: Step, level: int) -> str:
    if step.is_lost:
        return "loses its connection"
    decoder = Decoder(protocol_level=level)
    packets = decoder.feed(step.data)
    failure = f" then {decoder.failure.reason}" if decoder.failure else ""
    return f"{'connects anew and ' * step.is_anew}sends {step.data.hex(' ')}\n     {_listed(packets)}{failure}"


def _news(observed: Observed, number: int) -> Iterator[str]:
    """What came of a step, from each connection that was not over before."""
    before = observed[number - 1] if number else ()
    for place, seen in enumerate(observed[number]):
        was_over = place < len(before) and (before[place].is_closed or before[place].is_silent)
        if not was_over and seen != Seen(seen.who):
            end = " closed" * seen.is_closed + " silent" * seen.is_silent + f" {seen.fault}" * bool(seen.fault)
            yield f"client {seen.who}: {_listed([*seen.answers, *seen.deliveries])}{end}"


def _listed(packets: Sequence[Packet]) -> str:
    return " | ".join(_shown(packet) for packet in packets)


def _shown(packet: Packet) -> str:
    """The packet without what is absent."""
    return f"{type(packet).__name__.upper()} {' '.join(_fields(packet))}".rstrip()


def _fields(value: Packet | Will | Properties) -> Iterator[str]:
    for name in value.__struct_fields__:
        field_value = getattr(value, name)
        if isinstance(field_value, Properties | Will):
            shown = ", ".join(_fields(field_value))
            if shown:
                yield f"{name}({shown})"
        elif field_value not in (False, None, ()):
            yield f"{name}={field_value!r}"
