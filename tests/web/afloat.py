"""A client of MQTT over WebSocket that sends frames as it is told."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import websockets

from broker.codec import Decoder
from broker.encode import encode
from broker.packets import V4, V5, Connack, Connect, Packet
from tests.web.house import House
from web.auth import SESSION_COOKIE
from web.server import Served


class Boat:
    """One WebSocket, and what has come over it."""

    def __init__(self, socket: Any, level: int = V4) -> None:
        self.socket = socket
        self.level = level
        self._decoder = Decoder(protocol_level=level)
        self._packets: list[Packet] = []

    async def send(self, *packets: Packet) -> None:
        """Each packet in a frame of its own."""
        for packet in packets:
            await self.socket.send(encode(packet, self.level))

    async def receive(self) -> Packet:
        while not self._packets:
            data = await self.socket.recv()
            assert isinstance(data, bytes)
            self._packets += self._decoder.feed(data)
        return self._packets.pop(0)

    async def connect(self, client_id: str = "screen", password: bytes | None = None, username: str = "") -> Connack:
        name = username or ("me" if password is not None else None)
        await self.send(Connect(self.level, client_id, True, 60, username=name, password=password))
        answer = await self.receive()
        assert isinstance(answer, Connack)
        return answer

    async def close_code(self) -> int:
        """Wait until the other side closes."""
        try:
            while True:
                await self.socket.recv()
        except websockets.ConnectionClosed:
            return int(self.socket.close_code)


def trusting(house: House) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=house.gateway.registry.web_ca_path)


@asynccontextmanager
async def afloat(
    house: House,
    served: Served,
    headers: Mapping[str, str] | None = None,
    *,
    origin: str | None = None,
    subprotocols: Sequence[str] = ("mqtt",),
    level: int = V4,
) -> AsyncIterator[Boat]:
    async with (
        asyncio.timeout(20),
        websockets.connect(
            f"wss://localhost:{served.port}/mqtt",
            ssl=trusting(house),
            origin=None if origin is None else websockets.Origin(origin),
            subprotocols=[websockets.Subprotocol(name) for name in subprotocols] or None,
            additional_headers=headers,
            proxy=None,
            max_size=None,
        ) as socket,
    ):
        yield Boat(socket, level)


def cookie(secret: str) -> dict[str, str]:
    return {"cookie": f"{SESSION_COOKIE}={secret}"}


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def own_origin(served: Served) -> str:
    return f"https://localhost:{served.port}"


__all__ = ["V5", "Boat", "afloat", "bearer", "cookie", "own_origin", "trusting"]
