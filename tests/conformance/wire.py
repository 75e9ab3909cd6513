"""A client over a real socket that says exactly what a test tells it to, and hears exactly what the broker says."""

import asyncio
from collections import deque

from tests.conformance.wire_format import (
    DISCONNECT,
    MQTT_5,
    PINGREQ,
    Kind,
    NotMqttError,
    Properties,
    Publish,
    acknowledgement,
    disconnect,
    subscribe,
    unsubscribe,
    varint,
)
from tests.conformance.wire_reading import Received, read

PATIENCE_S = 30.0


class Line(asyncio.Protocol):
    """The bytes that came. What came before a reset is not forgotten, as a stream of asyncio forgets it."""

    def __init__(self) -> None:
        self.is_closed = False
        self._buffer = bytearray()
        self._changed = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._changed.set()

    def connection_lost(self, error: Exception | None) -> None:
        self.is_closed = True
        self._changed.set()

    async def until_lost(self) -> None:
        """Wait for the end of the connection."""
        while not self.is_closed:
            self._changed.clear()
            await self._changed.wait()

    async def take(self, count: int) -> bytes:
        """The next bytes; `EOFError` when the connection is closed and there are not so many left."""
        while len(self._buffer) < count:
            if self.is_closed:
                raise EOFError
            self._changed.clear()
            await self._changed.wait()
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken


class Wire:
    """One network connection. Nothing is answered and nothing repeated unless a test asks for it."""

    def __init__(self, transport: asyncio.Transport, line: Line, level: int) -> None:
        self.level = level
        self.connack = Received(Kind.CONNACK)
        self._transport, self._line = transport, line
        self._set_aside: deque[Received] = deque()
        self._number = 0

    # Saying.

    async def send(self, *parts: bytes | Publish) -> None:
        """Write everything in one piece."""
        data = b"".join(part.data(self.level) if isinstance(part, Publish) else part for part in parts)
        self._transport.write(data)

    async def publish(
        self, topic: str, payload: bytes = b"x", qos: int = 0, *, retain: bool = False, properties: Properties = ()
    ) -> int:
        """Publish, and see that the broker has taken it; gives the reason code."""
        message = Publish(topic, payload, qos, retain, self._next_number(), properties=properties)
        await self.send(message)
        if qos == 0:
            await self.ping()
            return 0
        answer = await self.pick(Kind.PUBACK if qos == 1 else Kind.PUBREC)
        assert answer.number == message.number
        if qos == 1 or answer.code >= 0x80:
            return answer.code
        await self.send(acknowledgement(Kind.PUBREL, message.number))
        assert (await self.pick(Kind.PUBCOMP)).number == message.number
        return answer.code

    async def subscribe(self, *requests: tuple[str, int], properties: Properties = ()) -> tuple[int, ...]:
        """Subscribe to filters with their options; gives the reason codes."""
        number = self._next_number()
        await self.send(subscribe(number, self.level, requests, properties))
        answer = await self.pick(Kind.SUBACK)
        assert answer.number == number
        return answer.codes

    async def unsubscribe(self, *filters: str) -> tuple[int, ...]:
        """Unsubscribe; gives the reason codes, of which level 4 has none."""
        number = self._next_number()
        await self.send(unsubscribe(number, self.level, filters))
        answer = await self.pick(Kind.UNSUBACK)
        assert answer.number == number
        return answer.codes

    async def acknowledge(self, kind: Kind, number: int, code: int | None = None) -> None:
        """Send one PUBACK, PUBREC, PUBREL or PUBCOMP."""
        await self.send(acknowledgement(kind, number, code))

    async def leave(self, code: int | None = None, properties: Properties = ()) -> None:
        """Say DISCONNECT, and see that the broker closes the connection."""
        await self.send(DISCONNECT if code is None else disconnect(code, properties))
        await self.expect_closed()

    def abort(self) -> None:
        """Vanish without a word."""
        self._transport.abort()

    async def aclose(self) -> None:
        """Close what may be closed already, without saying DISCONNECT."""
        self._transport.close()
        async with asyncio.timeout(PATIENCE_S):
            await self._line.until_lost()

    # Hearing.

    async def receive(self) -> Received:
        """The next packet; `EOFError` when the broker has closed the connection."""
        if self._set_aside:
            return self._set_aside.popleft()
        async with asyncio.timeout(PATIENCE_S):
            return await self._read()

    async def expect(self, kind: Kind) -> Received:
        """The next packet, which must be of this kind."""
        found = await self.receive()
        assert found.kind is kind, found
        return found

    async def pick(self, kind: Kind) -> Received:
        """The next packet of this kind; what comes before it is heard later."""
        earlier = []
        while (found := await self.receive()).kind is not kind:
            earlier.append(found)
        self._set_aside.extendleft(reversed(earlier))
        return found

    async def take(self) -> Received:
        """The next message, acknowledged as its QoS demands [MQTT-4.5.0-2]."""
        message = await self.expect(Kind.PUBLISH)
        if message.qos == 1:
            await self.acknowledge(Kind.PUBACK, message.number)
        elif message.qos == 2:
            await self.acknowledge(Kind.PUBREC, message.number)
            assert (await self.pick(Kind.PUBREL)).number == message.number
            await self.acknowledge(Kind.PUBCOMP, message.number)
        return message

    async def everything(self) -> list[Received]:
        """What the broker has said up to now: all that comes before the answer to a PINGREQ.

        Before the second answer, for a broker may answer a PINGREQ at once and the packet before it after its commit.
        """
        packets = []
        for _ in range(2):
            await self.send(PINGREQ)
            while (found := await self.receive()).kind is not Kind.PINGRESP:
                packets.append(found)
        return packets

    async def messages(self) -> list[tuple[str, bytes, int, bool]]:
        """What subscribers see of everything that came, which is messages only."""
        packets = await self.everything()
        assert all(found.kind is Kind.PUBLISH for found in packets), packets
        return [found.message for found in packets]

    async def expect_nothing(self) -> None:
        """See that the broker has nothing to say, by what comes before the answer to a PINGREQ."""
        assert await self.everything() == []

    async def ping(self) -> None:
        """See that the broker has read all that was sent; what it said is heard later."""
        await self.send(PINGREQ)
        await self.pick(Kind.PINGRESP)

    async def until_closed(self) -> list[Received]:
        """What the broker still says before it closes the connection."""
        packets = []
        try:
            while True:
                found = await self.receive()
                assert found.kind is not Kind.PINGRESP, "the connection is still open"
                packets.append(found)
        except EOFError:
            return packets

    async def expect_closed(self, *codes: int) -> None:
        """See that the broker closes the connection; at level 5 it first says one of these codes, if any is given."""
        packets = await self.until_closed()
        if self.level == MQTT_5 and codes:
            assert packets, f"closed without a word; expected one of {[hex(code) for code in codes]}"
            last = packets.pop()
            assert last.kind is Kind.DISCONNECT, last
            assert last.code in codes, last
        assert packets == []

    async def expect_refusal(self, *codes: int) -> None:
        """See that a CONNECT is refused: by CONNACK with one of these codes, or in silence, and by closing."""
        packets = await self.until_closed()
        assert len(packets) <= 1, packets
        for found in packets:
            assert found.kind is Kind.CONNACK, found
            assert found.code in codes, found

    async def _read(self) -> Received:
        head = await self._line.take(1)
        length = b""
        while not length or length[-1] >= 128:
            length += await self._line.take(1)
            if len(length) > 4:
                raise NotMqttError(f"a remaining length of {length.hex()}")
        count = sum((byte & 127) << 7 * place for place, byte in enumerate(length))
        if varint(count) != length:
            raise NotMqttError(f"a remaining length of {length.hex()} is not in its shortest form")
        return read(head[0], await self._line.take(count), self.level)

    def _next_number(self) -> int:
        self._number = self._number % 65_535 + 1
        return self._number
