"""Shadows and commands through the whole gateway, over mutual TLS and onto the disk.

Updates by the clock and as fast as it goes; a fleet that comes back and fetches its shadows; a command for each of
10,000 connected devices.
"""

import math
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from bench.children import SERVER_CORE, await_port, cpu_seconds, python, resident_kb, run, started, stolen_seconds
from bench.crowd import Gathered
from bench.gateway import HOST, TLS_PORT, Prepared, prepared
from bench.generator import Generator, files_raised, generating
from bench.message import device_ids
from bench.numbers import Spread, spread, table
from bench.operator import Operator
from bench.plane_crowd import Ordered, Orders, Return, Returned, Updated, Updates
from bench.telemetry_crowd import Devices
from bench.telemetry_load import AT_ONCE, PATIENCE_S, SETTINGS, SPARE_FILES
from bench.telemetry_rows import HEAD, STOLEN, Target, judged, plain, said

SETTLE_S = 2.0
RETURNING_AT_ONCE = 100
POLL_S = 0.2
PREFIX = "load-"
"""What the names of `bench.message.device_ids` begin with."""

RATE = 3_000.0
ROUNDS = 9
ROUND_S = 10.0
"""Of the rate that is asked for, on a core of its own: so many rounds of which other virtual machines took little."""
STOLEN_LIMIT_PERCENT = 5.0
"""A core of which they took more for ten seconds was not one for the gateway: such a round is told and not judged."""
ROUNDS_LIMIT = 36
"""How many are begun for that, at the most."""
BURST = 6_000.0
"""More than is asked for: what it comes to then is all that it can do."""
BURST_S = 30.0
P99 = Target(150.0, "ms")
RETURN = Target(60.0, "s")
DISPATCHED = Target(2.0, "s", 2)
SETTLED = Target(10.0, "s", 2)
NOTHING = Target(0.0, "", 0)


class Size(msgspec.Struct, frozen=True):
    """How much of it is done."""

    updating_count: int
    fleet_count: int
    share_of_rate: float
    share_of_time: float


FULL = Size(1_000, 10_000, 1.0, 1.0)
QUICK = Size(20, 60, 0.05, 0.05)


class Round(msgspec.Struct, frozen=True):
    """What some seconds of updates came to."""

    updated: Updated
    latency: Spread
    cpu_percent: float
    stolen_percent: float
    """What other virtual machines took of the gateway's core."""

    @property
    def is_judged(self) -> bool:
        """Whether the core was the gateway's."""
        return self.stolen_percent <= STOLEN_LIMIT_PERCENT


class Phase(msgspec.Struct, frozen=True):
    """What one rate of updates came to."""

    rate: float
    seconds: float
    """Of each round."""
    rounds: list[Round]

    @property
    def accepted(self) -> int:
        """How many were accepted in all."""
        return sum(one.updated.accepted for one in self.rounds)

    def each(self, value: Callable[[Round], float], unit: str) -> str:
        """A value of each round."""
        return f"{', '.join(f'{value(one):,.0f}' for one in self.rounds)} {unit}"

    @staticmethod
    def latency(rounds: Iterable[Round]) -> Spread:
        """Of all updates of some rounds."""
        return spread([one for each in rounds for one in each.updated.latencies])

    @property
    def judged_rounds(self) -> list[Round]:
        """Those in which the core was the gateway's."""
        return [one for one in self.rounds if one.is_judged]


class Settled(msgspec.Struct, frozen=True):
    """What a command for every device came to."""

    asked_at: float
    ordered: Ordered
    settled_s: float
    succeeded: int
    cpu_s: float


def measure(folder: Path, *, quick: bool) -> str:
    """Run everything; gives the tables. `quick` is a fraction of it, to see that it works."""
    size = QUICK if quick else FULL
    allowed = files_raised() - SPARE_FILES
    size = msgspec.structs.replace(size, fleet_count=min(size.fleet_count, allowed))
    made = prepared(folder / "gateway", size.fleet_count, SETTINGS)
    token = run(python("appliance", "token", "add", "bench", "--config", str(made.settings))).strip()
    command = python("appliance", "run", "--config", str(made.settings))
    with started(command, made.log, SERVER_CORE) as child:
        await_port(HOST, TLS_PORT, child)
        with generating("bench.plane_crowd", made.log) as crowd:
            _gathered(crowd, made, size.updating_count)
            phases = [
                _phase(crowd, child.pid, size, rate, rounds, seconds * size.share_of_time)
                for rate, rounds, seconds in ((RATE, ROUNDS, ROUND_S), (BURST, 1, BURST_S))
            ]
    with started(command, made.log, SERVER_CORE) as child:
        await_port(HOST, TLS_PORT, child)
        operator = Operator(made.folder / "data" / "pki" / "web-ca.pem", token)
        kept = sum(operator.version(name) for name in device_ids(size.updating_count))
        with generating("bench.plane_crowd", made.log) as crowd:
            gathered = _gathered(crowd, made, size.fleet_count)
            cpu = cpu_seconds(child.pid)
            returned = crowd.ask(Return(RETURNING_AT_ONCE, PATIENCE_S), Returned)
            return_cpu_s = cpu_seconds(child.pid) - cpu
            time.sleep(SETTLE_S)
            settled = _ordered(crowd, operator, child.pid, size.fleet_count)
        resident = resident_kb(child.pid) / 1024
    missing = sum(phase.accepted for phase in phases) - kept
    return "\n\n".join(
        [
            *[_phase_text(size, phase, missing) for phase in phases],
            _return_text(size, gathered, returned, return_cpu_s),
            _settled_text(size, settled, resident),
        ]
    )


def _gathered(crowd: Generator, made: Prepared, count: int) -> Gathered:
    gathered = crowd.ask(Devices(HOST, TLS_PORT, str(made.bundles), count, AT_ONCE, PATIENCE_S), Gathered)
    time.sleep(SETTLE_S)
    return gathered


def _phase(crowd: Generator, pid: int, size: Size, rate: float, rounds: int, seconds: float) -> Phase:
    phase = Phase(rate, seconds, [])
    while len(phase.judged_rounds) < rounds and len(phase.rounds) < rounds * ROUNDS_LIMIT // ROUNDS:
        phase.rounds.append(_updated(crowd, pid, rate * size.share_of_rate, seconds))
    return phase


def _updated(crowd: Generator, pid: int, rate: float, seconds: float) -> Round:
    cpu, stolen, began_at = cpu_seconds(pid), stolen_seconds(SERVER_CORE), time.monotonic()
    updated = crowd.ask(Updates(rate, seconds), Updated)
    # All that the updates cost, by the seconds in which they were due; but they are waited for longer than that.
    cpu_percent = 100 * (cpu_seconds(pid) - cpu) / seconds
    stolen_percent = 100 * (stolen_seconds(SERVER_CORE) - stolen) / (time.monotonic() - began_at)
    return Round(updated, spread(updated.latencies), cpu_percent, stolen_percent)


def _ordered(crowd: Generator, operator: Operator, pid: int, count: int) -> Settled:
    """Send one command to all, and see when the ledger says that all have ended."""
    crowd.ask(Orders(PATIENCE_S), Orders)
    asked_at, cpu = time.monotonic(), cpu_seconds(pid)
    batch = operator.order(PREFIX)
    deadline = asked_at + PATIENCE_S
    progress = operator.progress(batch)
    while progress.open_count and time.monotonic() < deadline:
        time.sleep(POLL_S)
        progress = operator.progress(batch)
    settled_s = time.monotonic() - asked_at
    ordered = crowd.hear(Ordered)
    if progress.open_count + progress.succeeded_count == 0:
        raise ValueError(f"the command was not for {count:,} devices, but for nobody")
    return Settled(asked_at, ordered, settled_s, progress.succeeded_count, cpu_seconds(pid) - cpu)


def _phase_text(size: Size, phase: Phase, missing: int) -> str:
    all_updated = [one.updated for one in phase.rounds]
    count = len(phase.rounds)
    title = (
        f"Shadow updates over MQTT at QoS 1: {size.updating_count:,} devices over mutual TLS, "
        f"{phase.rate:,.0f} updates a second for {phase.seconds:g} s{f', {count} times' if count > 1 else ''}"
    )
    of_judged = phase.latency(phase.judged_rounds).p99 if phase.judged_rounds else math.inf
    name = f"accepted p99, of all updates in the {len(phase.judged_rounds)} rounds judged"
    unanswered = sum(updated.sent - updated.accepted - updated.rejected for updated in all_updated)
    rows = [
        plain("updates sent", f"{sum(updated.sent for updated in all_updated):,}"),
        plain("accepted a second", f"{phase.accepted / max(phase.seconds * count, 1e-3):,.0f}"),
        plain("accepted p50, each round", phase.each(lambda one: one.latency.p50, "ms")),
        plain("accepted p95, each round", phase.each(lambda one: one.latency.p95, "ms")),
        plain("accepted p99, each round", phase.each(lambda one: one.latency.p99, "ms")),
        plain("accepted p99, of all updates in all rounds", said(phase.latency(phase.rounds).p99, "ms")),
        *([judged(name, of_judged, P99)] if phase.rate <= RATE else []),
        judged("sent, but not answered", float(unanswered), NOTHING),
        judged("rejected", float(sum(updated.rejected for updated in all_updated)), NOTHING),
        judged("accepted at both rates, but not on disk after a restart", float(missing), NOTHING),
        plain("processor, of one core", phase.each(lambda one: one.cpu_percent, "%")),
        plain(STOLEN, phase.each(lambda one: one.stolen_percent, "%")),
        plain("connections lost", f"{sum(updated.lost_connections for updated in all_updated):,}"),
        plain("generator late by, p99", phase.each(lambda one: one.updated.lateness.p99, "ms")),
        plain("generator's processor", phase.each(lambda one: one.updated.generator_percent, "%")),
    ]
    return f"{title}\n\n{table(HEAD, rows)}"


def _return_text(size: Size, gathered: Gathered, returned: Returned, cpu_s: float) -> str:
    title = f"{size.fleet_count:,} devices leave together, connect again over mutual TLS and fetch their shadows"
    rows = [
        judged("all have their shadows", returned.seconds, RETURN),
        plain("processor of the gateway", said(cpu_s, "s")),
        plain("the same devices connected for the first time", said(gathered.seconds, "s")),
        plain("connections that broke and were made again", f"{returned.failures:,}"),
        plain("generator's processor", said(returned.generator_percent, "%", 0)),
    ]
    return f"{title}\n\n{table(HEAD, rows)}"


def _settled_text(size: Size, settled: Settled, resident_mb: float) -> str:
    ordered = settled.ordered
    title = f"One command for each of {size.fleet_count:,} connected devices, which succeed at once"
    rows = [
        judged("the last device has it", ordered.last_at - settled.asked_at, DISPATCHED),
        plain("the first device has it", said(ordered.first_at - settled.asked_at, "s", 2)),
        judged("all have ended in the ledger", settled.settled_s, SETTLED),
        judged("not succeeded", float(size.fleet_count - settled.succeeded), NOTHING),
        judged("taken twice by a device", float(ordered.repeated), NOTHING),
        plain("processor of the gateway", said(settled.cpu_s, "s")),
        plain("resident memory afterwards", said(resident_mb, "MB", 0)),
    ]
    return f"{title}\n\n{table(HEAD, rows)}"
