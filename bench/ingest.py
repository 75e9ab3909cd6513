"""The load that this gateway is for: 2,000 devices over mutual TLS, each an event of 500 bytes a second."""

from pathlib import Path

from bench.gateway import HOST, TLS_PORT, OnDisk, counted, prepared, running
from bench.load import Load
from bench.measure import Measured, measured
from bench.numbers import table

DEVICE_COUNT = 2_000
RATE = 2_000.0
SECONDS = 60.0

TARGET_P50_MS = 67.0
TARGET_P95_MS = 124.0
TARGET_P99_MS = 289.0
TARGET_CPU_PERCENT = 40.0
TARGET_PEAK_MB = 250.0


def measure(folder: Path, *, quick: bool) -> str:
    """Run the load and count the disk; gives the table. `quick` is a tenth of it, to see that it works."""
    share = 10 if quick else 1
    made = prepared(folder / "ingest", DEVICE_COUNT // share)
    load = Load(HOST, TLS_PORT, str(made.bundles), made.device_count, SECONDS / share, RATE / share)
    with running(made) as gateway:
        seen = measured(load, gateway.pid, made.log)
    return _text(load, seen, counted(made))


def _text(load: Load, seen: Measured, disk: OnDisk) -> str:
    result = seen.result
    title = (
        f"{load.device_count:,} devices over mutual TLS, {load.rate:,.0f} events a second of 500 bytes, QoS 1, "
        f"{load.seconds:.0f} s: {result.sent_count:,} sent"
    )
    missing = sum(max(0, acked - stored) for acked, stored in zip(result.acknowledged, disk.readings, strict=True))
    rows = [
        _row("acknowledged, but not on disk", float(missing), 0, "events", 0),
        _row("sent, but not acknowledged", float(result.sent_count - seen.acknowledged_count), 0, "events", 0),
        _row("acknowledgement p50", result.latency.p50, TARGET_P50_MS, "ms", 1),
        _row("acknowledgement p95", result.latency.p95, TARGET_P95_MS, "ms", 1),
        _row("acknowledgement p99", result.latency.p99, TARGET_P99_MS, "ms", 1),
        ["acknowledgement, longest", f"{result.latency.longest:,.1f} ms", "", ""],
        _row("processor, of one core", seen.cpu_percent, TARGET_CPU_PERCENT, "%", 1),
        _row("resident memory at its peak", seen.peak_kb / 1024, TARGET_PEAK_MB, "MB", 0),
        ["resident memory before the first device", f"{seen.idle_kb / 1024:,.0f} MB", "", ""],
        ["memory of an idle connection", f"{seen.kb_per_connection:,.1f} kB", "", ""],
        ["connections made a second", f"{load.device_count / result.connect_seconds:,.0f}", "", ""],
        ["processor time of a connection made", f"{seen.connect_cpu_ms:,.2f} ms", "", ""],
        ["connections lost", f"{result.lost_connections:,}", "", ""],
        ["events in the log, as readings", f"{disk.logged:,}, {sum(disk.readings):,}", "", ""],
        ["generator late by, p99", f"{result.lateness.p99:,.1f} ms", "", ""],
    ]
    return f"{title}\n\n{table(('what', 'measured', 'target', 'met'), rows)}"


def _row(what: str, value: float, target: float, unit: str, digits: int) -> list[str]:
    met = "yes" if value <= target else "NO"
    return [what, f"{value:,.{digits}f} {unit}", f"at most {target:,.0f} {unit}", met]
