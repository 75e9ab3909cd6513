"""A server that says what it is told to say, for tests of what looks at answers."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

HOST = "127.0.0.1"
CLOSE = b"\xffclose"
RESET = b"\xffreset"
"""Behind an answer: what happens after it."""

CONNACK = bytes.fromhex("20 02 00 00")
PONG = {b"\xc0\0": b"\xd0\0"}


@asynccontextmanager
async def scripted(answers: Mapping[bytes, bytes]) -> AsyncIterator[int]:
    """Answer every CONNECT, and other packets as told, or not at all; gives the port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1_000):
                said = CONNACK if data[0] >> 4 == 1 else answers.get(data, b"")
                writer.write(said.removesuffix(CLOSE).removesuffix(RESET))
                if said.endswith(RESET):
                    linger = struct.pack("ii", 1, 0)
                    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                if said.endswith((CLOSE, RESET)):
                    break
        finally:
            writer.close()

    ended: list[asyncio.Task[None]] = []

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ended.append(asyncio.create_task(answer(reader, writer)))

    server = await asyncio.start_server(begin, HOST, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        # A client that leaves bytes unread resets its connection.
        await asyncio.gather(*ended, return_exceptions=True)
