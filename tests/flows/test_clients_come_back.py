"""Clients find their sessions again after the gateway was stopped, and after it was killed."""

import asyncio
import signal
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.flows.clients.all import KINDS, Kind, each_kind, is_installed
from tests.flows.clients.client import Message
from tests.flows.clients.site import Site, opened


@dataclass(frozen=True)
class Absence:
    """All clients subscribed and went; the broker ended and was started again; nobody has come back yet."""

    site: Site
    failures: dict[Kind, BaseException]
    """Why a client did not get as far as that."""


@pytest.fixture(scope="module", params=[signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
def absence(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Absence]:
    with opened(tmp_path_factory.mktemp("clients")) as site:
        failures = asyncio.run(_go(site))
        asyncio.run(_write(site, b"before"))
        site.restart(request.param)
        asyncio.run(_write(site, b"after"))
        yield Absence(site, failures)


@each_kind
async def test_it_finds_its_session_and_what_came_meanwhile(absence: Absence, kind: Kind) -> None:
    if kind in absence.failures:
        raise absence.failures[kind]
    client = absence.site.new(kind)
    session_present = await client.connect(clean=False)
    try:
        assert session_present or not client.tells_session
        received = [await client.receive() for _ in range(2)]
    finally:
        await client.leave()
    qos = client.highest_qos
    assert received == [Message(_topic(kind), payload, qos) for payload in (b"before", b"after")]


def _topic(kind: Kind) -> str:
    return f"cmd/{kind.name}/letters"


async def _go(site: Site) -> dict[Kind, BaseException]:
    kinds = [kind for kind in KINDS if is_installed(kind)]
    results = await asyncio.gather(*(_subscribe_and_leave(site, kind) for kind in kinds), return_exceptions=True)
    return {kind: result for kind, result in zip(kinds, results, strict=True) if result is not None}


async def _subscribe_and_leave(site: Site, kind: Kind) -> None:
    client = site.new(kind)
    session_present = await client.connect(clean=False)
    try:
        assert not session_present
        await client.subscribe(_topic(kind), client.highest_qos)
    finally:
        await client.leave()


async def _write(site: Site, payload: bytes) -> None:
    """A letter to everybody, acknowledged before the end."""
    operator = site.new_operator()
    await operator.connect()
    try:
        await asyncio.gather(*(operator.publish(Message(_topic(kind), payload, 2)) for kind in KINDS))
    finally:
        await operator.leave()
