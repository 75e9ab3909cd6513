"""Both ends of the pipe between what measures and what generates a load, a process of its own.

A request and its answer are a line of JSON each.
"""

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from bench.children import LOAD_CORE, BenchError, pinned, python

T = TypeVar("T")

PATIENCE_S = 240
"""A generator that was not asked anything for so long ends by itself."""


class Generator:
    """A load generator at work."""

    def __init__(self, child: "subprocess.Popen[str]", log: Path) -> None:
        self._child = child
        self._log = log

    def ask(self, request: msgspec.Struct, answer: type[T]) -> T:
        """Have something done and wait until it is; raises `BenchError` when the generator ends instead."""
        self.tell(request)
        return self.hear(answer)

    def tell(self, request: msgspec.Struct) -> None:
        """Have something done."""
        if self._child.stdin is None:
            raise BenchError("the load generator has no pipe")
        self._child.stdin.write(msgspec.json.encode(request).decode() + "\n")
        self._child.stdin.flush()

    def hear(self, answer: type[T]) -> T:
        """Wait for an answer; raises `BenchError` when the generator ends instead."""
        line = self._child.stdout.readline() if self._child.stdout else ""
        if not line:
            raise BenchError(f"the load generator ended without an answer: see {self._log}")
        return msgspec.json.decode(line.encode(), type=answer)


@contextmanager
def generating(module: str, log: Path) -> Iterator[Generator]:
    """Run a module as a load generator on its core while the block lasts; what it complains of goes to `log`."""
    with (
        log.open("a", encoding="utf-8") as errors,
        subprocess.Popen(  # noqa: S603  this package's own command
            pinned(python(module), LOAD_CORE), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
        ) as child,
    ):
        try:
            yield Generator(child, log)
        finally:
            child.kill()


def asked(request: msgspec.json.Decoder[T]) -> T | None:
    """In the generator: wait for the next request; None when there is none any more.

    From then on the process ends by itself when it has not been asked anything else in time.
    """
    line = sys.stdin.readline()
    signal.alarm(PATIENCE_S)
    return request.decode(line) if line else None


def end_after(seconds: float) -> None:
    """In the generator: end by itself when what was asked takes much longer than this."""
    signal.alarm(int(seconds) + PATIENCE_S)


def answer(value: msgspec.Struct) -> None:
    """In the generator: give the answer to what was asked."""
    print(msgspec.json.encode(value).decode(), flush=True)


def files_raised() -> int:
    """Let this process and its children open as many files as the system allows, and give how many."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most


def own_cpu_seconds() -> float:
    """Processor time of this process so far."""
    times = os.times()
    return times.user + times.system
