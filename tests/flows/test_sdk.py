"""AWS's own SDKs for devices, with nothing but what is in the product's bundle.

V1 (MQTT 3.1.1) and V2 (3.1.1 and 5), on the port of devices and on port 443, where they ask for MQTT by ALPN.
"""

import asyncio
import contextlib
import io
import os
import re
import socket
import ssl
import sys
import urllib.request
import zipfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from tests.flows.clients.client import Message, OperatorAccess, Version
from tests.flows.clients.paho import PahoClient
from tests.flows.running import ROOT, RunningGateway, running
from tests.flows.sdk_devices import PATIENCE_S, SdkDevice, SdkDevice3, SdkDevice5, Unpacked

ADDRESS = f"127.43.{os.getpid() >> 8 & 0xFF}.{os.getpid() & 0xFF or 1}"
"""Of this run alone, so that its port 443 is nobody else's."""
HTTPS_PORT = 443
"""Here the SDKs ask for MQTT by ALPN, on no other port."""


def _may_listen(port: int) -> bool:
    with socket.socket() as sock:
        try:
            sock.bind((ADDRESS, port))
        except PermissionError:
            return False
    return True


SHARED_PORT = HTTPS_PORT if _may_listen(HTTPS_PORT) else 0
PORTS = [
    "mqtt_port",
    pytest.param(
        "shared_port",
        marks=pytest.mark.skipif(not SHARED_PORT, reason="this user may not listen on port 443"),
    ),
]


class Factory:
    """A gateway, its operator's token, and the bundles that it makes."""

    def __init__(self, gateway: RunningGateway, folder: Path) -> None:
        self.gateway = gateway
        self.token = gateway.token()
        self._folder = folder
        self._trust = gateway.data / "pki" / "web-ca.pem"

    def bundle(self, device_id: str) -> Unpacked:
        """Register a device, download its bundle as a person does, unpack it and read where the gateway is."""
        body = f'{{"device_id": "{device_id}"}}'.encode()
        assert self.gateway.call("POST", "/v1/devices", self.token, body)[0] == 201
        request = urllib.request.Request(
            f"https://localhost:{self.gateway.web_port}/v1/devices/{device_id}/bundle",
            method="POST",
            headers={"Authorization": f"Bearer {self.token}"},
        )
        context = ssl.create_default_context(cafile=str(self._trust))
        with urllib.request.urlopen(request, timeout=PATIENCE_S, context=context) as answer:
            content = answer.read()
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            archive.extractall(self._folder)
        readme = (self._folder / device_id / "README.txt").read_text()
        [(host, mqtt_port)] = re.findall(r"MQTT over TLS at (\S+), port (\d+)\.", readme)
        [shared_port] = re.findall(r"Port (\d+) does too", readme)
        return Unpacked(device_id, self._folder / device_id, host, int(mqtt_port), int(shared_port))

    @contextlib.asynccontextmanager
    async def operator(self) -> AsyncIterator[PahoClient]:
        access = OperatorAccess("localhost", self.gateway.web_port, self._trust, "/mqtt", "operator", self.token)
        operator = PahoClient(access, "operator", Version.V5)
        await operator.connect()
        try:
            yield operator
        finally:
            await operator.leave()

    def stored(self, device_id: str) -> list[float]:
        series = self.gateway.get(f"/v1/devices/{device_id}/telemetry", self.token)["series"]
        return [value for one in series if one["metric"] == "temperature" for value in one["values"]]

    async def until_reasons(self, device_id: str, is_so: Callable[[list[str]], bool]) -> None:
        """Wait until the device's page tells of its refusals what is expected."""
        reasons: list[str] = []
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not is_so(reasons):
                    told = await asyncio.to_thread(self.gateway.get, f"/v1/devices/{device_id}", self.token)
                    reasons = [problem["reason"] for problem in told["problems"]]
        except TimeoutError:
            pytest.fail(f"the page of {device_id} says {reasons}")


@pytest.fixture(scope="module")
def factory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Factory]:
    folder = tmp_path_factory.mktemp("sdk")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("HEADWORKS__MQTT__HOST", ADDRESS)
        environment.setenv("HEADWORKS__MQTT__SHARED_PORT", str(SHARED_PORT))
        with running(folder / "gateway", f'names = ["{ADDRESS}"]\n') as gateway:
            yield Factory(gateway, folder)


def other_topic_is_told(reasons: list[str]) -> bool:
    return any("sensors/another-device/telemetry" in reason for reason in reasons)


@pytest.mark.parametrize("place", PORTS)
@pytest.mark.parametrize("kind", [SdkDevice3, SdkDevice5])
async def test_sdk_v2_is_at_home_with_what_is_in_the_bundle(
    factory: Factory, kind: type[SdkDevice], place: str
) -> None:
    bundle = factory.bundle(f"{kind.__name__}-{place}")
    device_id = bundle.device_id
    async with factory.operator() as operator, kind.connected(bundle, getattr(bundle, place)) as device:
        await device.publish(f"sensors/{device_id}/telemetry", b'{"temperature": 21.5}')
        assert factory.stored(device_id) == [21.5]
        assert await device.may_subscribe(f"cmd/{device_id}/#")
        await operator.publish(Message(f"cmd/{device_id}/open", b"now", 1))
        async with asyncio.timeout(PATIENCE_S):
            assert await device.inbox.get() == (f"cmd/{device_id}/open", b"now")
        assert not await device.may_subscribe("cmd/another-device/#")
        assert await device.is_told_no("sensors/another-device/telemetry")
    await factory.until_reasons(device_id, other_topic_is_told)
    await factory.until_reasons(device_id, lambda reasons: any("cmd/another-device/#" in text for text in reasons))


@pytest.mark.parametrize("place", PORTS)
async def test_sdk_v1_is_at_home_with_what_is_in_the_bundle(factory: Factory, place: str) -> None:
    bundle = factory.bundle(f"v1-{place}")
    device_id = bundle.device_id
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.flows.sdk_v1_device"),
        *(bundle.folder, device_id, bundle.host, str(getattr(bundle, place))),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert program.stdout is not None
    said: list[str] = []
    try:
        async with factory.operator() as operator, asyncio.timeout(2 * PATIENCE_S):
            while line := (await program.stdout.readline()).decode().strip():
                said.append(line)
                if line == "stored":
                    assert factory.stored(device_id) == [21.5]
                    await operator.publish(Message(f"cmd/{device_id}/open", b"now", 1))
            status = await program.wait()
    finally:
        with contextlib.suppress(ProcessLookupError):
            program.kill()
    assert (status, said) == (
        0,
        [
            *("connected", "subscribed", "stored", f"came cmd/{device_id}/open now", "left"),
            *("not acknowledged", "shown out"),
        ],
    )
    await factory.until_reasons(device_id, other_topic_is_told)
