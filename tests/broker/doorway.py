"""An entrance with its listeners on port 0, those who came in, those who did not, and clients that knock."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from broker.connection import Connection
from broker.limits import Limits
from broker.listener import Endpoint, Entrance, Listener, SharedEndpoint
from broker.traffic import Traffic

PATIENCE_S = 30.0


class Ear:
    """Remembers what one connection brings."""

    def __init__(self, answer: Callable[[], object] = lambda: None, leave: Callable[[], object] = lambda: None) -> None:
        self.heard = bytearray()
        self.lost_reasons: list[str] = []
        self.changed = asyncio.Event()
        self._answer, self._leave = answer, leave

    def received(self, data: bytes) -> None:
        if not self.heard:
            self._answer()
        self.heard += data
        self.changed.set()

    def lost(self, reason: str) -> None:
        self.lost_reasons.append(reason)
        self.changed.set()
        self._leave()

    async def until(self, condition: Callable[["Ear"], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition(self):
                self.changed.clear()
                await self.changed.wait()


@dataclass
class Doorway:
    """What came of those who knocked."""

    entrance: Entrance
    traffic: Traffic
    ports: list[int]
    opened: list[Connection]
    refused: list[tuple[str, str, str]]
    changed: asyncio.Event
    ears: dict[Connection, Ear]
    certificates: list[bytes | None]
    """What those who came in showed."""

    async def until(self, condition: Callable[["Doorway"], bool]) -> None:
        """Wait for something to be true of it."""
        async with asyncio.timeout(PATIENCE_S):
            while not condition(self):
                self.changed.clear()
                await self.changed.wait()

    @property
    def reasons(self) -> list[tuple[str, str]]:
        return [(kind, reason) for _, kind, reason in self.refused]

    async def knock(self, tls: ssl.SSLContext | None = None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.ports[0], ssl=tls)

    async def slow_client(self, tls: ssl.SSLContext) -> "SlowClient":
        """A client that has said nothing yet."""
        return SlowClient(*await self.knock(), tls)

    async def visit(self, tls: ssl.SSLContext | None = None) -> None:
        """Come in, say hello, hear the answer and leave."""
        reader, writer = await self.knock(tls)
        writer.write(b"hello")
        assert await reader.readexactly(7) == b"welcome"
        await goodbye(writer)


class SlowClient:
    """A TLS client that sends its part of the handshake when it is told to, in pieces if need be."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tls: ssl.SSLContext) -> None:
        self.reader, self.writer = reader, writer
        self._coming, self._going = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = tls.wrap_bio(self._coming, self._going, server_hostname="127.0.0.1")
        with contextlib.suppress(ssl.SSLWantReadError):
            self._tls.do_handshake()
        self.hello = self._going.read()

    async def finish(self, question: bytes = b"hello", answer: bytes = b"welcome") -> None:
        """Make the rest of the handshake, say something and hear the answer."""
        while True:
            try:
                self._tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self._coming.write(await self._received())
        self._tls.write(question)
        self.writer.write(self._going.read())
        while True:
            with contextlib.suppress(ssl.SSLWantReadError):
                assert self._tls.read(100) == answer
                return
            self._coming.write(await self._received())

    def received_early(self, data: bytes) -> None:
        """Keep what was read on the client's behalf."""
        self._coming.write(data)

    async def _received(self) -> bytes:
        async with asyncio.timeout(PATIENCE_S):
            data = await self.reader.read(65_536)
        assert data, "the broker closed the connection"
        return data


async def goodbye(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


@contextlib.asynccontextmanager
async def door_open(
    *endpoints: Endpoint | SharedEndpoint,
    limits: Limits | None = None,
    thread_count: int = 1,
) -> AsyncIterator[Doorway]:
    """Listeners that let in until the block is left, and answer "welcome" to the first bytes of whoever came in.

    No exception may have reached the loop by then.
    """
    faults: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
    changed = asyncio.Event()
    opened: list[Connection] = []
    refused: list[tuple[str, str, str]] = []
    ears: dict[Connection, Ear] = {}
    certificates: list[bytes | None] = []

    def enter(connection: Connection) -> None:
        ears[connection] = Ear(lambda: connection.send(b"welcome"), changed.set)
        connection.start(ears[connection])
        certificates.append(connection.certificate)
        opened.append(connection)
        changed.set()

    def refuse(address: str, kind: str, reason: str) -> None:
        refused.append((address, kind, reason))
        changed.set()

    traffic = Traffic()
    entrance = Entrance(traffic, enter, refuse, limits or Limits(), thread_count=thread_count)
    with contextlib.ExitStack() as stack:
        stack.enter_context(entrance.running())
        ports = [stack.enter_context(Listener(endpoint, entrance).listening()).port for endpoint in endpoints]
        yield Doorway(entrance, traffic, ports, opened, refused, changed, ears, certificates)
        for connection in opened:
            connection.close("the test is over")
    assert not faults


async def some_turns() -> None:
    """Let the loop look at its sockets more often than anything here needs."""
    for _ in range(20):
        await asyncio.sleep(0)


async def turns_until(condition: Callable[[], bool]) -> None:
    """Let the loop go on until something is true that nobody tells of."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 (what is waited for has no event: that is what is tested)
            await asyncio.sleep(0)


def client_hello(tls: ssl.SSLContext, server_name: str | None = None) -> bytes:
    """The first bytes that such a client sends."""
    coming, going = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls.check_hostname = False
    client = tls.wrap_bio(coming, going, server_hostname=server_name)
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return going.read()


def in_records(message: bytes, *sizes: int) -> bytes:
    """A handshake message cut into TLS records of these sizes, the rest in one."""
    records, at = [], 0
    for size in (*sizes, len(message)):
        part = message[at : at + size]
        at += size
        if part:
            records.append(b"\x16\x03\x01" + len(part).to_bytes(2, "big") + part)
    return b"".join(records)
