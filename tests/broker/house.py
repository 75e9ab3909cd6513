"""A broker on port 0, and clients that speak to it byte by byte."""

import asyncio
import contextlib
import ssl
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TypeVar

from broker.codec import Decoder, encode
from broker.limits import Limits
from broker.listener import Endpoint
from broker.packets import (
    NO_PROPERTIES,
    V4,
    Connack,
    Connect,
    Packet,
    Pingreq,
    Pingresp,
    Properties,
    Puback,
    Publish,
    Suback,
    Subscribe,
    Subscription,
    Will,
)
from broker.server import Broker
from tests.fakes import FakeAuthorizer, FakeOwner

P = TypeVar("P", bound=Packet)

PATIENCE_S = 30.0


class Wire:
    """One client's network connection, with nothing in between."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.level = V4
        self._decoder = Decoder()
        self._packets: deque[Packet] = deque()

    async def send(self, *packets: Packet | bytes) -> None:
        """Write everything in one piece."""
        self.writer.write(b"".join(part if isinstance(part, bytes) else encode(part, self.level) for part in packets))
        await self.writer.drain()

    async def receive(self) -> Packet:
        """The next packet; `EOFError` when the broker has closed the connection."""
        async with asyncio.timeout(PATIENCE_S):
            while not self._packets:
                data = await self.reader.read(65_536)
                if not data:
                    raise EOFError
                self._packets += self._decoder.feed(data)
        return self._packets.popleft()

    async def expect(self, kind: type[P]) -> P:
        packet = await self.receive()
        assert isinstance(packet, kind), packet
        return packet

    async def until(self, kind: type[Packet]) -> list[Packet]:
        """What comes before the first packet of this kind."""
        packets = []
        while not isinstance(packet := await self.receive(), kind):
            packets.append(packet)
        return packets

    async def until_closed(self) -> list[Packet]:
        """What still came before the broker closed the connection."""
        packets = []
        try:
            while True:
                packets.append(await self.receive())
        except (EOFError, OSError):
            return packets

    async def connect(
        self,
        client_id: str = "client",
        *,
        clean_start: bool = True,
        keep_alive_s: int = 0,
        will: Will | None = None,
        username: str | None = None,
        level: int = V4,
        properties: Properties = NO_PROPERTIES,
    ) -> Connack:
        self.level = self._decoder.protocol_level = level
        await self.send(Connect(level, client_id, clean_start, keep_alive_s, will, username, properties=properties))
        return await self.expect(Connack)

    async def subscribe(self, *requests: tuple[str, int] | Subscription) -> tuple[int, ...]:
        wanted = tuple(one if isinstance(one, Subscription) else Subscription(*one) for one in requests)
        await self.send(Subscribe(7, wanted))
        return (await self.expect(Suback)).codes

    async def publish(self, topic: str, payload: bytes = b"x", qos: int = 1, *, retain: bool = False) -> None:
        """Publish, and see that the broker has taken it."""
        await self.send(Publish(topic, payload, qos, retain, packet_id=9 if qos else 0))
        if qos:
            assert await self.expect(Puback) == Puback(9)
        else:
            await self.ping()

    async def ping(self) -> None:
        """See that nothing else comes before the answer."""
        await self.send(Pingreq())
        await self.expect(Pingresp)

    def abort(self) -> None:
        """Vanish without a word."""
        self.writer.transport.abort()


@dataclass
class House:
    """A broker at work, and those around it."""

    broker: Broker
    owner: FakeOwner
    authorizer: FakeAuthorizer
    port: int
    tls: ssl.SSLContext | None
    clients: contextlib.AsyncExitStack

    async def knock(self, tls: ssl.SSLContext | None = None) -> Wire:
        """A connection that has said nothing yet."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=tls or self.tls)
        self.clients.push_async_callback(_closed, writer)
        return Wire(reader, writer)

    async def client(
        self,
        client_id: str,
        *,
        clean_start: bool = True,
        will: Will | None = None,
        level: int = V4,
        properties: Properties = NO_PROPERTIES,
    ) -> Wire:
        wire = await self.knock()
        connack = await wire.connect(client_id, clean_start=clean_start, will=will, level=level, properties=properties)
        assert connack.code == 0
        return wire

    async def is_alive(self) -> bool:
        """Whether a client can still connect, subscribe, publish and receive."""
        wire = await self.client("witness")
        await wire.subscribe(("witness", 0))
        await wire.send(Publish("witness", b"?"))
        return await wire.receive() == Publish("witness", b"?")


async def _closed(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


@contextlib.asynccontextmanager
async def serving(
    limits: Limits | None = None,
    server_tls: ssl.SSLContext | None = None,
    client_tls: ssl.SSLContext | None = None,
) -> AsyncIterator[House]:
    """A broker that serves until the block is left; no exception may have reached the loop by then."""
    faults: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
    owner, authorizer = FakeOwner(), FakeAuthorizer()
    broker = Broker(owner, authorizer, lambda: 1_000, limits or Limits(sweep_interval_s=0.05))
    owner.acknowledge = broker.acknowledge
    async with (
        broker.connected(),
        broker.listening(Endpoint("127.0.0.1", 0, server_tls)) as ports,
        contextlib.AsyncExitStack() as clients,
    ):
        yield House(broker, owner, authorizer, ports[0], client_tls, clients)
    assert not faults
