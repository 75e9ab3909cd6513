"""Readings: what they take on the disk, how soon they are there, and how soon they are found again.

Everything in one run: bytes stored and written, questions, the whole gateway under load and on a slow disk, and
others that keep readings beside it.
"""

from pathlib import Path
from typing import TypeVar

import msgspec

from bench import telemetry_load, telemetry_peers
from bench.children import SERVER_CORE, pinned, python, run
from bench.numbers import Spread, table
from bench.telemetry_history import History, Kept
from bench.telemetry_load import RATES, Size
from bench.telemetry_peer import Days
from bench.telemetry_rows import HEAD, Target, judged, plain, said
from bench.telemetry_walk import INTERVAL_MS, METRICS
from bench.telemetry_written import Writing, Written

T = TypeVar("T")

DAY = 20_240
"""1 June 2025: the past is of May, so roll-ups lie in two files."""
PAST_INTERVAL_MS = 600_000

STORED = Target(1.2, "B", 2)
STORED_FULL = Target(8.0, "B", 2)
RAW = Target(5.0, "ms", 2)
MONTH = Target(5.0, "ms", 2)
WIDE = Target(50.0, "ms", 1)
LATEST = Target(20.0, "ms", 1)
DROPPED = Target(0.0, "B", 0)


class Plan(msgspec.Struct, frozen=True):
    """How much of it is done."""

    days: Days
    full_count: int
    """How many devices give doubles of full precision."""
    writing: tuple[Writing, Writing]
    """At each of the two rates; their folders are named later."""
    load: Size


FULL = Plan(
    Days(200, DAY, 29, PAST_INTERVAL_MS, hours=24, fleet_count=10_000, durable_count=100_000),
    full_count=20,
    writing=(
        Writing("", 2_000, 10_000, before_s=600, seconds=600),
        Writing("", 20_000, 100_000, before_s=240, seconds=60),
    ),
    load=Size(10_000, 30.0, before_s=5.0, share=1.0, charted_count=20, charted_hours=24),
)
QUICK = Plan(
    Days(2, DAY, 2, PAST_INTERVAL_MS, hours=1, fleet_count=100, durable_count=1_000),
    full_count=1,
    writing=(Writing("", 2_000, 100, before_s=1, seconds=1), Writing("", 5_000, 500, before_s=1, seconds=1)),
    load=Size(10, 0.5, before_s=0.1, share=0.05, charted_count=1, charted_hours=1),
)


def measure(folder: Path, *, quick: bool) -> str:
    """Measure everything; gives the tables. `quick` is a fraction of each, to see that it works."""
    plan = QUICK if quick else FULL
    sensors = _ran(_history(folder / "sensors", plan.days, plan.days.device_count, is_full=False), Kept)
    doubles = _ran(_history(folder / "doubles", plan.days, plan.full_count, is_full=True), Kept)
    writings = [
        msgspec.structs.replace(writing, folder=str(folder / f"written-{writing.rate}")) for writing in plan.writing
    ]
    written = [_ran(writing, Written) for writing in writings]
    return "\n\n".join(
        [
            _stored_text(plan, sensors, doubles),
            _written_text(writings, written),
            _questions_text(plan.days, sensors),
            telemetry_peers.measure(folder / "peers", plan.days, sensors, written[0]),
            telemetry_load.measure(folder / "load", plan.load),
        ]
    )


def _history(folder: Path, days: Days, device_count: int, *, is_full: bool) -> History:
    return History(
        folder=str(folder),
        device_count=device_count,
        day=days.day,
        past_days=0 if is_full else days.past_days,
        past_interval_ms=days.past_interval_ms,
        hours=days.hours,
        fleet_count=days.fleet_count,
        is_full=is_full,
        is_asked=not is_full,
    )


def _ran(task: History | Writing, answer: type[T]) -> T:
    """Have a process of its own do it, on the core of what is measured."""
    module = "bench.telemetry_history" if isinstance(task, History) else "bench.telemetry_written"
    printed = run(pinned(python(module, msgspec.json.encode(task).decode()), SERVER_CORE))
    return msgspec.json.decode(printed.encode(), type=answer)


def _stored_text(plan: Plan, sensors: Kept, doubles: Kept) -> str:
    title = (
        f"Stored: {len(METRICS)} metrics of each device every {INTERVAL_MS // 1_000} s for {plan.days.hours} hours, "
        f"at moments that waver by 0.1 s; {sensors.reading_count:,} readings that go by steps of a tenth or of one, "
        f"and {doubles.reading_count:,} doubles of full precision"
    )
    rows = []
    for name, kept, target in (("sensors", sensors, STORED), ("doubles", doubles, STORED_FULL)):
        count = kept.reading_count
        rows += [
            judged(f"{name}: each reading, with roll-ups", (kept.sealed_bytes + kept.rollup_bytes) / count, target),
            plain("… until the night after its day", said((kept.open_bytes + kept.rollup_bytes) / count, "B", 2)),
            plain("… of it roll-ups", said(kept.rollup_bytes / count, "B", 2)),
        ]
    return f"{title}\n\n{table(HEAD, rows)}"


def _written_text(writings: list[Writing], written: list[Written]) -> str:
    rows = []
    for writing, seen, rate in zip(writings, written, RATES, strict=True):
        rows += [
            judged(
                f"{writing.rate:,} events a second: each reading", seen.bytes_written / seen.reading_count, rate.written
            ),
            plain("… of it sealing, trimming, rolling up", said(seen.sealing_bytes / seen.reading_count, "B")),
            plain("… events counted, after", f"{seen.event_count:,}, {writing.before_s:,} s"),
            plain("… processor for each event", said(1e6 * seen.cpu_s / seen.event_count, "µs")),
            plain("… events a second, flat out", said(seen.event_count / seen.took_s, "", 0)),
        ]
    title = (
        "Written, in whole pages as Linux counts them for the process: log, day files and roll-ups, a commit for every "
        "100 ms, chunks sealed as steadily as readings come; without sockets, one commit after the other"
    )
    return f"{title}\n\n{table(HEAD, rows)}"


def _questions_text(days: Days, kept: Kept) -> str:
    head = ("what", "p50", "p95", "target", "met")
    whole = days.past_days + 1
    rows = [
        _question(f"{days.hours} hours of one series, raw", kept.raw, RAW),
        _question(f"{whole} days of one series, hourly, out of roll-ups", kept.month_hours, MONTH),
        _question(f"{whole} days of one series, daily, out of roll-ups", kept.month_days, MONTH),
        _question(f"{days.device_count * len(METRICS):,} series, {days.hours} hourly bins each", kept.wide, WIDE),
        _question(f"latest of {days.fleet_count:,} devices, as JSON", kept.latest, LATEST),
        [
            "written to files while a day is dropped",
            DROPPED.said(kept.drop_bytes),
            "",
            *DROPPED.verdict(kept.drop_bytes),
        ],
        ["… by the file system, to let go of it", DROPPED.said(kept.unlink_bytes), "", "", ""],
        ["… and of any file as long", DROPPED.said(kept.bare_bytes), "", "", ""],
        ["… to say in its roll-ups that they stay", DROPPED.said(kept.close_bytes), "", "", ""],
    ]
    title = f"Asked in the process, as its API does, the day sealed; {kept.all_count:,} readings are there"
    return f"{title}\n\n{table(head, rows)}"


def _question(what: str, times: Spread | None, target: Target) -> list[str]:
    if times is None:
        return [what, "not asked", "", "", ""]
    return [what, target.said(times.p50), target.said(times.p95), *target.verdict(times.p50)]
