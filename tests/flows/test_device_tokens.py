"""A device that cannot do certificates: it comes in with a token, is nobody else, and goes when the token goes."""

import re
import threading
import time
from collections.abc import Iterator
from typing import Any, Literal, Self

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from tests.flows.running import RunningGateway, end_client, running

PATIENCE_S = 20.0
PUMP = "pump-7"


class TokenDevice:
    """A device made with a client library that others use too, without a certificate."""

    def __init__(self, gateway: RunningGateway, way: str, token: str, device_id: str = PUMP) -> None:
        self.heard = threading.Condition()
        self.connack: int | None = None
        self.acknowledged = 0
        self.granted: list[int] = []
        self.is_gone = threading.Event()
        transport: Literal["tcp", "websockets"] = "websockets" if way == "websocket" else "tcp"
        self.client = paho.Client(CallbackAPIVersion.VERSION2, device_id, protocol=paho.MQTTv311, transport=transport)
        self.client.username_pw_set(device_id, token)
        if way == "websocket":
            self.client.ws_set_options("/mqtt")
        if way != "plain":
            root = "web-ca.pem" if way == "websocket" else "root.pem"
            self.client.tls_set(str(gateway.data / "pki" / root))
        self.client.on_connect = self._on_connect
        self.client.on_disconnect = lambda *_: self.is_gone.set()
        self.client.on_publish = self._on_publish
        self.client.on_subscribe = self._on_subscribe
        self.client.reconnect_delay_set(60, 60)
        self.client.connect("localhost", port_of(gateway, way), keepalive=30)
        self.client.loop_start()
        self._wait(lambda: self.connack is not None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.disconnect()
        end_client(self.client)

    def publish(self, topic: str) -> None:
        before = self.acknowledged
        self.client.publish(topic, b'{"temperature": 21.5}', qos=1)
        self._wait(lambda: self.acknowledged > before)

    def subscribe(self, topic_filter: str) -> int:
        self.granted = []
        self.client.subscribe(topic_filter, qos=1)
        self._wait(lambda: bool(self.granted))
        return self.granted[0]

    def _wait(self, is_so: Any) -> None:
        with self.heard:
            assert self.heard.wait_for(is_so, PATIENCE_S)

    def _on_connect(self, _client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        with self.heard:
            self.connack = reason.value
            self.heard.notify_all()

    def _on_publish(self, *_: Any) -> None:
        with self.heard:
            self.acknowledged += 1
            self.heard.notify_all()

    def _on_subscribe(self, _client: Any, _data: Any, _mid: Any, reasons: Any, _properties: Any) -> None:
        with self.heard:
            self.granted = [reason.value for reason in reasons]
            self.heard.notify_all()


def port_of(gateway: RunningGateway, way: str) -> int:
    if way == "websocket":
        return gateway.web_port
    word = "Token MQTT mqtts" if way == "tls" else "Plain MQTT mqtt"
    found = re.search(rf"{word}://localhost:(\d+) ", gateway.output)
    assert found, gateway.output
    return int(found[1])


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("HEADWORKS__MQTT__TOKEN_PORT", "0")
        environment.setenv("HEADWORKS__MQTT__PLAIN_PORT", "0")
        with running(tmp_path_factory.mktemp("tokens")) as gateway:
            gateway.add_device(PUMP)
            gateway.add_device("pump-8")
            yield gateway


@pytest.fixture(scope="module")
def script(gateway: RunningGateway) -> str:
    return gateway.token()


def issued(gateway: RunningGateway, script: str) -> tuple[int, str]:
    status, made = gateway.call("POST", f"/v1/devices/{PUMP}/tokens", script, b'{"name": "old pump"}')
    assert status == 201, made
    return made["token_number"], made["token"]


@pytest.mark.parametrize("way", ["tls", "websocket", "plain"])
def test_a_device_comes_in_with_its_token_and_does_what_it_may(gateway: RunningGateway, script: str, way: str) -> None:
    number, token = issued(gateway, script)
    with TokenDevice(gateway, way, token) as device:
        assert device.connack == 0
        device.publish(f"sensors/{PUMP}/telemetry")
        assert device.subscribe(f"cmd/{PUMP}/#") == 1
        for topic_filter in ("#", "cmd/#", "cmd/pump-8/#", "$SYS/#", "$share/g/cmd/#"):
            assert device.subscribe(topic_filter) == 0x80, topic_filter
        assert gateway.get(f"/v1/devices/{PUMP}", script)["connected"]
    listed = gateway.get(f"/v1/devices/{PUMP}/tokens", script)["tokens"]
    [used] = [each for each in listed if each["token_number"] == number]
    assert used["used_at"] is not None
    assert used["used_from"] in {"127.0.0.1", "::1"}


@pytest.mark.parametrize("way", ["tls", "websocket", "plain"])
def test_a_token_that_is_revoked_takes_its_session_along_at_once_and_the_device_says_why(
    gateway: RunningGateway, script: str, way: str
) -> None:
    number, token = issued(gateway, script)
    with TokenDevice(gateway, way, token) as device:
        assert device.connack == 0
        asked_at = time.monotonic()
        assert gateway.call("DELETE", f"/v1/devices/{PUMP}/tokens/{number}", script)[0] == 204
        assert device.is_gone.wait(PATIENCE_S)
        assert time.monotonic() - asked_at < 5.0
    with TokenDevice(gateway, way, token) as device:
        assert device.connack not in {0, None}
    problems = until(lambda: problems_of(gateway, script, "was revoked"))
    assert any("'old pump'" in reason for reason in problems)


@pytest.mark.parametrize("way", ["tls", "websocket"])
@pytest.mark.parametrize("shown", ["hwd_1.wrong", "hwd_", "nonsense"])
def test_whoever_has_no_token_is_nobody(gateway: RunningGateway, way: str, shown: str) -> None:
    with TokenDevice(gateway, way, shown) as device:
        assert device.connack not in {0, None}


def test_a_token_is_its_own_devices_alone(gateway: RunningGateway, script: str) -> None:
    _, token = issued(gateway, script)
    with TokenDevice(gateway, "tls", token, "pump-8") as device:
        assert device.connack not in {0, None}


def test_no_token_stands_in_the_log_or_on_the_disk(gateway: RunningGateway, script: str) -> None:
    _, token = issued(gateway, script)
    with TokenDevice(gateway, "tls", token), TokenDevice(gateway, "tls", token + "x"):
        pass
    secret = token.partition(".")[2]
    assert secret not in gateway.output
    assert "hwd_" not in gateway.output
    held = [path for path in gateway.data.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]
    assert held == []


def problems_of(gateway: RunningGateway, script: str, word: str) -> list[str]:
    problems = gateway.get(f"/v1/devices/{PUMP}", script)["problems"]
    return [problem["reason"] for problem in problems if word in problem["reason"]]


def until(ask: Any) -> Any:
    ends_at = time.monotonic() + PATIENCE_S
    while time.monotonic() < ends_at:
        found = ask()
        if found:
            return found
    raise AssertionError
