import asyncio

import pytest

from appliance.policies.document import parse
from appliance.policies.model import Policy
from broker.packets import Puback, Publish, Subscription
from tests.web.device_http.device import Device, asking, refusal
from tests.web.device_http.test_connections import connected
from tests.web.house import House

TOPIC = "cmd/pump/response/now"
OWN = f"/connections/pump/messages?topic={TOPIC}"


@pytest.fixture(autouse=True)
async def policy(house: House) -> None:
    """The pump may be told what it answers to commands."""
    document = parse(
        b'{"statements": [{"effect": "allow", "actions": ["receive"], "resources": ["cmd/pump/response/#"]}]}'
    )
    await house.gateway.registry.policies.put(1, Policy("hears", document, (), ("pump",)))


async def test_a_message_goes_to_one_client_alone_and_is_kept_nowhere(house: House, pump: Device) -> None:
    assert refusal(await pump.post(OWN, content=b"x")) == (404, "ResourceNotFoundException")
    async with connected(house) as wire:
        answer = await pump.post(f"{OWN}&contentType=text/plain", content=b"x")
        assert (answer.status_code, answer.json()["message"]) == (200, "OK")
        packet = await wire.expect(Publish)
        assert (packet.topic, packet.payload, packet.qos, packet.retain) == (TOPIC, b"x", 0, False)
        assert packet.properties.content_type == "text/plain"
    assert house.gateway.broker.exchange.message_count == 0
    assert list(house.gateway.broker.retained(1, "#")) == []


@pytest.mark.parametrize("subscribes", [True, False])
async def test_with_confirmation_the_answer_waits_until_the_client_has_it(
    house: House, pump: Device, subscribes: bool
) -> None:
    async with connected(house) as wire:
        if subscribes:
            # At QoS 0 nobody would answer for it.
            await wire.subscribe(Subscription(TOPIC, 0))
        asked = asyncio.create_task(pump.post(f"{OWN}&confirmation=true", content=b"x"))
        packet = await wire.expect(Publish)
        assert packet.qos == 1
        assert not asked.done()
        await wire.send(Puback(packet.packet_id))
        assert (await asked).status_code == 200
        answer = await pump.post(f"{OWN}&confirmation=true&timeout=1", content=b"x")
        assert refusal(answer) == (504, "GatewayTimeoutException")
        assert "within 1 s" in answer.json()["message"]


async def test_who_may_not_say_it_or_not_hear_it_does_not(house: House, pump: Device) -> None:
    async with connected(house) as wire, asking(house, "fan") as fan:
        assert refusal(await fan.post(OWN, content=b"x")) == (403, "ForbiddenException")
        answer = await pump.post("/connections/pump/messages?topic=sensors/pump/telemetry", content=b"x")
        assert refusal(answer) == (403, "ForbiddenException")
        assert "be sent" in answer.json()["message"]
        await wire.ping()
    while not (problems := await house.gateway.ingestion.problems(1, "fan")):
        await house.send("fan", {"x": 1})
    assert (problems[-1].kind, TOPIC in problems[-1].reason) == ("publish_denied", True)


@pytest.mark.parametrize(
    "query", ["", "topic=", "topic=a/%2B", f"topic={TOPIC}&confirmation=1", f"topic={TOPIC}&timeout=16"]
)
async def test_what_is_no_message_is_refused(pump: Device, query: str) -> None:
    answer = await pump.post(f"/connections/pump/messages?{query}", content=b"x")
    assert refusal(answer) == (400, "InvalidRequestException")
