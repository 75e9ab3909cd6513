"""A whole broker without sockets: its connections are fakes, its owner and its authoriser are told what to do."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from typing import TypeVar

from broker.client import Client
from broker.codec import Decoder, encode
from broker.limits import Limits
from broker.message import Message
from broker.packets import (
    NO_PROPERTIES,
    V4,
    V5,
    Connack,
    Connect,
    Packet,
    Properties,
    Publish,
    Suback,
    Subscribe,
    Subscription,
    Will,
)
from broker.ports import Principal, Receiver, SessionStore
from broker.server import Broker
from tests.fakes import TENANT, FakeAuthorizer, FakeOwner

P = TypeVar("P", bound=Packet)

PATIENCE_S = 10.0
QUIET = Limits(sweep_interval_s=0.01)
LONG_S = 3_600
KEPT = Properties(session_expiry_s=LONG_S)
"""What a client of MQTT 5 says whose session is to outlive its connection."""


class FakeStream:
    """A connection as the broker sees it. What is fed while nobody reads waits, as it would in a socket."""

    def __init__(self, address: str = "127.0.0.9:5", transport: str = "tls", certificate: bytes | None = None) -> None:
        self.address = address
        self.opened_at = self.heard_at = asyncio.get_running_loop().time()
        self.written = bytearray()
        """Everything since the last look."""
        self.closed_for: str | None = None
        self.is_paused = False
        self.is_stuck = False
        """Whether the client takes nothing: what is written counts as unsent."""
        self._transport, self._certificate = transport, certificate
        self._receiver: Receiver | None = None
        self._unread: list[bytes] = []

    @property
    def transport(self) -> str:
        return self._transport

    @property
    def certificate(self) -> bytes | None:
        assert self.is_open, "TLS is over"
        return self._certificate

    @property
    def is_open(self) -> bool:
        return self.closed_for is None

    @property
    def unsent_bytes(self) -> int:
        return len(self.written) if self.is_stuck else 0

    def start(self, receiver: Receiver) -> None:
        self._receiver = receiver

    def pause(self) -> None:
        self.is_paused = True

    def resume(self) -> None:
        self.is_paused = False
        asyncio.get_running_loop().call_soon(self._read)

    def send(self, data: bytes) -> int:
        if self.is_open:
            self.written += data
        return self.unsent_bytes

    def close(self, reason: str) -> None:
        if self.closed_for is None and self._receiver is not None:
            self.closed_for = reason
            self._receiver.lost(reason)

    def cut_off(self, reason: str) -> None:
        """It is out at once; the broker hears of it later."""
        if self.is_open and self._receiver is not None:
            self.closed_for = reason
            asyncio.get_running_loop().call_soon(self._receiver.lost, reason)

    def feed(self, data: bytes) -> None:
        """Give the broker bytes of the client, when it reads."""
        self._unread.append(data)
        self._read()

    def _read(self) -> None:
        while self._unread and not self.is_paused and self.is_open and self._receiver is not None:
            self._receiver.received(self._unread.pop(0))


class Line:
    """A client's end of a fake connection."""

    def __init__(self, stream: FakeStream, level: int = V4) -> None:
        self.stream = stream
        self.level = level
        self._decoder = Decoder(protocol_level=level)

    async def send(self, *packets: Packet | bytes) -> list[Packet]:
        """Write everything in one piece; gives what came back within the turn."""
        self.stream.feed(b"".join(each if isinstance(each, bytes) else encode(each, self.level) for each in packets))
        return await self.heard()

    async def heard(self) -> list[Packet]:
        """What the broker has written since the last look, once its turn is over."""
        await turn()
        data, self.stream.written = bytes(self.stream.written), bytearray()
        return self._decoder.feed(data)

    async def expect(self, kind: type[P]) -> P:
        """The one packet that came."""
        (packet,) = await self.heard()
        assert isinstance(packet, kind), packet
        return packet

    async def subscribe(self, *filters: str | Subscription, qos: int = 2) -> tuple[int, ...]:
        """Subscribe, and see what was granted; retained messages may follow."""
        wanted = tuple(each if isinstance(each, Subscription) else Subscription(each, qos) for each in filters)
        answers = await self.send(Subscribe(7, wanted))
        (codes,) = [answer.codes for answer in answers if isinstance(answer, Suback)]
        return codes

    def vanish(self, reason: str = "connection lost") -> None:
        """End without a goodbye."""
        self.stream.close(reason)

    @property
    def closed_for(self) -> str | None:
        return self.stream.closed_for


class Hearing:
    """What became of a message."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def written(self, client_id: str) -> None:
        self.heard.append(f"written {client_id}")

    def unanswerable(self, client_id: str) -> None:
        self.heard.append(f"unanswerable {client_id}")

    def acknowledged(self, client_id: str) -> None:
        self.heard.append(f"acknowledged {client_id}")

    def untaken(self) -> None:
        self.heard.append("untaken")


class Stage:
    """A broker, those around it, and a clock that stands still until it is told to go on."""

    def __init__(self, limits: Limits = QUIET, store: SessionStore | None = None) -> None:
        self.now = 1_000_000
        self.owner, self.authorizer = FakeOwner(), FakeAuthorizer()
        self.broker = Broker(self.owner, self.authorizer, lambda: self.now, limits, store)
        self.owner.acknowledge = self.broker.acknowledge

    def knock(
        self,
        level: int = V4,
        transport: str = "tls",
        certificate: bytes | None = None,
        principal: Principal | None = None,
    ) -> Line:
        """A connection that has said nothing yet; of some it is known already who they are."""
        stream = FakeStream(transport=transport, certificate=certificate)
        self.broker.attach(stream, principal)
        return Line(stream, level)

    async def line(
        self,
        client_id: str,
        *,
        clean_start: bool = True,
        keep_alive_s: int = 0,
        will: Will | None = None,
        level: int = V4,
        properties: Properties = NO_PROPERTIES,
    ) -> Line:
        """A connected client; what came after CONNACK is still to be heard."""
        line = self.knock(level)
        connect = Connect(level, client_id, clean_start, keep_alive_s, will, properties=properties)
        answer = await line.send(connect)
        assert isinstance(answer[0], Connack), answer
        assert answer[0].code == 0, answer
        assert len(answer) == 1, answer
        return line

    def client(self, line: Line) -> Client:
        """What the broker has of a connection."""
        (client,) = [client for client in self.broker._clients if client.stream is line.stream]
        return client

    def fall_silent(self, line: Line, silent_s: float) -> None:
        """Have a client be silent for so long already."""
        client = self.client(line)
        client.opened_at -= silent_s
        line.stream.heard_at -= silent_s
        self.broker._upkeep.expect(client)

    async def kept(self, client_id: str, *filters: str, level: int = V5) -> Line:
        """A client whose session outlives its connection, subscribed at QoS 2."""
        properties = KEPT if level == V5 else NO_PROPERTIES
        line = await self.line(client_id, clean_start=False, level=level, properties=properties)
        if filters:
            await line.subscribe(*filters)
        return line

    async def back(self, client_id: str, level: int = V5) -> tuple[Connack, list[Packet]]:
        """A client that comes back to its session: what CONNACK says, and what follows."""
        return (await self.line_back(client_id, level))[1:]

    async def line_back(self, client_id: str, level: int = V5) -> tuple[Line, Connack, list[Packet]]:
        """The same, with its line."""
        line = self.knock(level)
        properties = KEPT if level == V5 else NO_PROPERTIES
        connack, *rest = await line.send(Connect(level, client_id, False, 0, properties=properties))
        assert isinstance(connack, Connack), connack
        return line, connack, rest

    def say(self, topic: str, payload: bytes = b"x", qos: int = 0, *, retain: bool = False) -> Message:
        """A message of the owner."""
        return Message(TENANT, "", "", topic, payload, qos, retain, self.now)


async def turn() -> None:
    """Let the loop finish what was asked for soon, and what that asked for."""
    for _ in range(4):
        await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def staged(limits: Limits = QUIET, store: SessionStore | None = None) -> AsyncIterator[Stage]:
    """A broker at work until the block is left; no exception may have reached the loop by then."""
    faults: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
    stage = Stage(limits, store)
    async with stage.broker.connected():
        yield stage
        stage.owner.holds_back = False
        stage.owner.release()
    assert not faults


def payloads(packets: Iterable[Packet]) -> list[bytes]:
    """Of the messages among packets."""
    return [packet.payload for packet in packets if isinstance(packet, Publish)]


def kinds(packets: Iterable[Packet]) -> list[type[Packet]]:
    """What the packets are."""
    return [type(packet) for packet in packets]
