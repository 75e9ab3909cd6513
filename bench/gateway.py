"""The real gateway as what is measured: prepared, started, stopped, and its disk counted."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from bench.children import SERVER_CORE, await_port, python, run, started

HOST = "127.77.0.1"
"""An address of its own, so that whatever else runs on this machine is not in the way."""
PLAIN_HOST = "127.0.0.1"
TLS_PORT = 20_883
PLAIN_PORT = 20_884
WEB_PORT = 20_443
TRUST_PORT = 20_080


class OnDisk(msgspec.Struct, frozen=True):
    """What lies on the gateway's disk after it has stopped."""

    logged: int
    """Messages in the event log."""
    readings: tuple[int, ...]
    """Readings of one metric of each device, as a range query gives them."""


class Prepared(msgspec.Struct, frozen=True):
    """A data folder with its settings and the bundles of its devices."""

    folder: Path
    device_count: int

    @property
    def settings(self) -> Path:
        """The settings file."""
        return self.folder / "config.toml"

    @property
    def bundles(self) -> Path:
        """Where the devices' certificates lie."""
        return self.folder / "devices"

    @property
    def log(self) -> Path:
        """What the gateway and the load generator said."""
        return self.folder / "log"


def prepared(folder: Path, device_count: int, settings: str = "") -> Prepared:
    """Make a data folder in which the devices of the load are registered."""
    folder.mkdir(parents=True)
    made = Prepared(folder, device_count)
    made.settings.write_text(f'data = "{folder / "data"}"\n{_SETTINGS}{settings}', encoding="utf-8")
    run(python("bench.provision", str(made.settings), str(device_count), str(made.bundles)))
    return made


@contextmanager
def running(made: Prepared) -> Iterator[subprocess.Popen[str]]:
    """The gateway while it accepts devices; on leaving it has stopped in order."""
    command = python("appliance", "run", "--config", str(made.settings))
    with started(command, made.log, SERVER_CORE) as child:
        await_port(HOST, TLS_PORT, child)
        await_port(PLAIN_HOST, PLAIN_PORT, child)
        yield child


def counted(made: Prepared) -> OnDisk:
    """Count what is on the disk of a gateway that has stopped, through its own code."""
    printed = run(python("bench.count", str(made.settings), str(made.device_count)))
    return msgspec.json.decode(printed.encode(), type=OnDisk)


_SETTINGS = f"""\
[mqtt]
host = "{HOST}"
port = {TLS_PORT}
shared_port = "off"
plain_port = {PLAIN_PORT}

[http]
host = "{HOST}"
port = {WEB_PORT}
trust_port = {TRUST_PORT}
enrolment_port = "off"
"""
