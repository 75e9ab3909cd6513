"""Devices publish on topics of their own, in forms of their own, and rules make it their telemetry."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from appliance.ingestion import cbor
from tests.flows import browser
from tests.flows.running import Device, RunningGateway, running

LETS = {"statements": [{"effect": "allow", "actions": ["publish"], "resources": ["iot/#", "home/#"]}]}
WEARABLES = {
    "topic": "iot/wearable/data",
    "device": {"from": "payload", "path": "who.id"},
    "timestamp": "when.us",
    "timestamp_unit": "us",
    "sequence": "number",
    "metrics": {"heartRate": "vitals.hr", "temperature": {"path": "vitals.t.0", "unit": "Cel"}},
    "publishers": ["hub"],
}
HOME = {
    "topic": "home/+/+",
    "device": {"from": "topic", "level": 2},
    "value": {"metric": {"from": "topic", "level": 3}, "kind": "number", "unit": "Cel"},
}
DEVICES = ("hub", "watch", "boiler")


class Story:
    """A gateway, and the token by which it is asked."""

    def __init__(self, gateway: RunningGateway) -> None:
        self.gateway = gateway
        self.token = gateway.token()

    def put(self, path: str, body: object) -> None:
        status, told = self.gateway.call("PUT", path, self.token, json.dumps(body).encode())
        assert status == 200, told

    def tried(self, **sample: str) -> Any:
        return self.gateway.call("POST", "/v1/mapping-rules/try", self.token, json.dumps(sample).encode())[1]

    def values(self, device_id: str) -> dict[str, list[Any]]:
        series = self.gateway.get(f"/v1/devices/{device_id}/telemetry", self.token)["series"]
        return {one["metric"]: one["values"] for one in series}

    def problems(self, device_id: str) -> dict[str, str]:
        told = self.gateway.get(f"/v1/devices/{device_id}", self.token)["problems"]
        return {problem["kind"]: problem["reason"] for problem in told}


def worn(device_id: str, at_us: int, number: int, heart_rate: int) -> dict[str, Any]:
    vitals = {"hr": heart_rate, "t": [36.5, "armpit"]}
    return {"who": {"id": device_id}, "when": {"us": at_us}, "number": number, "vitals": vitals, "noise": [1] * 50}


@pytest.fixture
def bundles(tmp_path: Path) -> tuple[Path, dict[str, Path]]:
    """A data folder with rules, devices and a policy that lets them publish, and the gateway stopped."""
    with running(tmp_path) as gateway:
        story = Story(gateway)
        folders = {device_id: gateway.add_device(device_id) for device_id in DEVICES}
        for device_id in DEVICES:
            assert gateway.call("PATCH", f"/v1/devices/{device_id}", story.token, b'{"type": "px"}')[0] == 200
        story.put("/v1/policies/own", {"document": LETS, "types": ["px"]})
        story.put("/v1/mapping-rules/wearables", WEARABLES)
        story.put("/v1/mapping-rules/home", HOME)
        assert gateway.end() == 0
    return tmp_path, folders


def test_what_devices_publish_elsewhere_is_telemetry_by_rules_that_outlive_a_restart(
    bundles: tuple[Path, dict[str, Path]],
) -> None:
    folder, folders = bundles
    with running(folder) as gateway:
        story = Story(gateway)
        hub = Device(gateway, "hub", folders["hub"]).wait_connected()
        boiler = Device(gateway, "boiler", folders["boiler"]).wait_connected()
        now = time.time_ns() // 1_000
        published: list[bytes] = [
            json.dumps([worn("watch", now - 2_000_000, 1, 71), worn("hub", now, 1, 55)]).encode(),
            cbor.encode(worn("watch", now - 1_000_000, 2, 72)),
            json.dumps(worn("stranger", now, 3, 99)).encode(),
            b'{"who": {"id": "watch"}, "vitals": {}}',
            b"{no json",
        ]
        for number, payload in enumerate(published):
            hub.publish(payload, number, topic="iot/wearable/data")
        for number, payload in enumerate((b"21.5", b"warm", b"22")):
            boiler.publish(payload, number, topic="home/boiler/inlet")
        boiler.publish(b"7", 3, topic="home/watch/inlet")
        boiler.publish(b"7", 4, topic="home/boiler/attic/inlet")
        # What is refused is acknowledged too: nothing would come of sending it again.
        hub.wait_acknowledged(5)
        boiler.wait_acknowledged(5)
        assert story.values("watch") == {"heartRate": [71, 72], "temperature": [36.5, 36.5]}
        assert story.values("hub")["heartRate"] == [55]
        assert story.values("boiler") == {"inlet": [21.5, 22]}
        refused = story.problems("hub")
        assert "finds the device 'stranger', which is not registered here" in refused["unknown_device"]
        assert "finds none of its metrics" in refused["no_readings"]
        assert "not JSON" in refused["not_json"]
        assert story.problems("boiler")["wrong_type"] == "a number was expected, got 'warm'"
        assert "may report for itself only" in story.problems("boiler")["other_device"]
        assert story.problems("watch") == {}
        assert gateway.get("/v1/devices/watch/quality", story.token)["sequence"]["highest"] == 2
        actions = {entry["action"] for entry in gateway.get("/v1/audit", story.token)["entries"]}
        assert "mapping_rule.add" in actions
        hub.close()
        boiler.close()


def test_a_person_writes_a_rule_and_tries_it_on_the_page(tmp_path: Path) -> None:
    with running(tmp_path) as gateway, browser.opened() as (page, errors):
        browser.claim(page, gateway)
        gateway.add_device("watch")
        page.goto(f"https://localhost:{gateway.web_port}/ingestion")
        page.get_by_role("link", name="Mapping rules").click()
        expect(page.get_by_text("No mapping rules yet")).to_be_visible()
        page.locator("[name=name]").fill("wearables")
        document = json.dumps({"topic": "iot/#", "metrics": {"pulse": "hr"}})
        page.locator("[name=document]").fill(document)
        page.get_by_role("button", name="Add rule").click()
        expect(page.get_by_text("Device is whoever publishes; 1 metric by path.")).to_be_visible()
        page.locator("[name=publisher]").fill("watch")
        page.locator("[name=topic]").fill("iot/data")
        page.locator("[name=payload]").fill('{"hr": 72}')
        page.get_by_role("button", name="Try", exact=True).click()
        came = page.locator("#came")
        expect(came).to_contain_text("The rule wearables reads it.")
        expect(came).to_contain_text("Its publisher may not publish there:")
        expect(came).to_contain_text("pulse = 72")
        assert errors == []
