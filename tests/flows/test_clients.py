"""Clients that others wrote are served: one set of stories for every library and version."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from tests.flows.clients.all import Kind, each_kind
from tests.flows.clients.client import PATIENCE_S, Client, Message, RefusedError
from tests.flows.clients.relay import Relay
from tests.flows.clients.site import Site, opened

SHARED = 12


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with opened(tmp_path_factory.mktemp("clients")) as site:
        yield site


@pytest.fixture
async def operator(site: Site) -> AsyncIterator[Client]:
    async with connected(site.new_operator()) as operator:
        yield operator


@asynccontextmanager
async def connected(client: Client, will: Message | None = None) -> AsyncIterator[Client]:
    """A client with a clean session, until the block is left."""
    await client.connect(will=will)
    try:
        yield client
    finally:
        await client.leave()


@each_kind
async def test_it_publishes_with_every_quality_of_service(site: Site, operator: Client, kind: Kind) -> None:
    topic = f"cmd/{kind.name}/response/quality"
    await operator.subscribe(topic, 2)
    async with connected(site.new(kind)) as client:
        for qos in range(client.highest_qos_sent + 1):
            sent = Message(topic, f"number {qos}".encode(), qos)
            await client.publish(sent)
            assert await operator.receive() == sent


@each_kind
async def test_it_receives_with_every_quality_of_service(site: Site, operator: Client, kind: Kind) -> None:
    topic = f"cmd/{kind.name}/quality"
    async with connected(site.new(kind)) as client:
        await client.subscribe(topic, client.highest_qos)
        for qos in range(3):
            sent = Message(topic, b"\0\xff 23.5", qos)
            await operator.publish(sent)
            assert await client.receive() == replace(sent, qos=min(qos, client.highest_qos))


@each_kind
async def test_it_is_sent_what_was_retained(site: Site, operator: Client, kind: Kind) -> None:
    setting = Message(f"cmd/{kind.name}/setting", b"21", 1, retain=True)
    await operator.publish(setting)
    async with connected(site.new(kind)) as client:
        await client.subscribe(setting.topic, 1)
        assert await client.receive() == setting
        await operator.publish(replace(setting, payload=b"22"))
        # It was there before the message, so to it this is like any other.
        assert await client.receive() == replace(setting, payload=b"22", retain=False)
    await operator.publish(replace(setting, payload=b""))


@each_kind
async def test_it_leaves_a_retained_message(site: Site, operator: Client, kind: Kind) -> None:
    state = Message(f"cmd/{kind.name}/response/state", b"on", 1, retain=True)
    async with connected(site.new(kind)) as client:
        await client.publish(state)
    await operator.subscribe(state.topic, 1)
    assert await operator.receive() == state
    await operator.publish(replace(state, payload=b""))


@each_kind
async def test_its_will_is_published_when_its_network_is_gone(site: Site, operator: Client, kind: Kind) -> None:
    will = Message(f"cmd/{kind.name}/response/gone", b"power cut", 1)
    await operator.subscribe(will.topic, 1)
    access = site.access(kind)
    async with Relay(access.host, access.port).opened() as relay:
        client = kind.new(relay.leading(access))
        async with connected(client, will):
            await client.subscribe(f"cmd/{kind.name}/anything", 1)
            relay.cut()
            assert await operator.receive() == will


@each_kind
async def test_it_shares_a_subscription(site: Site, operator: Client, kind: Kind) -> None:
    topic = f"cmd/{kind.name}/work"
    async with connected(site.new(kind)) as client:
        await client.subscribe(f"$share/crew/{topic}", 1)
        await operator.subscribe(f"$share/crew/{topic}", 1)
        pieces = [Message(topic, f"piece {number}".encode(), 1) for number in range(SHARED)]
        await asyncio.gather(*map(operator.publish, pieces))
        # Each piece goes to one of the two, and neither is left out.
        shares = await _shares((client, operator), SHARED)
    assert all(shares)
    assert sorted(piece.payload for share in shares for piece in share) == sorted(piece.payload for piece in pieces)


@each_kind
async def test_it_is_told_that_it_may_not_connect(site: Site, kind: Kind) -> None:
    if kind.client.is_operator or not site.has_policy:
        pytest.skip("only a device's certificate binds a client identifier")
    client = kind.client(site.access(kind), "somebody-else", kind.version)
    with pytest.raises(RefusedError):
        await _say_something(client)
    await client.leave()


@each_kind
async def test_it_is_told_that_it_may_not_subscribe(site: Site, kind: Kind) -> None:
    if kind.client.is_operator or not site.has_policy:
        pytest.skip("only a device has a policy")
    async with connected(site.new(kind)) as client:
        with pytest.raises(RefusedError):
            await client.subscribe("cmd/somebody-else/#", 1)


async def _say_something(client: Client) -> None:
    """Connect, also where the library waits with that until there is something to say."""
    await client.connect()
    await client.publish(Message(f"cmd/{client.client_id}/response/hello", b"hello", 1))


async def _shares(members: Sequence[Client], count: int) -> list[list[Message]]:
    """What each member got, once there are so many together."""
    shares: list[list[Message]] = [[] for _ in members]
    complete = asyncio.Event()

    async def take(member: Client, share: list[Message]) -> None:
        while True:
            share.append(await member.receive())
            if sum(map(len, shares)) >= count:
                complete.set()

    tasks = [asyncio.create_task(take(*pair)) for pair in zip(members, shares, strict=True)]
    try:
        async with asyncio.timeout(PATIENCE_S):
            await complete.wait()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return shares
