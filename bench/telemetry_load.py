"""Events through the whole gateway, from a device's PUBLISH to its PUBACK, over mutual TLS and onto the disk."""

import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from bench.children import (
    LOAD_CORE,
    SERVER_CORE,
    BenchError,
    await_port,
    cpu_seconds,
    pinned,
    python,
    resident_kb,
    run,
    started,
    stolen_seconds,
)
from bench.crowd import Gathered
from bench.gateway import HOST, TLS_PORT, WEB_PORT, Prepared, counted, prepared
from bench.generator import Generator, files_raised, generating
from bench.message import device_ids
from bench.numbers import table
from bench.telemetry_charts import Looked, Looking
from bench.telemetry_crowd import Delivered, Devices, Load
from bench.telemetry_disk import STALL_EVERY, STALL_MS, SYNC_MS, device_written_bytes, slow_library, slowed
from bench.telemetry_past import past_count
from bench.telemetry_rig import written_bytes
from bench.telemetry_rows import HEAD, STOLEN, Target, judged, plain, said
from bench.telemetry_walk import METRICS

AT_ONCE = 50
PATIENCE_S = 240.0
SETTLE_S = 3.0
SAMPLE_S = 0.5
SPARE_FILES = 500
CHARTS_A_SECOND = 20.0
CHART_METRIC = "pressure"
CHART_READINGS = 20_000
READINGS_OF_EVENT = len(METRICS)
"""Of `bench.message` as of a walk. Battery and signal are kept beside them, but not counted."""
SETTINGS = """
[limits]
connections = 20_000
connections_per_address = 20_000
"""

P50, P95, P99 = (Target(most, "ms") for most in (67.0, 124.0, 289.0))
SLOW_P50, SLOW_P99 = Target(110.0, "ms"), Target(700.0, "ms")
RESIDENT = Target(700.0, "MB", 0)
NOTHING = Target(0.0, "events", 0)
CHART_RATIO = Target(1.2, "", 2)


class Rate(msgspec.Struct, frozen=True):
    """So many events a second, and what they may cost."""

    per_second: float
    cpu: Target
    written: Target
    is_awake: bool = False
    """Whether the generator never sleeps meanwhile."""


RATES = (
    Rate(2_000.0, Target(25.0, "%", 0), Target(20.0, "B")),
    Rate(20_000.0, Target(90.0, "%", 0), Target(8.0, "B"), is_awake=True),
)


class Size(msgspec.Struct, frozen=True):
    """How much of it is done."""

    device_count: int
    seconds: float
    before_s: float
    """How long they publish before anything is measured."""
    share: float
    """Of each rate."""
    charted_count: int
    """Of how many devices charts are asked for."""
    charted_hours: int


class Phase(msgspec.Struct, frozen=True):
    """What one rate came to."""

    rate: float
    seconds: float
    delivered: Delivered
    cpu_percent: float
    """All that the events cost, by the seconds in which they were due: above 100 it cannot keep up."""
    stolen_percent: float
    """What other virtual machines took of the gateway's core."""
    peak_kb: int
    written: int
    """By the gateway's process."""
    device_written: int | None
    """By everybody, to the device."""

    @property
    def readings(self) -> int:
        """How many were acknowledged."""
        return self.delivered.acknowledged * READINGS_OF_EVENT


class Site(msgspec.Struct, frozen=True):
    """The gateway while it runs, and who publishes to it."""

    made: Prepared
    pid: int
    crowd: Generator
    size: Size
    gathered: Gathered


def measure(folder: Path, size: Size) -> str:
    """Run everything; gives the tables."""
    allowed = files_raised() - SPARE_FILES
    size = msgspec.structs.replace(size, device_count=min(size.device_count, allowed))
    made = prepared(folder / "gateway", size.device_count, SETTINGS)
    now = int(time.time() * 1_000)
    run(python("bench.telemetry_past", str(made.folder), str(size.charted_count), str(size.charted_hours), str(now)))
    acknowledged = [0] * size.device_count
    parts = []
    with _site(made, size, None) as site:
        idle = _paced(site, RATES[0])
        looked, busy = _looked_at(site)
        phases = [idle, _paced(site, RATES[1])]
        _add(acknowledged, phases[-1].delivered)
        parts += [_phase_text(site, phase, rate) for phase, rate in zip(phases, RATES, strict=True)]
        parts.append(_charts_text(size, idle, busy, looked))
    library = slow_library(made.folder)
    if library is None:
        parts.append("No C compiler (cc, gcc or clang) is installed: the slow disk is absent.")
    else:
        with _site(made, size, library) as site:
            slow = [_paced(site, rate) for rate in RATES]
            _add(acknowledged, slow[-1].delivered)
        parts.append(_slow_text(slow))
    parts.append(_kept_text(made, acknowledged, size))
    return "\n\n".join(parts)


@contextmanager
def _site(made: Prepared, size: Size, library: Path | None) -> Iterator[Site]:
    command = python("appliance", "run", "--config", str(made.settings))
    with (
        started(slowed(command, library) if library else command, made.log, SERVER_CORE) as child,
        generating("bench.telemetry_crowd", made.log) as crowd,
    ):
        await_port(HOST, TLS_PORT, child)
        task = Devices(HOST, TLS_PORT, str(made.bundles), size.device_count, AT_ONCE, PATIENCE_S)
        gathered = crowd.ask(task, Gathered)
        time.sleep(SETTLE_S)
        # The first messages of a connection cost more than those after them.
        crowd.ask(Load(RATES[0].per_second * size.share, size.before_s), Delivered)
        yield Site(made, child.pid, crowd, size, gathered)


def _paced(site: Site, rate: Rate) -> Phase:
    per_second, seconds, pid = rate.per_second * site.size.share, site.size.seconds, site.pid
    written, device = written_bytes(pid), device_written_bytes(site.made.folder)
    peak_kb = [resident_kb(pid)]
    ended = threading.Event()
    watching = threading.Thread(target=_watch, args=(pid, peak_kb, ended))
    watching.start()
    cpu, stolen, began_at = cpu_seconds(pid), stolen_seconds(SERVER_CORE), time.monotonic()
    try:
        delivered = site.crowd.ask(Load(per_second, seconds, rate.is_awake), Delivered)
    finally:
        ended.set()
        watching.join()
    cpu_percent = 100 * (cpu_seconds(pid) - cpu) / seconds
    stolen_percent = 100 * (stolen_seconds(SERVER_CORE) - stolen) / (time.monotonic() - began_at)
    after = device_written_bytes(site.made.folder)
    return Phase(
        rate=per_second,
        seconds=seconds,
        delivered=delivered,
        cpu_percent=cpu_percent,
        stolen_percent=stolen_percent,
        peak_kb=max(peak_kb),
        written=written_bytes(pid) - written,
        device_written=None if device is None or after is None else after - device,
    )


def _watch(pid: int, seen_kb: list[int], ended: threading.Event) -> None:
    while not ended.wait(SAMPLE_S):
        seen_kb.append(resident_kb(pid))


def _looked_at(site: Site) -> tuple[Looked, Phase]:
    """The lower rate again, while people look at charts."""
    made = site.made
    token = run(python("appliance", "token", "add", "bench", "--config", str(made.settings))).strip()
    paths = tuple(
        f"/v1/devices/{name}/telemetry?metric={CHART_METRIC}&limit={CHART_READINGS}"
        for name in device_ids(site.size.charted_count)
    )
    certificate = made.folder / "data" / "pki" / "web-ca.pem"
    task = Looking(HOST, WEB_PORT, str(certificate), token, paths, CHARTS_A_SECOND, site.size.seconds)
    command = pinned(python("bench.telemetry_charts", msgspec.json.encode(task).decode()), LOAD_CORE)
    with (
        made.log.open("a", encoding="utf-8") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as child,  # noqa: S603  our own
    ):
        try:
            phase = _paced(site, RATES[0])
            printed, _ = child.communicate(timeout=PATIENCE_S)
        finally:
            child.kill()
    if child.returncode:
        raise BenchError(f"nobody could look at charts: see {made.log}")
    return msgspec.json.decode(printed.encode(), type=Looked), phase


def _add(acknowledged: list[int], delivered: Delivered) -> None:
    """Count what a generator saw acknowledged, when it is through."""
    for place, count in enumerate(delivered.by_device):
        acknowledged[place] += count


def _phase_text(site: Site, phase: Phase, rate: Rate) -> str:
    seen, latency = phase.delivered, phase.delivered.latency
    title = (
        f"{site.size.device_count:,} devices over mutual TLS, {phase.rate:,.0f} events a second of 500 bytes with "
        f"{READINGS_OF_EVENT} readings, QoS 1, {phase.seconds:g} s: {seen.sent:,} sent"
    )
    device = "not known here" if phase.device_written is None else _each(phase.device_written, phase)
    rows = [
        judged("sent, but not acknowledged", float(seen.sent - seen.acknowledged), NOTHING),
        plain("acknowledged a second, while messages were due", said(seen.in_time / phase.seconds, "", 0)),
        judged("acknowledgement p50", latency.p50, P50),
        judged("acknowledgement p95", latency.p95, P95),
        judged("acknowledgement p99", latency.p99, P99),
        plain("acknowledgement, longest", said(latency.longest, "ms")),
        judged("processor, of one core", phase.cpu_percent, rate.cpu),
        plain(STOLEN, said(phase.stolen_percent, "%", 0)),
        judged("resident memory at its peak", phase.peak_kb / 1024, RESIDENT),
        judged("written for each reading, by the process", phase.written / max(1, phase.readings), rate.written),
        plain("… by everybody, to the device", device),
        plain("connections lost", f"{seen.lost_connections:,}"),
        plain("connections made a second", said(site.size.device_count / site.gathered.seconds, "", 0)),
        plain("generator late by, p99", said(seen.lateness.p99, "ms")),
        plain("generator's processor", said(seen.generator_percent, "%", 0)),
    ]
    return f"{title}\n\n{table(HEAD, rows)}"


def _each(written: int, phase: Phase) -> str:
    return said(written / max(1, phase.readings), "B")


def _charts_text(size: Size, idle: Phase, busy: Phase, looked: Looked) -> str:
    ratio = busy.delivered.latency.p99 / max(1e-3, idle.delivered.latency.p99)
    title = (
        f"{idle.rate:,.0f} events a second while {CHARTS_A_SECOND:g} charts a second are asked for over HTTPS, each "
        f"{size.charted_hours} hours of one series, {looked.bytes_each / 1_000:,.0f} kB of JSON"
    )
    rows = [
        plain("acknowledgement p99, nobody looks", said(idle.delivered.latency.p99, "ms")),
        plain("acknowledgement p99, people look", said(busy.delivered.latency.p99, "ms")),
        judged("… of the one before", ratio, CHART_RATIO),
        plain("processor, of one core", said(busy.cpu_percent, "%", 0)),
        plain(f"{STOLEN}, without charts and under them", f"{idle.stolen_percent:.0f}, {busy.stolen_percent:.0f} %"),
        plain("charts shown, refused", f"{looked.count:,}, {looked.refused:,}"),
        plain("chart p50", said(looked.times.p50, "ms")),
        plain("chart p99", said(looked.times.p99, "ms")),
        plain("generator late by, p99", said(busy.delivered.lateness.p99, "ms")),
    ]
    return f"{title}\n\n{table(HEAD, rows)}"


def _slow_text(phases: Sequence[Phase]) -> str:
    rows = []
    for phase in phases:
        seen = phase.delivered
        rows += [
            plain(
                f"{phase.rate:,.0f} events a second: acknowledged a second", said(seen.in_time / phase.seconds, "", 0)
            ),
            judged("… sent, but not acknowledged", float(seen.sent - seen.acknowledged), NOTHING),
            judged("… acknowledgement p50", seen.latency.p50, SLOW_P50),
            plain("… acknowledgement p95", said(seen.latency.p95, "ms")),
            judged("… acknowledgement p99", seen.latency.p99, SLOW_P99),
            plain("… processor, of one core", said(phase.cpu_percent, "%", 0)),
            plain(f"… {STOLEN}", said(phase.stolen_percent, "%", 0)),
            plain("… generator late by, p99", said(seen.lateness.p99, "ms")),
        ]
    title = (
        f"The same, {phases[0].seconds:g} s each, on a disk of which every fsync takes {SYNC_MS} ms more, and every "
        f"{STALL_EVERY}th {STALL_MS} ms more than that"
    )
    return f"{title}\n\n{table(HEAD, rows)}"


def _kept_text(made: Prepared, acknowledged: Sequence[int], size: Size) -> str:
    disk = counted(made)
    count = past_count(size.charted_hours)
    of_the_past = [count if place < size.charted_count else 0 for place in range(len(acknowledged))]
    missing = sum(
        max(0, acked + past - kept) for acked, past, kept in zip(acknowledged, of_the_past, disk.readings, strict=True)
    )
    rows = [
        judged("acknowledged, but not on disk", float(missing), NOTHING),
        plain("acknowledged in all", f"{sum(acknowledged):,}"),
        plain("readings of one metric found", f"{sum(disk.readings) - sum(of_the_past):,}"),
    ]
    return f"Every device asked afterwards, through the gateway's own code\n\n{table(HEAD, rows)}"
