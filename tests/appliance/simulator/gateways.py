"""What the clients of the simulator connect to: a real broker, or a server that behaves badly."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

from appliance.simulator.client import Client, Options
from appliance.simulator.wire import Endpoint, Identity
from broker.codec import Decoder, encode
from broker.listener import Endpoint as Listening
from broker.packets import Connack, Packet, ReturnCode
from broker.server import Broker
from broker.tls import tls_context
from tests.broker.certificates import Authority
from tests.fakes import FakeAuthorizer, FakeOwner


@dataclass(frozen=True)
class Gate:
    """A broker at work, and how its clients reach it."""

    broker: Broker
    owner: FakeOwner
    authorizer: FakeAuthorizer
    endpoint: Endpoint
    identity: Identity | None

    def client(self, client_id: str = "pump-001", *, clean_session: bool = True, window: int = 20) -> Client:
        return Client(Options(client_id, self.endpoint, self.identity, clean_session, window=window))


def identity_of(authority: Authority, name: str) -> Identity:
    certificate, key = authority.issue(name)
    return Identity(certificate, key, authority.trust)


@contextlib.asynccontextmanager
async def broker(folder: Path | None = None, port: int = 0) -> AsyncIterator[Gate]:
    """A broker until the block is left, over TLS when there is a folder for its certificates."""
    server: ssl.SSLContext | None = None
    identity: Identity | None = None
    if folder is not None:
        authority = Authority.create(folder, "ours")
        server = tls_context(*authority.issue("server"), authority.trust)
        identity = identity_of(authority, "device")
    owner, authorizer = FakeOwner(), FakeAuthorizer()
    serving = Broker(owner, authorizer, lambda: 1_000)
    owner.acknowledge = serving.acknowledge
    async with serving.connected(), serving.listening(Listening("127.0.0.1", port, server)) as ports:
        yield Gate(serving, owner, authorizer, Endpoint("127.0.0.1", ports[0], "127.0.0.1"), identity)


@contextlib.asynccontextmanager
async def scripted(answer: Callable[[Packet], bytes]) -> AsyncIterator[tuple[Endpoint, asyncio.Queue[Packet]]]:
    """A server that answers every packet as it is told; gives what it hears, packet by packet."""
    heard: asyncio.Queue[Packet] = asyncio.Queue()

    writers: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = {}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers[writer] = asyncio.current_task()
        decoder = Decoder()
        with contextlib.suppress(OSError):
            while arrived := await reader.read(65_536):
                for packet in decoder.feed(arrived):
                    heard.put_nowait(packet)
                    writer.write(answer(packet))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield Endpoint("127.0.0.1", server.sockets[0].getsockname()[1], "127.0.0.1"), heard
        for writer, task in writers.items():
            writer.transport.abort()
            if task is not None:
                await task


WELCOME = encode(Connack(False, ReturnCode.ACCEPTED))
