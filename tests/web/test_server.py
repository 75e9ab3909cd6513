import asyncio
import contextlib
import socket as stdlib_socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets

from appliance.config import HttpConfig
from tests.web import house as houses
from tests.web.afloat import afloat, cookie, own_origin
from tests.web.devices import shared_port
from tests.web.house import House
from web.auth import SESSION_COOKIE, form_token
from web.live import GOING_AWAY, NOT_THERE, SESSION_ENDED
from web.server import Served, WebListenError, serving
from web.shell import moment


@pytest.fixture
async def served(house: House) -> AsyncIterator[Served]:
    async with serving(house.gateway, house.config) as made:
        yield made


def trusting(house: House) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=house.gateway.registry.web_ca_path)


@asynccontextmanager
async def socket(
    house: House, served: Served, secret: str, view: str = "view=devices", origin: str | None = None
) -> AsyncIterator[Any]:
    """A live page's socket."""
    origin = f"https://localhost:{served.port}" if origin is None else origin
    async with websockets.connect(
        f"wss://localhost:{served.port}/live?{view}",
        ssl=trusting(house),
        origin=websockets.Origin(origin),
        additional_headers={"cookie": f"{SESSION_COOKIE}={secret}"},
        proxy=None,
    ) as live:
        yield live


async def close_code(live: Any) -> int:
    """Take what comes until the other side closes; gives its code."""
    with contextlib.suppress(websockets.ConnectionClosed):
        while True:
            await live.recv()
    assert live.close_code is not None
    return int(live.close_code)


async def test_https_is_served_with_the_web_certificate_and_no_banner(house: House, served: Served) -> None:
    async with httpx.AsyncClient(verify=trusting(house), trust_env=False) as client:
        answer = await client.get(f"https://localhost:{served.port}/healthz")
    assert answer.text == "ok\n"
    assert "server" not in answer.headers


async def test_plain_http_leads_to_https(served: Served) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        page = await client.get(f"http://127.0.0.1:{served.trust_port}/trust")
        other = await client.get(f"http://127.0.0.1:{served.trust_port}/devices")
    assert page.status_code == 200
    assert other.headers["location"] == f"https://127.0.0.1:{served.port}/devices"


async def test_a_live_page_gets_what_is_committed(house: House, served: Served) -> None:
    await house.add_device("a")
    async with asyncio.timeout(30), socket(house, served, await house.claim()) as live:
        while "row-a" not in await live.recv():
            pass
        await house.send("a", {"pressure": 47.25})
        while "47.2" not in await live.recv():
            pass


async def test_a_socket_needs_a_session_and_our_own_origin(house: House, served: Served) -> None:
    secret = await house.claim()
    for shown, origin in (("", None), ("wrong", None), (secret, "https://evil.example"), (secret, "null")):
        with pytest.raises(websockets.InvalidStatus) as refused:
            async with socket(house, served, shown, origin=origin):
                pass
        assert refused.value.response.status_code == 403


async def test_a_page_that_does_not_exist_is_closed(house: House, served: Served) -> None:
    for view in ("view=nothing", "", "view=device&device_id=nobody"):
        async with asyncio.timeout(30), socket(house, served, await _secret(house), view) as live:
            assert await close_code(live) == NOT_THERE


async def test_signing_out_closes_the_live_pages(house: House, served: Served) -> None:
    secret = await house.claim()
    async with asyncio.timeout(30), socket(house, served, secret) as live:
        await live.recv()
        origin = f"https://localhost:{served.port}"
        async with httpx.AsyncClient(verify=trusting(house), trust_env=False) as client:
            answer = await client.post(
                f"{origin}/sign-out",
                data={"form_token": form_token(secret)},
                headers={"origin": origin, "cookie": f"{SESSION_COOKIE}={secret}"},
            )
        assert answer.status_code == 303
        assert await close_code(live) == SESSION_ENDED


async def test_a_session_that_nobody_uses_closes_its_page(tmp_path: Path) -> None:
    # It stands until the page is open, however long that takes.
    now = [moment()]
    config = HttpConfig(host="127.0.0.1", port=0, trust_port=None, enrolment_port=None, session_idle_ms=200)
    async with (
        houses.opened(tmp_path, config, lambda: now[0]) as house,
        serving(house.gateway, config) as served,
    ):
        assert served.trust_port is None
        async with asyncio.timeout(30), socket(house, served, await house.claim()) as live:
            now[0] += 60_000
            assert await close_code(live) == SESSION_ENDED


async def test_a_used_session_that_is_too_old_closes_its_page(tmp_path: Path) -> None:
    config = HttpConfig(host="127.0.0.1", port=0, trust_port=None, enrolment_port=None, session_length_ms=1_500)
    async with (
        asyncio.timeout(30),
        houses.opened(tmp_path, config) as house,
        serving(house.gateway, config) as served,
        socket(house, served, await house.claim()) as live,
    ):
        assert await close_code(live) == SESSION_ENDED


async def test_leaving_closes_open_pages_within_seconds(house: House) -> None:
    secret = await house.claim()
    async with asyncio.timeout(30), contextlib.AsyncExitStack() as stack:
        async with serving(house.gateway, house.config) as served:
            live = await stack.enter_async_context(socket(house, served, secret))
            await live.recv()
        assert await close_code(live) == GOING_AWAY
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", served.port)


async def test_a_renewed_certificate_is_taken_up(house: House, served: Served) -> None:
    served.reload_certificate()
    async with httpx.AsyncClient(verify=trusting(house), trust_env=False) as client:
        assert (await client.get(f"https://localhost:{served.port}/healthz")).status_code == 200


async def test_a_port_in_use_is_named(house: House, served: Served) -> None:
    config = HttpConfig(host="127.0.0.1", port=served.port, trust_port=None, enrolment_port=None)
    with pytest.raises(WebListenError, match=str(served.port)):
        async with serving(house.gateway, config):
            pass


async def _secret(house: House) -> str:
    if not await house.gateway.accounts.has_owner(1):
        return await house.claim()
    return await house.gateway.accounts.sign_in(houses.EMAIL, houses.PASSWORD, "127.0.0.1")


async def test_people_get_the_dashboard_on_the_shared_port(house: House, served: Served) -> None:
    async with (
        shared_port(house, served) as port,
        httpx.AsyncClient(verify=trusting(house), trust_env=False) as client,
    ):
        assert (await client.get(f"https://localhost:{port}/healthz")).text == "ok\n"


async def test_live_pages_and_mqtt_work_on_the_shared_port(house: House, served: Served) -> None:
    secret = await house.claim()
    async with asyncio.timeout(30), shared_port(house, served) as port:
        shared = served._replace(port=port)
        async with socket(house, shared, secret) as live:
            await live.recv()
        async with afloat(house, shared, cookie(secret), origin=own_origin(shared)) as boat:
            assert (await boat.connect()).code == 0


async def test_leaving_closes_connections_that_others_accepted(house: House) -> None:
    async with asyncio.timeout(30), contextlib.AsyncExitStack() as stack:
        async with serving(house.gateway, house.config) as served, shared_port(house, served) as port:
            reader, writer = await asyncio.open_connection("localhost", port, ssl=trusting(house))
            stack.callback(writer.close)
            # One that never goes on with its handshake is not waited for either.
            silent = stack.enter_context(contextlib.closing(stdlib_socket.socket()))
            silent.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(silent, ("127.0.0.1", port))
            await loop.sock_sendall(silent, await first_flight())
            while not house.gateway.broker.refusals and (await loop.sock_recv(silent, 1)) == b"":
                pass
        assert await reader.read() == b""
        while await loop.sock_recv(silent, 65_536):
            pass


async def first_flight() -> bytes:
    """What a TLS client sends first."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


async def test_a_failed_handshake_on_the_shared_port_stops_nothing(house: House, served: Served) -> None:
    async with shared_port(house, served) as port:
        with pytest.raises(ssl.SSLError):
            await asyncio.open_connection("localhost", port, ssl=ssl.create_default_context())
        while not house.gateway.broker.refusals["tls_handshake_failed"]:  # noqa: ASYNC110  nobody else is told of it
            await asyncio.sleep(0)
        async with httpx.AsyncClient(verify=trusting(house), trust_env=False) as client:
            assert (await client.get(f"https://localhost:{port}/healthz")).status_code == 200


async def test_a_page_has_little_to_say(house: House, served: Served) -> None:
    async with asyncio.timeout(30), socket(house, served, await house.claim()) as live:
        await live.send("x" * 5_000)
        assert await close_code(live) == 1009
