"""Debian's Mosquitto, with a listener for devices and one for WebSockets."""

import signal
import socket
import subprocess
from pathlib import Path

from tests.broker.certificates import Authority
from tests.flows.clients.client import DeviceAccess, OperatorAccess

HOST = "127.0.0.1"
START_S = 30.0

SETTINGS = """
per_listener_settings true
persistence true
persistence_location {folder}/
autosave_interval 1
autosave_on_changes true
user root
log_dest stderr
connection_messages false

listener {device_port} {host}
cafile {trust}
certfile {certificate}
keyfile {key}
require_certificate true
use_identity_as_username true
allow_anonymous true

listener {web_port} {host}
protocol websockets
cafile {trust}
certfile {certificate}
keyfile {key}
allow_anonymous true
"""


class Mosquitto:
    """One process, its certificates and its folder."""

    def __init__(self, folder: Path) -> None:
        authority = Authority.create(folder, "root")
        certificate, key = authority.issue("server")
        device_port, web_port = _free_port(), _free_port()
        self.device_access = DeviceAccess(HOST, device_port, authority.trust, *authority.issue("device"))
        self.operator_access = OperatorAccess(HOST, web_port, authority.trust, "/mqtt", "operator", "anything")
        self._config = folder / "mosquitto.conf"
        self._config.write_text(
            SETTINGS.format(
                folder=folder,
                host=HOST,
                device_port=device_port,
                web_port=web_port,
                trust=authority.trust,
                certificate=certificate,
                key=key,
            )
        )
        self.start()

    def start(self) -> None:
        """Start a process; it is ready a little later."""
        self._process = subprocess.Popen(
            ["mosquitto", "-c", self._config], stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
        )

    def wait_ready(self) -> None:
        """Return once it says that it runs."""
        assert self._process.stderr is not None
        said = []
        for line in self._process.stderr:
            said.append(line)
            if line.rstrip().endswith(" running"):
                return
        raise AssertionError("".join(said))

    def end(self, number: signal.Signals) -> None:
        """Send a signal and wait for the end."""
        self._process.send_signal(number)
        self._process.communicate(timeout=START_S)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
