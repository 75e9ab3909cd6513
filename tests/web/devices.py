"""Devices that call the gateway over HTTPS on the port they share with people."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from appliance.registry.model import Bundle
from broker.listener import HandOver, SharedEndpoint
from tests.web.house import House
from web.server import Served
from web.tls import DEVICE_PROTOCOL


@asynccontextmanager
async def shared_port(house: House, served: Served) -> AsyncIterator[int]:
    """A port of the broker that leaves everybody to the web."""
    endpoint = SharedEndpoint("127.0.0.1", 0, lambda _: HandOver(served.adopt))
    async with house.gateway.broker.listening(endpoint) as [port]:
        yield port


def device_tls(folder: Path, bundle: Bundle, *alpn: str) -> ssl.SSLContext:
    """What a device that has this bundle connects with."""
    context = bare_device_tls(bundle, *alpn)
    chain, key = folder / "chain.pem", folder / "key.pem"
    chain.write_text(bundle.chain_pem)
    key.write_text(bundle.key_pem)
    context.load_cert_chain(chain, key)
    return context


def bare_device_tls(bundle: Bundle, *alpn: str) -> ssl.SSLContext:
    """What a device without a certificate connects with."""
    context = ssl.create_default_context(cadata=bundle.root_pem)
    context.set_alpn_protocols(list(alpn) or [DEVICE_PROTOCOL])
    return context


class Answer(NamedTuple):
    """What came back."""

    status_code: int
    text: str


async def ask(port: int, context: ssl.SSLContext, path: str = "/v1/device/identity") -> Answer:
    """One request on a connection of its own, with the ALPN of the context: HTTP libraries set their own.

    Raises `ssl.SSLError` or `ConnectionError`.
    """
    async with asyncio.timeout(30):
        reader, writer = await asyncio.open_connection("localhost", port, ssl=context)
        try:
            head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\nConnection: close\r\n\r\n"
            writer.write(head.encode())
            answer = (await reader.read()).decode()
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
    if not answer:
        raise ConnectionResetError("no answer")
    head, _, body = answer.partition("\r\n\r\n")
    return Answer(int(head.split()[1]), body)
