"""MQTT over WebSocket with a real client, on a real port."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest
import websockets
from litestar.exceptions import PermissionDeniedException

from appliance.accounts.model import Role, User
from broker.encode import encode
from broker.limits import Limits
from broker.message import Message
from broker.packets import V5, Connack, Connect, Disconnect, Puback, Publish, Suback, Subscribe, Subscription, Will
from broker.reason_codes import ReasonCode
from tests.web import house as houses
from tests.web.afloat import afloat, bearer, cookie, own_origin, trusting
from tests.web.house import House
from web import mqtt
from web.auth import form_token
from web.live import SESSION_ENDED, TRY_LATER
from web.server import Served, serving

BAD_USERNAME_OR_PASSWORD = 4
"""What a client of 3.1.1 is told."""


@pytest.fixture
async def served(house: House) -> AsyncIterator[Served]:
    async with serving(house.gateway, house.config) as made:
        yield made


@pytest.fixture
async def token(house: House) -> str:
    return await house.gateway.accounts.add_token(1, "reader")


async def sign_out(house: House, served: Served, secret: str) -> None:
    """As the button does."""
    origin = own_origin(served)
    async with httpx.AsyncClient(verify=trusting(house), trust_env=False) as client:
        headers = {"origin": origin, **cookie(secret)}
        await client.post(f"{origin}/sign-out", data={"form_token": form_token(secret)}, headers=headers)


async def test_a_person_who_is_signed_in_publishes_and_receives(house: House, served: Served) -> None:
    secret = await house.claim()
    async with afloat(house, served, cookie(secret), origin=own_origin(served)) as boat:
        assert (await boat.connect()).code == 0
        await boat.send(Subscribe(1, (Subscription("cmd/#", 1),)))
        assert await boat.receive() == Suback(1, (1,))
        await boat.send(Publish("cmd/a/go", b"now", 1, packet_id=7))
        answers = [await boat.receive(), await boat.receive()]
        assert Puback(7) in answers
        assert any(isinstance(answer, Publish) and answer.payload == b"now" for answer in answers)
        [session] = house.gateway.broker.sessions(1)
        assert (session.principal.name, session.principal.is_operator) == ("user:owner@example.com", True)
        # Who operates the gateway is none of its devices.
        assert house.gateway.registry.connected_count(1) == 0


async def test_a_token_opens_it_in_the_header_or_as_the_password(house: House, served: Served, token: str) -> None:
    async with afloat(house, served, bearer(token)) as boat:
        assert (await boat.connect()).code == 0
    async with afloat(house, served) as boat:
        assert (await boat.connect(password=token.encode())).code == 0
        assert "token:reader" in {session.principal.name for session in house.gateway.broker.sessions(1)}


async def test_nobody_comes_in_without_a_token_that_is_good(house: House, served: Served, token: str) -> None:
    await house.add_device("sensor-001", is_connected=False)
    for password in (None, b"", b"hw_1.wrong", token.encode() + b"x", b"\xff\xfe"):
        async with afloat(house, served) as boat:
            assert (await boat.connect("sensor-001", password)).code == BAD_USERNAME_OR_PASSWORD
            await boat.close_code()
    with pytest.raises(websockets.InvalidStatus):
        async with afloat(house, served, bearer("hw_1.wrong")):
            pass


async def test_no_client_without_a_certificate_is_taken_for_a_device(tmp_path: Path) -> None:
    async with houses.opened(tmp_path) as house, serving(house.gateway, house.config) as served:
        house.gateway.registry._trust_plain = True
        await house.add_device("sensor-001", is_connected=False)
        async with afloat(house, served) as boat:
            assert (await boat.connect("sensor-001")).code == BAD_USERNAME_OR_PASSWORD


async def test_a_page_of_somebody_else_gets_nowhere(house: House, served: Served, token: str) -> None:
    secret = await house.claim()
    own = own_origin(served)
    strangers = ("https://evil.example", "null", own + "0", own.replace("https", "http") + ".evil.example")
    for origin in strangers:
        for shown in (cookie(secret), {}, bearer(token)):
            with pytest.raises(websockets.InvalidStatus) as refused:
                async with afloat(house, served, shown, origin=origin):
                    pass
            assert refused.value.response.status_code == 403
    with pytest.raises(websockets.InvalidStatus):  # A browser always says where it comes from.
        async with afloat(house, served, cookie(secret)):
            pass
    assert house.gateway.broker.refusals["websocket_refused"] == 3 * len(strangers) + 1


async def test_only_the_subprotocol_mqtt_is_spoken(house: House, served: Served, token: str) -> None:
    for names in ((), ("mqttv3.1",), ("MQTT",), ("chat", "superchat")):
        with pytest.raises(websockets.InvalidStatus):
            async with afloat(house, served, bearer(token), subprotocols=names):
                pass
    async with afloat(house, served, bearer(token), subprotocols=("mqttv3.1", "mqtt")) as boat:
        assert boat.socket.subprotocol == "mqtt"
        assert boat.socket.protocol.extensions == []


async def test_packets_span_frames_and_frames_hold_packets(house: House, served: Served, token: str) -> None:
    connect = Connect(4, "screen", True, 60, username="me", password=token.encode())
    subscribe = Subscribe(1, (Subscription("a/#", 0),))
    messages = [Publish("a/b", bytes([number]) * 300, 0) for number in range(20)]
    data = b"".join(encode(packet) for packet in (connect, subscribe, *messages))
    for size in (1, 7, 200, len(data)):
        async with afloat(house, served) as boat:
            for start in range(0, len(data), size):
                await boat.socket.send(data[start : start + size])
            assert isinstance(await boat.receive(), Connack)
            assert isinstance(await boat.receive(), Suback)
            assert [await boat.receive() for _ in messages] == messages


async def test_a_text_frame_ends_it(house: House, served: Served, token: str) -> None:
    for shown in ({}, bearer(token)):
        async with afloat(house, served, shown) as boat:
            if shown:
                await boat.connect()
            await boat.socket.send("10 04")
            assert await boat.close_code() == 1003


async def test_a_packet_that_does_not_come_is_waited_for_only_a_while(tmp_path: Path) -> None:
    limits = Limits(connect_timeout_s=0.2, sweep_interval_s=0.05)
    async with houses.opened(tmp_path, limits=limits) as house, serving(house.gateway, house.config) as served:
        # A CONNECT of 4096 bytes of which three come; a PUBLISH of that kind is not even waited for.
        for first in (b"\x10\x80\x20abc", b"\x30\x80\x20abc", b"\x10", b""):
            async with afloat(house, served) as boat:
                await boat.socket.send(first)
                await boat.close_code()
        assert house.gateway.broker.connection_count == 0


async def test_a_frame_larger_than_a_packet_may_be_ends_it(house: House, served: Served, token: str) -> None:
    async with afloat(house, served, bearer(token)) as boat:
        await boat.connect()
        await boat.socket.send(bytes(house.gateway.broker.limits.packet_bytes + 1))
        assert await boat.close_code() == 1009


async def test_a_session_that_ends_takes_its_connections_along(house: House, served: Served) -> None:
    secret = await house.claim()
    other = await house.gateway.accounts.sign_in(houses.EMAIL, houses.PASSWORD, "127.0.0.1")
    origin = own_origin(served)
    async with (
        afloat(house, served, cookie(secret), origin=origin) as boat,
        afloat(house, served, cookie(other), origin=origin) as second,
    ):
        await boat.connect("first")
        await second.connect("second")
        await sign_out(house, served, secret)
        assert await boat.close_code() == SESSION_ENDED
        assert [session.client_id for session in house.gateway.broker.sessions(1)] == ["second"]
        await house.gateway.accounts.sign_out(other)
        assert await second.close_code() == SESSION_ENDED


async def test_a_token_that_is_revoked_takes_its_connections_along(house: House, served: Served, token: str) -> None:
    await house.gateway.accounts.add_token(1, "other")
    async with afloat(house, served) as boat:
        await boat.connect(password=token.encode())
        await house.gateway.accounts.revoke_token(1, int(token.removeprefix("hw_").partition(".")[0]))
        assert await boat.close_code() == SESSION_ENDED


@pytest.mark.parametrize("is_signed_out", [False, True])
async def test_nobody_speaks_for_whose_session_or_token_has_ended(
    house: House, served: Served, token: str, is_signed_out: bool
) -> None:
    secret = await house.claim()
    shown = cookie(secret) if is_signed_out else bearer(token)
    watching = bearer(await house.gateway.accounts.add_token(1, "watcher"))
    will = Will("cmd/pump/open", b"now", 1, retain=False)
    async with afloat(house, served, watching) as watcher:
        await watcher.connect("watcher")
        await watcher.send(Subscribe(1, (Subscription("cmd/#", 1),)))
        await watcher.receive()
        async with afloat(house, served, shown, origin=own_origin(served)) as boat:
            await boat.send(Connect(4, "expelled", True, 60, will=will))
            await boat.receive()
            if is_signed_out:
                await sign_out(house, served, secret)
            else:
                await house.gateway.accounts.revoke_token(1, int(token.removeprefix("hw_").partition(".")[0]))
            assert await boat.close_code() == SESSION_ENDED
        await watcher.send(Publish("cmd/end", b"", 0))
        ended = await watcher.receive()
        assert isinstance(ended, Publish)
        assert ended.topic == "cmd/end"


async def test_connections_are_limited(tmp_path: Path) -> None:
    limits = Limits(connections_per_address=2)
    async with houses.opened(tmp_path, limits=limits) as house, serving(house.gateway, house.config) as served:
        async with AsyncExitStack() as stack:
            for _ in range(2):
                await stack.enter_async_context(afloat(house, served))
            async with afloat(house, served) as third:
                assert await third.close_code() == TRY_LATER
        assert house.gateway.broker.refusals["address_busy"] == 1
        async with asyncio.timeout(30):
            while house.gateway.broker.connection_count:  # noqa: ASYNC110  nobody tells when the last one is forgotten
                await asyncio.sleep(0)
        async with afloat(house, served) as again:
            assert (await again.connect()).code == BAD_USERNAME_OR_PASSWORD


async def test_nothing_is_read_while_reading_is_paused(house: House, served: Served, token: str) -> None:
    broker = house.gateway.broker
    async with afloat(house, served, bearer(token)) as boat:
        await boat.connect()
        before = broker.exchange.message_count
        broker.pause_reading()
        await boat.send(*[Publish("a/b", b"x", 1, packet_id=number) for number in range(1, 4)])
        # The pong tells that the frames before it have arrived.
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await boat.receive()
        assert broker.exchange.message_count == before
        broker.resume_reading()
        assert [await boat.receive() for _ in range(3)] == [Puback(1), Puback(2), Puback(3)]


async def test_a_stop_is_told_and_publishes_no_will(house: House, token: str) -> None:
    async with AsyncExitStack() as stack:
        async with serving(house.gateway, house.config) as served:
            boat = await stack.enter_async_context(afloat(house, served, bearer(token), level=V5))
            will = Will("cmd/a/gone", b"", 0, retain=True)
            await boat.send(Connect(V5, "screen", True, 60, will=will))
            assert isinstance(await boat.receive(), Connack)
        farewell = await boat.receive()
        assert isinstance(farewell, Disconnect)
        assert farewell.code == ReasonCode.SERVER_SHUTTING_DOWN
    assert list(house.gateway.broker.retained(1, "cmd/#")) == []


async def test_who_reads_nothing_is_cut_off(tmp_path: Path) -> None:
    limits = Limits(unsent_bytes=400_000, in_flight_bytes=100_000, queue_bytes=300_000)
    async with houses.opened(tmp_path, limits=limits) as house, serving(house.gateway, house.config) as served:
        token = await house.gateway.accounts.add_token(1, "slow")
        async with afloat(house, served, bearer(token)) as boat:
            await boat.connect()
            await boat.send(Subscribe(1, (Subscription("a/#", 1),)))
            await boat.receive()
            boat.socket.transport.pause_reading()
            for number in range(400):
                house.gateway.broker.publish(Message(1, "", "", "a/b", bytes(200_000), number % 2, False, 0))
                await asyncio.sleep(0)
            [session] = house.gateway.broker.sessions(1)
            assert session.dropped_count > 300
            stream = session.client.stream if session.client else None
            assert stream is None or stream.unsent_bytes < 2 * limits.unsent_bytes
            boat.socket.transport.abort()


def test_the_limits_leave_room_for_pages() -> None:
    assert mqtt.SOCKETS_LIMIT + 256 < 1_000


@pytest.mark.parametrize("role", [Role.VIEWER, Role.INSTALLER])
def test_who_may_not_operate_the_gateway_does_not_reach_its_devices(role: Role) -> None:
    with pytest.raises(PermissionDeniedException, match=role):
        mqtt._principal(User(3, 1, "eve@example.com", role))
