"""Every client library that is tried, in every version it speaks."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.flows.clients.aiomqtt import AiomqttClient
from tests.flows.clients.amqtt import AmqttClient
from tests.flows.clients.awscrt import Aws5Client, AwsClient
from tests.flows.clients.client import Access, Client, Version
from tests.flows.clients.gmqtt import GmqttClient
from tests.flows.clients.mosquitto import MosquittoClient
from tests.flows.clients.mqttjs import LIBRARIES, MqttjsClient
from tests.flows.clients.paho import PahoClient


@dataclass(frozen=True)
class Kind:
    """One library and the version it speaks."""

    client: type[Client]
    version: Version

    @property
    def name(self) -> str:
        """What its device is called: nobody else has this name."""
        return f"{self.client.library}-{5 if self.version is Version.V5 else 3}"

    def new(self, access: Access) -> Client:
        return self.client(access, self.name, self.version)


CLIENTS: tuple[type[Client], ...] = (
    MosquittoClient,
    PahoClient,
    AiomqttClient,
    GmqttClient,
    AmqttClient,
    AwsClient,
    Aws5Client,
    MqttjsClient,
)

KINDS = tuple(Kind(client, version) for client in CLIENTS for version in client.versions)


def is_installed(kind: Kind) -> bool:
    """Whether what is not a package of Python is here."""
    if kind.client is MosquittoClient:
        return shutil.which("mosquitto_sub") is not None
    if kind.client is MqttjsClient:
        return shutil.which("node") is not None and Path(LIBRARIES, "mqtt").exists()
    return True


def may_be_missing(kind: Kind) -> pytest.MarkDecorator:
    """Skip what is not installed, but not in continuous integration: there, nobody would see it."""
    return pytest.mark.skipif(not is_installed(kind) and "CI" not in os.environ, reason="is not installed")


each_kind = pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, id=kind.name, marks=may_be_missing(kind)) for kind in KINDS],
)
