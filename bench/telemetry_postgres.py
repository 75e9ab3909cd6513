"""PostgreSQL as Debian has it, with its defaults: a row for each event, and an index of device and moment."""

import os
import pwd
import re
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.children import SERVER_CORE, BenchError, await_port, run, started
from bench.message import device_ids
from bench.numbers import Spread, spread
from bench.telemetry_peer import EVENTS_PER_COMMIT, ROUNDS, AbsentError, Days, Event, Peered
from bench.telemetry_walk import METRICS

HOST = "127.77.0.1"
PORT = 20_991
USER = "nobody"
"""Who the server runs as where this is run by root, which it refuses."""
_FOLDERS = "/usr/lib/postgresql"
_CAPABILITIES = "+dac_override,+dac_read_search"
_TIME = re.compile(r"^Time: ([0-9.]+) ms", re.MULTILINE)
_COLUMNS = [metric.lower() for metric in METRICS]


def keep(folder: Path, days: Days) -> Peered:
    """Take the readings, and ask. Raises `AbsentError`."""
    with _serving(folder):
        _said(
            *[
                f"CREATE TABLE {name} (device integer NOT NULL, at bigint NOT NULL,"
                f" {', '.join(f'{column} double precision' for column in _COLUMNS)});"
                f" CREATE INDEX ON {name} (device, at);"
                for name in ("reading", "fleet", "burst")
            ]
        )
        numbers = {
            name: number
            for number, name in enumerate(device_ids(max(days.device_count, days.fleet_count, EVENTS_PER_COMMIT)))
        }
        _copy("reading", (_line(event, numbers) for event in days.events()))
        _copy("fleet", (_line(event, numbers) for event in days.fleet()))
        rate = _durable_rate(days, numbers)
        _said("VACUUM ANALYZE;", "CHECKPOINT;")
        size = int(_said("SELECT pg_total_relation_size('reading');"))
        count = int(_said("SELECT count(*) FROM reading;")) * len(METRICS)
        return Peered(size / count, rate, *_queries(days))


def _queries(days: Days) -> tuple[Spread, Spread, Spread, Spread]:
    (start, end), (first, _) = days.span, days.whole_span
    numbers = [place * 7 % days.device_count for place in range(ROUNDS)]
    metric = _COLUMNS[0]
    averages = ", ".join(f"avg({column})" for column in _COLUMNS)
    where = "FROM reading WHERE device = {} AND at >= {} AND at < {}"
    return (
        _timed(f"SELECT at, {metric} {where.format(number, start, end)} ORDER BY at;" for number in numbers),
        _timed(
            f"SELECT at / 3600000, avg({metric}) {where.format(number, first, end)} GROUP BY 1 ORDER BY 1;"
            for number in numbers
        ),
        _timed(
            f"SELECT device, at / 3600000, {averages} FROM reading WHERE at >= {start} AND at < {end} GROUP BY 1, 2;"
            for _ in numbers
        ),
        _timed("SELECT DISTINCT ON (device) * FROM fleet ORDER BY device, at DESC;" for _ in numbers),
    )


@contextmanager
def _serving(folder: Path) -> Iterator[None]:
    """The server while it listens."""
    tools = _tools()
    store = folder / "store"
    store.mkdir(mode=0o700)
    runner: list[str] = []
    if os.geteuid() == 0:
        user = pwd.getpwnam(USER)
        os.chown(store, user.pw_uid, user.pw_gid)
        # It reaches its folder through others that are root's alone, and may do nothing else that root may.
        runner = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
        runner += [f"--inh-caps={_CAPABILITIES}", f"--ambient-caps={_CAPABILITIES}"]
    run([*runner, str(tools / "initdb"), "-A", "trust", "-U", "bench", "-E", "UTF8", "--locale=C", "-D", str(store)])
    command = [*runner, str(tools / "postgres"), "-D", str(store), "-h", HOST, "-p", str(PORT), "-k", ""]
    with started(command, folder / "log", SERVER_CORE) as child:
        await_port(HOST, PORT, child)
        _await_answer(child)
        yield


def _await_answer(child: subprocess.Popen[str]) -> None:
    """It listens a moment before it answers."""
    for _ in range(100):
        try:
            _said("SELECT 1;")
        except BenchError:
            if child.poll() is not None:
                raise
            time.sleep(0.1)
        else:
            return
    raise BenchError("PostgreSQL listens and does not answer")


def _tools() -> Path:
    """Where the newest of its versions lies."""
    found = sorted(Path(_FOLDERS).glob("*/bin/initdb"), key=lambda path: float(path.parent.parent.name))
    if not found or shutil.which("psql") is None:
        raise AbsentError("PostgreSQL is not installed; on Debian: sudo apt-get install -y postgresql")
    return found[-1].parent


def _client(*arguments: str) -> list[str]:
    address = ["-h", HOST, "-p", str(PORT), "-U", "bench", "-d", "postgres"]
    return ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", *address, *arguments]


def _said(*statements: str) -> str:
    """What the last of some statements printed."""
    return run(_client("-A", "-t", *[part for statement in statements for part in ("-c", statement)])).strip()


def _fed(lines: Iterable[str], *arguments: str) -> str:
    """Have the client read lines, and give what it printed; raises `BenchError` when it fails."""
    with subprocess.Popen(  # noqa: S603  its own client
        _client(*arguments), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as client:
        if client.stdin is None or client.stdout is None:
            raise BenchError("psql has no pipes")
        with client.stdin as pipe:
            pipe.writelines(lines)
        printed = client.stdout.read()
    if client.returncode:
        raise BenchError(f"psql ended with status {client.returncode}")
    return printed


def _copy(name: str, lines: Iterable[str]) -> None:
    _fed(lines, "-c", f"COPY {name} FROM STDIN")


def _line(event: Event, numbers: dict[str, int]) -> str:
    device, at, values = event
    return "\t".join([str(numbers[device]), str(at), *map(repr, values)]) + "\n"


def _durable_rate(days: Days, numbers: dict[str, int]) -> float:
    """Readings a second, each commit on the disk before the next one."""
    lines = []
    for events in days.durable():
        lines += ["COPY burst FROM STDIN;\n", *[_line(event, numbers) for event in events], "\\.\n"]
    began = time.perf_counter()
    _fed(lines, "-f", "-")
    return days.durable_count * len(METRICS) / (time.perf_counter() - began)


def _timed(statements: Iterable[str]) -> Spread:
    """How long each of some questions took, all rows fetched; the first one twice, and only its second time counts."""
    asked: Sequence[str] = list(statements)
    printed = _fed([f"{text}\n" for text in (asked[0], *asked)], "-c", "\\timing on", "-c", "\\o /dev/null", "-f", "-")
    times = [round(float(text) * 1e6) for text in _TIME.findall(printed)]
    if len(times) != len(asked) + 1:
        raise BenchError(f"psql told {len(times)} times of {len(asked) + 1} questions")
    return spread(times[1:])
