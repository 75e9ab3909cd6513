"""How long the process runs, and by which clock: until it is asked to stop, or until a part of it fails.

A failure that nobody waits for must not go unnoticed; one of a single connection must not end the rest.
"""

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import AsyncIterator
from typing import Any

log = logging.getLogger(__name__)

_OF_ONE_CONNECTION = frozenset(("socket", "transport", "protocol"))
"""The keys by which the loop's exception handler is told whose failure it is."""


def wall_clock() -> int:
    """The present moment, UTC milliseconds."""
    return time.time_ns() // 1_000_000


def stop_requested() -> asyncio.Event:
    """An event that the first SIGTERM or SIGINT sets; the second one ends the process at once."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def ask() -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ask)
    return stop


@contextlib.asynccontextmanager
async def defects_end_the_process() -> AsyncIterator[None]:
    """End the process when a callback of the loop raises: a part that fails quietly is worse than none.

    What the loop says of a socket or a transport is about that one: asyncio has closed it, or tries again
    (no descriptors left to accept with). A stranger who connects must not be able to end the process.
    """
    loop = asyncio.get_running_loop()
    failed: asyncio.Future[None] = loop.create_future()

    def hear(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if not _OF_ONE_CONNECTION.isdisjoint(context):
            log.warning("connection failed reason=%s", context["message"], exc_info=context.get("exception"))
            return
        error = context.get("exception") or RuntimeError(str(context["message"]))
        if not failed.done():
            failed.set_exception(error)

    loop.set_exception_handler(hear)
    async with asyncio.TaskGroup() as tasks:
        watch = tasks.create_task(_wait_for(failed), name="defects")
        try:
            yield
        finally:
            watch.cancel()
            # Whatever goes wrong from here on is logged: nobody waits for `failed` any more.
            loop.set_exception_handler(None)


async def _wait_for(future: asyncio.Future[None]) -> None:
    await future
