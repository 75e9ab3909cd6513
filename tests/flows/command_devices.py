"""Devices that do what they are told, and count how often: made with client libraries that others use too."""

import json
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.flows.running import RunningGateway, end_client

WAIT_S = 20.0
Answerer = Callable[[str, bytes], "bytes | None"]


class CommandDevice:
    """One device; what it received is by execution id."""

    def __init__(self, device_id: str, bundle: Path, filters: tuple[str, ...], *, keeps: bool = False) -> None:
        self.device_id = device_id
        self.bundle = bundle
        self.filters = filters
        self.keeps = keeps
        self.counts: Counter[str] = Counter()
        self.order: list[str] = []
        self.messages: list[paho.MQTTMessage] = []
        self.answers: list[paho.MQTTMessage] = []
        self.acknowledges = True
        """Whether it answers for the messages themselves."""
        self.answered: list[str] = []
        """Execution ids whose responses the gateway has acknowledged."""
        self.changed = threading.Condition()
        self.answer: Answerer = lambda _id, _payload: b'{"status": "SUCCEEDED"}'
        self._mids: dict[int, str] = {}
        self._client: paho.Client | None = None

    def connect(self, gateway: RunningGateway) -> "CommandDevice":
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            self.device_id,
            protocol=paho.MQTTv5,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        root, certificate, key = (str(self.bundle / f"{name}.pem") for name in ("root", "certificate", "key"))
        client.tls_set(root, certificate, key)
        subscribed = threading.Event()
        client.on_connect = self._on_connect
        client.on_subscribe = lambda *_: subscribed.set()
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        properties: Any = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = 3_600 if self.keeps else 0
        client.connect("localhost", gateway.mqtt_port, keepalive=30, clean_start=not self.keeps, properties=properties)
        self._client = client
        client.loop_start()
        assert subscribed.wait(WAIT_S)
        return self

    def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.disconnect()
            end_client(client)

    def forget(self) -> None:
        """The gateway is gone: nothing is said to it any more."""
        client, self._client = self._client, None
        if client is not None:
            end_client(client)
            with self.changed:
                self._mids.clear()

    def publish(self, topic: str, payload: bytes, execution_id: str = "") -> None:
        client = self._client
        if client is None:
            return
        with self.changed:
            sent = client.publish(topic, payload, qos=1)
            self._mids[sent.mid] = execution_id

    def wait(self, is_so: Callable[["CommandDevice"], bool], timeout_s: float = WAIT_S) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: is_so(self), timeout_s), (self.order, self.answers)

    def _on_connect(self, client: paho.Client, *_: Any) -> None:
        client.subscribe([(one, 1) for one in self.filters])

    def _on_message(self, client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        levels = message.topic.split("/")
        if "request" not in levels:
            client.ack(message.mid, message.qos)
            with self.changed:
                self.answers.append(message)
                self.changed.notify_all()
            return
        execution_id = levels[-1] if levels[0] == "cmd" else levels[5]
        with self.changed:
            self.counts[execution_id] += 1
            self.order.append(execution_id)
            self.messages.append(message)
            self.changed.notify_all()
        if self.acknowledges:
            client.ack(message.mid, message.qos)
        told = self.answer(execution_id, bytes(message.payload))
        if told is not None:
            self.publish(response_topic(message.topic), told, execution_id)

    def _on_publish(self, _client: Any, _data: Any, mid: int, *_: Any) -> None:
        with self.changed:
            self.answered += [self._mids[mid]] if self._mids.get(mid) else []
            self.changed.notify_all()


def response_topic(topic: str) -> str:
    if topic.startswith("cmd/"):
        return topic.replace("/request/", "/response/")
    return topic.replace("/request", "/response")


class Operator:
    """Whoever sends commands, over /v1."""

    def __init__(self, gateway: RunningGateway) -> None:
        self.gateway = gateway
        self.token = gateway.token()

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        sent = None if body is None else json.dumps(body).encode()
        return self.gateway.call(method, path, self.token, sent)

    def send(self, device_id: str, name: str = "blink", **told: Any) -> dict[str, Any]:
        status, command = self.call("POST", f"/v1/devices/{device_id}/commands", {"name": name, **told})
        assert status == 201, command
        return dict(command)

    def command(self, execution_id: str) -> dict[str, Any]:
        return dict(self.gateway.get(f"/v1/commands/{execution_id}", self.token))

    def wait(self, execution_id: str, *states: str, timeout_s: float = WAIT_S) -> dict[str, Any]:
        """Ask until a command is in one of these states."""
        until(lambda: self.command(execution_id)["state"] in states, timeout_s)
        return self.command(execution_id)


def until(is_so: Callable[[], bool], timeout_s: float = WAIT_S) -> None:
    """Ask again and again until it is so."""
    waiting = threading.Event()
    for _ in range(int(timeout_s / 0.05)):
        if is_so():
            return
        waiting.wait(0.05)
    raise AssertionError("it never became so")
