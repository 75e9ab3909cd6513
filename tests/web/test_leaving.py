"""Work ends when nobody waits for it any more, and its outcome is what comes back otherwise."""

import asyncio
from typing import Any, cast

import pytest
from litestar import Request

from appliance.errors import NotFoundError
from web.leaving import GoneError, while_wanted

SENT = {"type": "http.request", "body": b"", "more_body": False}


class Line:
    """The end of a connection that an application listens at."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.messages.put_nowait(SENT)

    async def receive(self) -> Any:
        return await self.messages.get()

    def request(self) -> Request[Any, Any, Any]:
        return Request(cast("Any", {"type": "http", "method": "GET"}), receive=self.receive)


async def test_what_the_work_gives_comes_back() -> None:
    async def work() -> int:
        await asyncio.sleep(0)
        return 7

    assert await while_wanted(Line().request(), work()) == 7


async def test_what_the_work_raises_comes_back() -> None:
    async def work() -> None:
        raise NotFoundError("not here")

    with pytest.raises(NotFoundError):
        await while_wanted(Line().request(), work())


async def test_the_work_is_cancelled_when_the_connection_ends() -> None:
    line, began, ended = Line(), asyncio.Event(), asyncio.Event()

    async def work() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    asked = asyncio.create_task(while_wanted(line.request(), work()))
    await began.wait()
    line.messages.put_nowait({"type": "http.disconnect"})
    with pytest.raises(GoneError):
        await asked
    assert ended.is_set()


async def test_the_work_is_cancelled_with_the_request() -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    asked = asyncio.create_task(while_wanted(Line().request(), work()))
    await began.wait()
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    assert ended.is_set()
