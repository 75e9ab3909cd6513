"""10,000 devices over mutual TLS: connecting, publishing, and coming back after a restart."""

import time
from pathlib import Path

import msgspec

from bench import certificates
from bench.children import cpu_seconds, resident_kb
from bench.churn import reported
from bench.comparison import at_least, at_most, plain, text
from bench.contenders import CONTENDERS, HOST, MOSQUITTO, OWN, PORT, Contender, serving
from bench.crowd import Crowd, Gathered, Pace, Paced, Storm
from bench.generator import Generator, files_raised, generating
from bench.numbers import Spread, median

COUNT = 10_000
SMALL_COUNT = 500
QUICK_COUNT = 300
SPARE_FILES = 500
"""What a process opens besides its connections."""
RATES = (2_000.0, 20_000.0)
SMALL_RATES = (500.0, 2_000.0)
SECONDS = 10.0
ROUNDS = 3
CONNECTING_AT_ONCE = 100
RETURNING_AT_ONCE = 200
SETTLE_S = 2.0
PATIENCE_S = 180.0

TARGET_P99_MS = 10.0
TARGET_KB = 35.0
TARGET_CPU_PERCENT = 80.0
TARGET_RETURN_S = 60.0
TARGET_LAG_MS = 250.0


class Rate(msgspec.Struct, frozen=True):
    """What one rate of messages came to."""

    paced: Paced
    cpu_percent: float
    """All that the messages cost, by the seconds in which they were sent: above 100 it cannot keep up."""


class Gathering(msgspec.Struct, frozen=True):
    """What one crowd came to with one broker."""

    count: int
    gathered: Gathered
    connect_cpu_ms: float
    connection_kb: float
    rates: tuple[Rate, ...]
    returned_s: float | None
    """From asking the broker to stop until all were back."""
    return_rate: float
    """Connections a second, from the first that was back at the earliest."""
    lag: Spread | None
    """How late the loop of the new broker was meanwhile."""


def measure(folder: Path, *, quick: bool) -> str:
    """Run the crowd with every broker; gives the table. `quick` is a small crowd and short."""
    allowed = files_raised() - SPARE_FILES
    count = QUICK_COUNT if quick else min(COUNT, allowed)
    tls = certificates.written(folder / "certificates")
    seconds, rounds = (1.0, 1) if quick else (SECONDS, ROUNDS)
    seen: dict[str, list[Gathering]] = {}
    for number in range(rounds):
        for contender in CONTENDERS:
            if contender.is_small:
                if not quick and not number:
                    seen[contender.name] = [_run(contender, folder, tls, SMALL_COUNT, seconds / 2)]
                continue
            seen.setdefault(contender.name, []).append(_run(contender, folder, tls, count, seconds))
    title = (
        f"{count:,} connections over mutual TLS, 3 subscriptions each, 500 bytes at QoS 1, "
        f"{seconds:g} s for each rate, median of {rounds} rounds in turn"
    )
    if count < min(COUNT, allowed) or count < COUNT:
        title += f" (not {COUNT:,}: {'a quick run' if quick else f'this system allows {allowed:,} open files'})"
    return f"{title}\n\n{_table(seen)}"


def _run(contender: Contender, folder: Path, tls: Path, count: int, seconds: float) -> Gathering:
    """Connect, publish at each rate, restart the broker, wait until all are back."""
    place = folder / contender.name
    with generating("bench.crowd", folder / "crowd") as crowd:
        with serving(contender, place, tls) as child:
            idle_kb, idle_cpu = resident_kb(child.pid), cpu_seconds(child.pid)
            task = Crowd(HOST, PORT, str(tls), count, CONNECTING_AT_ONCE, PATIENCE_S)
            gathered = crowd.ask(task, Gathered)
            connect_cpu_ms = 1_000 * (cpu_seconds(child.pid) - idle_cpu) / count
            time.sleep(SETTLE_S)
            connection_kb = (resident_kb(child.pid) - idle_kb) / count
            rates = tuple(
                _paced(crowd, child.pid, rate, seconds) for rate in (SMALL_RATES if contender.is_small else RATES)
            )
            if contender.is_small:
                return Gathering(count, gathered, connect_cpu_ms, connection_kb, rates, None, 0.0, None)
            crowd.ask(Storm(RETURNING_AT_ONCE, PATIENCE_S), Storm)
            stopped_at = time.monotonic()
        with serving(contender, place, tls) as child:
            listening_at = time.monotonic()
            back = crowd.hear(Gathered)
            lag = reported(child, place / "log").lag if contender is OWN else None
    returned_s = back.all_there_at - stopped_at
    return_rate = count / max(1e-3, back.all_there_at - listening_at)
    return Gathering(count, gathered, connect_cpu_ms, connection_kb, rates, returned_s, return_rate, lag)


def _paced(crowd: Generator, pid: int, rate: float, seconds: float) -> Rate:
    before = cpu_seconds(pid)
    paced = crowd.ask(Pace(rate, seconds), Paced)
    return Rate(paced, 100 * (cpu_seconds(pid) - before) / seconds)


def _table(seen: dict[str, list[Gathering]]) -> str:
    every = [seen[contender.name] for contender in CONTENDERS if contender.name in seen]
    own, mosquitto = seen[OWN.name], seen[MOSQUITTO.name]
    speeds = [median([one.count / one.gathered.seconds for one in rounds]) for rounds in every]
    # What the broker could take if the generator, whose half of a handshake costs as much, were not the limit.
    costs = [1_000 / median([one.connect_cpu_ms for one in rounds]) for rounds in every]
    sizes = [median([one.connection_kb for one in rounds]) for rounds in every]
    returns = [median([one.returned_s or 0.0 for one in rounds]) for rounds in (own, mosquitto)]
    lags = [one.lag for one in own if one.lag is not None]
    lag_ms = median([lag.p99 for lag in lags])
    return text(
        [
            plain("connections", *[f"{rounds[0].count:,}" for rounds in every]),
            plain("connected a second", *[f"{speed:,.0f}" for speed in speeds]),
            at_least(
                "… of Mosquitto's", [f"{speed / speeds[1]:.2f}" for speed in speeds], speeds[0] / speeds[1], 1.0, ""
            ),
            at_least(
                "… a second of its processor",
                [f"{speed:,.0f}" for speed in costs],
                costs[0],
                round(costs[1]),
                "",
            ),
            plain("… processor for each", *[f"{median([o.connect_cpu_ms for o in some]):.2f} ms" for some in every]),
            plain(
                "… generator's processor",
                *[f"{median([one.gathered.generator_percent for one in rounds]):.0f} %" for rounds in every],
            ),
            at_most("memory of each", [f"{size:.1f} kB" for size in sizes], sizes[0], TARGET_KB, "kB"),
            *[row for place in range(len(RATES)) for row in _rate_rows(place, every)],
            at_most(
                "all back after a restart", [f"{took:.1f} s" for took in returns], returns[0], TARGET_RETURN_S, "s"
            ),
            plain(
                "… back a second",
                *[f"{median([one.return_rate for one in rounds]):,.0f}" for rounds in (own, mosquitto)],
            ),
            at_most("… lag of the loop, p99", [f"{lag_ms:.1f} ms"], lag_ms, TARGET_LAG_MS, "ms"),
            plain("… lag of the loop, longest", f"{max(lag.longest for lag in lags):.1f} ms"),
            plain(
                "connections that broke and were made again",
                *[f"{sum(one.gathered.failures for one in rounds):,}" for rounds in every],
            ),
        ]
    )


def _rate_rows(place: int, every: list[list[Gathering]]) -> list[list[str]]:
    rates = [[one.rates[place] for one in rounds] for rounds in every]
    name = f"{RATES[place]:,.0f} messages a second"
    if len(rates) > len((OWN, MOSQUITTO)):
        name += f" (stock amqtt: {SMALL_RATES[place]:,.0f})"
    p99 = median([one.paced.latency.p99 for one in rates[0]])
    cpu = median([one.cpu_percent for one in rates[0]])
    cpus = [f"{median([one.cpu_percent for one in rounds]):.0f} %" for rounds in rates]
    processor = (
        at_most("… processor, of one core", cpus, cpu, TARGET_CPU_PERCENT, "%")
        if place
        else plain("… processor, of one core", *cpus)
    )
    return [
        plain(f"{name}: p50", *[f"{median([one.paced.latency.p50 for one in some]):,.2f} ms" for some in rates]),
        at_most(
            "… acknowledgement p99",
            [f"{median([one.paced.latency.p99 for one in rounds]):,.2f} ms" for rounds in rates],
            p99,
            TARGET_P99_MS,
            "ms",
        ),
        processor,
        plain(
            "… not acknowledged",
            *[f"{sum(one.paced.sent - one.paced.acknowledged for one in rounds):,}" for rounds in rates],
        ),
        plain(
            "… generator late by, p99",
            *[f"{median([one.paced.lateness.p99 for one in rounds]):.2f} ms" for rounds in rates],
        ),
    ]
