import base64
import json

import pytest

from appliance.policies.document import parse
from appliance.policies.model import Policy
from appliance.shadows.model import Address, Verb
from tests.web.device_http.device import Device, asking, refusal
from tests.web.house import House

OWN = "/things/pump/shadow"


@pytest.mark.parametrize("query", ["", "?name=pressure"])
async def test_a_shadow_is_updated_read_and_deleted(pump: Device, query: str) -> None:
    assert refusal(await pump.get(OWN + query)) == (404, "ResourceNotFoundException")
    answer = await pump.post(OWN + query, json={"state": {"desired": {"a": 1}}, "clientToken": "t"})
    told = answer.json()
    assert (answer.status_code, told["state"], told["version"]) == (200, {"desired": {"a": 1}}, 1)
    assert (told["clientToken"], answer.headers["content-type"]) == ("t", "application/json")
    got = (await pump.get(OWN + query)).json()
    assert (got["state"]["desired"], got["state"]["delta"], got["version"]) == ({"a": 1}, {"a": 1}, 1)
    deleted = await pump.delete(OWN + query)
    assert (deleted.status_code, deleted.json()["version"]) == (200, 1)
    assert refusal(await pump.get(OWN + query)) == (404, "ResourceNotFoundException")


async def test_who_did_it_is_the_device(house: House, pump: Device) -> None:
    await pump.post(OWN, json={"state": {"reported": {"a": 1}}})
    [change] = await house.gateway.shadows.history(1, "pump", "", None, 10)
    assert change.author == "device pump"


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        (b"{", 400, "InvalidRequestException"),
        (b"{}", 400, "InvalidRequestException"),
        (b'{"state": {"desired": {"a": 2}}, "version": 7}', 409, "ConflictException"),
        (json.dumps({"state": {"desired": {"a": "x" * 9_000}}}).encode(), 413, "RequestEntityTooLargeException"),
        (b'{"state": {"desired": {"a": "\xff"}}}', 415, "UnsupportedDocumentEncodingException"),
    ],
)
async def test_what_is_refused_has_a_status_and_changes_nothing(
    house: House, pump: Device, body: bytes, status: int, kind: str
) -> None:
    await pump.post(OWN, json={"state": {"desired": {"a": 1}}})
    before = await house.gateway.shadows.shadow(1, "pump", "")
    answer = await pump.post(OWN, content=body)
    assert refusal(answer) == (status, kind)
    assert await house.gateway.shadows.shadow(1, "pump", "") == before


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_the_shadow_of_another_device_is_out_of_reach(house: House, pump: Device, method: str) -> None:
    address = Address("fan", "", Verb.UPDATE)
    await house.gateway.shadows.ask(1, address, b'{"state": {"desired": {"a": 1}}}', "user maria")
    answer = await pump.request(method, "/things/fan/shadow", content=b'{"state": {"desired": {"a": 2}}}')
    assert refusal(answer) == (403, "ForbiddenException")
    shadow = await house.gateway.shadows.shadow(1, "fan", "")
    assert shadow is not None
    assert (shadow.desired, shadow.version) == ({"a": 1}, 1)


@pytest.mark.parametrize(
    "path", [f"{OWN}?name=", f"{OWN}?name=a%2Fb", f"{OWN}?name=%2B", "/things/%2B/shadow", "/things/p%20p/shadow"]
)
async def test_a_name_that_is_none_is_refused(pump: Device, path: str) -> None:
    assert refusal(await pump.get(path)) == (400, "InvalidRequestException")


async def test_named_shadows_are_listed_a_page_at_a_time(house: House, pump: Device) -> None:
    for number in range(5):
        await pump.post(f"{OWN}?name=n{number}", json={"state": {"desired": {}}})
    await pump.post(OWN, json={"state": {"desired": {}}})
    path = "/api/things/shadow/ListNamedShadowsForThing/pump"
    found, token = [], ""
    for _ in range(3):
        page = (await pump.get(path, params={"pageSize": 2, "nextToken": token})).json()
        assert page["timestamp"] == pytest.approx(house.clock() / 1_000, abs=60)
        found += page["results"]
        token = page.get("nextToken", "")
    assert (found, token) == ([f"n{number}" for number in range(5)], "")
    assert refusal(await pump.get(path, params={"pageSize": "101"}))[0] == 400
    assert refusal(await pump.get(path, params={"nextToken": base64.b64encode(b"\xff").decode()}))[0] == 400
    async with asking(house, "fan") as fan:
        assert refusal(await fan.get(path)) == (403, "ForbiddenException")


async def test_who_is_not_sent_an_answer_over_mqtt_gets_none_here(house: House, pump: Device) -> None:
    document = parse(
        b'{"statements": [{"effect": "allow", "actions": ["publish"], "resources": ["$aws/things/+/shadow/#"]}]}'
    )
    await house.gateway.registry.policies.put(1, Policy("writer", document, (), ("pump",)))
    address = Address("fan", "", Verb.UPDATE)
    await house.gateway.shadows.ask(1, address, b'{"state": {"desired": {"secret": 1}}}', "user maria")
    for method, path in (
        ("GET", "/things/fan/shadow"),
        ("POST", "/things/fan/shadow"),
        ("DELETE", "/things/fan/shadow"),
        ("GET", "/api/things/shadow/ListNamedShadowsForThing/fan"),
    ):
        answer = await pump.request(method, path, content=b'{"state": {"desired": {"a": 2}}}')
        assert refusal(answer) == (403, "ForbiddenException"), path
        assert "be sent" in answer.json()["message"]
    shadow = await house.gateway.shadows.shadow(1, "fan", "")
    assert shadow is not None
    assert (shadow.desired, shadow.version) == ({"secret": 1}, 1)
