"""VictoriaMetrics as Debian has it, with its defaults: the line protocol in, its HTTP interface out."""

import http.client
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from urllib.parse import urlencode

from bench.children import SERVER_CORE, BenchError, await_port, started
from bench.message import device_ids
from bench.numbers import Spread, spread
from bench.telemetry_peer import ROUNDS, AbsentError, Days, Event, Peered
from bench.telemetry_rig import size_bytes
from bench.telemetry_walk import METRICS

HOST = "127.77.0.1"
PORT = 20_992
BATCH = 5_000
TIMEOUT_S = 300.0
_HOUR_S = 3_600


class _Client:
    """One connection."""

    def __init__(self) -> None:
        self._connection = http.client.HTTPConnection(HOST, PORT, timeout=TIMEOUT_S)

    def ask(self, path: str, **parameters: object) -> bytes:
        """What it answers; raises `BenchError` when it refuses."""
        return self._call("GET", f"{path}?{urlencode(parameters)}", b"")

    def put(self, measurement: str, events: Iterable[Event]) -> None:
        """Have it take events."""
        lines = [
            f"{measurement},device={device} "
            + ",".join([f"{metric}={value!r}" for metric, value in zip(METRICS, values, strict=True)])
            + f" {at}\n"
            for device, at, values in events
        ]
        self._call("POST", "/write?precision=ms", "".join(lines).encode())

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def _call(self, method: str, path: str, body: bytes) -> bytes:
        self._connection.request(method, path, body)
        answer = self._connection.getresponse()
        said = answer.read()
        if answer.status >= http.client.BAD_REQUEST:
            raise BenchError(f"VictoriaMetrics answered {answer.status} to {path[:80]}: {said[:300]!r}")
        return said


def keep(folder: Path, days: Days) -> Peered:
    """Take the readings, and ask. Raises `AbsentError`."""
    with _serving(folder, "days") as client:
        events = days.events()
        count = 0
        while batch := list(islice(events, BATCH)):
            client.put("m", batch)
            count += len(batch)
        client.ask("/internal/force_flush")
    # What is in memory is written when it stops.
    each = size_bytes([folder / "days"]) / (count * len(METRICS))
    with _serving(folder, "days") as client:
        fleet = days.fleet()
        while batch := list(islice(fleet, BATCH)):
            client.put("f", batch)
        began = time.perf_counter()
        for commit in days.durable():
            client.put("b", commit)
        rate = days.durable_count * len(METRICS) / (time.perf_counter() - began)
        client.ask("/internal/force_flush")
        return Peered(each, rate, *_queries(client, days))


def _queries(client: _Client, days: Days) -> tuple[Spread, Spread, Spread, Spread]:
    (start, end), (first, _) = days.span, days.whole_span
    names = device_ids(days.device_count)
    hourly = {"step": _HOUR_S, "end": end // 1_000, "nocache": 1}
    metric = f"m_{METRICS[0]}"

    def raw(name: str) -> None:
        match = f'{metric}{{device="{name}"}}'
        _require(client.ask("/api/v1/export", **{"match[]": match, "start": start / 1_000, "end": end / 1_000}))

    def month(name: str) -> None:
        query = f'avg_over_time({metric}{{device="{name}"}}[1h])'
        _require(client.ask("/api/v1/query_range", query=query, start=first // 1_000 + _HOUR_S, **hourly))

    def wide(_: str) -> None:
        query = 'avg_over_time({__name__=~"m_.*"}[1h]) keep_metric_names'
        _require(client.ask("/api/v1/query_range", query=query, start=start // 1_000 + _HOUR_S, **hourly))

    def latest(_: str) -> None:
        query = 'last_over_time({__name__=~"f_.*"}[1d]) keep_metric_names'
        _require(client.ask("/api/v1/query", query=query, time=end // 1_000, nocache=1))

    spreads = []
    for question in (raw, month, wide, latest):
        question(names[0])
        times = []
        for place in range(ROUNDS):
            begun = time.perf_counter_ns()
            question(names[place * 7 % len(names)])
            times.append(time.perf_counter_ns() - begun)
        spreads.append(spread(times))
    return spreads[0], spreads[1], spreads[2], spreads[3]


def _require(answer: bytes) -> None:
    if b'"values":[' not in answer and b'"value":[' not in answer:
        raise BenchError(f"VictoriaMetrics found nothing: {answer[:200]!r}")


@contextmanager
def _serving(folder: Path, name: str) -> Iterator[_Client]:
    program = shutil.which("victoria-metrics")
    if program is None:
        raise AbsentError("VictoriaMetrics is not installed; on Debian: sudo apt-get install -y victoria-metrics")
    command = [program, f"-storageDataPath={folder / name}", f"-httpListenAddr={HOST}:{PORT}", "-retentionPeriod=100y"]
    with started(command, folder / "log", SERVER_CORE) as child:
        await_port(HOST, PORT, child)
        client = _Client()
        try:
            yield client
        finally:
            client.close()
