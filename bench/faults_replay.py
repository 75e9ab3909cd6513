"""How long a start takes on a log that holds ten minutes of 2,000 events a second."""

import asyncio
import itertools
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from appliance.config import TelemetryConfig
from appliance.store import database, migrate
from appliance.telemetry import log_record, queries
from appliance.telemetry.model import Report, TimeSource
from appliance.telemetry.service import Telemetry
from bench.children import SERVER_CORE, pinned, python, run

RATE = 2_000
SECONDS = 600
DEVICE_COUNT = 10_000
COMMIT_MS = 100
TENANT = 1
TARGET_S = 3.0
FIVE = ("flowRate", "pressure", "temperature", "vibration", "humidity")
ONE = FIVE[:1]
FAR_AHEAD_MS = 3_600_000
"""Nothing of the log is in a day file yet, and nothing is due while it is measured."""


class Replayed(msgspec.Struct, frozen=True):
    """What a start on a full log took."""

    events: int
    metrics: int
    log_bytes: int
    empty_seconds: float
    """A start with an empty log, of the same process."""
    seconds: float
    cpu_seconds: float


def replayed(folder: Path, seconds: int, metrics: tuple[str, ...]) -> Replayed:
    """Fill a log with so many seconds and measure a start on it, in a process of its own."""
    path = folder / f"replay-{len(metrics)}"
    path.mkdir()
    printed = run(pinned(python("bench.faults_replay", str(path), str(seconds), ",".join(metrics)), SERVER_CORE))
    return msgspec.json.decode(printed.encode(), type=Replayed)


async def measured(folder: Path, seconds: int, metrics: tuple[str, ...]) -> Replayed:
    """The same in this process."""
    empty_seconds, _ = await _start(folder)
    count = 0
    async with database.opened(folder / "gateway.db", prepare=migrate.migrate) as opened:
        for reports, at in _commits(seconds, metrics):
            await opened.write(queries.insert_log, TENANT, at, len(reports), log_record.encode(reports))
            count += len(reports)
    size = (folder / "gateway.db").stat().st_size
    took, cpu = await _start(folder)
    return Replayed(count, len(metrics), size, empty_seconds, took, cpu)


async def _start(folder: Path) -> tuple[float, float]:
    """Seconds until telemetry has taken up what the log holds: by the clock, and of processor time."""
    config = TelemetryConfig(seal_after_ms=FAR_AHEAD_MS, seal_after_reports=100_000)
    async with database.opened(folder / "gateway.db", prepare=migrate.migrate) as opened:
        telemetry = Telemetry(opened, folder, config, lambda: time.time_ns() // 1_000_000)
        began, cpu = time.perf_counter(), time.process_time()
        async with telemetry.opened():
            return time.perf_counter() - began, time.process_time() - cpu


def _commits(seconds: int, metrics: tuple[str, ...]) -> Iterator[tuple[list[Report], int]]:
    """The reports of each commit, and its moment: every device has its turn."""
    now = time.time_ns() // 1_000_000
    devices = itertools.cycle(f"pump-{number:05d}" for number in range(DEVICE_COUNT))
    size = RATE * COMMIT_MS // 1_000
    for number in range(seconds * 1_000 // COMMIT_MS):
        at = now - seconds * 1_000 + number * COMMIT_MS
        some = enumerate(itertools.islice(devices, size))
        yield [_report(device, at - place % COMMIT_MS, number, metrics) for place, device in some], at


def _report(device: str, at: int, number: int, metrics: tuple[str, ...]) -> Report:
    values = _values(metrics, at + number)
    topic = f"sensors/{device}/telemetry"
    return Report(TENANT, device, at, at + 20, TimeSource.DEVICE, topic, device, values, number)


def _values(metrics: tuple[str, ...], number: int) -> dict[str, float]:
    """Slow steps back and forth, as physical readings have them."""
    wave = abs(number % 200 - 100)
    return {metric: (120 + place * 10 + wave) / 10 for place, metric in enumerate(metrics)}


if __name__ == "__main__":
    outcome = asyncio.run(measured(Path(sys.argv[1]), int(sys.argv[2]), tuple(sys.argv[3].split(","))))
    print(msgspec.json.encode(outcome).decode())
