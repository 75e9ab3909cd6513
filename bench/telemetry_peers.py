"""The same readings and questions, beside others that keep readings: those that are installed here."""

from collections.abc import Callable, Sequence
from pathlib import Path

from bench import telemetry_postgres, telemetry_victoria
from bench.numbers import Spread, table
from bench.telemetry_history import Kept
from bench.telemetry_peer import EVENTS_PER_COMMIT, AbsentError, Days, Peer, Peered
from bench.telemetry_rows import said
from bench.telemetry_walk import METRICS
from bench.telemetry_written import Written

PEERS = (
    Peer("PostgreSQL", "on disk (WAL)", telemetry_postgres.keep),
    Peer("VictoriaMetrics", "in memory, on disk within seconds", telemetry_victoria.keep),
)
OWN_PROMISE = "on disk (SQLite, FULL)"
NOTHING = Spread(0, 0.0, 0.0, 0.0, 0.0)


def measure(folder: Path, days: Days, kept: Kept, written: Written, peers: Sequence[Peer] = PEERS) -> str:
    """Have every peer keep the readings, one after the other; gives the table. One that is absent is named."""
    columns = {"headworks": (_own(kept, written), OWN_PROMISE)}
    absent = []
    for peer in peers:
        scratch = folder / peer.name.lower()
        scratch.mkdir(parents=True)
        try:
            columns[peer.name] = (peer.keep(scratch, days), peer.promise)
        except AbsentError as error:
            absent.append(f"{peer.name} is absent: {error}.")
    title = (
        f"{days.device_count:,} devices with {len(METRICS)} metrics, {days.hours} hours at an event every 5 s and "
        f"{days.past_days} days before them at one every {days.past_interval_ms // 60_000} minutes; "
        "medians of questions"
    )
    return "\n\n".join([f"{title}\n\n{_table(columns, days)}", *absent])


def _own(kept: Kept, written: Written) -> Peered:
    return Peered(
        bytes_each=(kept.sealed_bytes + kept.rollup_bytes) / kept.reading_count,
        durable_rate=written.reading_count / written.took_s,
        raw=kept.raw or NOTHING,
        month=kept.month_hours or NOTHING,
        wide=kept.wide or NOTHING,
        latest=kept.latest or NOTHING,
    )


def _table(columns: dict[str, tuple[Peered, str]], days: Days) -> str:
    def row(what: str, cell: Callable[[Peered], str]) -> list[str]:
        return [what, *[cell(peered) for peered, _ in columns.values()]]

    rows = [
        row("stored for each reading", lambda one: said(one.bytes_each, "B", 2)),
        row(
            f"readings a second, {EVENTS_PER_COMMIT * len(METRICS):,} to a commit",
            lambda one: said(one.durable_rate, "", 0),
        ),
        ["… a reading that was taken is", *[promise for _, promise in columns.values()]],
        row(f"{days.hours} hours of one series, raw", lambda one: _ms(one.raw)),
        row(f"{days.past_days + 1} days of one series, hourly", lambda one: _ms(one.month)),
        row(f"{days.device_count * len(METRICS):,} series, hourly bins", lambda one: _ms(one.wide)),
        row(f"latest of {days.fleet_count:,} devices", lambda one: _ms(one.latest)),
    ]
    return table(("what", *columns), rows)


def _ms(times: Spread) -> str:
    return said(times.p50, "ms", 2)
