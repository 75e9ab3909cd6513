"""The Paho project's interoperability suites against a broker: each test in a process, with a fresh broker."""

import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import msgspec

from bench.children import BenchError, python, run

FOLDER = Path("interoperability")
"""Where a checkout has the suites."""
SUITES = {"3.1.1": "client_test", "5": "client_test5"}
"""Version of MQTT → the module that tests it."""
TEST_TIMEOUT_S = 120.0
TOGETHER = 4
"""Tests at a time, where each has a broker of its own: they mostly sleep."""

Serving = Callable[[str], AbstractContextManager[tuple[str, int]]]
"""Runs a fresh broker under a name while a block lasts; gives its host and port."""


class Outcome(msgspec.Struct, frozen=True):
    """How one test went."""

    version: str
    name: str
    complaint: str | None
    """The last words of a test that failed; None when it succeeded."""


def run_suites(checkout: Path, versions: Sequence[str], serving: Serving, together: int = TOGETHER) -> list[Outcome]:
    """Run every test of the versions, some together; raises `BenchError` when the folder is not what it should be."""
    folder = checkout / FOLDER
    wanted: list[tuple[str, str]] = []
    for version in versions:
        if not (folder / f"{SUITES[version]}.py").is_file():
            raise BenchError(f"{folder} has no {SUITES[version]}.py: is {checkout} a checkout of paho.mqtt.testing?")
        names = run(python("bench.paho_case", str(folder), SUITES[version])).split()
        wanted += [(version, name) for name in names]
    with ThreadPoolExecutor(together) as workers:
        return list(workers.map(lambda one: _outcome(folder, one[0], one[1], serving), wanted))


def _outcome(folder: Path, version: str, name: str, serving: Serving) -> Outcome:
    with serving(f"paho-{version}-{name}") as (host, port):
        command = python("bench.paho_case", str(folder), SUITES[version], host, str(port), name)
        try:
            done = subprocess.run(  # noqa: S603  the command is this package's own
                command, capture_output=True, text=True, check=False, timeout=TEST_TIMEOUT_S
            )
        except subprocess.TimeoutExpired:
            return Outcome(version, name, f"not done after {TEST_TIMEOUT_S:.0f} s")
    return Outcome(version, name, _complaint(done.stderr) if done.returncode else None)


def _complaint(said: str) -> str:
    """The last exception that was told: the suites print the first cause, then assert that there was none."""
    told = [line for line in said.splitlines() if "Error" in line.partition(":")[0] or "Exception" in line]
    causes = [line for line in told if "False != True" not in line]
    return (causes or told or said.splitlines() or ["it said nothing"])[-1].strip()
