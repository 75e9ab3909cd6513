"""Starts the programs that write and read Parquet, and ends them: what they take of memory goes with them."""

import asyncio
import contextlib
import importlib.util
import os
import sys
from collections.abc import AsyncIterator, Collection
from typing import Literal

import msgspec

from appliance.telemetry.cold.model import Arrivals, ColdError, HinderedError
from appliance.telemetry.cold.worker.model import (
    Answer,
    Describe,
    Device,
    Question,
    Read,
    ReadArrived,
    Request,
    Written,
)

MEGABYTE = 1 << 20
IDLE_S = 30.0
"""How long the program that reads waits for another question."""
READ_PATIENCE_S = 20.0
"""How long it may take over one about a device."""
ARRIVED_PATIENCE_S = 120.0
"""How long over one about all devices of a day: every row group of the file may have something."""
DESCRIBE_PATIENCE_S = 300.0
"""How long a program may take to tell what a file holds, which it reads once from front to back."""

_LINE_LIMIT = 4 * MEGABYTE
_PROGRAM = "appliance.telemetry.cold.worker"

Pace = Literal["leisurely", "at_once"]


def has_pyarrow() -> bool:
    """Whether the library that writes and reads Parquet is installed."""
    return importlib.util.find_spec("pyarrow") is not None


class Workers:
    """The programs beside the gateway."""

    def __init__(
        self, memory_mb: int, idle_s: float = IDLE_S, describe_patience_s: float = DESCRIBE_PATIENCE_S
    ) -> None:
        self._memory_mb = memory_mb
        self._idle_s = idle_s
        self._describe_patience_s = describe_patience_s
        self._turn = asyncio.Lock()
        self._reader: asyncio.subprocess.Process | None = None
        self._idle: asyncio.TimerHandle | None = None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """End the program that reads when the block is left."""
        try:
            yield
        finally:
            async with self._turn:
                await self._end_reader()

    async def written(self, request: Request) -> Written:
        """Have something written by a program of its own that takes its time. Raises `ColdError`, `HinderedError`."""
        process = await self._started("leisurely")
        try:
            # To write may take as long as it takes: it is kept from much of the processor.
            async with asyncio.timeout(self._describe_patience_s if isinstance(request, Describe) else None):
                answer, _ = await _answer(process, request)
        except TimeoutError as error:
            raise HinderedError("the program that reads Parquet took too long") from error
        finally:
            await ended(process)
        if answer.written is None:
            kind = HinderedError if answer.is_hindered else ColdError
            raise kind(f"the program that writes Parquet said: {answer.error}")
        return answer.written

    async def read(self, path: str, device: Device, start: int, end: int) -> list[bytes]:
        """The reports of a device in a file with `start <= at < end`, as chunks. Raises `ColdError`."""
        return await self._blobs(Read(path, device, start, end), READ_PATIENCE_S)

    async def arrived(self, path: str, asked: Arrivals, left_out: Collection[Device]) -> list[bytes]:
        """The reports in a file by when they arrived, but for some devices, as chunks. Raises `ColdError`."""
        return await self._blobs(ReadArrived(path, asked, tuple(left_out)), ARRIVED_PATIENCE_S)

    async def _blobs(self, question: Question, patience_s: float) -> list[bytes]:
        async with self._turn:
            if self._idle:
                self._idle.cancel()
            if self._reader is not None and not _is_listening(self._reader):
                await self._end_reader()
            if self._reader is None:
                self._reader = await self._started("at_once")
            try:
                async with asyncio.timeout(patience_s):
                    answer, blobs = await _answer(self._reader, question)
            except BaseException as error:
                # Whatever it says next would be taken for the answer to another question.
                await self._end_reader()
                if isinstance(error, TimeoutError):
                    raise ColdError(f"reading {question.path} took too long") from error
                raise
            self._idle = asyncio.get_running_loop().call_later(self._idle_s, self._let_go)
        if answer.error:
            raise ColdError(f"the program that reads Parquet said: {answer.error}")
        return blobs

    @property
    def is_reading(self) -> bool:
        """Whether a program that reads is there."""
        return self._reader is not None and self._reader.returncode is None

    def _let_go(self) -> None:
        # It ends by itself when nothing more can come.
        if self._reader and self._reader.stdin:
            self._reader.stdin.close()

    async def _end_reader(self) -> None:
        if self._idle:
            self._idle.cancel()
        if self._reader:
            reader, self._reader = self._reader, None
            await ended(reader)

    async def _started(self, pace: Pace) -> asyncio.subprocess.Process:
        return await started(_PROGRAM, str(self._memory_mb * MEGABYTE), pace)


async def started(program: str, *arguments: str) -> asyncio.subprocess.Process:
    """A program that knows pyarrow, which is spoken with by its standard input and output. Raises `HinderedError`."""
    environment = {
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        # One thread, and memory that is given back: what counts here is how much of both is taken.
        "ARROW_DEFAULT_MEMORY_POOL": "system",
        "OMP_NUM_THREADS": "1",
        "ARROW_IO_THREADS": "1",
        "MALLOC_ARENA_MAX": "1",
    }
    try:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            program,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=environment,
            limit=_LINE_LIMIT,
            start_new_session=True,
        )
    except OSError as error:
        raise HinderedError(f"the program for Parquet could not be started: {error}") from error


async def ended(process: asyncio.subprocess.Process) -> None:
    """End a program that may have ended already."""
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    # What it has written and nobody reads would keep its pipe open.
    await process.communicate()


def _is_listening(process: asyncio.subprocess.Process) -> bool:
    """Whether a program takes questions: it may have ended, or been told that none comes any more."""
    return process.returncode is None and process.stdin is not None and not process.stdin.is_closing()


async def _answer(process: asyncio.subprocess.Process, request: Request) -> tuple[Answer, list[bytes]]:
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("the program was started without pipes")
    try:
        process.stdin.write(msgspec.json.encode(request) + b"\n")
        await process.stdin.drain()
        answer = msgspec.json.decode(await process.stdout.readuntil(b"\n"), type=Answer)
        return answer, [await process.stdout.readexactly(length) for length in answer.lengths]
    except (OSError, EOFError, asyncio.LimitOverrunError, msgspec.DecodeError) as error:
        status = await process.wait() if process.stdout.at_eof() else process.returncode
        raise ColdError(f"the program for Parquet ended with status {status}: {error}") from error
