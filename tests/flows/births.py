"""How a story gets a process of the gateway: forked by one that has imported everything, or else started anew."""

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[2]
NUMBER_BYTES = 4
"""Of a process, or of its end."""

ANEW = frozenset({"COVERAGE_PROCESS_CONFIG", "LD_PRELOAD"})
"""What counts from the first instruction on: with one of these in its environment a process is started anew."""


class Newborn:
    """A process that another one forked: the part of `subprocess.Popen` that stories use."""

    def __init__(self, report: int, printed: int) -> None:
        self.stdout: IO[str] = os.fdopen(printed, encoding="utf-8")
        self.returncode: int | None = None
        self._report = report
        self._reading = threading.Lock()
        """Several threads may wait for one end."""
        self.pid = self._hear()

    def poll(self) -> int | None:
        """The exit status, or minus the signal that ended it; None while it runs."""
        with self._reading:
            if self.returncode is None:
                self._look(0.0)
            return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit status once it has ended. Raises `subprocess.TimeoutExpired`."""
        with self._reading:
            if self.returncode is None:
                self._look(timeout)
            if self.returncode is None:
                raise subprocess.TimeoutExpired(f"gateway {self.pid}", timeout or 0.0)
            return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    def _look(self, timeout: float | None) -> None:
        if select.select([self._report], [], [], timeout)[0]:
            self.returncode = self._hear()
            os.close(self._report)

    def _hear(self) -> int:
        told = os.read(self._report, NUMBER_BYTES)
        assert len(told) == NUMBER_BYTES, "the process that forks is gone"
        return int.from_bytes(told, "little", signed=True)


Born = Newborn | subprocess.Popen[str]


class _Nursery:
    """The process that forks, from the first birth until the tests are over."""

    def __init__(self) -> None:
        self._wishes, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours:
            command = [sys.executable, "-m", "tests.flows.nursery"]
            self._nurse = subprocess.Popen(command, cwd=ROOT, stdin=ours.fileno())
        atexit.register(self._close)

    def bear(self, arguments: Sequence[str]) -> Newborn:
        printed, prints = os.pipe()
        report, reports = os.pipe()
        wish = json.dumps({"arguments": list(arguments), "environment": dict(os.environ)}).encode()
        try:
            socket.send_fds(self._wishes, [wish], [prints, reports])
        finally:
            os.close(prints)
            os.close(reports)
        return Newborn(report, printed)

    def _close(self) -> None:
        self._wishes.close()
        self._nurse.wait(30)


_nurseries: list[_Nursery] = []
_founding = threading.Lock()


def gateway(arguments: Sequence[str | Path]) -> Born:
    """A process of `headworks` with these arguments, and what it prints as its `stdout`."""
    told = [str(argument) for argument in arguments]
    if not ANEW.isdisjoint(os.environ):
        command = [sys.executable, "-m", "appliance", *told]
        return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    with _founding:
        if not _nurseries:
            _nurseries.append(_Nursery())
        return _nurseries[0].bear(told)
