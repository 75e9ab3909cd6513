"""Devices that speak JSON, CBOR and SenML are read alike; their types, their numbers and their clocks are looked at."""

import json
import time
from pathlib import Path
from typing import Any, cast

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from appliance.ingestion import cbor
from tests.flows.running import Device, RunningGateway, end_client, running

RULE = {"kind": "number", "least": 0, "greatest": 60, "violation": "reject"}


def test_every_form_is_read_over_both_versions_of_mqtt(tmp_path: Path) -> None:
    now = time.time_ns() // 1_000_000
    with running(tmp_path) as gateway:
        token = gateway.token()
        device = _device_of_a_type(gateway, token)
        payloads: list[dict[str, Any] | bytes] = [
            {"timestamp": now - 5_000, "sequence": 1, "pressure": {"value": 0.5, "unit": "bar"}},
            _cbor({"timestamp": now - 4_000, "sequence": 2, "pressure": 51.5}),
            json.dumps([{"bt": (now - 3_000) / 1_000, "n": "pump:pressure", "u": "Pa", "v": 52_250}]).encode(),
            {"timestamp": now - 2_000, "sequence": 5, "pressure": 99, "gps": {"lat": 52.5, "lon": 13.5}},
            b"\xa1\x61",
        ]
        for payload in payloads:
            device.publish(payload)
        device.wait_acknowledged(len(payloads))
        device.close()
        pack = [{0: "pressure", 1: "bar", 2: 0.55, 6: -1}]
        _publish_5(gateway, tmp_path / "data" / "bundles" / "pump", _cbor(pack), "application/senml+cbor")
        told = _told(gateway, token)
        assert told["pressure"] == [50.0, 51.5, 52.25, 55.0]
        assert (told["gps.latitude"], told["gps.longitude"]) == ([52.5], [13.5])
        quality = gateway.get("/v1/devices/pump/quality", token)
        assert (quality["sequence"]["missing"], quality["rejected_readings"]) == (2, 1)
        assert quality["clock_behind_ms"] >= 2_000
        problems = {
            problem["kind"]: problem["reason"] for problem in gateway.get("/v1/devices/pump", token)["problems"]
        }
        assert problems["schema_rejected"] == "pressure is 99 kPa, above 60"
        assert "breaks off" in problems["not_cbor"]
        assert gateway.end() == 0
    with running(tmp_path) as gateway:
        token = gateway.token()
        assert gateway.get("/v1/device-types/px", token)["metrics"] == {"pressure": RULE}
        device = Device(gateway, "pump", tmp_path / "data" / "bundles" / "pump").wait_connected()
        for payload in payloads[:2]:
            device.publish(payload)
        device.wait_acknowledged(2)
        device.close()
        assert _told(gateway, token) == told
        assert gateway.get("/v1/devices/pump/quality", token)["duplicate_reports"] == 2


def _device_of_a_type(gateway: RunningGateway, token: str) -> Device:
    kind = {"name": "px", "units": {"pressure": "kPa"}, "metrics": {"pressure": RULE}}
    assert gateway.call("POST", "/v1/device-types", token, json.dumps(kind).encode())[0] == 201
    device = Device(gateway, "pump").wait_connected()
    assert gateway.call("PATCH", "/v1/devices/pump", token, b'{"type": "px"}')[0] == 200
    return device


def _cbor(value: object) -> bytes:
    return cbor.encode(cast("cbor.Value", value))


def _told(gateway: RunningGateway, token: str) -> dict[str, list[Any]]:
    series = gateway.get("/v1/devices/pump/telemetry", token)["series"]
    return {one["metric"]: one["values"] for one in series}


def _publish_5(gateway: RunningGateway, bundle: Path, payload: bytes, content_type: str) -> None:
    """Publish with MQTT 5, which says what a payload is."""
    client = paho.Client(CallbackAPIVersion.VERSION2, bundle.name, protocol=paho.MQTTv5)
    client.tls_set(str(bundle / "root.pem"), str(bundle / "certificate.pem"), str(bundle / "key.pem"))
    client.connect("localhost", gateway.mqtt_port, keepalive=30)
    client.loop_start()
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.ContentType = content_type
    sent = client.publish(f"sensors/{bundle.name}/telemetry", payload, qos=1, properties=properties)
    sent.wait_for_publish(20)
    client.disconnect()
    end_client(client)
