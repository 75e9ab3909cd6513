"""Devices that knock with a certificate of their own making."""

import asyncio
import json
import ssl
from pathlib import Path
from typing import Any, NamedTuple

from appliance.registry.service import Registry
from tests.appliance.enrolment import self_made
from tests.appliance.enrolment.requests import new_key

EMPTY = b"POST /enrol HTTP/1.1\r\nhost: gateway\r\ncontent-length: 0\r\n\r\n"


def context_of(registry: Registry) -> ssl.SSLContext:
    """What a client without a certificate connects with."""
    return ssl.create_default_context(cadata=registry.root_pem)


def device(registry: Registry, folder: Path, key: self_made.Key | None = None, *certificates: bytes) -> ssl.SSLContext:
    """What a device with this key connects with; without certificates, with one that it makes."""
    context = context_of(registry)
    # A key that is too weak is for the gateway to refuse.
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    folder.mkdir(exist_ok=True, parents=True)
    context.load_cert_chain(*self_made.kept(folder, key or new_key(), *certificates))
    return context


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: dict[str, str]
    told: Any


async def ask(port: int, context: ssl.SSLContext, *pieces: bytes) -> Answer:
    """Send these pieces, by default an empty request, and read until the gateway has said farewell."""
    async with asyncio.timeout(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
        try:
            for piece in pieces or (EMPTY,):
                writer.write(piece)
                await writer.drain()
            return read(await reader.read())
        finally:
            writer.transport.abort()


def read(came: bytes) -> Answer:
    """An answer as it came over the wire."""
    head, _, body = came.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    assert headers["content-length"] == str(len(body))
    return Answer(int(first.split()[1]), headers, json.loads(body))


def post(told: Any, *headers: str) -> bytes:
    """A request that says something."""
    body = json.dumps(told).encode()
    lines = ("POST /enrol HTTP/1.1", "host: gateway", "content-type: application/json", f"content-length: {len(body)}")
    return "\r\n".join([*lines, *headers, "", ""]).encode() + body
