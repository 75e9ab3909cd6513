"""The brokers that are compared, each started on the same address."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from bench import certificates
from bench.children import SERVER_CORE, BenchError, await_port, python, started

HOST = "127.77.0.1"
"""An address of its own, so that whatever else runs on this machine is not in the way."""
PORT = 20_990
"""Below 32768, so that no client's own port can be in its way."""


class Contender(msgspec.Struct, frozen=True):
    """A broker as what is measured."""

    name: str
    command: Callable[[Path, Path | None], list[str]]
    """Takes a folder for its settings and the certificates' folder; None: without TLS."""
    is_small: bool = False
    """Whether the loads are cut down to what it can take at all."""


@contextmanager
def serving(contender: Contender, folder: Path, tls: Path | None = None) -> Iterator[subprocess.Popen[str]]:
    """A broker while it listens; what it says goes to `log` in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with started(contender.command(folder, tls), folder / "log", SERVER_CORE) as child:
        await_port(HOST, PORT, child)
        yield child


def mosquitto_program() -> str:
    """Where Mosquitto is; raises `BenchError` when it is not installed."""
    program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        raise BenchError("mosquitto is not installed; on Debian: sudo apt-get install -y mosquitto")
    return program


def _own(_: Path, tls: Path | None) -> list[str]:
    return python("bench.bare", HOST, str(PORT), *(["--tls", str(tls)] if tls else []), "--lag")


def _mosquitto(folder: Path, tls: Path | None) -> list[str]:
    lines = [
        f"listener {PORT} {HOST}",
        "allow_anonymous true",
        "persistence false",
        "max_connections -1",
        # No bounds: at one of 100 in flight, as our own has it, 2.0.11 stopped in the midst of a fan-out at QoS 1.
        "max_inflight_messages 0",
        "max_queued_messages 0",
        # No Nagle, as in our own.
        "set_tcp_nodelay true",
        # Nor does our own write a line for each connection.
        "log_dest stderr",
        "log_type error",
        "log_type warning",
    ]
    if os.geteuid() == 0:
        # Else it becomes a user who may not read its certificates.
        lines.append("user root")
    if tls:
        lines += [
            f"cafile {tls / certificates.ROOT}",
            f"certfile {tls / certificates.SERVER}",
            f"keyfile {tls / certificates.SERVER_KEY}",
            "require_certificate true",
        ]
    settings = folder / "mosquitto.conf"
    settings.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return [mosquitto_program(), "-c", str(settings)]


def _amqtt(_: Path, tls: Path | None) -> list[str]:
    return python("bench.stock_amqtt", HOST, str(PORT), *([str(tls)] if tls else []))


OWN = Contender("broker core", _own)
MOSQUITTO = Contender("mosquitto", _mosquitto)
AMQTT = Contender("stock amqtt", _amqtt, is_small=True)
CONTENDERS = (OWN, MOSQUITTO, AMQTT)
