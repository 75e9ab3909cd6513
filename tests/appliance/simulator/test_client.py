import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from appliance.simulator.client import (
    Client,
    NotConnectedError,
    Options,
    SubscriptionRefusedError,
    WindowFullError,
)
from appliance.simulator.wire import Endpoint, Identity
from broker.codec import encode
from broker.packets import Connack, Connect, Packet, Pingreq, Puback, Publish, ReturnCode
from tests.appliance.simulator.gateways import WELCOME, Gate, broker, identity_of, scripted
from tests.broker.certificates import Authority

TOPIC = "sensors/pump-001/telemetry"


@contextlib.asynccontextmanager
async def connected(client: Client) -> AsyncIterator[Client]:
    await client.connect()
    try:
        yield client
    finally:
        client.drop()


@pytest.fixture(params=["plain", "tls"])
async def gate(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Gate]:
    async with broker(tmp_path if request.param == "tls" else None) as gate:
        yield gate


async def test_every_message_is_acknowledged_in_order(gate: Gate) -> None:
    acknowledged: asyncio.Queue[int] = asyncio.Queue()
    client = gate.client()
    client.on_acknowledged = acknowledged.put_nowait
    async with connected(client):
        sent = [client.publish(TOPIC, b"%d" % number, 1) for number in range(20)]
        assert [await acknowledged.get() for _ in sent] == sent
    assert [message.payload for message in gate.owner.messages] == [b"%d" % number for number in range(20)]


async def test_a_message_that_fills_the_socket_arrives_whole_both_ways(gate: Gate) -> None:
    received: asyncio.Queue[Publish] = asyncio.Queue()
    client = gate.client()
    client.on_message = received.put_nowait
    payloads = [bytes((number,)) * 250_000 for number in range(3)]
    async with connected(client):
        assert await client.subscribe("big", 1) == 1
        for payload in payloads:
            client.publish("big", payload, 1)
        assert [(await received.get()).payload for _ in payloads] == payloads
    assert [message.payload for message in gate.owner.messages] == payloads


async def test_the_window_bounds_what_is_under_way(gate: Gate) -> None:
    gate.owner.holds_back = True
    async with connected(gate.client(window=2)) as client:
        assert client.publish(TOPIC, b"", 0) == 0
        client.publish(TOPIC, b"", 1)
        assert client.has_room
        client.publish(TOPIC, b"", 1)
        assert not client.has_room
        with pytest.raises(WindowFullError):
            client.publish(TOPIC, b"", 1)


async def test_a_lasting_session_sends_again_what_was_not_acknowledged(gate: Gate) -> None:
    gate.owner.holds_back = True
    async with connected(gate.client(clean_session=False)) as client:
        client.publish(TOPIC, b"first", 1)
        await gate.owner.until(lambda owner: len(owner.messages) == 1)
        client.drop()
        gate.owner.holds_back = False
        acknowledged: asyncio.Queue[int] = asyncio.Queue()
        client.on_acknowledged = acknowledged.put_nowait
        await client.connect()
        assert await acknowledged.get() == 1
        assert client.in_flight_count == 0
        assert client.publish(TOPIC, b"second", 1) == 2


async def test_a_clean_session_forgets_what_was_not_acknowledged(gate: Gate) -> None:
    gate.owner.holds_back = True
    async with connected(gate.client(clean_session=True)) as client:
        client.publish(TOPIC, b"", 1)
        client.drop()
        assert client.in_flight_count == 0


async def test_what_is_sent_again_is_marked_as_a_duplicate() -> None:
    async with (
        scripted(lambda packet: WELCOME if isinstance(packet, Connect) else b"") as (endpoint, heard),
        connected(Client(Options("one", endpoint, None, clean_session=False))) as client,
    ):
        client.publish("a", b"", 1)
        assert isinstance(await heard.get(), Connect)
        assert await heard.get() == Publish("a", b"", 1, packet_id=1)
        await client.connect()
        assert isinstance(await heard.get(), Connect)
        assert await heard.get() == Publish("a", b"", 1, duplicate=True, packet_id=1)


async def test_a_goodbye_is_no_loss(gate: Gate) -> None:
    lost: list[str] = []
    client = gate.client()
    client.on_lost = lost.append
    async with connected(client):
        client.publish(TOPIC, b"last", 0)
        await client.disconnect()
        assert not client.is_connected
    await gate.owner.until(lambda owner: len(owner.left) == 1)
    assert gate.owner.left[0].reason == "the client disconnected"
    assert len(gate.owner.messages) == 1
    assert not lost


async def test_a_lost_connection_is_told_once(gate: Gate) -> None:
    lost: list[str] = []
    client = gate.client()
    client.on_lost = lost.append
    async with connected(client):
        client.drop()
        client.drop()
        await client.ended()
        await client.disconnect()
        assert lost == ["it was dropped"]
        with pytest.raises(NotConnectedError):
            client.publish(TOPIC, b"", 1)


async def test_a_broker_that_stops_is_noticed() -> None:
    async with contextlib.AsyncExitStack() as stack:
        gate = await stack.enter_async_context(broker())
        client = gate.client()
        await client.connect()
        await stack.aclose()
        await client.ended()
        assert not client.is_connected
        with pytest.raises(NotConnectedError, match="Connect"):
            await client.connect()


async def test_a_refused_client_hears_so(gate: Gate) -> None:
    gate.authorizer.denied_clients.add("pump-001")
    client = gate.client()
    with pytest.raises(NotConnectedError, match="NOT_AUTHORIZED"):
        await client.connect()
    assert not client.is_connected
    await client.ended()


async def test_a_refused_subscription_is_told(gate: Gate) -> None:
    gate.authorizer.denied_filters.add("secret")
    async with connected(gate.client()) as client:
        with pytest.raises(SubscriptionRefusedError, match="secret"):
            await client.subscribe("secret", 1)


async def test_a_subscription_fails_when_the_connection_does() -> None:
    async with (
        scripted(lambda packet: WELCOME if isinstance(packet, Connect) else b"\x00\x00") as (endpoint, _),
        connected(Client(Options("one", endpoint, None, clean_session=True))) as client,
    ):
        with pytest.raises(NotConnectedError, match="not MQTT"):
            await client.subscribe("a", 1)


async def test_a_broker_under_another_name_is_not_trusted(tmp_path: Path) -> None:
    async with broker(tmp_path) as gate:
        endpoint = Endpoint(gate.endpoint.host, gate.endpoint.port, "gateway.example")
        with pytest.raises(NotConnectedError, match="certificate was not accepted"):
            await Client(Options("one", endpoint, gate.identity, clean_session=True)).connect()


async def test_a_device_of_strangers_is_refused(tmp_path: Path) -> None:
    async with broker(tmp_path) as gate:
        assert gate.identity is not None
        stranger = identity_of(Authority.create(tmp_path, "theirs"), "device")
        identity = Identity(stranger.certificate, stranger.key, gate.identity.trust)
        with pytest.raises(NotConnectedError):
            await Client(Options("one", gate.endpoint, identity, clean_session=True)).connect()


async def test_a_missing_certificate_is_told(tmp_path: Path) -> None:
    identity = Identity(tmp_path / "missing", tmp_path / "missing", tmp_path / "missing")
    with pytest.raises(NotConnectedError, match="No such file"):
        await Client(Options("one", Endpoint("127.0.0.1", 1, "x"), identity, clean_session=True)).connect()


async def test_a_server_that_says_nothing_is_given_up() -> None:
    async with scripted(lambda _: b"") as (endpoint, _):
        client = Client(Options("one", endpoint, None, clean_session=True, timeout_s=0.05))
        with pytest.raises(NotConnectedError, match="in time"):
            await client.connect()


async def test_silence_is_broken_by_pings() -> None:
    def answer(packet: Packet) -> bytes:
        return {Connect: WELCOME, Pingreq: b"\xd0\x00"}.get(type(packet), b"")

    async with (
        scripted(answer) as (endpoint, heard),
        connected(Client(Options("one", endpoint, None, clean_session=True, keep_alive_s=1))) as client,
    ):
        assert isinstance(await heard.get(), Connect)
        for _ in range(6):
            assert await heard.get() == Pingreq()
        assert client.is_connected


async def test_a_broker_that_falls_silent_is_left() -> None:
    async with scripted(lambda packet: WELCOME if isinstance(packet, Connect) else b"") as (endpoint, _):
        lost: list[str] = []
        client = Client(Options("one", endpoint, None, clean_session=True, keep_alive_s=1))
        client.on_lost = lost.append
        await client.connect()
        await client.ended()
        assert lost == ["the broker has fallen silent"]


async def test_what_nobody_asked_for_is_ignored() -> None:
    surprises = WELCOME + encode(Connack(False, ReturnCode.NOT_AUTHORIZED)) + b"\x90\x03\x00\x09\x00" + b"\xd0\x00"
    async with scripted(lambda packet: surprises if isinstance(packet, Connect) else encode(Puback(9))) as (
        endpoint,
        _,
    ):
        acknowledged: asyncio.Queue[int] = asyncio.Queue()
        client = Client(Options("one", endpoint, None, clean_session=True))
        client.on_acknowledged = acknowledged.put_nowait
        async with connected(client):
            client.publish("a", b"", 1)
            assert await acknowledged.get() == 9
            assert client.in_flight_count == 1
            assert client.is_connected


async def test_connecting_that_is_cancelled_leaves_nothing_open() -> None:
    async with scripted(lambda _: b"") as (endpoint, heard):
        client = Client(Options("one", endpoint, None, clean_session=True))
        async with asyncio.TaskGroup() as group:
            task = group.create_task(client.connect())
            await heard.get()
            task.cancel()
        assert not client.is_connected
        await client.ended()


async def test_packet_identifiers_go_round() -> None:
    async with broker() as gate, connected(gate.client()) as client:
        client._last_packet_id = 65_534
        assert [client.publish(TOPIC, b"", 1) for _ in range(3)] == [65_535, 1, 2]
