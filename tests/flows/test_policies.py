"""A policy of AWS lets a device publish elsewhere; a denial takes it away from the session that is open."""

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.flows.running import Device, RunningGateway, running

PATIENCE_S = 20.0
NAME = "${iot:Connection.Thing.ThingName}"
ARN = "arn:aws:iot:eu-central-1:123456789012:"


def aws(effect: str, **resources: str) -> dict[str, Any]:
    """A policy with one statement for each action."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": effect, "Action": f"iot:{action}", "Resource": ARN + resource}
            for action, resource in resources.items()
        ],
    }


LETS = aws("Allow", Publish=f"topic/lab/{NAME}/*", Subscribe="topicfilter/lab/news/+", Receive="topic/lab/news/*")
TAKES = aws("Deny", Publish="topic/lab/*", Receive="topic/lab/news/secret")


def until(happened: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < deadline, what
        threading.Event().wait(0.05)


def put(gateway: RunningGateway, token: str, name: str, document: dict[str, Any]) -> None:
    body = json.dumps({"document": document, "types": ["pump"]}).encode()
    status, told = gateway.call("PUT", f"/v1/policies/{name}", token, body)
    assert status == 200, told


def reasons(gateway: RunningGateway, token: str, device_id: str) -> str:
    return " ".join(problem["reason"] for problem in gateway.get(f"/v1/devices/{device_id}", token)["problems"])


class Pump:
    """A device of the type, and what it was told."""

    def __init__(self, gateway: RunningGateway, token: str, device_id: str) -> None:
        new = json.dumps({"device_id": device_id, "type": "pump"}).encode()
        assert gateway.call("POST", "/v1/devices", token, new)[0] == 201
        bundle = gateway.call("POST", f"/v1/devices/{device_id}/certificates", token)[1]
        folder = gateway.data.parent / device_id
        folder.mkdir()
        for name, key in (("root", "root_pem"), ("certificate", "chain_pem"), ("key", "key_pem")):
            (folder / f"{name}.pem").write_text(bundle[key])
        self.device = Device(gateway, device_id, folder).wait_connected()
        self.granted: list[bool] = []
        self.heard: list[str] = []
        self.device.client.on_subscribe = lambda _c, _d, _m, codes, _p: self.granted.append(not codes[0].is_failure)
        self.device.client.on_message = lambda _c, _d, message: self.heard.append(message.topic)

    def may_subscribe(self, topic_filter: str) -> bool:
        count = len(self.granted)
        self.device.client.subscribe(topic_filter, 1)
        until(lambda: len(self.granted) > count, f"no SUBACK for {topic_filter}")
        return self.granted[-1]


def test_a_policy_of_aws_for_a_type_counts_for_the_live_session_and_so_does_a_denial(tmp_path: Path) -> None:
    with running(tmp_path) as gateway:
        token = gateway.token()
        pump = Pump(gateway, token, "pump-1")
        try:
            assert not pump.may_subscribe("lab/news/+")
            put(gateway, token, "lab", LETS)
            assert pump.may_subscribe("lab/news/+")
            assert not pump.may_subscribe("lab/#")
            pump.device.publish(b'{"level": 1}', 1, topic="lab/pump-1/level")
            pump.device.wait_acknowledged(1)
            assert not pump.device.is_gone.is_set()

            put(gateway, token, "quiet", TAKES)
            until(lambda: "lab/news/+" in reasons(gateway, token, "pump-1"), "the subscription did not end")
            assert "statement 2 of policy 'quiet' denies pump-1" in reasons(gateway, token, "pump-1")
            # In MQTT 3.1.1 only the end of the connection tells of a refusal.
            pump.device.publish(b'{"level": 2}', 2, topic="lab/pump-1/level")
            assert pump.device.is_gone.wait(PATIENCE_S)
            until(
                lambda: "statement 1 of policy 'quiet' denies pump-1 to publish" in reasons(gateway, token, "pump-1"),
                "the refusal was not noted",
            )
            assert 2 not in pump.device.acknowledged
            test = json.dumps({"action": "publish", "resource": "lab/pump-1/level"}).encode()
            told = gateway.call("POST", "/v1/devices/pump-1/policy/test", token, test)[1]
            assert (told["allowed"], told["policy"], told["statement"]) == (False, "quiet", 1)
        finally:
            pump.device.close()


def test_a_device_that_may_not_connect_any_more_is_disconnected(tmp_path: Path) -> None:
    with running(tmp_path) as gateway:
        token = gateway.token()
        pump = Pump(gateway, token, "pump-1")
        try:
            put(gateway, token, "out", aws("Deny", Connect="client/*"))
            assert pump.device.is_gone.wait(PATIENCE_S)
            until(
                lambda: "statement 1 of policy 'out' denies pump-1 to connect" in reasons(gateway, token, "pump-1"),
                "the refusal was not noted",
            )
        finally:
            pump.device.close()
