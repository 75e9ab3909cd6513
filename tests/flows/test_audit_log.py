"""What a person, a script, a device and the command line do to identities: all of it is in the log, with who did it."""

import json
import sqlite3
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.flows.est import SETTINGS, Key, curl, enrolment_port
from tests.flows.running import ROOT, RunningGateway, running

Told = tuple[str, str, str]
"""Who, what, to what."""


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[RunningGateway]:
    with running(tmp_path, SETTINGS) as gateway:
        yield gateway


def called(gateway: RunningGateway, token: str, method: str, path: str, sent: dict[str, Any] | None = None) -> Any:
    status, answer = gateway.call(method, path, token, None if sent is None else json.dumps(sent).encode())
    assert status < 300, (path, answer)
    return answer


def log_of(gateway: RunningGateway, token: str) -> list[Told]:
    """The whole log, oldest first, as it is exported."""
    context = ssl.create_default_context(cafile=str(gateway.data / "pki" / "web-ca.pem"))
    address = f"https://localhost:{gateway.web_port}/v1/audit-exports"
    request = urllib.request.Request(address, headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=20, context=context) as answer:
        entries = [json.loads(line) for line in answer]
    return [(one["actor"], one["action"], one["subject"]) for one in entries]


def verified(gateway: RunningGateway) -> tuple[int, str]:
    command = ("audit", "verify", "--config", gateway.config, "--data", gateway.data)
    done = subprocess.run(
        [sys.executable, "-m", "appliance", *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.timeout(180)
def test_the_log_tells_a_day_of_identities_and_shows_one_changed_byte(gateway: RunningGateway, tmp_path: Path) -> None:
    token = gateway.command("token", "add", "night-shift").strip()
    gateway.add_device("pump-1")
    called(gateway, token, "POST", "/v1/devices", {"device_id": "pump-2", "zone": "north"})
    called(gateway, token, "PATCH", "/v1/devices/pump-2", {"zone": "south"})
    document = {"statements": [{"effect": "deny", "actions": ["publish"], "resources": ["x/#"]}]}
    called(gateway, token, "PUT", "/v1/policies/quiet", {"document": document, "types": ["pump"]})
    called(gateway, token, "DELETE", "/v1/policies/quiet")
    shown = called(gateway, token, "POST", "/v1/devices/pump-1/tokens", {"name": "spare"})["token"]
    code = called(gateway, token, "POST", "/v1/enrolment/codes", {"target": "pump-3"})["code"]
    key, successor = Key(tmp_path / "first", "/CN=pump-3"), Key(tmp_path / "second", "/CN=pump-3")
    key.keep(curl(gateway, "simpleenroll", "-u", f"pump-3:{code}", body=key.request).body)
    own = ("--cert", key.certificate, "--key", key.key)
    assert curl(gateway, "simplereenroll", *own, port=enrolment_port(gateway), body=successor.request).status == 200
    called(gateway, token, "PUT", "/v1/devices/pump-3/state", {"state": "retired"})

    told = log_of(gateway, token)
    [number] = [subject for _, action, subject in told if action == "enrolment_code.add"]
    by_hand, by_script, by_code = "the command line", "token:night-shift", number.replace(" ", ":")
    expected = [
        (by_hand, "api_token.add", "night-shift"),
        (by_hand, "device.add", "pump-1"),
        (by_hand, "certificate.issue", "pump-1"),
        (by_script, "device.add", "pump-2"),
        (by_script, "device.change", "pump-2"),
        (by_script, "policy.add", "quiet"),
        (by_script, "policy.remove", "quiet"),
        (by_script, "device_token.add", "pump-1"),
        (by_script, "enrolment_code.add", number),
        (by_code, "enrolment_code.use", "pump-3"),
        (by_code, "device.add", "pump-3"),
        (by_code, "certificate.issue", "pump-3"),
        ("device:pump-3", "certificate.issue", "pump-3"),
        (by_script, "device.state", "pump-3"),
    ]
    assert told[-len(expected) :] == expected
    assert ("gateway", "owner_claim.open", "gateway") in told

    whole = json.dumps(gateway.get("/v1/audit?limit=1000", token))
    for secret in (token.split(".")[-1], shown.split(".")[-1], code, code.replace("-", "")):
        assert secret not in whole
    status, printed = verified(gateway)
    assert (status, "unbroken" in printed) == (0, True)
    with closing(sqlite3.connect(gateway.data / "gateway.db")) as database:
        database.execute("UPDATE audit_entry SET actor = replace(actor, 'night', 'light') WHERE position = 5")
        database.commit()
    status, printed = verified(gateway)
    assert (status, "entry 5 was changed" in printed) == (1, True)
