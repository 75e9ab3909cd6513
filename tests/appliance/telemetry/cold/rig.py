"""A gateway with a cold tier, and a bucket that is really served."""

import asyncio
import contextlib
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from appliance.cold_settings import ColdConfig, S3Config
from appliance.telemetry.cold.service import Cold
from appliance.telemetry.cold.shelf import files
from appliance.telemetry.keeping.sealed_day import sealed_path
from tests.appliance.telemetry.keeping.story import AFTER, KeepingGateway
from tests.appliance.telemetry.reports import DAY

HAS_PYARROW = importlib.util.find_spec("pyarrow") is not None
needs_pyarrow = pytest.mark.skipif(not HAS_PYARROW, reason="pyarrow, which writes Parquet, is not installed")

ACCESS_KEY = "HEADWORKSTESTKEY"
SECRET_KEY = "only/for+tests"
BUCKET = "readings"
RCLONE = shutil.which("rclone", path=f"{Path(sys.executable).parent}:/usr/bin:/usr/local/bin")
needs_bucket = pytest.mark.skipif(
    RCLONE is None, reason="rclone, which serves a bucket and checks signatures, is not here"
)

START_S = 30.0
PREFIX = "cold/"


class ColdGateway(KeepingGateway):
    """What keeps days, and what makes Parquet of them."""

    cold: Cold
    cold_config = ColdConfig(parquet=True)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["ColdGateway"]:
        async with super().running():
            self.now = max(self.now, AFTER)
            self.cold = Cold(self.database, self.folder, self.cold_config, lambda: self.now)
            self.cold.passed_at = lambda: self.now
            # A bucket refuses what was signed at another time than its own.
            self.cold._uploads._clock = lambda: time.time_ns() // 1_000_000
            self.telemetry.cold = self.cold
            self.cold.missing = self.telemetry.day_files.missing
            self.keeping.let_go = self.cold.may_go
            # Its own task looks once a minute; here each look is asked for.
            async with self.cold._workers.running():
                await self.cold._shelf.load()
                yield self

    def sealed_file(self, day: int = DAY) -> Path:
        return sealed_path(self.telemetry.day_files.path(day))

    def file(self, day: int = DAY) -> Path:
        return files.path_of(self.folder / "cold", day)

    async def drop(self, day: int = DAY) -> None:
        """Let the warm tier have nothing of a day any more."""
        await self.keeping.unlink(day)

    async def well(self) -> None:
        """Look, and see that nothing went wrong."""
        await self.cold.look()
        assert self.cold._troubles == {}


@contextlib.contextmanager
def served(folder: Path, *options: str) -> Iterator[str]:
    """A bucket that is served from a folder by a program that checks signatures; gives its endpoint."""
    (folder / BUCKET).mkdir(parents=True, exist_ok=True)
    assert RCLONE is not None
    command = [RCLONE, "serve", "s3", "--addr", "127.0.0.1:0", "--auth-key", f"{ACCESS_KEY},{SECRET_KEY}"]
    with subprocess.Popen(
        [*command, "--config", "", "--vfs-cache-mode", "off", *options, str(folder)],
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stderr is not None
            yield next(_addresses(process.stderr))
        finally:
            process.terminate()
            process.communicate(timeout=10)


def _addresses(lines: "Iterator[str]") -> Iterator[str]:
    until = time.monotonic() + START_S
    for line in lines:
        _, found, rest = line.partition("server on [")
        if found:
            yield rest.partition("]")[0].rstrip("/")
        assert time.monotonic() < until, line


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what other tasks and processes do."""
    async with asyncio.timeout(START_S):
        while not condition():  # noqa: ASYNC110  another process does it, which sets no event
            await asyncio.sleep(0.001)


def credentials(folder: Path, secret_key: str = SECRET_KEY) -> str:
    path = folder / "keys"
    path.write_text(f"[default]\naws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {secret_key}\n")
    return str(path)


def s3(folder: Path, endpoint: str, **changes: object) -> S3Config:
    fields = {"endpoint": endpoint, "bucket": BUCKET, "credentials_file": credentials(folder), "prefix": PREFIX}
    return S3Config(**{**fields, **changes})  # type: ignore[arg-type]


def objects(root: Path) -> dict[str, bytes]:
    """What a bucket holds."""
    folder = root / BUCKET
    found = {}
    # Another process removes them, and the folders that are empty then.
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place, name)
            with contextlib.suppress(FileNotFoundError):
                found[path.relative_to(folder).as_posix()] = path.read_bytes()
    return found
