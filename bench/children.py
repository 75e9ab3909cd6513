"""Processes that are measured: each on a core of its own, and what Linux says of them."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

SERVER_CORE = 0
LOAD_CORE = 1
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 90.0

_LOCK = ("127.77.0.1", 20_999)
"""An address that is taken while something is measured."""
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
_STOLEN = 7
"""Which count of a core it is: user, nice, system, idle, iowait, irq and softirq come before it."""
_PAGE_KB = os.sysconf("SC_PAGE_SIZE") // 1024


class BenchError(Exception):
    """Something that is measured did not start, or ended by itself; the message says what to read."""


@contextmanager
def alone() -> Iterator[None]:
    """Keep other measurements off this machine; raises `BenchError` when one is under way."""
    with socket.socket() as taken:
        try:
            taken.bind(_LOCK)
        except OSError:
            raise BenchError("another one runs on this machine, and they would spoil each other's figures") from None
        yield


@contextmanager
def started(command: Sequence[str], log: Path, core: int) -> Iterator[subprocess.Popen[str]]:
    """Run a command on one core while the block lasts; what it says goes to `log`, its standard input is a pipe.

    On leaving it is asked to stop, and raises `BenchError` when it had ended by itself or ended badly.
    """
    with log.open("a", encoding="utf-8") as errors:
        child = subprocess.Popen(  # noqa: S603  the commands are this package's own
            pinned(command, core), stdin=subprocess.PIPE, stdout=errors, stderr=errors, text=True
        )
    try:
        yield child
        if child.poll() is not None:
            raise BenchError(f"{command[0]} ended by itself with status {child.returncode}: see {log}")
        child.send_signal(signal.SIGTERM)
        if child.wait(STOP_TIMEOUT_S) not in (0, -signal.SIGTERM):
            raise BenchError(f"{command[0]} ended with status {child.returncode}: see {log}")
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
        if child.stdin is not None:
            child.stdin.close()


def python(module: str, *arguments: str) -> list[str]:
    """The command that runs a module of this checkout."""
    return [sys.executable, "-m", module, *arguments]


def pinned(command: Sequence[str], core: int) -> list[str]:
    """The command on one core, where there are two or more."""
    cores = os.sched_getaffinity(0)
    return ["taskset", "-c", str(sorted(cores)[core]), *command] if len(cores) > 1 else list(command)


def run(command: Sequence[str]) -> str:
    """Run a command to its end and give what it printed; raises `BenchError` when it fails."""
    done = subprocess.run(  # noqa: S603  the commands are this package's own
        command, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BenchError(f"{' '.join(command[:4])} … failed: {done.stderr[-2000:]}")
    return done.stdout


def await_port(host: str, port: int, child: subprocess.Popen[str]) -> None:
    """Wait until somebody listens there; raises `BenchError` when that takes too long or the process ends."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and child.poll() is None:
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex((host, port)) == 0:
                return
        time.sleep(0.1)
    raise BenchError(f"nobody listens at {host}:{port}: the status of its process is {child.poll()}")


def cpu_seconds(pid: int) -> float:
    """Processor time the process has used so far, all threads, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_A_SECOND


def stolen_seconds(core: int) -> float:
    """Time in which the core of `pinned` was wanted here, but at work for other virtual machines."""
    number = sorted(os.sched_getaffinity(0))[core]
    return stolen_ticks(Path("/proc/stat").read_text(encoding="utf-8"), number) / _TICKS_A_SECOND


def stolen_ticks(statistics: str, core: int) -> int:
    """What the text of `/proc/stat` says of that for one core; 0 where it is not counted."""
    for line in statistics.splitlines():
        name, *counts = line.split()
        if name == f"cpu{core}":
            return int(counts[_STOLEN]) if len(counts) > _STOLEN else 0
    return 0


def resident_kb(pid: int) -> int:
    """Memory of the process that is in RAM."""
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="utf-8").split()[1]) * _PAGE_KB


def machine() -> str:
    """What this is measured on, in one line."""
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        if line.startswith("model name")
    ]
    kernel = os.uname().release
    version = ".".join(map(str, sys.version_info[:3]))
    # That of a distribution is often a quarter faster than one that was compiled without profiling it first.
    whose = "of the system" if sys.base_prefix == "/usr" else "not of the system"
    return f"{len(names)} x {names[0] if names else os.uname().machine}, Linux {kernel}, Python {version} {whose}"
