"""Devices that have nothing but a claim get a certificate of their own, with the official SDK, and are then at home."""

import contextlib
import json
import queue
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from awscrt import mqtt, mqtt5
from awscrt.mqtt_request_response import ClientOptions
from awsiot import iotidentity, mqtt5_client_builder, mqtt_connection_builder
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from paho.mqtt.enums import CallbackAPIVersion

from appliance.ingestion import cbor
from tests.flows.running import RunningGateway, end_client, running

PATIENCE_S = 20.0
AT_ONCE_S = 5.0
"""A second on a machine that has nothing else to do; a busy one is given more."""
FAR = "2036-01-01T00:00:00Z"
TEMPLATE = {
    "Parameters": {"SerialNumber": {"Type": "String"}, "Line": {"Type": "String"}},
    "Resources": {
        "thing": {
            "Type": "AWS::IoT::Thing",
            "Properties": {
                "ThingName": {"Fn::Join": ["", ["pump-", {"Ref": "SerialNumber"}]]},
                "AttributePayload": {"zone": {"Ref": "Line"}},
            },
        },
        "certificate": {
            "Type": "AWS::IoT::Certificate",
            "Properties": {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}, "Status": "Active"},
        },
    },
    "DeviceConfiguration": {"line": {"Ref": "Line"}},
}


class Files:
    """A certificate, its key and what it trusts, on disk."""

    def __init__(self, folder: Path, certificate: str, key: str, root: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.certificate, self.key, self.root = folder / "certificate.pem", folder / "key.pem", root
        self.certificate.write_text(certificate)
        self.key.write_text(key)


class Site:
    """A gateway with an owner's token, and claims on it."""

    def __init__(self, gateway: RunningGateway, folder: Path) -> None:
        self.gateway = gateway
        self.folder = folder
        self.token = gateway.token()
        self.root = gateway.data / "pki" / "root.pem"
        body = json.dumps({"name": "pumps", "body": json.dumps(TEMPLATE)}).encode()
        assert gateway.call("POST", "/v1/provisioning-templates", self.token, body)[0] == 201

    def claim(self, name: str, **told: Any) -> tuple[int, Files]:
        body = {"name": name, "expires_at": FAR, "use_limit": 10} | told
        status, made = self.gateway.call("POST", "/v1/claims", self.token, json.dumps(body).encode())
        assert status == 201, made
        files = Files(self.folder / name, made["chain_pem"], made["key_pem"], self.root)
        return made["claim"]["claim_number"], files

    def problems(self) -> str:
        file = self.gateway.data / "gateway.db"
        with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
            return "\n".join(reason for (reason,) in database.execute("SELECT reason FROM problem"))

    def has(self, device_id: str) -> bool:
        devices = self.gateway.get("/v1/devices", self.token)["devices"]
        return device_id in [device["device_id"] for device in devices]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("provisioning")
    with running(folder / "gateway") as gateway:
        yield Site(gateway, folder)


def connected_3(site: Site, files: Files, client_id: str) -> Any:
    connection = mqtt_connection_builder.mtls_from_path(
        cert_filepath=str(files.certificate),
        pri_key_filepath=str(files.key),
        ca_filepath=str(files.root),
        endpoint="localhost",
        port=site.gateway.mqtt_port,
        client_id=client_id,
        clean_session=True,
    )
    connection.connect().result(PATIENCE_S)
    return connection


def connected_5(site: Site, files: Files, client_id: str) -> Any:
    is_connected: Future[None] = Future()
    is_stopped: Future[None] = Future()
    client = mqtt5_client_builder.mtls_from_path(
        cert_filepath=str(files.certificate),
        pri_key_filepath=str(files.key),
        ca_filepath=str(files.root),
        endpoint="localhost",
        port=site.gateway.mqtt_port,
        client_id=client_id,
        on_lifecycle_connection_success=lambda _: is_connected.set_result(None),
        on_lifecycle_stopped=lambda _: is_stopped.set_result(None),
    )
    client.start()
    is_connected.result(PATIENCE_S)
    client.is_stopped = is_stopped
    return client


@contextlib.contextmanager
def connected(site: Site, files: Files, client_id: str, version: int) -> Iterator[Any]:
    """A client of the SDK, until the block is left."""
    client = (connected_3 if version == 4 else connected_5)(site, files, client_id)
    try:
        yield client
    finally:
        if version == 4:
            client.disconnect().result(PATIENCE_S)
        else:
            client.stop()
            client.is_stopped.result(PATIENCE_S)


def identity(client: Any) -> Any:
    options = ClientOptions(max_request_response_subscriptions=4, max_streaming_subscriptions=1)
    return iotidentity.IotIdentityClientV2(client, options)


def signing_request() -> tuple[str, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "whatever")])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return request.public_bytes(serialization.Encoding.PEM).decode(), pem.decode()


def publish_telemetry(client: Any, device_id: str, version: int) -> None:
    topic, payload = f"sensors/{device_id}/telemetry", b'{"temperature": 21.5}'
    if version == 4:
        client.publish(topic, payload, mqtt.QoS.AT_LEAST_ONCE)[0].result(PATIENCE_S)
    else:
        client.publish(mqtt5.PublishPacket(topic=topic, payload=payload, qos=mqtt5.QoS.AT_LEAST_ONCE)).result(
            PATIENCE_S
        )


@pytest.mark.parametrize("has_own_key", [False, True], ids=["keys", "csr"])
@pytest.mark.parametrize("version", [4, 5])
def test_the_official_sdk_enrols_a_device_that_then_reports(site: Site, version: int, *, has_own_key: bool) -> None:
    serial_number = f"{version}-{int(has_own_key)}"
    device_id = f"pump-{serial_number}"
    number, claim = site.claim(f"batch {serial_number}", template="pumps", serial_pattern=f"{version}-*")
    # The name that it will have is a name that a claim's bearer may come under, too.
    with connected(site, claim, device_id, version) as client:
        service = identity(client)
        if has_own_key:
            request, key = signing_request()
            wish = iotidentity.CreateCertificateFromCsrRequest(certificate_signing_request=request)
            made = service.create_certificate_from_csr(wish).result(PATIENCE_S)
        else:
            made = service.create_keys_and_certificate(iotidentity.CreateKeysAndCertificateRequest()).result(PATIENCE_S)
            key = made.private_key
        files = Files(site.folder / device_id, made.certificate_pem, key, site.root)
        assert not site.has(device_id)
        thing = service.register_thing(
            iotidentity.RegisterThingRequest(
                template_name="pumps",
                certificate_ownership_token=made.certificate_ownership_token,
                parameters={"SerialNumber": serial_number, "Line": "south"},
            )
        ).result(PATIENCE_S)
        assert thing.thing_name == device_id
        assert thing.device_configuration == {"line": "south"}
        # It may come as the device while the claim's connection is still there.
        with connected(site, files, device_id, version) as device:
            publish_telemetry(device, device_id, version)
    told = site.gateway.get(f"/v1/devices/{device_id}", site.token)
    assert (told["zone"], told["serial_number"], told["state"]) == ("south", serial_number, "active")
    found = site.gateway.get(f"/v1/devices/{device_id}/telemetry?metric=temperature", site.token)
    assert "21.5" in json.dumps(found)
    [claim_now] = [c for c in site.gateway.get("/v1/claims", site.token)["claims"] if c["claim_number"] == number]
    assert claim_now["use_count"] == 1


class Bearer:
    """A bearer of a claim with a plain MQTT client: it says what it likes, and hears what it gets."""

    def __init__(self, site: Site, files: Files, client_id: str) -> None:
        self.heard: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self.granted: queue.Queue[Any] = queue.Queue()
        self.gone: queue.Queue[Any] = queue.Queue()
        self.answered: queue.Queue[Any] = queue.Queue()
        self.client = paho.Client(CallbackAPIVersion.VERSION2, client_id, protocol=paho.MQTTv5)
        self.client.tls_set(str(files.root), str(files.certificate), str(files.key))
        self.client.on_message = lambda _c, _u, message: self.heard.put((message.topic, bytes(message.payload)))
        self.client.on_subscribe = lambda _c, _u, _m, codes, _p: self.granted.put(codes[0])
        self.client.on_connect = lambda _c, _u, _f, code, _p: self.answered.put(code)
        self.client.on_disconnect = lambda _c, _u, _f, code, _p: self.gone.put(time.monotonic())
        self.client.connect("localhost", site.gateway.mqtt_port)
        self.client.loop_start()
        self.reason = self.answered.get(timeout=PATIENCE_S)

    def subscribe(self, topic_filter: str) -> bool:
        self.client.subscribe(topic_filter, 1)
        return not self.granted.get(timeout=PATIENCE_S).is_failure

    def ask(self, topic: str, payload: bytes) -> tuple[str, bytes]:
        self.client.publish(topic, payload, 1)
        return self.heard.get(timeout=PATIENCE_S)

    def close(self) -> None:
        self.client.disconnect()
        end_client(self.client)


Come = Callable[..., Bearer]


@pytest.fixture
def come(site: Site) -> Iterator[Come]:
    bearers = []

    def come(files: Files, client_id: str) -> Bearer:
        bearers.append(Bearer(site, files, client_id))
        return bearers[-1]

    yield come
    for bearer in bearers:
        bearer.close()


CREATE = "$aws/certificates/create/json"
PROVISION = "$aws/provisioning-templates/device/provision/json"


def ready(bearer: Bearer, form: str = "json") -> Bearer:
    for base in ("certificates/create", "provisioning-templates/device/provision"):
        for end in ("accepted", "rejected"):
            assert bearer.subscribe(f"$aws/{base}/{form}/{end}")
    return bearer


def provision(bearer: Bearer, token: str, serial_number: str) -> tuple[str, dict[str, Any]]:
    body = {"certificateOwnershipToken": token, "parameters": {"SerialNumber": serial_number}}
    topic, answer = bearer.ask(PROVISION, json.dumps(body).encode())
    return topic.rpartition("/")[2], json.loads(answer)


def test_two_bearers_of_one_claim_hear_their_own_answers_alone(site: Site, come: Come) -> None:
    _, claim = site.claim("shared")
    first, second = ready(come(claim, "station-1")), ready(come(claim, "station-2"))
    made = json.loads(first.ask(CREATE, b"")[1])
    assert "PRIVATE KEY" in made["privateKey"]
    # A token is worth nothing to whoever else shows the same claim.
    assert provision(second, made["certificateOwnershipToken"], "stolen")[0] == "rejected"
    # All that the second one ever heard is the answer to its own request, and to this one.
    assert json.loads(second.ask(CREATE, b"{}")[1])["certificateId"] != made["certificateId"]
    assert second.heard.empty()
    assert provision(first, made["certificateOwnershipToken"], "rightful")[0] == "accepted"
    end, answer = provision(first, made["certificateOwnershipToken"], "again")
    assert (end, answer["errorCode"]) == ("rejected", "InvalidCertificateOwnershipToken")
    assert site.has("rightful")
    assert not site.has("again")
    assert not site.has("stolen")


def test_cbor_is_spoken_as_well(site: Site, come: Come) -> None:
    _, claim = site.claim("small devices")
    bearer = ready(come(claim, "tiny"), "cbor")
    made = cbor.decode(bearer.ask(CREATE.replace("json", "cbor"), cbor.encode({}))[1])
    assert isinstance(made, dict)
    wish: cbor.Value = {
        "certificateOwnershipToken": made["certificateOwnershipToken"],
        "parameters": {"SerialNumber": "tiny-1"},
    }
    topic, answer = bearer.ask(PROVISION.replace("json", "cbor"), cbor.encode(wish))
    assert topic.endswith("cbor/accepted")
    assert cbor.decode(answer) == {"deviceConfiguration": {}, "thingName": "tiny-1"}


def test_a_bearer_can_do_nothing_but_enrol(site: Site, come: Come) -> None:
    _, claim = site.claim("narrow")
    bearer = come(claim, "narrow-1")
    wide = ("#", "$aws/#", "$aws/certificates/#", "$aws/certificates/+/json/accepted", "sensors/#", "$SYS/#")
    for topic_filter in wide:
        assert not bearer.subscribe(topic_filter), topic_filter
    assert not bearer.subscribe("$share/all/$aws/certificates/#")
    assert not bearer.subscribe("$aws/provisioning-templates/pumps/provision/json/accepted")
    for client_id in ("a+b", "#", "a/b"):
        assert come(claim, client_id).reason.is_failure


def test_who_is_refused_is_told_and_so_is_the_operator(site: Site, come: Come) -> None:
    _, claim = site.claim("listed", serials=["good-1", "good-2"], use_limit=1)
    bearer = ready(come(claim, "listed-1"))
    token = json.loads(bearer.ask(CREATE, b"")[1])["certificateOwnershipToken"]
    end, answer = provision(bearer, token, "bad-1")
    assert (end, answer["statusCode"], answer["errorCode"]) == ("rejected", 403, "AccessDenied")
    assert "not on the list" in answer["errorMessage"]
    wait_for_problem(site, "not on the list")
    assert provision(bearer, token, "good-1")[0] == "accepted"
    end, answer = provision(bearer, token, "good-2")
    assert "is spent" in answer["errorMessage"]
    assert come(claim, "listed-2").reason.is_failure
    wait_for_problem(site, "is spent")


def test_who_has_a_good_certificate_cannot_be_replaced_by_a_bearer(site: Site, come: Come) -> None:
    site.gateway.add_device("valve-1")
    _, claim = site.claim("thieves")
    bearer = ready(come(claim, "thief"))
    token = json.loads(bearer.ask(CREATE, b"")[1])["certificateOwnershipToken"]
    end, answer = provision(bearer, token, "valve-1")
    assert (end, answer["errorCode"]) == ("rejected", "ConflictingResourceUpdate")
    # The refusal has cost nothing: the token is good for a name that is free.
    assert provision(bearer, token, "valve-2")[0] == "accepted"


def test_a_revoked_claim_ends_its_connections_at_once(site: Site, come: Come) -> None:
    number, claim = site.claim("revoked")
    bearers = [ready(come(claim, f"revoked-{index}")) for index in range(3)]
    token = json.loads(bearers[0].ask(CREATE, b"")[1])["certificateOwnershipToken"]
    assert token
    at = time.monotonic()
    assert site.gateway.call("POST", f"/v1/claims/{number}/revoke", site.token)[0] == 200
    for bearer in bearers:
        assert bearer.gone.get(timeout=PATIENCE_S) - at < AT_ONCE_S
    assert come(claim, "revoked-again").reason.is_failure
    wait_for_problem(site, "was revoked")


def test_an_expired_claim_opens_nothing(site: Site, come: Come) -> None:
    soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3))
    _, claim = site.claim("short", expires_at=soon)
    bearer = ready(come(claim, "short-1"))
    deadline = time.monotonic() + PATIENCE_S
    topic, answer = bearer.ask(CREATE, b"")
    while topic.endswith("accepted") and time.monotonic() < deadline:
        time.sleep(0.2)
        topic, answer = bearer.ask(CREATE, b"")
    assert "expired" in json.loads(answer)["errorMessage"]
    assert come(claim, "short-2").reason.is_failure


def wait_for_problem(site: Site, text: str) -> None:
    """Problems are written down a moment later."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if text in site.problems():
            return
        time.sleep(0.1)
    raise AssertionError(site.problems())
