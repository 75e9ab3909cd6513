import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from broker.listener import Endpoint
from broker.packets import V5, Disconnect, Properties, Publish, Subscription, Will
from tests.broker.house import Wire
from tests.web.device_http.device import Device, asking, refusal
from tests.web.house import House

OWN = "/connections/pump"
WILL = Will("sensors/pump/gone", b"bye", 1, retain=False)


@contextlib.asynccontextmanager
async def connected(house: House, name: str = "pump", *, expiry_s: int = 600) -> AsyncIterator[Wire]:
    """A device that is connected, from this machine and without TLS."""
    house.gateway.registry._trust_plain = True
    async with house.gateway.broker.listening(Endpoint("127.0.0.1", 0)) as [port]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        wire = Wire(reader, writer)
        properties = Properties(session_expiry_s=expiry_s)
        connack = await wire.connect(name, keep_alive_s=60, will=WILL, level=V5, properties=properties)
        assert connack.code == 0, connack
        try:
            yield wire
        finally:
            wire.abort()


async def test_a_device_sees_how_it_stands_with_its_own_connection(house: House, pump: Device) -> None:
    assert refusal(await pump.get(OWN)) == (404, "ResourceNotFoundException")
    async with connected(house) as wire:
        told = (await pump.get(OWN)).json()
        since = told.pop("connectedSince")
        assert house.clock() - 60_000 < since <= house.clock()
        assert told == {
            "clientId": "pump",
            "connected": True,
            "thingName": "pump",
            "cleanSession": False,
            "sessionExpiry": 600,
            "keepAliveDuration": 60,
        }
        told = (await pump.get(f"{OWN}?includeSocketInformation=true")).json()
        assert (told["sourceIp"], told["sourcePort"]) == wire.writer.get_extra_info("sockname")[:2]
        await wire.send(Disconnect())
        await wire.until_closed()
        told = (await pump.get(OWN)).json()
        assert (told["connected"], "connectedSince" in told) == (False, False)
        assert since <= told["disconnectedSince"] <= house.clock()


async def test_its_subscriptions_come_a_page_at_a_time(house: House, pump: Device) -> None:
    async with connected(house) as wire:
        filters = sorted(f"cmd/pump/{number}" for number in range(7))
        await wire.subscribe(*[Subscription(each, number % 2) for number, each in enumerate(filters)])
        found, token = [], ""
        for _ in range(4):
            page = (await pump.get(f"{OWN}/subscriptions", params={"maxResults": 2, "nextToken": token})).json()
            found += page["subscriptions"]
            token = page.get("nextToken", "")
        assert token == ""
        assert found == [{"topicFilter": each, "qos": number % 2} for number, each in enumerate(filters)]


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_nobody_reaches_the_connection_of_somebody_else(house: House, pump: Device, method: str) -> None:
    async with asking(house, "fan") as fan, connected(house) as wire:
        for path in (OWN, f"{OWN}/subscriptions")[: 2 if method == "GET" else 1]:
            assert refusal(await fan.request(method, path)) == (403, "ForbiddenException")
        assert refusal(await pump.request(method, "/connections/nobody")) == (403, "ForbiddenException")
        await wire.ping()


@pytest.mark.parametrize("keeps_will", [True, False])
@pytest.mark.parametrize("is_clean", [True, False])
async def test_a_device_ends_its_connection_with_or_without_its_session_and_its_will(
    house: House, pump: Device, is_clean: bool, keeps_will: bool
) -> None:
    query = {"cleanSession": str(is_clean).lower(), "preventWillMessage": str(not keeps_will).lower()}
    async with connected(house) as wire:
        answer = await pump.delete(OWN, params=query)
        assert (answer.status_code, answer.json()["message"]) == (200, "OK")
        ended = await wire.until_closed()
        assert [packet.code for packet in ended if isinstance(packet, Disconnect)] == [0x98]
    left = [session.client_id for session in house.gateway.broker.sessions(1, "pump")]
    assert left == ([] if is_clean else ["pump"])
    await house.gateway.ingestion.settled()
    assert house.gateway.broker.exchange.message_count == keeps_will


async def test_who_is_not_connected_cannot_be_disconnected_but_a_session_can_end(house: House, pump: Device) -> None:
    async with connected(house) as wire:
        await wire.send(Disconnect())
        await wire.until_closed()
    assert refusal(await pump.delete(OWN)) == (404, "ResourceNotFoundException")
    assert (await pump.delete(f"{OWN}?cleanSession=true")).status_code == 200
    assert refusal(await pump.get(OWN)) == (404, "ResourceNotFoundException")
    assert refusal(await pump.delete(f"{OWN}?cleanSession=perhaps"))[0] in (400, 404)


async def test_what_is_published_over_https_reaches_who_is_connected(house: House, pump: Device) -> None:
    async with connected(house) as wire:
        await wire.subscribe(("$aws/things/pump/shadow/+", 1))
        assert (await pump.post("/topics/$aws/things/pump/shadow/get?qos=1", content=b"{}")).status_code == 200
        packet = await wire.expect(Publish)
        assert (packet.topic, packet.payload) == ("$aws/things/pump/shadow/get", b"{}")
