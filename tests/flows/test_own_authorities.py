"""A factory's own CA: devices come with what it gave them, and go when it is switched off. With Mosquitto's clients."""

import hashlib
import json
import queue
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.flows.running import Device, RunningGateway, end_client, running

PATIENCE_S = 20.0
DISABLED_S = 5.0
"""A second on a machine that has nothing else to do; a busy one is given more."""
TEMPLATE = {
    "Parameters": {
        "AWS::IoT::Certificate::CommonName": {"Type": "String"},
        "AWS::IoT::Certificate::Country": {"Type": "String"},
        "AWS::IoT::Certificate::Id": {"Type": "String"},
    },
    "Resources": {
        "thing": {
            "Type": "AWS::IoT::Thing",
            "Properties": {
                "ThingName": {"Fn::Join": ["-", ["pump", {"Ref": "AWS::IoT::Certificate::CommonName"}]]},
                "ThingTypeName": "Pump",
                "AttributePayload": {"country": {"Ref": "AWS::IoT::Certificate::Country"}},
            },
        },
        "certificate": {
            "Type": "AWS::IoT::Certificate",
            "Properties": {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}, "Status": "ACTIVE"},
        },
    },
}


class Factory:
    """A CA made with OpenSSL's own command, and the certificates it gives to devices."""

    def __init__(self, folder: Path, root: Path) -> None:
        folder.mkdir(parents=True)
        self.folder, self.root = folder, root
        subject = f"/O=Example/CN=Example {folder.name}"
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "ca.key"]
        self.run("req", "-x509", *key, "-subj", subject, "-days", "3650", "-out", "ca.pem")

    def run(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self.folder, check=True, capture_output=True, timeout=30)

    def issued(self, name: str, subject: str, signer: str = "ca", *extensions: str) -> Path:
        """A certificate; gives the folder of it, its key and what it trusts, as a bundle has them."""
        made = self.folder / name
        made.mkdir()
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}/key.pem"]
        self.run("req", "-new", *key, "-subj", subject, "-out", f"{name}/request.pem")
        (made / "extensions").write_text("\n".join(extensions))
        files = ["-in", f"{name}/request.pem", "-out", f"{name}/certificate.pem", "-extfile", f"{name}/extensions"]
        signed = ["-CA", f"{signer}.pem", "-CAkey", f"{signer}.key", "-CAcreateserial", "-days", "365"]
        self.run("x509", "-req", *files, *signed)
        (made / "root.pem").write_bytes(self.root.read_bytes())
        return made

    def intermediate(self) -> None:
        """A CA below the other one, as `line.pem` and `line.key`."""
        made = self.issued("line-ca", "/CN=Example Line 4", "ca", "basicConstraints=critical,CA:TRUE")
        (self.folder / "line.pem").write_bytes((made / "certificate.pem").read_bytes())
        (self.folder / "line.key").write_bytes((made / "key.pem").read_bytes())

    def proof(self, code: str) -> bytes:
        return (self.issued("proof", f"/CN={code}") / "certificate.pem").read_bytes()


class Site:
    """A gateway with a token of its owner."""

    def __init__(self, gateway: RunningGateway, folder: Path) -> None:
        self.gateway, self.folder = gateway, folder
        self.token = gateway.token()

    def call(self, method: str, path: str, body: Any = None) -> Any:
        status, answer = self.gateway.call(
            method, path, self.token, None if body is None else json.dumps(body).encode()
        )
        assert status < 300, answer
        return answer

    def factory(self, name: str, **settings: Any) -> tuple[Factory, int]:
        """A CA that is registered, and its number."""
        made = Factory(self.folder / name, self.gateway.data / "pki" / "root.pem")
        code = self.call("POST", "/v1/own-authorities/codes")["code"]
        wish = {"certificate_pem": (made.folder / "ca.pem").read_text(), "proof_pem": made.proof(code).decode()}
        registered = self.call("POST", "/v1/own-authorities", wish | settings)
        return made, registered["authority_number"]

    def bundle(self, device_id: str) -> Path:
        """A certificate of the gateway's own for a device; gives the folder of it, its key and what it trusts."""
        made = self.folder / device_id
        made.mkdir()
        told = self.call("POST", f"/v1/devices/{device_id}/certificates")
        for name, key in (("root", "root_pem"), ("certificate", "chain_pem"), ("key", "key_pem")):
            (made / f"{name}.pem").write_text(told[key])
        return made

    def publish(self, files: Path, device_id: str) -> int:
        """Publish with mosquitto_pub; gives its exit status."""
        names = {"--cafile": "root.pem", "--cert": "certificate.pem", "--key": "key.pem"}
        tls = [word for option, name in names.items() for word in (option, str(files / name))]
        where = ["-h", "localhost", "-p", str(self.gateway.mqtt_port), "-i", device_id]
        what = ["-t", f"sensors/{device_id}/telemetry", "-m", '{"temperature": 21.5}', "-q", "1"]
        command = ["mosquitto_pub", *where, *tls, *what]
        return subprocess.run(command, check=False, capture_output=True, timeout=PATIENCE_S).returncode

    def publish_until_in(self, files: Path, device_id: str) -> int:
        """As devices do: try again after a refusal. Gives how often that was."""
        deadline = time.monotonic() + PATIENCE_S
        count = 1
        while self.publish(files, device_id):
            assert time.monotonic() < deadline, self.gateway.output
            count += 1
        return count

    def device(self, device_id: str) -> Any:
        return self.call("GET", f"/v1/devices/{device_id}")

    def has(self, device_id: str) -> bool:
        return self.gateway.call("GET", f"/v1/devices/{device_id}", self.token)[0] == 200


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("own")
    with running(folder / "gateway") as gateway:
        yield Site(gateway, folder)


def test_a_device_of_the_factory_is_refused_once_and_then_at_home_by_the_template(site: Site) -> None:
    site.call("POST", "/v1/provisioning-templates", {"name": "factory", "body": json.dumps(TEMPLATE)})
    factory, _ = site.factory("provisioning", mode="provision", template="factory")
    files = factory.issued("7", "/C=CH/CN=7")
    assert site.publish(files, "pump-7") != 0
    assert site.publish_until_in(files, "pump-7") <= 3
    device = site.device("pump-7")
    assert (device["type"], device["attributes"], device["state"]) == ("Pump", {"country": "CH"}, "active")


def test_a_device_waits_in_the_tray_until_it_is_accepted(site: Site) -> None:
    factory, _ = site.factory("registering", mode="register")
    files = factory.issued("pump-20", "/CN=pump-20")
    deadline = time.monotonic() + PATIENCE_S
    waiting: list[Any] = []
    while not waiting and time.monotonic() < deadline:
        assert site.publish(files, "pump-20") != 0
        waiting = site.call("GET", "/v1/enrolment/certificates")["certificates"]
    [one] = waiting
    assert not site.has("pump-20")
    number = one["certificate_number"]
    status, _ = site.gateway.call(
        "POST", f"/v1/enrolment/certificates/{number}/accept", site.token, b'{"device_id": "pump-20"}'
    )
    assert status == 204
    assert site.publish_until_in(files, "pump-20") == 1


def test_a_program_hears_of_each_certificate_that_is_seen_for_the_first_time(site: Site) -> None:
    """As AWS publishes it, to a device whose policy lets it hear that."""
    topic = "$aws/events/certificates/registered/+"
    allowed = [{"effect": "allow", "actions": ["subscribe", "receive"], "resources": [topic]}]
    site.call("PUT", "/v1/policies/watcher", {"document": {"statements": allowed}, "types": ["watcher"]})
    site.call("POST", "/v1/devices", {"device_id": "watcher-1", "type": "watcher"})
    watcher = Device(site.gateway, "watcher-1", site.bundle("watcher-1")).wait_connected()
    heard: queue.Queue[Any] = queue.Queue()
    watcher.client.on_message = lambda _client, _data, message: heard.put((message.topic, json.loads(message.payload)))
    is_subscribed = threading.Event()
    watcher.client.on_subscribe = lambda *_: is_subscribed.set()
    watcher.client.subscribe(topic, 1)
    try:
        assert is_subscribed.wait(PATIENCE_S)
        for mode, status in (("register", "PENDING_ACTIVATION"), ("provision", "ACTIVE")):
            factory, number = site.factory(f"telling-{mode}", mode=mode)
            site.publish(factory.issued("pump", f"/CN=pump-{mode}"), f"pump-{mode}")
            where, told = heard.get(timeout=PATIENCE_S)
            [known] = [
                each
                for each in site.call("GET", "/v1/own-authorities")["own_authorities"]
                if each["authority_number"] == number
            ]
            assert where == f"$aws/events/certificates/registered/{known['fingerprint']}"
            assert told["caCertificateId"] == known["fingerprint"]
            assert told["certificateId"] == fingerprint_of(factory.folder / "pump" / "certificate.pem")
            assert told["certificateStatus"] == status
    finally:
        watcher.close()


def fingerprint_of(certificate: Path) -> str:
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate.read_text())).hexdigest()


def test_no_certificate_of_the_factory_passes_for_a_device_of_ours(site: Site) -> None:
    site.gateway.add_device("pump-30")
    factory, _ = site.factory("naming", mode="provision")
    files = factory.issued("pump-30", "/CN=pump-30")
    for _ in range(3):
        assert site.publish(files, "pump-30") != 0
    deadline = time.monotonic() + PATIENCE_S
    reasons = ""
    while "registered already" not in reasons and time.monotonic() < deadline:
        assert site.publish(files, "pump-30") != 0
        reasons = json.dumps(site.call("GET", "/v1/devices/pump-30/connections"))
    assert "registered already" in reasons
    assert len(site.call("GET", "/v1/devices/pump-30/certificates")["certificates"]) == 1


def test_what_a_ca_below_the_factorys_has_signed_opens_nothing(site: Site) -> None:
    factory, _ = site.factory("above", mode="provision")
    factory.intermediate()
    files = factory.issued("pump-40", "/CN=pump-40", "line")
    with (files / "certificate.pem").open("ab") as chain:
        chain.write((factory.folder / "line.pem").read_bytes())
    for _ in range(2):
        assert site.publish(files, "pump-40") != 0
    assert not site.has("pump-40")
    stranger = Factory(site.folder / "stranger", factory.root)
    assert site.publish(stranger.issued("pump-41", "/CN=pump-41"), "pump-41") != 0


def test_switching_the_ca_off_ends_its_sessions_at_once_and_on_lets_them_in_again(site: Site) -> None:
    factory, number = site.factory("switching", mode="provision")
    files = factory.issued("pump-50", "/CN=pump-50")
    site.publish_until_in(files, "pump-50")
    device = Device(site.gateway, "pump-50", files).wait_connected()
    try:
        began = time.monotonic()
        site.call("PUT", f"/v1/own-authorities/{number}", {"mode": "inactive"})
        assert device.is_gone.wait(PATIENCE_S)
        assert time.monotonic() - began < DISABLED_S
    finally:
        end_client(device.client)
        device.client.disconnect()
    assert site.publish(files, "pump-50") != 0
    site.call("PUT", f"/v1/own-authorities/{number}", {"mode": "provision"})
    assert site.publish_until_in(files, "pump-50") == 1
    assert site.call("DELETE", f"/v1/own-authorities/{number}") == {"revoked_count": 1}
    assert site.publish(files, "pump-50") != 0
    pems = (site.gateway.data / "pki" / "device-trust.pem").read_text()
    assert (factory.folder / "ca.pem").read_text() not in pems


@pytest.mark.timeout(180)
def test_the_command_line_registers_a_ca_too(site: Site) -> None:
    factory = Factory(site.folder / "by-command", site.gateway.data / "pki" / "root.pem")
    proof = site.folder / "proof.pem"
    proof.write_bytes(factory.proof(site.gateway.command("ca", "code").strip()))
    made = site.gateway.command("ca", "register", str(factory.folder / "ca.pem"), str(proof), "--mode", "provision")
    number = made.split("\t")[0]
    files = factory.issued("pump-60", "/CN=pump-60")
    site.publish_until_in(files, "pump-60")
    assert "1 certificates" in site.gateway.command("ca", "remove", number)
