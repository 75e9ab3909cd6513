"""One port for MQTT and HTTPS, told apart by what the client asks for before anything is decided."""

import contextlib
import http.client
import json
import socket
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.flows.clients.awscrt import Aws5Client, AwsClient
from tests.flows.clients.client import Client, DeviceAccess, Message, Version
from tests.flows.running import RunningGateway, running

PATIENCE_S = 20.0
DEVICE = "pump-7"


class Shared:
    """A gateway, its shared port, and a device that knows it."""

    def __init__(self, gateway: RunningGateway) -> None:
        self.gateway = gateway
        self.port = gateway._number(r"Shared +localhost:(\d+) ")
        self.bundle = gateway.add_device(DEVICE)
        self.token = gateway.token()

    @property
    def web_ca(self) -> Path:
        return self.gateway.data / "pki" / "web-ca.pem"

    @property
    def access(self) -> DeviceAccess:
        root, certificate, key = (self.bundle / name for name in ("root.pem", "certificate.pem", "key.pem"))
        return DeviceAccess("localhost", self.port, root, certificate, key, alpn="x-amzn-mqtt-ca")

    def device_context(self, *alpn: str) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.bundle / "root.pem"))
        context.load_cert_chain(self.bundle / "certificate.pem", self.bundle / "key.pem")
        if alpn:
            context.set_alpn_protocols(alpn)
        return context

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), PATIENCE_S)

    def status(self) -> dict[str, object]:
        found = self.gateway.get("/v1/status", self.token)["parts"]["broker"]["details"]
        assert isinstance(found, dict)
        return found


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    with running(tmp_path_factory.mktemp("shared"), "[limits]\nconnect_timeout_s = 2.0\n") as gateway:
        yield Shared(gateway)


@pytest.mark.parametrize("protocol", ["x-amzn-mqtt-ca", "mqtt"])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_device_that_asks_for_mqtt_gets_it_and_is_told_so(
    shared: Shared, protocol: str, version: ssl.TLSVersion
) -> None:
    context = shared.device_context("http/1.1", protocol)
    context.minimum_version = context.maximum_version = version
    with shared.connect() as sock, context.wrap_socket(sock, server_hostname="localhost") as tls:
        assert tls.selected_alpn_protocol() == protocol
        client_id = DEVICE.encode()
        tls.sendall(
            b"\x10" + bytes([12 + len(client_id)]) + b"\0\4MQTT\4\2\0\0\0" + bytes([len(client_id)]) + client_id
        )
        assert tls.recv(4) == b"\x20\2\0\0"


@pytest.mark.parametrize(("kind", "version"), [(AwsClient, Version.V3_1_1), (Aws5Client, Version.V5)])
async def test_the_library_of_amazons_devices_gets_in(shared: Shared, kind: type[Client], version: Version) -> None:
    client = kind(shared.access, DEVICE, version)
    await client.connect()
    topic = f"cmd/{DEVICE}/response/hello"
    await client.publish(Message(topic, b"hello", 1))
    await client.leave()


def test_people_and_scripts_get_the_dashboard_and_its_certificate(shared: Shared) -> None:
    context = ssl.create_default_context(cafile=str(shared.web_ca))
    request = urllib.request.Request(
        f"https://localhost:{shared.port}/v1/status", headers={"Authorization": f"Bearer {shared.token}"}
    )
    with urllib.request.urlopen(request, timeout=PATIENCE_S, context=context) as answer:
        assert answer.status == 200


def test_curl_gets_the_dashboard_and_speaks_http_1(shared: Shared) -> None:
    address = f"https://localhost:{shared.port}/healthz"
    command = ["curl", "-sS", "--fail", "--cacert", str(shared.web_ca), "-w", "%{http_version}", address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert (done.stderr, done.stdout) == ("", "ok\n1.1")


def test_a_device_gets_its_side_of_https_with_its_certificate_and_nothing_of_peoples(shared: Shared) -> None:
    for path, status in (("/v1/status", 404), ("/", 404)):
        connection = http.client.HTTPSConnection(
            "localhost", shared.port, timeout=PATIENCE_S, context=shared.device_context("x-amzn-http-ca")
        )
        connection.request("GET", path)
        assert connection.getresponse().status == status
        connection.close()


def test_shadows_are_asked_for_by_alpn_without_a_library_of_aws(shared: Shared) -> None:
    connection = http.client.HTTPSConnection(
        "127.0.0.1", shared.port, timeout=PATIENCE_S, context=shared.device_context("x-amzn-http-ca")
    )

    def call(method: str, path: str, said: object = None, expected: int = 200) -> Any:
        connection.request(method, path, None if said is None else json.dumps(said))
        assert connection.sock.selected_alpn_protocol() == "x-amzn-http-ca"
        answer = connection.getresponse()
        assert (answer.status, answer.headers["content-type"]) == (expected, "application/json")
        told = json.loads(answer.read())
        return told if expected == 200 else (answer.headers["x-amzn-errortype"], told["message"], "traceId" in told)

    update: dict[str, Any] = {"state": {"desired": {"on": True}, "reported": {"on": False}}, "clientToken": "t"}
    for query, place in (("", DEVICE), ("?name=mode", f"{DEVICE}~mode")):
        own = f"/things/{DEVICE}/shadow{query}"
        missing = ("ResourceNotFoundException", f"No shadow exists with name: '{place}'", True)
        assert call("GET", own, expected=404) == missing
        accepted = call("POST", own, update)
        assert (accepted["version"], accepted["clientToken"], accepted["state"]) == (1, "t", update["state"])
        assert call("GET", own)["state"] == {**update["state"], "delta": {"on": True}}
        late = {**update, "version": 7}
        assert call("POST", own, late, expected=409) == ("ConflictException", "Version conflict", True)
        assert call("POST", own, {"state": 1}, expected=400)[0] == "InvalidRequestException"
    listed = "/api/things/shadow/ListNamedShadowsForThing/"
    assert call("GET", f"{listed}{DEVICE}")["results"] == ["mode"]
    assert call("DELETE", f"/things/{DEVICE}/shadow?name=mode")["version"] == 1
    assert call("GET", f"{listed}{DEVICE}?pageSize=1")["results"] == []
    assert call("DELETE", f"/things/{DEVICE}/shadow?name=mode", expected=404)[0] == "ResourceNotFoundException"
    # The version goes on behind that of the deletion, and nobody else's shadow is any of its business.
    assert call("POST", f"/things/{DEVICE}/shadow?name=mode", update)["version"] == 3
    assert call("GET", "/things/fan/shadow", expected=403)[0] == "ForbiddenException"
    assert call("GET", f"{listed}fan", expected=403)[0] == "ForbiddenException"
    assert call("POST", f"/topics/sensors/{DEVICE}/telemetry?qos=1", {"pressure": 1})["message"] == "OK"
    connection.close()


def test_without_a_certificate_there_is_no_mqtt(shared: Shared) -> None:
    context = ssl.create_default_context(cafile=str(shared.bundle / "root.pem"))
    context.set_alpn_protocols(["mqtt"])
    with (
        shared.connect() as sock,
        pytest.raises(OSError, match=r"alert|reset|EOF"),
        context.wrap_socket(sock, server_hostname="localhost") as tls,
    ):
        tls.recv(1)


def test_a_hello_that_comes_byte_by_byte_is_a_hello(shared: Shared) -> None:
    for context, asked in (
        (shared.device_context("mqtt"), "mqtt"),
        (ssl.create_default_context(cafile=str(shared.web_ca)), None),
    ):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
        with shared.connect() as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            is_done = False
            while not is_done:
                try:
                    tls.do_handshake()
                    is_done = True
                except ssl.SSLWantReadError:
                    for byte in outgoing.read():
                        sock.sendall(bytes([byte]))
                    incoming.write(sock.recv(65_536))
        assert tls.selected_alpn_protocol() == asked


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "not_tls"),
        (b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01c", "not_tls"),
        (b"\x16\x03\x01\x40\x01", "not_tls"),
        (b"\x16\x03\x01\x00\x10\x01\x00\xff\xff" + bytes(12), "not_tls"),
        (b"\xff" * 500, "not_tls"),
    ],
)
def test_what_is_no_hello_is_closed_at_once_and_counted(shared: Shared, said: bytes, reason: str) -> None:
    before = shared.status().get(f"refused_{reason}", 0)
    began_at = time.monotonic()
    with shared.connect() as sock:
        sock.sendall(said)
        with contextlib.suppress(ConnectionResetError):
            assert sock.recv(1) == b""
    assert time.monotonic() - began_at < 5.0
    assert shared.status().get(f"refused_{reason}", 0) == int(str(before)) + 1


def test_a_hello_that_never_ends_is_closed_in_time_and_hinders_nobody(shared: Shared) -> None:
    lame = [shared.connect() for _ in range(60)]
    try:
        for sock in lame:
            sock.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        # More of them than handshakes may be under way: they have no slot, for their hello is not whole.
        test_curl_gets_the_dashboard_and_speaks_http_1(shared)
        with shared.connect() as sock, shared.device_context("mqtt").wrap_socket(sock, server_hostname="localhost"):
            pass
        for sock in lame:
            # What was looked at is unread: the end may be a reset.
            with contextlib.suppress(ConnectionResetError):
                assert sock.recv(1) == b""
    finally:
        for sock in lame:
            sock.close()
    assert int(str(shared.status()["refused_connect_timeout"])) >= 60
