"""One request and one answer, whatever the other side does."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from appliance.telemetry.cold.bucket.line import service
from appliance.telemetry.cold.bucket.line.service import Line
from appliance.telemetry.cold.bucket.model import BucketError, Place


@contextlib.asynccontextmanager
async def answering(*said: bytes, stays: bool = False) -> AsyncIterator[tuple[Place, list[bytes]]]:
    """A server that says this to whatever it is asked; and what it was asked."""
    heard: list[bytes] = []
    over = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        heard.append(head + await reader.readexactly(length))
        writer.writelines(said)
        if stays:
            await over.wait()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield Place("http", "127.0.0.1", server.sockets[0].getsockname()[1], "b", "r", in_host=False), heard
        over.set()


async def test_a_request_is_sent_whole_and_the_answer_is_given() -> None:
    body = b"x" * 600_000
    async with answering(b"HTTP/1.1 200 OK\r\nETag: a\r\nContent-Length: 2\r\n\r\nhi") as (place, heard):
        reply = await Line(place, None).exchange("PUT", "/b/k?x=", {"host": place.netloc}, body)
    assert (reply.status, reply.headers["etag"], reply.body) == (200, "a", b"hi")
    assert heard[0].startswith(b"PUT /b/k?x= HTTP/1.1\r\n")
    assert heard[0].endswith(b"\r\n\r\n" + body)


async def test_an_object_goes_into_the_sink_and_an_error_does_not() -> None:
    taken: list[bytes] = []
    async with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi") as (place, _):
        assert (await Line(place, None).exchange("GET", "/", {"host": "h"}, sink=taken.append)).body == b""
    async with answering(b"HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\nno") as (place, _):
        assert (await Line(place, None).exchange("GET", "/", {"host": "h"}, sink=taken.append)).body == b"no"
    assert taken == [b"hi"]


@pytest.mark.parametrize(
    "said",
    [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi", b"hello\r\n\r\n"],
    ids=["nothing", "half", "no HTTP"],
)
async def test_what_is_no_answer_is_an_error_of_the_bucket(said: bytes) -> None:
    async with answering(said) as (place, _):
        with pytest.raises(BucketError, match=f"127.0.0.1:{place.port} did not answer"):
            await Line(place, None).exchange("GET", "/", {"host": "h"})


async def test_a_bucket_that_says_nothing_is_not_waited_for_forever() -> None:
    async with answering(stays=True) as (place, _):
        with pytest.raises(BucketError, match="it took too long"):
            await Line(place, None, patience_s=0.05).exchange("GET", "/", {"host": "h"})


async def test_an_answer_that_is_no_object_is_bounded() -> None:
    size = service.BODY_LIMIT_BYTES * 3
    async with answering(b"HTTP/1.1 500 No\r\nContent-Length: %d\r\n\r\n" % size, bytes(size)) as (place, _):
        reply = await Line(place, None).exchange("GET", "/", {"host": "h"})
    assert service.BODY_LIMIT_BYTES < len(reply.body) < size
