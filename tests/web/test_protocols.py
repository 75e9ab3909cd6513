import asyncio
from collections.abc import Coroutine
from typing import Any, cast

import pytest
import uvicorn
from uvicorn.server import ServerState

from web.protocols import REQUEST_SECONDS, PatientSocket, PunctualProtocol
from web.taking import LOOK_SECONDS


class PlannedLoop:
    """A loop that only notes what is to happen later."""

    def __init__(self) -> None:
        self.planned: list[float] = []
        self.cancelled_count = 0

    def call_later(self, seconds: float, *_: Any) -> "PlannedLoop":
        self.planned.append(seconds)
        return self

    def cancel(self) -> None:
        self.cancelled_count += 1

    def create_task(self, work: Coroutine[Any, Any, None], **_: Any) -> asyncio.Task[None]:
        return asyncio.get_running_loop().create_task(work)


async def test_a_request_has_one_deadline_however_it_trickles_in() -> None:
    async def answer(_scope: Any, _receive: Any, _send: Any) -> None:
        await asyncio.Event().wait()

    config = uvicorn.Config(answer, lifespan="off", log_config=None)
    config.load()
    loop = PlannedLoop()
    protocol = PunctualProtocol(config, ServerState(), {}, cast("asyncio.AbstractEventLoop", loop))
    protocol.connection_made(asyncio.Transport())
    for piece in (b"POST / HTTP/1.1\r\n", b"Host: a\r\nContent-Length: 3\r\n", b"\r\n", b"ab"):
        protocol.data_received(piece)
    assert (loop.planned, loop.cancelled_count) == ([LOOK_SECONDS, REQUEST_SECONDS], 0)
    protocol.data_received(b"c")
    assert (loop.planned, loop.cancelled_count) == ([LOOK_SECONDS, REQUEST_SECONDS], 1)


class FakeTransport(asyncio.Transport):
    """A connection that only notes what is done to it."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.done: list[str] = []

    def write(self, data: Any) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return bool(self.done)

    def close(self) -> None:
        self.done.append("closed")

    def abort(self) -> None:
        self.done.append("aborted")

    def pause_reading(self) -> None:
        """Nothing comes here by itself."""


async def upgraded(app: Any) -> tuple[PatientSocket, FakeTransport]:
    """A WebSocket that was just opened, over this application."""
    config = uvicorn.Config(app, lifespan="off", log_config=None, ws_ping_interval=20.0, ws_ping_timeout=20.0)
    config.load()
    transport = FakeTransport()
    protocol = PatientSocket(config, ServerState(), {})
    protocol.connection_made(transport)
    protocol.data_received(
        b"GET /mqtt HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
    )
    return protocol, transport


async def accept_and_wait(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "websocket.accept"})
    await asyncio.Event().wait()


async def finished(protocol: PatientSocket) -> None:
    protocol.stop_keepalive()
    for task in protocol.tasks:
        task.cancel()
    await asyncio.gather(*protocol.tasks, return_exceptions=True)


async def test_nobody_is_called_silent_while_nobody_is_heard() -> None:
    protocol, transport = await upgraded(accept_and_wait)
    while protocol.ping_timer is None:  # noqa: ASYNC110  the protocol tells nobody
        await asyncio.sleep(0)
    protocol.read_paused = True
    protocol.send_keepalive_ping()
    protocol.keepalive_timeout()
    assert (transport.done, protocol.ping_timer is not None) == ([], True)
    protocol.read_paused = False
    protocol.keepalive_timeout()
    assert transport.done == ["closed"]
    await finished(protocol)


async def test_a_page_that_its_client_is_closing_stops_no_server() -> None:
    protocol, transport = await upgraded(accept_and_wait)
    while not protocol.handshake_complete:  # noqa: ASYNC110  the protocol tells nobody
        await asyncio.sleep(0)
    protocol.data_received(bytes.fromhex("8882 00000000 03e8"))
    protocol.shutdown()
    assert set(transport.done) == {"closed"}
    await finished(protocol)


@pytest.mark.parametrize("takes", [True, False])
async def test_nobody_waits_for_a_client_that_takes_nothing(takes: bool) -> None:
    async def accept_and_leave(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        if not takes:
            protocol.pause_writing()

    protocol, transport = await upgraded(accept_and_leave)
    await asyncio.gather(*protocol.tasks)
    assert ("aborted" in transport.done) is not takes
    await finished(protocol)
