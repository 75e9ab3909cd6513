"""Work that ends when whoever asked for it has gone."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from litestar import Request

from appliance.errors import UnavailableError

T = TypeVar("T")

WORK = "work for a request"
"""The name of the tasks that work here."""


class GoneError(UnavailableError):
    """Nobody waits for the answer any more."""

    code = "gone"


async def while_wanted(request: Request[Any, Any, Any], work: Coroutine[Any, Any, T]) -> T:
    """What the work gives. It is cancelled when the connection of the request ends: raises `GoneError`.

    For requests without a body.
    """
    working = asyncio.create_task(work, name=WORK)
    leaving = asyncio.create_task(_gone(request), name="end of a request")
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise GoneError("the connection ended before the answer was there")
        return working.result()
    finally:
        for task in (working, leaving):
            task.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _gone(request: Request[Any, Any, Any]) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
