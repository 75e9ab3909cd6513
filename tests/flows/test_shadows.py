"""Shadows as a device sees them: answered, told of what it missed, and still there after the gateway was killed."""

import json
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from tests.flows.running import RunningGateway, end_client, running

WAIT_S = 30


class Thing:
    """A device that asks for its shadow and hears what it is answered."""

    def __init__(self, gateway: RunningGateway, device_id: str, bundle: Path, *, keeps_session: bool = False) -> None:
        self.heard: list[tuple[str, Any]] = []
        self._changed = threading.Condition()
        self._own = f"$aws/things/{device_id}/shadow/"
        self._is_connected, self._is_gone = threading.Event(), threading.Event()
        self.client = paho.Client(CallbackAPIVersion.VERSION2, device_id, not keeps_session, protocol=paho.MQTTv311)
        self.client.tls_set(str(bundle / "root.pem"), str(bundle / "certificate.pem"), str(bundle / "key.pem"))
        self.client.on_connect = lambda *_: self._is_connected.set()
        self.client.on_disconnect = lambda *_: self._is_gone.set()
        # Before it connects: what waits for it comes at once.
        self.client.on_message = self._on_message
        self.client.on_subscribe = lambda *_: self._note(("subscribed", None))
        self.client.connect("localhost", gateway.mqtt_port, keepalive=30)
        self.client.loop_start()
        assert self._is_connected.wait(WAIT_S)

    def subscribe(self) -> "Thing":
        self.client.subscribe(self._own + "#", qos=1)
        self.wait(lambda: ("subscribed", None) in self.heard)
        return self

    def ask(self, verb: str, body: Any = None, answers: int = 1) -> list[tuple[str, Any]]:
        """What is heard of a request, as many messages as are to come."""
        before = len(self.heard)
        payload = json.dumps(body) if body is not None else None
        self.client.publish(self._own + verb, payload, qos=1)
        self.wait(lambda: len(self.heard) >= before + answers)
        return self.heard[before:]

    def wait(self, is_so: Any) -> None:
        with self._changed:
            assert self._changed.wait_for(is_so, WAIT_S), self.heard

    def close(self) -> None:
        self.client.disconnect()
        assert self._is_gone.wait(WAIT_S)
        end_client(self.client)

    def _on_message(self, _client: Any, _data: Any, message: Any) -> None:
        assert not message.retain
        if message.topic.endswith(("/get", "/update", "/delete")):
            return  # Its own request.
        self._note((message.topic.removeprefix(self._own), json.loads(message.payload)))

    def _note(self, heard: tuple[str, Any]) -> None:
        with self._changed:
            self.heard.append(heard)
            self._changed.notify_all()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with running(tmp_path_factory.mktemp("shadows")) as process:
        yield process


def test_a_device_gets_updates_and_deletes_its_shadow(gateway: RunningGateway) -> None:
    pump = Thing(gateway, "pump", gateway.add_device("pump")).subscribe()
    [(topic, body)] = pump.ask("get", {"clientToken": "t"})
    assert (topic, body["code"], body["message"]) == (
        "get/rejected",
        404,
        "No shadow exists with name: 'pump'",
    )
    assert body["clientToken"] == "t"
    told = pump.ask("update", {"state": {"desired": {"a": 1}, "reported": {"b": 2}}, "clientToken": "u"}, 3)
    assert [topic for topic, _ in told] == ["update/accepted", "update/delta", "update/documents"]
    assert {body["clientToken"] for _, body in told} == {"u"}
    [(_, conflict)] = pump.ask("update", {"state": {"reported": {"a": 2}}, "version": 7})
    assert (conflict["code"], conflict["message"]) == (409, "Version conflict")
    [(_, got)] = pump.ask("get")
    assert (got["version"], got["state"]["delta"]) == (1, {"a": 1})
    [(topic, accepted)] = pump.ask("name/config/update", {"state": {"reported": {"x": 1}}}, 2)[:1]
    assert (topic, accepted["version"]) == ("name/config/update/accepted", 1)
    [(topic, deleted)] = pump.ask("delete")
    assert (topic, deleted["version"]) == ("delete/accepted", 1)
    [(topic, _)] = pump.ask("get")
    assert topic == "get/rejected"
    pump.close()


def test_a_request_at_qos_0_is_served(gateway: RunningGateway) -> None:
    fan = Thing(gateway, "fan", gateway.add_device("fan")).subscribe()
    fan.client.publish("$aws/things/fan/shadow/get", b"", qos=0)
    fan.wait(lambda: any(topic == "get/rejected" for topic, _ in fan.heard))
    fan.close()


def test_a_device_that_was_away_hears_what_is_desired_of_it(gateway: RunningGateway) -> None:
    bundle = gateway.add_device("lamp")
    lamp = Thing(gateway, "lamp", bundle, keeps_session=True).subscribe()
    lamp.ask("update", {"state": {"reported": {"on": False}}}, 2)
    lamp.close()
    status, told = gateway.call(
        "POST", "/v1/devices/lamp/shadow", gateway.token(), json.dumps({"state": {"desired": {"on": True}}}).encode()
    )
    assert (status, told["version"]) == (200, 2)
    back = Thing(gateway, "lamp", bundle, keeps_session=True)
    back.wait(lambda: any(topic == "update/delta" for topic, _ in back.heard))
    delta = dict(back.heard)["update/delta"]
    assert (delta["state"], delta["version"]) == ({"on": True}, 2)
    back.close()


def test_with_what_a_device_sent_its_shadow_is_erased(gateway: RunningGateway) -> None:
    token = gateway.quick_command("token", "add", "owner", "--role", "owner")[1].strip()
    wine = Thing(gateway, "wine", gateway.add_device("wine")).subscribe()
    wine.ask("update", {"state": {"reported": {"note": "secret"}}}, 2)
    wine.ask("update", {"state": {"reported": {"note": "x"}}}, 2)
    assert gateway.call("DELETE", "/v1/devices/wine/telemetry", token)[0] == 202
    deadline = time.monotonic() + WAIT_S
    while gateway.call("GET", "/v1/devices/wine/shadow", token)[0] != 404:
        assert time.monotonic() < deadline
        threading.Event().wait(0.05)
    [(_, body)] = wine.ask("get")
    assert body["code"] == 404
    assert gateway.call("GET", "/v1/devices/wine/shadow/history", token)[1]["changes"] == []
    [accepted, _] = wine.ask("update", {"state": {"reported": {"note": "new"}}}, 2)
    assert accepted[1]["version"] == 1
    wine.close()


def test_a_device_that_retires_has_no_shadow_more_and_its_history_stays(gateway: RunningGateway) -> None:
    token = gateway.token()
    cork = Thing(gateway, "cork", gateway.add_device("cork")).subscribe()
    cork.ask("update", {"state": {"reported": {"note": "last"}}}, 2)
    cork.ask("name/config/update", {"state": {"reported": {"x": 1}}}, 2)
    cork.close()
    state = json.dumps({"state": "suspended"}).encode()
    assert gateway.call("PUT", "/v1/devices/cork/state", token, state)[0] == 200
    assert gateway.call("GET", "/v1/devices/cork/shadow", token)[0] == 200
    state = json.dumps({"state": "retired"}).encode()
    assert gateway.call("PUT", "/v1/devices/cork/state", token, state)[0] == 200
    deadline = time.monotonic() + WAIT_S
    for name in ("", "?name=config"):
        while gateway.call("GET", f"/v1/devices/cork/shadow{name}", token)[0] != 404:
            assert time.monotonic() < deadline
            threading.Event().wait(0.05)
    [last, first] = gateway.call("GET", "/v1/devices/cork/shadow/history", token)[1]["changes"]
    assert (last["version"], last["author"], last["kind"]) == (2, "gateway", "deleted")
    assert first["patch"] == {"reported": {"note": "last"}}
    wish = json.dumps({"state": {"desired": {"on": True}}}).encode()
    status, told = gateway.call("POST", "/v1/devices/cork/shadow", token, wish)
    assert (status, told["code"]) == (409, "device_retired"), told


def test_two_writers_and_a_gateway_that_is_killed_lose_no_answered_update(tmp_path: Path) -> None:
    rounds = 20
    with running(tmp_path) as first:
        token = first.token()
        bundle = first.add_device("pump")
        pump = Thing(first, "pump", bundle).subscribe()
        with ThreadPoolExecutor(1) as panel:
            wished = panel.submit(_wish, first, token, rounds)
            told = [pump.ask("update", {"state": {"reported": {"n": n}}}) for n in range(rounds)]
            versions = wished.result()
        assert len(told) == rounds
        pump.wait(lambda: sum(topic == "update/accepted" for topic, _ in pump.heard) == 2 * rounds)
        heard = [body["version"] for topic, body in pump.heard if topic == "update/accepted"]
        assert heard == list(range(1, 2 * rounds + 1))
        assert set(versions) <= set(heard)
        first.end(signal.SIGKILL)
        pump.close()
    with running(tmp_path) as second:
        again = Thing(second, "pump", bundle).subscribe()
        [(_, got)] = again.ask("get")
        assert (got["version"], got["state"]["reported"]["n"]) == (2 * rounds, rounds - 1)
        assert got["state"]["desired"]["n"] == rounds - 1
        again.ask("update", {"state": None}, 2)
        assert again.heard[-1][1]["current"] == {"state": {}, "metadata": {}, "version": 2 * rounds + 1}
        again.close()


def _wish(gateway: RunningGateway, token: str, rounds: int) -> list[int]:
    """Update what is desired, one after the other; give the versions that were answered."""
    versions = []
    for n in range(rounds):
        body = json.dumps({"state": {"desired": {"n": n}}}).encode()
        status, told = gateway.call("POST", "/v1/devices/pump/shadow", token, body)
        assert status == 200, told
        versions.append(told["version"])
    return versions
