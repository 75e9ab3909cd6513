import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from appliance.registry.model import DeviceState
from tests.web.devices import ask, bare_device_tls, device_tls, shared_port
from tests.web.house import Client, House
from web.server import Served, serving


@pytest.fixture
async def served(house: House) -> AsyncIterator[Served]:
    async with serving(house.gateway, house.config) as made:
        yield made


async def test_a_device_reaches_only_what_is_for_devices(house: House, served: Served, tmp_path: Path) -> None:
    await house.add_device("sensor-001")
    context = device_tls(tmp_path, await house.gateway.registry.issue_certificate(1, "sensor-001"))
    async with shared_port(house, served) as port:
        assert (await ask(port, context)).status_code == 200
        for path in ("/", "/sign-in", "/healthz", "/v1/devices", "/static/nothing", "/nothing"):
            assert (await ask(port, context, path)).status_code == 404, path


async def test_nobody_else_reaches_what_is_for_devices(script: Client, owner: Client, stranger: Client) -> None:
    for client in (script, owner, stranger):
        answer = await client.get("/v1/device/identity")
        assert answer.status_code == 403
        assert "shared port" in answer.text


async def test_a_certificate_that_is_no_longer_good_opens_nothing(house: House, served: Served, tmp_path: Path) -> None:
    registry = house.gateway.registry
    await house.add_device("sensor-001")
    bundle = await registry.issue_certificate(1, "sensor-001")
    context = device_tls(tmp_path, bundle)
    async with shared_port(house, served) as port:
        await registry.set_state(1, "sensor-001", DeviceState.SUSPENDED)
        answer = await ask(port, context)
        assert (answer.status_code, "suspended" in answer.text) == (403, True)
        await registry.set_state(1, "sensor-001", DeviceState.ACTIVE)
        await registry.revoke_certificate(1, "sensor-001", bundle.fingerprint)
        assert "revoked" in (await ask(port, context)).text
        del registry._certificates[bundle.fingerprint]
        assert "bound to no device" in (await ask(port, context)).text


async def test_who_has_no_certificate_gets_no_answer(house: House, served: Served) -> None:
    await house.add_device("sensor-001")
    bundle = await house.gateway.registry.issue_certificate(1, "sensor-001")
    async with shared_port(house, served) as port:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await ask(port, bare_device_tls(bundle))
