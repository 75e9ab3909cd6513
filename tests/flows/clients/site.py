"""The broker that clients meet: the gateway's own process, or Mosquitto to see that the stories are right."""

import os
import signal
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.flows.clients.all import KINDS, Kind
from tests.flows.clients.client import Access, Client, DeviceAccess, OperatorAccess, Version
from tests.flows.clients.paho import PahoClient
from tests.flows.clients.peer import Mosquitto
from tests.flows.running import running

VARIABLE = "HEADWORKS_CLIENTS_BROKER"
"""`mosquitto` runs the same stories against Mosquitto."""


class Site(ABC):
    """A broker that knows the device of every kind and one operator, and that can be started again."""

    has_policy = True
    """Whether a device may use its own client identifier and topics alone."""

    @abstractmethod
    def access(self, kind: Kind) -> Access:
        """How a client of this kind gets in."""

    @abstractmethod
    def operator_access(self) -> Access:
        """How a program of a person gets in, which may do everything."""

    @abstractmethod
    def prepare(self) -> None:
        """Wait for the process, and make every kind known to it."""

    @abstractmethod
    def close(self) -> None:
        """End the process."""

    @abstractmethod
    def restart(self, number: signal.Signals) -> None:
        """End the process with this signal, and start it again on the same data."""

    def new(self, kind: Kind) -> Client:
        """A client of this kind."""
        return kind.new(self.access(kind))

    def new_operator(self, name: str = "operator") -> Client:
        """The other side of every story."""
        return PahoClient(self.operator_access(), name, Version.V5)


class GatewaySite(Site):
    """The real process; every device has a certificate and the rights that any device has."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lives = ExitStack()

    def prepare(self) -> None:
        self._gateway = self._lives.enter_context(running(self._folder))
        self._token = self._gateway.token()
        for kind in KINDS:
            if not kind.client.is_operator:
                self._add(kind.name)

    def access(self, kind: Kind) -> Access:
        if kind.client.is_operator:
            return self.operator_access()
        folder = self._bundle(kind.name)
        files = (folder / name for name in ("root.pem", "chain.pem", "key.pem"))
        return DeviceAccess("localhost", self._gateway.mqtt_port, *files)

    def operator_access(self) -> Access:
        trust = self._gateway.data / "pki" / "web-ca.pem"
        return OperatorAccess("localhost", self._gateway.web_port, trust, "/mqtt", "operator", self._token)

    def restart(self, number: signal.Signals) -> None:
        self._gateway.end(number)
        self._gateway = self._lives.enter_context(running(self._folder))

    def close(self) -> None:
        self._lives.close()

    def _add(self, name: str) -> None:
        """What `device add` does, without the start of a process for each."""
        body = f'{{"device_id": "{name}"}}'.encode()
        assert self._gateway.call("POST", "/v1/devices", self._token, body)[0] == 201
        _, bundle = self._gateway.call("POST", f"/v1/devices/{name}/certificates", self._token)
        folder = self._bundle(name)
        folder.mkdir(parents=True)
        for part in ("root", "chain", "key"):
            (folder / f"{part}.pem").write_text(bundle[f"{part}_pem"])

    def _bundle(self, name: str) -> Path:
        return self._folder / "devices" / name


class MosquittoSite(Site):
    """Debian's Mosquitto with the same listeners."""

    has_policy = False

    def __init__(self, folder: Path) -> None:
        self._mosquitto = Mosquitto(folder)

    def prepare(self) -> None:
        self._mosquitto.wait_ready()

    def access(self, kind: Kind) -> Access:
        return self.operator_access() if kind.client.is_operator else self._mosquitto.device_access

    def operator_access(self) -> Access:
        return self._mosquitto.operator_access

    def restart(self, number: signal.Signals) -> None:
        self._mosquitto.end(number)
        self._mosquitto.start()
        self._mosquitto.wait_ready()

    def close(self) -> None:
        self._mosquitto.end(signal.SIGTERM)


@contextmanager
def opened(folder: Path) -> Iterator[Site]:
    """A broker that is stopped at the end."""
    site = MosquittoSite(folder) if os.environ.get(VARIABLE) == "mosquitto" else GatewaySite(folder)
    try:
        site.prepare()
        yield site
    finally:
        site.close()
