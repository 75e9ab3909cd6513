"""One load against one process, and what both say of it."""

import subprocess
import time
from pathlib import Path
from typing import Protocol

import msgspec

from bench.children import LOAD_CORE, BenchError, cpu_seconds, pinned, python, resident_kb
from bench.load import Load, Result

SAMPLE_S = 0.5
SETTLE_S = 2.0


class Measure(Protocol):
    """Measures something in a folder of its own, and gives its tables."""

    def __call__(self, folder: Path, /, *, quick: bool) -> str:
        """`quick` is a fraction of it, to see that it works."""


class Measured(msgspec.Struct, frozen=True):
    """What one load came to."""

    result: Result
    cpu_percent: float
    """Of one core, over the measured seconds."""
    connect_cpu_ms: float
    """Processor time for each connection, until all were connected."""
    idle_kb: int
    """Resident memory before anybody connected."""
    connected_kb: int
    """Resident memory when all devices were connected and silent."""
    peak_kb: int
    """Most resident memory that was seen under load."""

    @property
    def acknowledged_count(self) -> int:
        """All messages that were acknowledged."""
        return sum(self.result.acknowledged)

    @property
    def kb_per_connection(self) -> float:
        """What an idle connection costs."""
        return (self.connected_kb - self.idle_kb) / len(self.result.acknowledged)


def measured(load: Load, pid: int, log: Path) -> Measured:
    """Put a load on the process `pid` from a process of its own; raises `BenchError` when that fails."""
    idle_kb = resident_kb(pid)
    cpu_idle = cpu_seconds(pid)
    command = pinned(python("bench.load", msgspec.json.encode(load).decode()), LOAD_CORE)
    with (
        log.open("a", encoding="utf-8") as errors,
        subprocess.Popen(  # noqa: S603  this package's own command
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
        ) as child,
    ):
        try:
            return _watched(child, load, pid, idle_kb, cpu_idle)
        except BenchError as error:
            raise BenchError(f"{error}: see {log}") from error
        finally:
            child.kill()


def _watched(child: "subprocess.Popen[str]", load: Load, pid: int, idle_kb: int, cpu_idle: float) -> Measured:
    if child.stdin is None or child.stdout is None:
        raise BenchError("the load generator has no pipes")
    if child.stdout.readline().strip() != "connected":
        raise BenchError("the load generator did not connect")
    time.sleep(SETTLE_S)
    connected_kb = peak_kb = resident_kb(pid)
    child.stdin.write("go\n")
    child.stdin.flush()
    began = time.monotonic()
    cpu_before = cpu_seconds(pid)
    connect_cpu_ms = 1_000 * (cpu_before - cpu_idle) / load.device_count
    while (left := began + load.seconds - time.monotonic()) > 0:
        time.sleep(min(left, SAMPLE_S))
        peak_kb = max(peak_kb, resident_kb(pid))
    cpu_percent = 100 * (cpu_seconds(pid) - cpu_before) / (time.monotonic() - began)
    printed = child.stdout.readline()
    if not printed:
        raise BenchError("the load generator ended without a result")
    return Measured(
        msgspec.json.decode(printed.encode(), type=Result), cpu_percent, connect_cpu_ms, idle_kb, connected_kb, peak_kb
    )
