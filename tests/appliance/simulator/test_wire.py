import asyncio
import socket
import ssl
from pathlib import Path

import pytest

from appliance.simulator.wire import Endpoint, Wire, open_socket, tls_context, words
from tests.appliance.simulator.gateways import broker


async def test_bytes_that_the_socket_does_not_take_go_later() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        wire = Wire(asyncio.get_running_loop(), ours, lambda _: None, lambda _: None)
        wire.send(b"a" * 5_000_000)
        wire.send(b"b" * 10)
        arrived = bytearray()
        while len(arrived) < 5_000_010:
            arrived += await asyncio.get_running_loop().sock_recv(theirs, 1_000_000)
        assert arrived == b"a" * 5_000_000 + b"b" * 10
        wire.send(b"c")
        assert await asyncio.get_running_loop().sock_recv(theirs, 10) == b"c"
        wire.close()


async def test_the_end_is_told_once_and_not_after_closing() -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    ended: asyncio.Queue[str] = asyncio.Queue()

    def end(reason: str) -> None:
        wire.close()
        ended.put_nowait(reason)

    wire = Wire(asyncio.get_running_loop(), ours, lambda _: None, end)
    theirs.close()
    wire.send(b"nobody reads this")
    assert ended.empty()
    assert await ended.get() in ("Broken pipe", "the broker closed the connection")
    await asyncio.sleep(0)
    assert ended.empty()


async def test_a_context_needs_its_files(tmp_path: Path) -> None:
    async with broker(tmp_path) as gate:
        assert gate.identity is not None
        context = tls_context(gate.identity)
        assert context.check_hostname
        assert context.verify_mode is ssl.CERT_REQUIRED
        opened = await open_socket(asyncio.get_running_loop(), gate.endpoint, context)
        opened.close()
        gate.identity.key.write_text("not a key")
        with pytest.raises(ssl.SSLError):
            tls_context(gate.identity)


async def test_nobody_there_is_an_error_of_the_system() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        endpoint = Endpoint("127.0.0.1", bound.getsockname()[1], "127.0.0.1")
        with pytest.raises(ConnectionRefusedError):
            await open_socket(asyncio.get_running_loop(), endpoint, None)


def test_errors_are_told_in_words() -> None:
    assert words(OSError(104, "Connection reset by peer")) == "Connection reset by peer"
    assert words(TimeoutError()) == "no answer in time"
