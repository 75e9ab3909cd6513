import asyncio
import contextlib
import re
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.web.device_http.device import Device, asking, refusal
from tests.web.devices import ask, device_tls, shared_port
from tests.web.house import House, app_of
from tests.web.routes import routes
from web import protocols, server
from web.device_http import app as device_app
from web.device_http.app import OWN, create_device_app
from web.server import serving

REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "device-https.md"


def test_the_reference_lists_every_route(house: House) -> None:
    documented = re.findall(
        r"^\| `((?:GET|POST|PUT|DELETE) [^`?]+)", REFERENCE.read_text(encoding="utf-8"), re.MULTILINE
    )
    served = {re.sub(r"\{\w+:?\w*\}", "{}", route.name) for route in routes(create_device_app(house.gateway))}
    assert {re.sub(r"\{\w+\}", "{}", line) for line in documented} == served


async def test_devices_and_people_are_kept_apart(house: House) -> None:
    people = app_of(house)
    async with asking(house) as pump, Device(house, None, people) as browser:
        certificate = pump._transport.app._state["client_certificate"]  # type: ignore[attr-defined]
        async with Device(house, certificate, people) as both:
            for path in ("/", "/sign-in", "/healthz", "/static/nothing", "/v1/devices"):
                assert refusal(await both.get(path)) == (404, "ResourceNotFoundException"), path
            assert (await both.get("/v1/device/identity")).json()["device_id"] == "pump"
            assert (await both.get("/.well-known/est/cacerts")).status_code == 200
            assert (await both.get("/pki/crl")).status_code == 200
        for start in OWN:
            assert refusal(await browser.get(start + "x"))[0] in (401, 404, 405), start
        assert "text/html" in (await browser.get("/sign-in")).headers["content-type"]


async def test_no_route_answers_without_a_certificate(house: House) -> None:
    async with Device(house) as nobody:
        for route in routes(create_device_app(house.gateway)):
            path = re.sub(r"\{\w+(:\w+)?\}", "pump", route.path)
            answer = await nobody.request(route.method, path)
            assert refusal(answer) == (401, "UnauthorizedException"), route.name


async def test_a_connection_ends_after_so_many_requests(
    house: House, pump: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_app, "REQUESTS_LIMIT", 3)
    ends = [(await pump.get("/retainedMessage")).headers.get("connection") for _ in range(4)]
    assert ends == [None, None, "close", "close"]


async def test_answers_are_kept_by_nobody(pump: Device) -> None:
    for path in ("/retainedMessage", "/nothing"):
        headers = (await pump.get(path)).headers
        assert (headers["cache-control"], headers["x-content-type-options"]) == ("no-store", "nosniff")


async def test_the_requests_of_a_real_connection_are_counted_from_its_beginning(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_app, "REQUESTS_LIMIT", 3)
    await house.add_device("pump", is_connected=False)
    context = device_tls(tmp_path, await house.gateway.registry.issue_certificate(1, "pump"))
    async with serving(house.gateway, house.config) as served, shared_port(house, served) as port:
        for _ in range(2):
            reader, writer = await asyncio.open_connection("localhost", port, ssl=context)
            async with asyncio.timeout(30):
                writer.write(b"GET /retainedMessage HTTP/1.1\r\nHost: localhost\r\n\r\n" * 5)
                answered = (await reader.read()).decode()
            assert answered.count("HTTP/1.1 200 OK") == 3, answered
            assert answered.lower().count("connection: close") == 1
            writer.transport.abort()


async def test_however_many_devices_come_people_get_in(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "CONNECTIONS_LIMIT", 3)
    await house.add_device("pump", is_connected=False)
    context = device_tls(tmp_path, await house.gateway.registry.issue_certificate(1, "pump"))
    trusting = ssl.create_default_context(cafile=house.gateway.registry.web_ca_path)
    async with serving(house.gateway, house.config) as served, shared_port(house, served) as port:
        silent = [await asyncio.open_connection("localhost", port, ssl=context) for _ in range(3)]
        last = await ask(port, context, "/retainedMessage")
        assert last.status_code == 503
        for each in (served.port, port):
            assert (await ask(each, trusting, "/sign-in")).status_code == 200
        for _, writer in silent:
            writer.transport.abort()


async def test_one_device_cannot_keep_the_others_out(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocols, "CONNECTIONS_PER_DEVICE", 2)
    monkeypatch.setattr(protocols, "SURPLUS_SECONDS", 0.2)
    contexts = {}
    for name in ("pump", "fan"):
        await house.add_device(name, is_connected=False)
        (tmp_path / name).mkdir()
        contexts[name] = device_tls(tmp_path / name, await house.gateway.registry.issue_certificate(1, name))
    async with serving(house.gateway, house.config) as served, shared_port(house, served) as port:
        silent = [await asyncio.open_connection("localhost", port, ssl=contexts["pump"]) for _ in range(2)]
        assert (await ask(port, contexts["pump"], "/retainedMessage")).status_code == 503
        assert (await ask(port, contexts["fan"], "/retainedMessage")).status_code == 200
        # One too many that says nothing does not stay.
        reader, surplus = await asyncio.open_connection("localhost", port, ssl=contexts["pump"])
        async with asyncio.timeout(20):
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
        surplus.transport.abort()
        silent[0][1].transport.abort()
        async with asyncio.timeout(20):
            while (await ask(port, contexts["pump"], "/retainedMessage")).status_code != 200:
                pass  # Its end has not been noticed yet.
        silent[1][1].transport.abort()


async def test_a_body_that_does_not_say_how_large_it_is_is_bounded_too(house: House, pump: Device) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b"x" * 16_384

    for path in ("/topics/sensors/pump/telemetry", "/things/pump/shadow", "/things/pump/jobs/one"):
        answer = await pump.post(path, content=pieces())
        assert refusal(answer) == (413, "RequestEntityTooLargeException"), path
        answer = await pump.post(path, content=b"x" * (house.gateway.broker.limits.packet_bytes + 1))
        assert refusal(answer) == (413, "RequestEntityTooLargeException"), path
