import asyncio
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from litestar.exceptions import WebSocketDisconnect

from broker.traffic import Traffic
from web.stream import FRAME_BYTES, NORMAL, UNSUPPORTED_DATA, Socket, WebSocketStream


class FakeSocket:
    """The client's side of a WebSocket."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.takes = asyncio.Event()
        self.takes.set()
        self.is_broken = False
        self._events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    def say(self, data: bytes | str) -> None:
        key = "text" if isinstance(data, str) else "bytes"
        self._events.put_nowait({"type": "websocket.receive", key: data})

    def leave(self) -> None:
        self._events.put_nowait({"type": "websocket.disconnect", "code": 1001})

    async def receive(self) -> dict[str, Any]:
        return await self._events.get()

    async def send_bytes(self, data: bytes) -> None:
        await self.takes.wait()
        if self.is_broken:
            raise WebSocketDisconnect(detail="gone")
        self.frames.append(data)


class FakeReceiver:
    """The broker's side."""

    def __init__(self) -> None:
        self.data = b""
        self.reasons: list[str] = []
        self.heard = asyncio.Event()

    def received(self, data: bytes) -> None:
        self.data += data
        self.heard.set()

    def lost(self, reason: str) -> None:
        self.reasons.append(reason)


class Line:
    """A stream between the two."""

    def __init__(self) -> None:
        self.socket, self.receiver, self.traffic = FakeSocket(), FakeReceiver(), Traffic()
        self.stream = WebSocketStream("192.0.2.1:5", 7.0, self.traffic)
        self.stream.start(self.receiver)

    async def carry(self, first: bytes = b"") -> None:
        async with asyncio.timeout(30):
            await self.stream.carry(cast("Socket", self.socket), first)


async def turns() -> None:
    """Let everything happen that needs no time."""
    for _ in range(20):
        await asyncio.sleep(0)


@given(st.lists(st.binary(min_size=1, max_size=3 * FRAME_BYTES), max_size=6))
async def test_what_is_sent_arrives_whole_in_order_and_in_frames_of_a_size(pieces: list[bytes]) -> None:
    line = Line()
    for piece in pieces:
        line.stream.send(piece)
    assert line.stream.unsent_bytes == sum(map(len, pieces))
    line.stream.close("done")
    line.stream.send(b"too late")
    await line.carry()
    assert b"".join(line.socket.frames) == b"".join(pieces)
    assert all(len(frame) <= FRAME_BYTES for frame in line.socket.frames)
    assert len(line.socket.frames) == -(-sum(map(len, pieces)) // FRAME_BYTES)
    assert line.stream.unsent_bytes == 0


async def test_what_was_read_before_comes_first() -> None:
    line = Line()
    line.socket.say(b"b")
    line.socket.say(b"c")
    line.socket.leave()
    await line.carry(b"a")
    assert line.receiver.data == b"abc"
    assert line.receiver.reasons == ["connection closed by the client"]
    assert line.stream.close_code == NORMAL


async def test_text_ends_it() -> None:
    line = Line()
    line.socket.say("connect")
    await line.carry()
    assert line.stream.close_code == UNSUPPORTED_DATA
    assert "text frame" in line.receiver.reasons[0]


@pytest.mark.parametrize("by_traffic", [True, False])
async def test_nothing_is_handed_over_while_reading_is_stopped(by_traffic: bool) -> None:
    line = Line()
    stop, go = (line.traffic.shut, line.traffic.open) if by_traffic else (line.stream.pause, line.stream.resume)
    stop()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(line.carry())
        for piece in (b"a", b"b"):
            line.socket.say(piece)
        await turns()
        assert line.receiver.data == b""
        # Nothing more is taken from the client: the rest stays where its own network holds it up.
        assert line.socket._events.qsize() == 1
        go()
        await turns()
        assert line.receiver.data == b"ab"
        line.socket.leave()


async def test_both_stops_must_be_over() -> None:
    line = Line()
    line.traffic.shut()
    line.stream.pause()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(line.carry())
        line.socket.say(b"a")
        await turns()
        line.traffic.open()
        await turns()
        assert line.receiver.data == b""
        line.stream.resume()
        await turns()
        assert line.receiver.data == b"a"
        line.socket.leave()


async def test_a_stream_that_is_stopped_can_be_closed() -> None:
    line = Line()
    line.traffic.shut()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(line.carry(b"a"))
        await turns()
        line.stream.close("the gateway is shutting down")
    assert line.receiver.data == b""
    assert line.receiver.reasons == ["the gateway is shutting down"]
    line.traffic.open()


async def test_the_end_is_told_once() -> None:
    line = Line()
    line.stream.end(4401, "signed out")
    line.stream.end(1000, "again")
    line.stream.close("and again")
    assert line.receiver.reasons == ["signed out"]
    assert line.stream.close_code == 4401
    assert not line.stream.is_open


async def test_a_client_that_is_gone_is_noticed_when_it_is_sent_something() -> None:
    line = Line()
    line.socket.is_broken = True
    line.stream.send(b"x")
    await line.carry()
    assert line.receiver.reasons == ["connection lost"]


async def test_what_a_client_does_not_take_counts() -> None:
    line = Line()
    line.socket.takes.clear()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(line.carry())
        line.stream.send(b"x" * 100)
        await turns()
        line.stream.send(b"y" * 50)
        assert line.stream.unsent_bytes == 150
        line.socket.takes.set()
        await turns()
        assert line.stream.unsent_bytes == 0
        line.socket.leave()


async def test_being_heard_moves_the_keep_alive_on() -> None:
    line = Line()
    assert line.stream.heard_at == line.stream.opened_at == 7.0
    line.socket.say(b"x")
    line.socket.leave()
    await line.carry()
    assert line.stream.heard_at > 7.0 or asyncio.get_running_loop().time() < 7.0
