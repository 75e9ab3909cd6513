"""Who gets in, and what a device may do."""

import sqlite3
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.flows.running import Device, RunningGateway, running


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with running(tmp_path_factory.mktemp("trust")) as process:
        yield process


def _publish(gateway: RunningGateway, device_id: str, bundle: Path, topic: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *("mosquitto_pub", "-h", "localhost", "-p", str(gateway.mqtt_port), "-i", device_id, "-q", "1"),
            *("--cafile", bundle / "root.pem", "--cert", bundle / "certificate.pem", "--key", bundle / "key.pem"),
            *("-t", topic, "-m", '{"pressure": 45.2}'),
        ],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def _problems(gateway: RunningGateway, device_id: str) -> dict[str, str]:
    device = gateway.get(f"/v1/devices/{device_id}", gateway.token())
    return {problem["kind"]: problem["reason"] for problem in device["problems"]}


def test_mosquitto_pub_with_an_issued_certificate_is_stored(gateway: RunningGateway) -> None:
    bundle = gateway.add_device("sensor-001")
    done = _publish(gateway, "sensor-001", bundle, "sensors/sensor-001/telemetry")
    assert done.returncode == 0, done.stderr
    answer = gateway.get("/v1/devices/sensor-001/telemetry", gateway.token())
    assert [(series["metric"], series["values"]) for series in answer["series"]] == [("pressure", [45.2])]


def test_a_client_without_a_certificate_is_refused(gateway: RunningGateway) -> None:
    bundle = gateway.add_device("without")
    done = subprocess.run(
        [
            *("mosquitto_pub", "-h", "localhost", "-p", str(gateway.mqtt_port), "-i", "without", "-q", "1"),
            *("--cafile", bundle / "root.pem", "-t", "sensors/without/telemetry", "-m", "{}"),
        ],
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert done.returncode != 0
    # A message of somebody else carries the refusal to disk.
    assert _publish(gateway, "without", bundle, "sensors/without/telemetry").returncode == 0
    with closing(sqlite3.connect(f"file:{gateway.data / 'gateway.db'}?mode=ro", uri=True)) as connection:
        reasons = connection.execute("SELECT reason FROM problem WHERE device_id = ''").fetchall()
    assert any("showed no certificate" in reason for (reason,) in reasons), reasons


def test_a_certificate_of_a_stranger_is_refused(gateway: RunningGateway, tmp_path: Path) -> None:
    bundle = gateway.add_device("honest")
    (tmp_path / "root.pem").write_bytes((bundle / "root.pem").read_bytes())
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-keyout", tmp_path / "key.pem", "-out", tmp_path / "certificate.pem", "-subj", "/CN=honest"),
        ],
        check=True,
        capture_output=True,
    )
    assert _publish(gateway, "honest", tmp_path, "sensors/honest/telemetry").returncode != 0
    assert _publish(gateway, "honest", bundle, "sensors/honest/telemetry").returncode == 0


def test_a_device_cannot_connect_as_another(gateway: RunningGateway) -> None:
    bundle = gateway.add_device("device-a")
    gateway.add_device("device-b")
    done = _publish(gateway, "device-b", bundle, "sensors/device-b/telemetry")
    assert done.returncode != 0
    assert "not authorised" in done.stderr.lower()


def test_a_device_cannot_publish_as_another_and_is_told_why(gateway: RunningGateway) -> None:
    bundle = gateway.add_device("device-c")
    gateway.add_device("device-d")
    assert _publish(gateway, "device-c", bundle, "sensors/device-d/telemetry").returncode != 0
    assert gateway.get("/v1/devices/device-d/telemetry", gateway.token())["series"] == []
    # The refusal lies on disk within a moment of its own; a message of the device brings it there for sure.
    assert _publish(gateway, "device-c", bundle, "sensors/device-c/telemetry").returncode == 0
    assert "sensors/device-d/telemetry" in _problems(gateway, "device-c")["not_authorized"]


def test_bad_messages_are_explained_and_stop_nobody(gateway: RunningGateway) -> None:
    device = Device(gateway, "clumsy").wait_connected()
    good = Device(gateway, "careful").wait_connected()
    bad = [
        b"{not json",
        b'{"readings": 5}',
        b'{"pressure": NaN, "flow": }',
        b'{"deviceId": "careful", "pressure": 1}',
        b'{"pressure": 1, "timestamp": "2099-01-01T00:00:00Z"}',
        b'{"pressure": 1, "timestamp": "yesterday"}',
        b'{"pressure": "' + b"x" * 200_000 + b'"}',
        b'{"neverSeenBefore": 7}',
    ]
    for payload in bad:
        device.publish(payload)
    good.publish({"pressure": 44.0})
    device.wait_acknowledged(len(bad))
    good.wait_acknowledged(1)
    device.close()
    good.close()
    kinds = _problems(gateway, "clumsy")
    assert kinds.keys() == {
        "not_json",
        "wrong_type",
        "wrong_device",
        "clock_ahead",
        "wrong_timestamp",
        "payload_too_large",
    }
    assert "with NaN and Infinity as numbers: Expecting value" in kinds["not_json"]
    assert "200,016 bytes" in kinds["payload_too_large"]
    series = gateway.get("/v1/devices/clumsy/telemetry", gateway.token())["series"]
    assert {each["metric"] for each in series} == {"pressure", "neverSeenBefore"}
    assert not _problems(gateway, "careful")


def test_a_large_body_and_an_unknown_metric_are_answered_clearly(gateway: RunningGateway) -> None:
    token = gateway.token()
    gateway.add_device("asked")
    status, problem = gateway.call("GET", "/v1/devices/asked/telemetry?metric=nonsense", token)
    assert status == 404
    assert "nonsense" in problem["detail"]
    try:
        status, problem = gateway.call("POST", "/v1/devices", token, b'{"device_id": "' + b"x" * 10_000_000 + b'"}')
    except (ConnectionError, ssl.SSLError, OSError):
        # The gateway may hang up while the client still pushes; what counts is that it goes on.
        status = 413
    assert status == 413
    assert gateway.call("GET", "/v1/devices/asked", token)[0] == 200


def test_broken_settings_are_named(tmp_path: Path) -> None:
    broken = RunningGateway(tmp_path, "\n[mqtt2]\nport = 1\n")
    assert broken.wait() == 2
    assert "config.toml" in broken.output
    assert "mqtt2" in broken.output
