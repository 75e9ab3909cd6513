"""B-24: somebody takes all the file descriptors that the process may have."""

import asyncio
import contextlib
import socket
import ssl
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from broker.packets import Connack, ReturnCode
from tests.broker.certificates import Authority
from tests.broker.house import Wire
from tests.flows.exhausted import FILES_LIMIT

ROOT = Path(__file__).parents[2]
ATTACK_COUNT = 400


class Besieged:
    """The process, and what it says."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self._process = process
        self.port = port

    async def reload(self) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(b"reload\n")
        return await _line(self._process)

    async def is_full(self, tls: ssl.SSLContext) -> bool:
        """Whether a client that may come in gets nowhere."""
        try:
            await self.connack(tls)
        except (OSError, EOFError):
            return True
        return False

    async def connack(self, tls: ssl.SSLContext) -> Connack:
        """What a client is told; `EOFError` or `OSError` where it gets nowhere."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=tls)
        try:
            return await Wire(reader, writer).connect("c")
        finally:
            writer.transport.abort()


async def _line(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(20):
        return (await process.stdout.readline()).decode().strip()


@contextlib.asynccontextmanager
async def besieged(*files: Path) -> AsyncIterator[Besieged]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.flows.exhausted", *map(str, files)),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield Besieged(process, int(await _line(process)))
        assert process.stdin is not None
        process.stdin.close()
        async with asyncio.timeout(20):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_b_24_without_descriptors_it_stays_secure_and_accepts_again_when_there_are_some(tmp_path: Path) -> None:
    ours, theirs = Authority.create(tmp_path, "ours"), Authority.create(tmp_path, "theirs")
    good = ours.client_context(ours, "sensor-1")
    stranger = ours.client_context(theirs, "sensor-1")
    async with besieged(*ours.issue("server"), ours.trust) as broker:
        assert (await broker.connack(good)).code == ReturnCode.ACCEPTED
        with contextlib.ExitStack() as attack:
            for _ in range(ATTACK_COUNT):
                attack.enter_context(socket.create_connection(("127.0.0.1", broker.port), timeout=5))
            # Nobody is let in any more, and what the process itself wants to open it still can.
            async with asyncio.timeout(30):
                while not await broker.is_full(good):
                    pass
            assert await broker.reload() == "reloaded", f"{ATTACK_COUNT} connections took all of {FILES_LIMIT} files"
        async with asyncio.timeout(30):
            while await broker.is_full(good):
                pass
            assert (await broker.connack(good)).code == ReturnCode.ACCEPTED
        with pytest.raises((OSError, EOFError)):
            await broker.connack(stranger)
