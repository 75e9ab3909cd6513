"""Devices that ask over HTTPS, without the sockets."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import httpx

from tests.web.house import House
from web.device_http.app import Fork, create_device_app
from web.devices_only import CERTIFICATE, REQUESTS


class Connection:
    """The application as one connection sees it, with the certificate that it showed."""

    def __init__(self, app: Any, certificate: bytes | None) -> None:
        self._app = app
        self._state: dict[str, Any] = {} if certificate is None else {CERTIFICATE: certificate, REQUESTS: count(1)}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._app({**scope, "state": dict(self._state)}, receive, send)


class Device(httpx.AsyncClient):
    """A connection of a device; without a certificate, that of anybody."""

    def __init__(self, house: House, certificate: bytes | None = None, people: Any = None, app: Any = None) -> None:
        app = app or create_device_app(house.gateway)
        connection = Connection(Fork(people or app, app), certificate)
        transport = httpx.ASGITransport(app=connection, raise_app_exceptions=False)
        super().__init__(transport=transport, base_url="https://gateway.local")


async def certificate_of(house: House, device_id: str) -> bytes:
    """The certificate of a device that is registered, DER."""
    bundle = await house.gateway.registry.issue_certificate(1, device_id)
    return ssl.PEM_cert_to_DER_cert(bundle.chain_pem[: bundle.chain_pem.index("-----END") + 25])


@asynccontextmanager
async def asking(house: House, device_id: str = "pump") -> AsyncIterator[Device]:
    """A device that is registered, and its connection."""
    if not house.gateway.registry.has_device(1, device_id):
        await house.add_device(device_id, is_connected=False)
    async with Device(house, await certificate_of(house, device_id)) as device:
        yield device


def refusal(answer: httpx.Response) -> tuple[int, str]:
    """The status and the kind of a refusal, which is as AWS IoT gives it."""
    told = answer.json()
    assert {"message", "traceId"} <= set(told), told
    assert told["message"]
    assert answer.headers["content-type"] == "application/json"
    assert "set-cookie" not in answer.headers
    return answer.status_code, answer.headers["x-amzn-errortype"]
