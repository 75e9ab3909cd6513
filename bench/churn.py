"""Clients come and go for a long time: whether anything in the broker grows.

`./headworks bench churn --minutes 60` is the long form; `broker` has a short one.
"""

import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from bench import bare, certificates
from bench.children import SERVER_CORE, BenchError, await_port, python, resident_kb, started
from bench.churners import Churn, Churned
from bench.contenders import HOST, PORT
from bench.generator import Generator, files_raised, generating
from bench.numbers import median, table

PLAIN_PORT = 20_991
RATE = 300.0
SAMPLES = 120
LEAST_SAMPLE_S = 0.5
REPORT_TIMEOUT_S = 20.0
QUARTERS = 4
MAY_GROW_PERCENT = 2.0


class Sample(msgspec.Struct, frozen=True):
    """What there was at one moment."""

    resident_mb: float
    files: int
    connections: int
    sessions: int
    subscriptions: int
    retained: int


NAMES = {
    "resident_mb": ("resident memory, MB", 3.0),
    "files": ("open files", 100.0),
    "connections": ("connections", 100.0),
    "sessions": ("sessions", 100.0),
    "subscriptions": ("subscriptions", 200.0),
    "retained": ("retained messages", 20.0),
}
"""What each is called, and by how much it may differ by chance besides the percentage: how many clients are there at
a moment depends on how busy the machine is."""


def measure(folder: Path, *, quick: bool, minutes: float) -> str:
    """Let clients come and go for some minutes; gives the table. `quick` is a tenth of them, to see that it works."""
    files_raised()
    minutes = minutes / 10 if quick else minutes
    tls = certificates.written(folder / "certificates")
    command = python("bench.bare", HOST, str(PORT), "--tls", str(tls), "--plain-port", str(PLAIN_PORT))
    log = folder / "log"
    with started(command, log, SERVER_CORE) as child:
        await_port(HOST, PLAIN_PORT, child)
        with generating("bench.churners", folder / "churners") as churners:
            samples, done = _churned(churners, child, log, Churn(HOST, PORT, PLAIN_PORT, str(tls), RATE, 60 * minutes))
    title = (
        f"Clients that come and go: {done.lives:,} lives in {minutes:g} minutes, {sum(done.failures.values()):,} of "
        f"them disturbed; medians of the second and the last quarter"
    )
    said = "".join(f"\n{count:,} x {what}" for what, count in done.failures.items())
    return f"{title}{said}\n\n{_table(samples)}"


def reported(child: "subprocess.Popen[str]", log: Path) -> bare.Report:
    """Ask our own broker what it says of itself; raises `BenchError` when it says nothing."""
    start = log.stat().st_size
    child.send_signal(signal.SIGUSR1)
    deadline = time.monotonic() + REPORT_TIMEOUT_S
    while time.monotonic() < deadline:
        said = log.read_text(encoding="utf-8")[start:]
        if said.endswith("\n"):
            return msgspec.json.decode(said.encode(), type=bare.Report)
        time.sleep(0.05)
    raise BenchError(f"the broker did not report: see {log}")


def _churned(
    churners: Generator, child: "subprocess.Popen[str]", log: Path, task: Churn
) -> tuple[list[Sample], Churned]:
    samples = []
    interval = max(LEAST_SAMPLE_S, task.seconds / SAMPLES)
    churners.tell(task)
    ends_at = time.monotonic() + task.seconds
    while time.monotonic() + interval < ends_at:
        time.sleep(interval)
        seen = reported(child, log)
        files = len(list(Path(f"/proc/{child.pid}/fd").iterdir()))
        samples.append(
            Sample(
                resident_kb(child.pid) / 1024,
                files,
                seen.connections,
                seen.sessions,
                seen.subscriptions,
                seen.retained,
            )
        )
    return samples, churners.hear(Churned)


def _table(samples: Sequence[Sample]) -> str:
    quarter = len(samples) // QUARTERS
    # The first quarter is for the pools to fill.
    early, late = samples[quarter : 2 * quarter], samples[-quarter:]
    rows = []
    for field, (name, by_chance) in NAMES.items():
        before = median([float(getattr(sample, field)) for sample in early])
        after = median([float(getattr(sample, field)) for sample in late])
        is_met = after - before <= before * MAY_GROW_PERCENT / 100 + by_chance
        target = f"grows by at most {MAY_GROW_PERCENT:g} % and {by_chance:g}"
        rows.append(
            [name, f"{before:,.1f}", f"{after:,.1f}", f"{after - before:+,.1f}", target, "yes" if is_met else "NO"]
        )
    return table(("what", "second quarter", "last quarter", "growth", "target", "met"), rows)
