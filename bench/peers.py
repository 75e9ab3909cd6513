"""The same load flat out, without TLS, on this gateway and its peers: rounds in turn, medians, ratios.

What is compared is taking messages in, with nobody subscribed. The promises differ: this gateway
acknowledges what is on disk, the others what is in memory.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

from bench import gateway
from bench.children import SERVER_CORE, BenchError, await_port, python, started
from bench.load import Load
from bench.measure import Measured, measured
from bench.numbers import median, table

CONNECTIONS = 50
WINDOW = 20
SECONDS = 8.0
ROUNDS = 5
PORT = 20_990

Contender = Callable[[Path], Measured]


def measure(folder: Path, *, quick: bool) -> str:
    """Run every contender in every round; gives the table. `quick` is one short round."""
    seconds, rounds = (1.0, 1) if quick else (SECONDS, ROUNDS)
    seen: dict[str, list[Measured]] = {name: [] for name in _CONTENDERS}
    for number in range(rounds):
        for name, contend in _CONTENDERS.items():
            place = folder / f"{name.replace(' ', '-')}-{number}"
            place.mkdir(parents=True)
            seen[name].append(contend(place, seconds))
    title = (
        f"Flat out without TLS: {CONNECTIONS} connections, window {WINDOW}, 500 bytes, QoS 1, "
        f"median of {rounds} rounds of {seconds:.0f} s in turn"
    )
    return f"{title}\n\n{_table(seen, seconds)}"


def _table(seen: dict[str, list[Measured]], seconds: float) -> str:
    rates = {
        name: median([one.result.acknowledged_in_time / seconds for one in measures]) for name, measures in seen.items()
    }
    own = rates[_OWN]
    rows = [
        [
            name,
            f"{rates[name]:,.0f}",
            f"{rates[name] / own:.2f}",
            f"{median([one.result.latency.p50 for one in measures]):,.1f}",
            f"{median([one.result.latency.p99 for one in measures]):,.1f}",
            f"{median([one.cpu_percent for one in measures]):,.0f}",
            f"{median([one.peak_kb / 1024 for one in measures]):,.0f}",
            _PROMISES[name],
        ]
        for name, measures in seen.items()
    ]
    head = ("", "acks a second", "ratio", "p50 ms", "p99 ms", "cpu %", "peak MB", "an acknowledged message is")
    return table(head, rows)


def _gateway(folder: Path, seconds: float) -> Measured:
    made = gateway.prepared(folder / "gateway", CONNECTIONS)
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
    program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        raise BenchError("mosquitto is not installed; on Debian: sudo apt-get install -y mosquitto")
    settings = folder / "mosquitto.conf"
    settings.write_text(f"listener {PORT} {gateway.HOST}\nallow_anonymous true\npersistence false\n", encoding="utf-8")
    return _served([program, "-c", str(settings)], folder, seconds)


def _served(command: list[str], folder: Path, seconds: float) -> Measured:
    log = folder / "log"
    with started(command, log, SERVER_CORE) as child:
        await_port(gateway.HOST, PORT, child)
        return measured(_load(gateway.HOST, PORT, seconds), child.pid, log)


def _load(host: str, port: int, seconds: float) -> Load:
    return Load(host, port, "", CONNECTIONS, seconds, rate=0.0, window=WINDOW)


_OWN = "headworks"
_CONTENDERS: dict[str, Callable[[Path, float], Measured]] = {
    _OWN: _gateway,
    "its broker alone": _bare,
    "stock amqtt 0.12": _amqtt,
    "mosquitto 2": _mosquitto,
}
_PROMISES = {
    _OWN: "on disk (SQLite, FULL)",
    "its broker alone": "taken",
    "stock amqtt 0.12": "read, handed to an unbounded queue",
    "mosquitto 2": "in memory",
}
