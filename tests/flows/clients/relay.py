"""A wire that can be cut: what a client sees when its network is gone, whatever library it is made with."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import TypeVar

from tests.flows.clients.client import Access

A = TypeVar("A", bound=Access)

_PIECE_BYTES = 65_536


class Relay:
    """Hands bytes on between clients and the broker until it is cut; from then on nobody gets through."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._lines: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    def leading(self, access: A) -> A:
        """The same access by way of this relay."""
        assert self._server is not None
        return replace(access, port=self._server.sockets[0].getsockname()[1])

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator["Relay"]:
        """Listen until the block is left."""
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        try:
            yield self
        finally:
            self.cut()
            await self._server.wait_closed()

    def cut(self) -> None:
        """Break every connection, without a word to either side, and take no new one."""
        assert self._server is not None
        self._server.close()
        for writer in self._lines:
            writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(self._host, self._port)
        self._lines |= {writer, far_writer}
        async with asyncio.TaskGroup() as group:
            group.create_task(_copy(reader, far_writer), name="to the broker")
            group.create_task(_copy(far_reader, writer), name="to the client")


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await reader.read(_PIECE_BYTES):
            writer.write(piece)
            await writer.drain()
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
