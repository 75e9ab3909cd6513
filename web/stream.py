"""One MQTT connection inside a WebSocket, as the broker sees it. Section 6 of MQTT 5.

Packets and frames have nothing to do with each other: a frame may hold a piece of a packet or many of them
[MQTT-6.0.0-3]. What is given to be sent within one turn of the loop leaves in one frame.
"""

import asyncio
from typing import Any

from litestar import WebSocket
from litestar.exceptions import WebSocketDisconnect

from broker.ports import Receiver
from broker.traffic import Traffic

FRAME_BYTES = 65_536
"""The largest frame that is sent."""
FAREWELL_SECONDS = 2.0
"""How long a client may take what was sent to it last."""

# Codes of RFC 6455.
NORMAL = 1000
UNSUPPORTED_DATA = 1003

Socket = WebSocket[Any, Any, Any]


class WebSocketStream:
    """A connection of the broker: bytes in by callback, bytes out gathered and written once a turn."""

    transport = "websocket"
    certificate: bytes | None = None

    def __init__(self, address: str, opened_at: float, traffic: Traffic) -> None:
        """`opened_at` is in the seconds of the loop. While `traffic` is shut, nothing is read."""
        self.address = address
        self.opened_at = self.heard_at = opened_at
        self.close_code = NORMAL
        """What the WebSocket is closed with."""
        self._traffic = traffic
        self._receiver: Receiver | None = None
        self._out = bytearray()
        self._sending_bytes = 0
        self._is_paused = False
        self._changed = asyncio.Event()
        self._has_work = asyncio.Event()

    # What the broker calls.

    @property
    def is_open(self) -> bool:
        """Whether bytes can still be sent."""
        return self._receiver is not None

    @property
    def unsent_bytes(self) -> int:
        """Bytes that the client has not taken yet, but for what the system keeps for the socket."""
        return len(self._out) + self._sending_bytes

    def start(self, receiver: Receiver) -> None:
        """Give what comes to the receiver from here on."""
        self._receiver = receiver

    def pause(self) -> None:
        """Read nothing more until `resume`."""
        self._is_paused = True

    def resume(self) -> None:
        """Read again."""
        self._is_paused = False
        self.watch()

    def watch(self) -> None:
        """See whether reading may go on."""
        self._changed.set()

    def send(self, data: bytes) -> int:
        """Write soon; everything of one turn of the loop leaves in one piece. Gives how many bytes wait now."""
        if self._receiver is not None:
            self._out += data
            self._has_work.set()
        return self.unsent_bytes

    def close(self, reason: str) -> None:
        """Write what waits as far as it goes, and end the connection."""
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            self._has_work.set()
            self._changed.set()
            receiver.lost(reason)

    def cut_off(self, reason: str) -> None:
        """End the connection: there are never thousands of these."""
        self.close(reason)

    # What the WebSocket's owner calls.

    def end(self, code: int, reason: str) -> None:
        """Close the connection, with this code for the WebSocket."""
        if self.is_open:
            self.close_code = code
            self.close(reason)

    async def carry(self, socket: Socket, first: bytes) -> None:
        """Move bytes both ways until one side ends it; `first` are bytes that were read already."""
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(self._read(socket, first), name="mqtt websocket: reading")
            writing = tasks.create_task(self._write(socket), name="mqtt websocket: writing")
            try:
                await asyncio.wait((reading, writing), return_when=asyncio.FIRST_COMPLETED)
            finally:
                self.close("connection lost")
            await asyncio.wait((writing,), timeout=FAREWELL_SECONDS)
            reading.cancel()
            writing.cancel()

    async def _read(self, socket: Socket, first: bytes) -> None:
        if first:
            await self._give(first)
        while self.is_open:
            try:
                event = await socket.receive()
            except WebSocketDisconnect:
                break
            if event["type"] != "websocket.receive":
                break
            data = event.get("bytes")
            if data is None:
                self.end(UNSUPPORTED_DATA, "a text frame: MQTT travels in binary frames [MQTT-6.0.0-1]")
                return
            self.heard_at = asyncio.get_running_loop().time()
            await self._give(data)
        self.close("connection closed by the client")

    async def _give(self, data: bytes) -> None:
        """Hand bytes over as soon as they may be read. Meanwhile nothing more is taken from the client."""
        while self.is_open and (self._is_paused or not self._traffic.is_open):
            self._changed.clear()
            if not self._traffic.is_open:
                self._traffic.wait(self)
            await self._changed.wait()
        if self._receiver is not None and data:
            self._receiver.received(data)

    async def _write(self, socket: Socket) -> None:
        while self._out or self.is_open:
            if not self._out:
                self._has_work.clear()
                await self._has_work.wait()
                continue
            frame = bytes(memoryview(self._out)[:FRAME_BYTES])
            del self._out[: len(frame)]
            self._sending_bytes = len(frame)
            try:
                await socket.send_bytes(frame)
            except (WebSocketDisconnect, OSError):
                self.close("connection lost")
                return
            self._sending_bytes = 0
