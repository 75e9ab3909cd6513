"""A device grows old: it is asked to renew, does so over MQTT, changes over, and its old certificate is refused."""

import json
import queue
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import Client, MQTTMessage

from tests.flows.est import Key, publish, run
from tests.flows.running import Device, RunningGateway, running
from tests.flows.test_clock import FOUND, YEAR_S, house

pytestmark = [
    pytest.mark.skipif(not FOUND, reason="libfaketime is not installed: apt-get install libfaketime"),
    pytest.mark.timeout(180),
]
PATIENCE_S = 20.0
TOPIC = "$headworks/devices/pump/certificate/renew"


class Heard:
    """What a device was sent, in its order."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._messages: queue.Queue[tuple[str, Any]] = queue.Queue()
        device.client.on_message = self._keep

    def subscribe(self, *filters: str) -> None:
        for each in filters:
            self._device.client.subscribe(each, 1)

    def next(self) -> tuple[str, Any]:
        return self._messages.get(timeout=PATIENCE_S)

    def _keep(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        self._messages.put((message.topic, json.loads(message.payload)))


def until(happened: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < deadline, what


def standing(gateway: RunningGateway, token: str) -> Any:
    return gateway.get("/v1/devices/pump", token)["renewal"]


def csr_of(key: Key) -> str:
    return run("openssl", "req", "-inform", "DER", "-in", key.folder / "request.der", "-outform", "PEM").stdout


def shown(bundle: Path, tmp_path: Path) -> Key:
    """The first certificate, as mosquitto_pub is given it."""
    key = Key(tmp_path / "first", "/CN=pump")
    key.key, key.certificate = bundle / "key.pem", bundle / "certificate.pem"
    return key


def renewed_over_mqtt(gateway: RunningGateway, token: str, bundle: Path, folder: Path) -> Key:
    """The device hears that it is to renew, asks as another, which is refused, and as itself."""
    device = Device(gateway, "pump", bundle).wait_connected()
    try:
        heard = Heard(device)
        heard.subscribe(f"{TOPIC}/+", "cmd/pump/#")
        topic, told = heard.next()
        assert (topic, told["renew"], told["topic"]) == ("cmd/pump/certificate", True, TOPIC)
        assert told["est"].endswith("/.well-known/est/simplereenroll")
        until(lambda: standing(gateway, token)["asked_at"] is not None, "it was not noted that it was asked")
        foreign, key = Key(folder / "foreign", "/CN=pump-8"), Key(folder / "second", "/CN=pump")
        device.publish({"csr": csr_of(foreign)}, 1, topic=TOPIC)
        topic, told = heard.next()
        assert (topic, told["code"], "pump-8" in told["message"]) == (f"{TOPIC}/rejected", "wrong_subject", True)
        device.publish({"csr": csr_of(key)}, 2, topic=TOPIC)
        topic, told = heard.next()
        assert topic == f"{TOPIC}/accepted"
        key.certificate.write_text(told["certificate"])
        return key
    finally:
        device.close()


def test_a_device_is_asked_renews_over_mqtt_and_changes_over(tmp_path: Path) -> None:
    with house(tmp_path, ahead_s=0.7 * YEAR_S) as place:
        gateway, token = place.gateway, place.token
        bundle = gateway.data / "bundles" / "pump"
        assert "it is not connected" in standing(gateway, token)["obstacle"]
        second = renewed_over_mqtt(gateway, token, bundle, tmp_path)
        first = shown(bundle, tmp_path)
        # Both are good until the new one was used; who names another device with it has used nothing.
        assert publish(gateway, "pump", first).returncode == 0
        assert publish(gateway, "pump-8", second).returncode != 0
        assert publish(gateway, "pump", first).returncode == 0
        assert publish(gateway, "pump", second).returncode == 0
        until(lambda: standing(gateway, token) is None, "the old certificate goes on")
        assert publish(gateway, "pump", first).returncode != 0
        assert publish(gateway, "pump", second).returncode == 0

        def problems() -> str:
            return " ".join(one["reason"] for one in gateway.get("/v1/devices/pump", token)["problems"])

        until(lambda: "names 'pump-8'" in problems(), "the refused request was not noted")
        until(lambda: "of pump was revoked" in problems(), "the refused connection was not noted")


def test_mosquitto_renews_as_the_documentation_says(tmp_path: Path) -> None:
    with running(tmp_path) as gateway:
        first = shown(gateway.add_device("pump"), tmp_path)
        second = Key(tmp_path / "second", "/CN=pump")
        request = json.dumps({"csr": csr_of(second)})
        trusted = ("--cafile", gateway.data / "pki" / "root.pem", "--cert", first.certificate, "--key", first.key)
        asks = ("-t", TOPIC, "-e", f"{TOPIC}/accepted", "-m", request, "-q", "1", "-W", "20")
        done = run("mosquitto_rr", "-h", "localhost", "-p", str(gateway.mqtt_port), "-i", "pump", *trusted, *asks)
        second.certificate.write_text(json.loads(done.stdout)["certificate"])
        assert publish(gateway, "pump", second).returncode == 0

        def is_over() -> bool:
            return publish(gateway, "pump", first).returncode != 0

        until(is_over, "the old certificate goes on")
