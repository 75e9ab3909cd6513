"""Devices that do jobs as AWS's documentation says, made with a client library that others use too."""

import json
import threading
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from tests.flows.running import RunningGateway, end_client


class JobDevice:
    """Begins whatever comes next, does it and reports how it went."""

    def __init__(self, device_id: str, bundle: Path, outcome: str = "SUCCEEDED") -> None:
        self.device_id = device_id
        self.outcome = outcome
        self.begun: list[tuple[str, int]] = []
        """Each time that it was told to begin something: the job and the number of the try."""
        self.reported: list[str] = []
        """The jobs of which the gateway has taken the report."""
        self._bundle = bundle
        self._topic = f"$aws/things/{device_id}/jobs"
        self._client: paho.Client | None = None
        self._is_ready = threading.Event()

    def connect(self, gateway: RunningGateway) -> None:
        client = paho.Client(
            CallbackAPIVersion.VERSION2, self.device_id, protocol=paho.MQTTv311, reconnect_on_failure=False
        )
        files = [str(self._bundle / name) for name in ("root.pem", "certificate.pem", "key.pem")]
        client.tls_set(files[0], files[1], files[2])
        self._is_ready.clear()
        client.on_connect = self._on_connect
        client.on_subscribe = lambda *_: self._is_ready.set()
        client.on_message = self._on_message
        client.connect("localhost", gateway.mqtt_port, keepalive=60)
        self._client = client
        client.loop_start()

    def ask(self) -> None:
        """A device that comes back asks what there is to do."""
        assert self._is_ready.wait(20)
        self._say("start-next", {})

    def leave(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.disconnect()
            end_client(client)

    def _on_connect(self, client: paho.Client, *_: Any) -> None:
        client.subscribe([(f"{self._topic}/notify-next", 1)])

    def _on_message(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        asked = message.topic.removeprefix(f"{self._topic}/")
        said = json.loads(message.payload)
        execution = said.get("execution")
        if asked == "notify-next" and execution:
            self._say("start-next", {})
        elif asked == "start-next/accepted" and execution:
            self.begun.append((execution["jobId"], execution["executionNumber"]))
            wish = {"status": self.outcome, "expectedVersion": execution["versionNumber"]}
            self._say(f"{execution['jobId']}/update", wish)
        elif asked.endswith("/update/accepted"):
            self.reported.append(asked.partition("/")[0])

    def _say(self, asked: str, said: object) -> None:
        client = self._client
        if client is not None:
            client.publish(f"{self._topic}/{asked}", json.dumps(said), 1)
