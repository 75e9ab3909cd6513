"""A device that has nothing but a certificate of its own making, from its first knock to its first message."""

import json
import re
import sqlite3
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.flows.est import Answer, run
from tests.flows.running import RunningGateway, running


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with running(tmp_path_factory.mktemp("knocking"), "knock_port = 0\n") as process:
        yield process


def port_of(gateway: RunningGateway) -> int:
    return gateway._number(r"Knocking +https://localhost:(\d+)/enrol")


def self_made(folder: Path, kind: str) -> tuple[Path, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    of_kind = ["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"] if kind == "ec" else ["rsa:2048"]
    made = folder / "self.pem", folder / "self.key"
    options = ("-nodes", "-subj", "/CN=made by itself", "-days", "1", "-out", made[0], "-keyout", made[1])
    run("openssl", "req", "-x509", "-newkey", *of_kind, *options)
    return made


def knock(gateway: RunningGateway, certificate: Path, key: Path, told: str = "") -> Answer:
    sent = ["-H", "content-type: application/json", "--data", told] if told else ["-X", "POST"]
    trust = gateway.data / "pki/root.pem"
    shown = ["--cacert", trust, "--cert", certificate, "--key", key]
    return Answer(run("curl", "-sS", "-i", *shown, *sent, f"https://localhost:{port_of(gateway)}/enrol").stdout)


@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_curl_knocks_a_script_accepts_and_the_device_publishes(
    gateway: RunningGateway, tmp_path: Path, kind: str
) -> None:
    certificate, key = self_made(tmp_path, kind)
    token, device_id = gateway.token(), f"pump-{kind}"
    waits = knock(gateway, certificate, key, json.dumps({"device_id": device_id, "type": "pump", "note": "cellar"}))
    assert (waits.status, waits.headers["retry-after"]) == (202, "5")
    [waiting] = gateway.get("/v1/enrolment/knocks", token)["knocks"]
    assert (waiting["wanted_id"], waiting["label"], waiting["note"]) == (device_id, "pump", "cellar")
    assert (waiting["way"], waiting["subject"]) == ("certificate", "CN=made by itself")
    assert waiting["key_fingerprint"].startswith(json.loads(waits.body)["code"])
    accept = f"/v1/enrolment/knocks/{waiting['knock_number']}/accept"
    body = json.dumps({"device_id": device_id, "type": "pump"}).encode()
    assert gateway.call("POST", accept, token, body)[0] == 204
    given = knock(gateway, certificate, key)
    assert given.status == 200, given.body
    told = json.loads(given.body)
    (tmp_path / "certificate.pem").write_text(told["certificate"])
    (tmp_path / "root.pem").write_text(told["root"])
    place = ("-h", "localhost", "-p", str(told["port"]), "-i", told["device_id"])
    files = ("--cafile", tmp_path / "root.pem", "--cert", tmp_path / "certificate.pem", "--key", key)
    run("mosquitto_pub", *place, *files, "-q", "1", "-t", f"sensors/{device_id}/telemetry", "-m", "{}")


def test_python_knocks_and_is_refused_in_words(gateway: RunningGateway, tmp_path: Path) -> None:
    certificate, key = self_made(tmp_path, "ec")
    context = ssl.create_default_context(cafile=str(gateway.data / "pki/root.pem"))
    context.load_cert_chain(certificate, key)
    asked = urllib.request.Request(f"https://localhost:{port_of(gateway)}/enrol", method="POST")
    with urllib.request.urlopen(asked, timeout=20, context=context) as answer:
        assert answer.status == 202
    token = gateway.token()
    [waiting] = gateway.get("/v1/enrolment/knocks", token)["knocks"]
    assert gateway.call("POST", f"/v1/enrolment/knocks/{waiting['knock_number']}/refuse", token)[0] == 204
    refused = knock(gateway, certificate, key)
    assert (refused.status, "refused" in json.loads(refused.body)["reason"]) == (403, True)


def test_a_certificate_of_a_strange_ca_on_the_port_of_mqtt_is_shown_by_address_and_time_only(
    gateway: RunningGateway, tmp_path: Path
) -> None:
    certificate, key = self_made(tmp_path, "ec")
    place = ("-h", "localhost", "-p", str(gateway.mqtt_port), "-i", "stranger")
    files = ("--cafile", gateway.data / "pki/root.pem", "--cert", certificate, "--key", key)
    command = [*map(str, ("mosquitto_pub", *place, *files, "-q", "1", "-t", "a", "-m", "{}"))]
    assert subprocess.run(command, capture_output=True, timeout=30, check=False).returncode != 0
    reason, seen_at = stranger_seen(gateway)
    assert re.search(r"not issued here .*\(from 127\.0\.0\.1:\d+\)", reason)
    assert seen_at > 0
    assert "made by itself" not in reason
    assert gateway.get("/v1/enrolment/knocks", gateway.token())["knocks"] == []


def stranger_seen(gateway: RunningGateway) -> tuple[str, int]:
    """What is written down of somebody whose handshake failed, for the page that people open first."""
    sql = "SELECT reason, last_at FROM problem WHERE device_id = '' AND kind = 'tls_handshake_failed'"
    ends_at = time.monotonic() + 15
    with closing(sqlite3.connect(f"file:{gateway.data / 'gateway.db'}?mode=ro", uri=True)) as database:
        while not (found := database.execute(sql).fetchall()):
            assert time.monotonic() < ends_at
            time.sleep(0.1)
    [(reason, seen_at)] = found
    return str(reason), int(seen_at)
