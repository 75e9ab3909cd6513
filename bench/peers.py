"""The same load flat out, without TLS, on this gateway and its peers: rounds in turn, medians, ratios.

What is compared is taking messages in, with nobody subscribed. The promises differ: this gateway
acknowledges what is on disk, the others what is in memory.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec

from bench import gateway
from bench.children import SERVER_CORE, BenchError, await_port, python, started
from bench.contenders import mosquitto_program
from bench.load import Load
from bench.measure import Measured, measured
from bench.numbers import median, table

CONNECTIONS = 50
WINDOW = 20
SECONDS = 5.0
ROUNDS = 5
PORT = 20_990


class Contender(msgspec.Struct, frozen=True):
    """Something that takes messages in."""

    name: str
    promise: str
    """What is so of a message when it has been acknowledged."""
    contend: Callable[[Path, float], Measured]
    """Takes a folder of its own and how many seconds to measure."""


def measure(folder: Path, *, quick: bool) -> str:
    """Run every contender in every round; gives the table. `quick` is one short round."""
    seconds, rounds = (1.0, 1) if quick else (SECONDS, ROUNDS)
    seen: dict[str, list[Measured]] = {contender.name: [] for contender in _CONTENDERS}
    for number in range(rounds):
        for place, contender in enumerate(_CONTENDERS):
            scratch = folder / f"peers-{number}-{place}"
            scratch.mkdir(parents=True)
            seen[contender.name].append(contender.contend(scratch, seconds))
    title = (
        f"Flat out without TLS: {CONNECTIONS} connections, window {WINDOW}, 500 bytes, QoS 1, "
        f"median of {rounds} rounds of {seconds:.0f} s in turn"
    )
    return f"{title}\n\n{_table(seen, seconds)}"


def _table(seen: dict[str, list[Measured]], seconds: float) -> str:
    own = _rate(seen[_CONTENDERS[0].name], seconds)
    rows = [_row(contender, seen[contender.name], seconds, own) for contender in _CONTENDERS]
    return table(("", "acks a second", "ratio", "p50", "p99", "processor", "peak", "an acknowledged message is"), rows)


def _row(contender: Contender, measures: list[Measured], seconds: float, own: float) -> list[str]:
    rate = _rate(measures, seconds)
    return [
        contender.name,
        f"{rate:,.0f}",
        f"{rate / own:.2f}",
        f"{median([one.result.latency.p50 for one in measures]):,.1f} ms",
        f"{median([one.result.latency.p99 for one in measures]):,.1f} ms",
        f"{median([one.cpu_percent for one in measures]):,.0f} %",
        f"{median([one.peak_kb / 1024 for one in measures]):,.0f} MB",
        contender.promise,
    ]


def _rate(measures: list[Measured], seconds: float) -> float:
    return median([one.result.acknowledged_in_time / seconds for one in measures])


def _gateway(folder: Path, seconds: float) -> Measured:
    return _durable(folder, seconds, "")


def _gateway_at_once(folder: Path, seconds: float) -> Measured:
    return _durable(folder, seconds, "\n[ingestion]\ncommit_interval_ms = 0\n")


def _durable(folder: Path, seconds: float, settings: str) -> Measured:
    made = gateway.prepared(folder / "gateway", CONNECTIONS, settings)
    with gateway.running(made) as child:
        seen = measured(_load(gateway.PLAIN_HOST, gateway.PLAIN_PORT, seconds), child.pid, made.log)
    disk = gateway.counted(made)
    missing = sum(max(0, acked - kept) for acked, kept in zip(seen.result.acknowledged, disk.readings, strict=True))
    if missing:
        raise BenchError(f"{missing:,} acknowledged events are not on disk: see {folder}")
    shutil.rmtree(folder)
    return seen


def _bare(folder: Path, seconds: float) -> Measured:
    return _served(python("bench.bare", gateway.HOST, str(PORT)), folder, seconds)


def _amqtt(folder: Path, seconds: float) -> Measured:
    return _served(python("bench.stock_amqtt", gateway.HOST, str(PORT)), folder, seconds)


def _mosquitto(folder: Path, seconds: float) -> Measured:
    settings = folder / "mosquitto.conf"
    settings.write_text(f"listener {PORT} {gateway.HOST}\nallow_anonymous true\npersistence false\n", encoding="utf-8")
    return _served([mosquitto_program(), "-c", str(settings)], folder, seconds)


def _served(command: list[str], folder: Path, seconds: float) -> Measured:
    log = folder / "log"
    with started(command, log, SERVER_CORE) as child:
        await_port(gateway.HOST, PORT, child)
        return measured(_load(gateway.HOST, PORT, seconds), child.pid, log)


def _load(host: str, port: int, seconds: float) -> Load:
    return Load(host, port, "", CONNECTIONS, seconds, rate=0.0, window=WINDOW)


_CONTENDERS = (
    Contender("headworks", "on disk (SQLite, FULL)", _gateway),
    Contender("headworks, commit interval 0", "on disk (SQLite, FULL)", _gateway_at_once),
    Contender("its broker alone", "taken", _bare),
    Contender("stock amqtt", "read, in an unbounded queue", _amqtt),
    Contender("mosquitto", "in memory", _mosquitto),
)
"""The first one is what the others are compared with."""
