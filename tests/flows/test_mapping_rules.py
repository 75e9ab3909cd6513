"""Devices publish on topics of their own, in forms of their own, and rules make it their telemetry."""

import json
import re
import time
from collections import Counter
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


def publish(gateway: RunningGateway, folders: dict[str, Path], now_us: int) -> None:
    """What can be read and what cannot, until all of it is acknowledged: nothing would come of sending it again."""
    by_topic: dict[str, list[tuple[str, bytes]]] = {
        "hub": [
            ("iot/wearable/data", payload)
            for payload in (
                json.dumps([worn("watch", now_us - 2_000_000, 1, 71), worn("hub", now_us, 1, 55)]).encode(),
                cbor.encode(worn("watch", now_us - 1_000_000, 2, 72)),
                json.dumps(worn("stranger", now_us, 3, 99)).encode(),
                b'{"who": {"id": "watch"}, "vitals": {}}',
                b"{no json",
            )
        ],
        "boiler": [
            ("home/boiler/inlet", b"21.5"),
            ("home/boiler/inlet", b"warm"),
            ("home/boiler/inlet", b"22"),
            ("home/watch/inlet", b"7"),
            ("home/boiler/attic/inlet", b"7"),
        ],
    }
    for device_id, messages in by_topic.items():
        device = Device(gateway, device_id, folders[device_id]).wait_connected()
        for topic, payload in messages:
            device.publish(payload, topic=topic)
        device.wait_acknowledged(len(messages))
        device.close()


def check_stored(story: Story) -> None:
    assert story.values("watch") == {"heartRate": [71, 72], "temperature": [36.5, 36.5]}
    assert story.values("hub")["heartRate"] == [55]
    assert story.values("boiler") == {"inlet": [21.5, 22]}


def check_refused(story: Story) -> None:
    refused = story.problems("hub")
    assert "finds the device 'stranger', which is not registered here" in refused["unknown_device"]
    assert "finds none of its metrics" in refused["no_readings"]
    assert "not JSON" in refused["not_json"]
    assert story.problems("boiler")["wrong_type"] == "a number was expected, got 'warm'"
    assert "may report for itself only" in story.problems("boiler")["other_device"]
    assert story.problems("watch") == {}


def test_what_devices_publish_elsewhere_is_telemetry_by_rules_that_outlive_a_restart(
    bundles: tuple[Path, dict[str, Path]],
) -> None:
    folder, folders = bundles
    now_us = time.time_ns() // 1_000
    with running(folder) as gateway:
        story = Story(gateway)
        publish(gateway, folders, now_us)
        check_stored(story)
        check_refused(story)
        assert gateway.get("/v1/devices/watch/quality", story.token)["sequence"]["highest"] == 2
        actions = {entry["action"] for entry in gateway.get("/v1/audit", story.token)["entries"]}
        assert "mapping_rule.add" in actions
        assert gateway.end() == 0
    with running(folder) as gateway:
        check_stored(Story(gateway))
        status, printed = gateway.quick_command("replay", "--messages", "--from", str(now_us // 1_000 - 5_000))
        assert status == 0, printed
        # Written anew, they are read without any rule.
        topics = Counter(re.findall(r'"topic": ?"([^"]+)"', printed))
        assert topics == {
            f"sensors/{name}/telemetry": count for name, count in (("watch", 2), ("hub", 1), ("boiler", 2))
        }


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
