import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.appliance.enrolment import self_made
from tests.appliance.enrolment.requests import new_key
from web.protocols import REQUEST_SECONDS, PunctualProtocol
from web.server import EmbeddedServer
from web.taking import LOOK_SECONDS, TAKE_SECONDS, taken

BUFFER_BYTES = 32_768
"""Of each socket: what waits does not vanish in the system."""
STEP_SECONDS = LOOK_SECONDS + 1
PIECE_BYTES = 65_536
WHOLE_BYTES = 3_000_000
READ_BYTES = 75_000
"""What a slow client reads between two looks: the whole takes it seven minutes."""


class SteppedLoop(asyncio.SelectorEventLoop):
    """A loop whose clock can be set on."""

    ahead_seconds = 0.0

    def time(self) -> float:
        return super().time() + self.ahead_seconds

    async def step(self, seconds: float = STEP_SECONDS) -> None:
        """Let this time pass, and everything happen that was to happen by then."""
        self.ahead_seconds += seconds
        for _ in range(5):
            await asyncio.sleep(0)


class Stage:
    """A server on a stepped loop, and one client that reads only when it is told to."""

    def __init__(self, server: EmbeddedServer, client: socket.socket, loop: SteppedLoop) -> None:
        self._server = server
        self._client = client
        self.step = loop.step

    @property
    def is_connected(self) -> bool:
        return bool(self._server.server_state.connections)

    async def close_twice(self) -> None:
        """Close the connection at the server's end, and once more."""
        while not self.is_connected:  # noqa: ASYNC110  nobody tells of it
            await asyncio.sleep(0)
        for protocol in [*self._server.server_state.connections] * 2:
            protocol.transport.close()

    async def ask(self, *headers: str) -> None:
        """Send a request, and read the beginning of the answer."""
        request = "\r\n".join(("GET / HTTP/1.1", "host: a", *headers, "", ""))
        await asyncio.to_thread(self._client.sendall, request.encode())
        assert (await self.read(12))[:9] == b"HTTP/1.1 "

    async def read(self, count: int) -> bytes:
        """So many bytes, or fewer when the connection ends before."""

        def read() -> bytes:
            got = b""
            while len(got) < count and (piece := self._client.recv(count - len(got))):
                got += piece
            return got

        return await asyncio.to_thread(read)

    async def steps_until_lost(self) -> int:
        """How many looks the connection lasts when the client does nothing any more."""
        for count in range(1, 12):
            await self.step()
            if not self.is_connected:
                return count
        raise AssertionError("a client that takes nothing stays for ever")


@contextlib.asynccontextmanager
async def staged(app: Any, folder: Path | None, *, is_adopted: bool) -> AsyncIterator[Stage]:
    """Serve this application, over TLS where there is a folder for its certificate.

    What is adopted was accepted by somebody else.
    """
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SteppedLoop)
    config = uvicorn.Config(app, http=PunctualProtocol, loop="none", lifespan="off", log_config=None, access_log=False)
    if folder is not None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(*self_made.kept(folder, new_key()))
        config.ssl_context_factory = lambda _config, _default: tls
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
        listener.setblocking(False)
        server = EmbeddedServer(config)
        serving = asyncio.create_task(server.serve(sockets=[] if is_adopted else [listener]))
        await server.has_started.wait()
        connecting = asyncio.create_task(
            asyncio.to_thread(connected, listener.getsockname(), is_secure=folder is not None)
        )
        if is_adopted and config.ssl is not None:
            await server.take((await loop.sock_accept(listener))[0], config.ssl)
        with contextlib.closing(await connecting) as client:
            yield Stage(server, client, loop)
        server.should_exit = True
        await serving


def connected(address: tuple[str, int], *, is_secure: bool) -> socket.socket:
    client = socket.socket()
    client.settimeout(20)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
    client.connect(address)
    if not is_secure:
        return client
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(client)


def played(
    app: Any, folder: Path | None, scene: Callable[[Stage], Awaitable[None]], *, is_adopted: bool = False
) -> None:
    """Play a scene on a loop of its own."""

    async def play() -> None:
        async with staged(app, folder, is_adopted=is_adopted) as stage:
            await scene(stage)

    with asyncio.Runner(loop_factory=SteppedLoop) as runner:
        runner.run(play())


async def stream(_scope: Any, _receive: Any, send: Any) -> None:
    """Answer with more than anybody here reads."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(1_000):
        await send({"type": "http.response.body", "body": bytes(PIECE_BYTES), "more_body": True})
        await asyncio.sleep(0)


async def whole(_scope: Any, _receive: Any, send: Any) -> None:
    """Answer with one large body."""
    headers = [(b"content-length", str(WHOLE_BYTES).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": bytes(WHOLE_BYTES)})


@pytest.fixture(params=["tls", "plain"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    """Where the certificate is; None for plain HTTP."""
    return tmp_path if request.param == "tls" else None


def test_who_reads_slowly_is_served_for_ever_and_cut_off_when_taking_nothing(folder: Path | None) -> None:
    async def scene(stage: Stage) -> None:
        await stage.ask()
        for _ in range(20):
            assert len(await stage.read(READ_BYTES)) == READ_BYTES
            await stage.step()
        assert stage.is_connected
        assert TAKE_SECONDS / LOOK_SECONDS <= await stage.steps_until_lost() <= TAKE_SECONDS / LOOK_SECONDS + 2

    played(stream, folder, scene)


@pytest.mark.parametrize("connection", ["keep-alive", "close"])
def test_a_large_answer_reaches_who_reads_slowly_whole(folder: Path | None, connection: str) -> None:
    played(whole, folder, read_slowly(connection))


def test_a_large_answer_reaches_who_came_by_another_listener(tmp_path: Path) -> None:
    played(whole, tmp_path, read_slowly("close"), is_adopted=True)


def read_slowly(connection: str) -> Callable[[Stage], Awaitable[None]]:
    """Read the whole of a large answer in minutes."""

    async def scene(stage: Stage) -> None:
        await stage.ask(f"connection: {connection}")
        read_bytes = 0
        while read_bytes < WHOLE_BYTES:
            piece = await stage.read(min(READ_BYTES, WHOLE_BYTES - read_bytes))
            assert piece
            read_bytes += len(piece)
            await stage.step()
        # What is left is the rest of the head's length; then nobody waits for another request.
        await stage.step()
        assert len(await stage.read(READ_BYTES)) < 1_000

    return scene


@pytest.mark.parametrize("connection", ["keep-alive", "close"])
def test_who_takes_nothing_of_a_large_answer_is_cut_off(folder: Path | None, connection: str) -> None:
    async def scene(stage: Stage) -> None:
        await stage.ask(f"connection: {connection}")
        assert await stage.steps_until_lost() <= TAKE_SECONDS / LOOK_SECONDS + 2

    played(whole, folder, scene)


def test_who_takes_nothing_of_what_was_closed_twice_is_cut_off(folder: Path | None) -> None:
    async def scene(stage: Stage) -> None:
        await stage.ask()
        await stage.close_twice()
        assert await stage.steps_until_lost() <= TAKE_SECONDS / LOOK_SECONDS + 2

    played(whole, folder, scene)


def test_the_deadline_of_a_request_may_be_over_when_its_connection_was_closed_twice(folder: Path | None) -> None:
    async def scene(stage: Stage) -> None:
        await stage.close_twice()
        await stage.step(REQUEST_SECONDS + 1)
        assert await stage.steps_until_lost() <= TAKE_SECONDS / LOOK_SECONDS + 2

    played(whole, folder, scene)


@given(st.integers(0, 20_000))
@settings(max_examples=20)
def test_what_the_other_end_has_is_counted(count: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as client:
        before = taken(client)
        client.sendall(bytes(count))
        with listener.accept()[0] as accepted:
            left = count
            while left:
                left -= len(accepted.recv(left))
            # An acknowledgement may lag behind; an answer carries it.
            accepted.sendall(b"x")
            client.recv(1)
        after = taken(client)
    assert (after.acknowledged_bytes - before.acknowledged_bytes, after.is_all) == (count, True)
