"""One request and its answer over a connection of its own, bounded in time and size."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable, Mapping

import h11

from appliance.telemetry.cold.bucket.model import BucketAwayError, Place, Reply

PATIENCE_S = 30.0
"""How long a bucket may say and take nothing."""

CONTINUE_S = 1.0
"""How long it may think about whether it wants what is to be sent."""

BODY_LIMIT_BYTES = 1_000_000
"""The longest answer that is not an object."""

_READ_BYTES = 65_536
_WRITE_BYTES = 262_144
_ERRORS = 300

_Event = h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]

Sink = Callable[[bytes], None]
"""Takes an object piece by piece."""


class Line:
    """How a bucket is reached."""

    def __init__(self, place: Place, tls: ssl.SSLContext | None, patience_s: float = PATIENCE_S) -> None:
        self._place = place
        self._tls = tls
        self._patience_s = patience_s

    async def exchange(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes = b"", sink: Sink | None = None
    ) -> Reply:
        """Send a request and give the answer; the body of a good one goes into the sink, if there is one.

        Raises `BucketAwayError` when there is no answer in time, or one that is not HTTP.
        """
        try:
            async with self._connected() as (reader, writer):
                exchange = _Exchange(reader, writer, self._patience_s)
                told = {**headers, "content-length": str(len(body)), "connection": "close"}
                if len(body) > _READ_BYTES:
                    # What is refused need not be sent; and an answer that comes meanwhile would be lost.
                    told["expect"] = "100-continue"
                await exchange.begin(h11.Request(method=method, target=target, headers=list(told.items())))
                if len(body) <= _READ_BYTES or await exchange.is_welcome():
                    await exchange.send(body)
                return await exchange.answer(sink)
        except (OSError, EOFError, h11.ProtocolError) as error:
            # A time-out and a certificate that is not trusted are kinds of these.
            raise BucketAwayError(f"{self._place.netloc} did not answer: {_told(error)}") from error

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        async with asyncio.timeout(self._patience_s):
            reader, writer = await asyncio.open_connection(self._place.server, self._place.port, ssl=self._tls)
        try:
            yield reader, writer
        finally:
            # Whatever came of it, nothing more is to be said.
            writer.transport.abort()


class _Exchange:
    """A request and its answer."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, patience_s: float) -> None:
        self._reader = reader
        self._writer = writer
        self._patience_s = patience_s
        self._protocol = h11.Connection(h11.CLIENT)
        self._first: _Event | None = None
        """What was said before the body was sent."""

    async def begin(self, request: h11.Request) -> None:
        """Send everything but the body."""
        await self._put(self._protocol.send(request))

    async def is_welcome(self) -> bool:
        """Whether the body may follow. A bucket that says nothing about that is sent it after a while."""
        try:
            event = await self._next(min(self._patience_s, CONTINUE_S))
        except TimeoutError:
            return True
        if isinstance(event, h11.InformationalResponse):
            return True
        self._first = event
        return False

    async def send(self, body: bytes) -> None:
        """Send the body."""
        for start in range(0, len(body), _WRITE_BYTES):
            await self._put(self._protocol.send(h11.Data(data=body[start : start + _WRITE_BYTES])))
        await self._put(self._protocol.send(h11.EndOfMessage()))

    async def answer(self, sink: Sink | None) -> Reply:
        """The answer, when it is whole."""
        reply = Reply(0, {}, b"")
        whole = bytearray()
        while not isinstance(event := await self._following(), h11.EndOfMessage):
            if isinstance(event, h11.Response):
                headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in event.headers}
                reply = Reply(event.status_code, headers, b"")
            elif isinstance(event, h11.ConnectionClosed):
                raise EOFError("the connection ended")  # noqa: TRY004  it is no wrong type, but the end
            elif isinstance(event, h11.Data):
                if sink is not None and reply.status < _ERRORS:
                    await asyncio.to_thread(sink, bytes(event.data))
                elif len(whole) <= BODY_LIMIT_BYTES:
                    whole += event.data
        return Reply(reply.status, reply.headers, bytes(whole))

    async def _following(self) -> _Event:
        event, self._first = self._first, None
        return event if event is not None else await self._next(self._patience_s)

    async def _next(self, patience_s: float) -> _Event:
        while (event := self._protocol.next_event()) is h11.NEED_DATA:
            async with asyncio.timeout(patience_s):
                self._protocol.receive_data(await self._reader.read(_READ_BYTES))
        return event

    async def _put(self, piece: bytes | None) -> None:
        if piece:
            self._writer.write(piece)
            async with asyncio.timeout(self._patience_s):
                await self._writer.drain()


def _told(error: BaseException) -> str:
    return "it took too long" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
