"""The control socket: how the command line asks a running gateway.

Only one process writes the database, so a command that changes something goes through the gateway
while it runs. The socket is a file that only the gateway's own user may open; a call is one line of
JSON, and so is its answer.
"""

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from appliance.errors import ApplianceError

log = logging.getLogger(__name__)

LINE_LIMIT_BYTES = 64 * 1024 * 1024
"""A fleet of thousands is provisioned by one call."""

PATIENCE_S = 5.0
"""How long a caller may take to say what it wants, and to hear it; it must not keep the gateway from stopping."""

Call = Callable[[dict[str, Any]], Awaitable[Any]]


class ControlError(ApplianceError):
    """The gateway refused a call of the command line; the message is its own."""

    code = "refused"


class Request(msgspec.Struct, frozen=True):
    """One call."""

    call: str
    arguments: dict[str, Any]


class Answer(msgspec.Struct, frozen=True):
    """What came of it: a result, or the reason why not."""

    result: Any = None
    error: str | None = None


@contextlib.asynccontextmanager
async def serving(path: Path, calls: Mapping[str, Call], *, patience_s: float = PATIENCE_S) -> AsyncIterator[None]:
    """Answer calls on a socket file until the block is left; who says nothing in time is sent away."""
    path.unlink(missing_ok=True)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(patience_s):
                line = await reader.readline()
            writer.write(msgspec.json.encode(await _answered(line, calls)) + b"\n")
            async with asyncio.timeout(patience_s):
                await writer.drain()
        except (ConnectionError, TimeoutError, ValueError) as error:
            log.info("control call broken off reason=%s", error)
        finally:
            writer.close()

    # The mask is set before the file appears: at no moment may another user open it.
    mask = os.umask(0o177)
    try:
        with _short(path) as address:
            server = await asyncio.start_unix_server(answer, address, limit=LINE_LIMIT_BYTES)
    finally:
        os.umask(mask)
    async with server:
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


async def ask(path: Path, call: str, arguments: dict[str, Any]) -> Any:
    """Call the gateway that runs on this data folder.

    Raises `ControlError` with the gateway's words, or `ConnectionError` / `FileNotFoundError` when
    none runs.
    """
    with _short(path) as address:
        reader, writer = await asyncio.open_unix_connection(address, limit=LINE_LIMIT_BYTES)
    try:
        writer.write(msgspec.json.encode(Request(call, arguments)) + b"\n")
        await writer.drain()
        line = await reader.readline()
    finally:
        writer.close()
        await writer.wait_closed()
    if not line.endswith(b"\n"):
        raise ControlError("the gateway ended the connection before it had answered: ask again and see what was done")
    answer = msgspec.json.decode(line, type=Answer)
    if answer.error is not None:
        raise ControlError(answer.error)
    return answer.result


@contextlib.contextmanager
def _short(path: Path) -> Iterator[str]:
    """Another name of the same file: the address of a socket holds 107 bytes, a path may be longer (unix(7))."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


async def _answered(line: bytes, calls: Mapping[str, Call]) -> Answer:
    try:
        request = msgspec.json.decode(line, type=Request)
    except msgspec.DecodeError as error:
        return Answer(error=f"not a call: {error}")
    function = calls.get(request.call)
    if function is None:
        return Answer(error=f"no call is named {request.call!r}")
    try:
        return Answer(result=await function(request.arguments))
    except ApplianceError as error:
        return Answer(error=str(error))
    except (KeyError, TypeError, msgspec.ValidationError) as error:
        return Answer(error=f"{request.call}: wrong arguments: {error}")
