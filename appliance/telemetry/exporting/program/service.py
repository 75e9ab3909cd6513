"""Hands what is exported to a program beside the gateway, and takes the Parquet file that it makes, as it grows."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator

from appliance.errors import InvalidInputError, UnavailableError
from appliance.telemetry.cold.model import ColdError
from appliance.telemetry.cold.worker.service import MEGABYTE, ended, has_pyarrow, started
from appliance.telemetry.tables.handed import MORE

PROGRAM = "appliance.telemetry.exporting.program"
PATIENCE_S = 120.0
"""How long the program may take over one piece, of which it makes a row group or two."""

WITHOUT = (
    "Parquet needs pyarrow, which is not installed on the gateway: pip install 'headworks[cold]' brings it;"
    " csv, long, json and jsonl need nothing"
)


class NoPyarrowError(InvalidInputError):
    """The library that writes Parquet is not installed."""

    code = "no_pyarrow"


def require_pyarrow() -> None:
    """Raise `NoPyarrowError` if Parquet cannot be written here."""
    if not has_pyarrow():
        raise NoPyarrowError(WITHOUT)


async def parquet(texts: AsyncIterator[str], memory_mb: int) -> AsyncGenerator[bytes]:
    """The file that the texts make, piece by piece; the program ends with whoever takes it.

    Raises `UnavailableError` when the program fails.
    """
    # Who is sent away costs no program.
    first = await anext(texts)
    process = await _started(memory_mb)
    try:
        yield await _made(process, first)
        async for text in texts:
            yield await _made(process, text)
    finally:
        await ended(process)


def parquet_beside(texts: Iterator[str], memory_mb: int) -> Iterator[bytes]:
    """The same for a command, which has no event loop."""
    require_pyarrow()
    with asyncio.Runner() as runner:
        process = runner.run(_started(memory_mb))
        try:
            for text in texts:
                yield runner.run(_made(process, text))
        finally:
            runner.run(ended(process))


async def _started(memory_mb: int) -> asyncio.subprocess.Process:
    try:
        return await started(PROGRAM, str(memory_mb * MEGABYTE))
    except ColdError as error:
        raise UnavailableError(str(error)) from error


async def _made(process: asyncio.subprocess.Process, text: str) -> bytes:
    """What the file has more after some text: the program reads all of it before it says anything."""
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("the program was started without pipes")
    try:
        async with asyncio.timeout(PATIENCE_S):
            process.stdin.write(text.encode())
            process.stdin.write(MORE.encode())
            await process.stdin.drain()
            return await process.stdout.readexactly(int(await process.stdout.readuntil(b"\n")))
    except TimeoutError as error:
        raise UnavailableError("the program that writes Parquet took too long") from error
    except (OSError, EOFError) as error:
        status = await process.wait() if process.stdout.at_eof() else process.returncode
        raise UnavailableError(f"the program that writes Parquet ended with status {status}") from error
