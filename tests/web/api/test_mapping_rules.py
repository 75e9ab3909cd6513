from base64 import b64encode
from typing import Any

import pytest

from appliance.accounts.model import Role
from appliance.ingestion import cbor
from broker.message import Message
from broker.ports import Turn
from tests.appliance.ingestion.mapping.examples import WEARABLE
from tests.web.house import Client, House, app_of

RULE: dict[str, Any] = {
    "topic": WEARABLE,
    "device": {"from": "payload", "path": "deviceId"},
    "metrics": {"heartRate": "vitals.hr", "temperature": {"path": "vitals.t", "unit": "Cel"}},
    "publishers": ["hub"],
}
PAYLOAD = '{"deviceId": "watch", "vitals": {"hr": 72, "t": 36.6}}'


async def tried(script: Client, **sample: Any) -> dict[str, Any]:
    told = {"publisher": "hub", "topic": WEARABLE, "payload": PAYLOAD, **sample}
    answer = await script.post("/v1/mapping-rules/try", json=told)
    assert answer.status_code == 200, answer.text
    came: dict[str, Any] = answer.json()
    return came


async def test_a_rule_is_kept_told_changed_and_removed(script: Client) -> None:
    assert (await script.get("/v1/mapping-rules")).json() == {"mapping_rules": []}
    kept = (await script.put("/v1/mapping-rules/wearables", json=RULE)).json()
    assert (kept["name"], kept["document"]) == ("wearables", RULE)
    assert kept["changed_at"].endswith("Z")
    one_value = {"topic": "home/+/+", "value": {"metric": {"from": "topic", "level": 3}, "kind": "number"}}
    assert (await script.put("/v1/mapping-rules/home", json=one_value)).json()["document"] == one_value
    told = (await script.get("/v1/mapping-rules")).json()["mapping_rules"]
    assert [each["name"] for each in told] == ["home", "wearables"]
    changed = {"topic": "iot/#", "timestamp": "t", "timestamp_unit": "ns"}
    assert (await script.put("/v1/mapping-rules/wearables", json=changed)).status_code == 200
    assert (await script.get("/v1/mapping-rules/wearables")).json()["document"] == changed
    assert (await script.delete("/v1/mapping-rules/wearables")).status_code == 204
    for ask in (script.get, script.delete):
        answer = await ask("/v1/mapping-rules/wearables")
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_mapping_rule")


async def test_a_rule_counts_for_the_next_message_and_a_removed_one_for_none(house: House, script: Client) -> None:
    for device_id in ("hub", "watch"):
        await house.add_device(device_id)
    await script.put("/v1/mapping-rules/wearables", json=RULE)
    await house.send("hub", PAYLOAD.encode(), topic=WEARABLE)
    latest = (await script.get("/v1/devices/watch/telemetry")).json()["series"]
    assert {(one["metric"], one["values"][0]) for one in latest} == {("heartRate", 72), ("temperature", 36.6)}
    await script.delete("/v1/mapping-rules/wearables")
    now = house.clock()
    later = Message(1, "hub", "hub", WEARABLE, PAYLOAD.replace("72", "73").encode(), 1, False, now)
    house.gateway.ingestion.accept(Turn([later], {}, []))
    await house.send("hub", {"x": 1})
    latest = (await script.get("/v1/devices/watch/telemetry")).json()["series"]
    assert [one["values"] for one in latest if one["metric"] == "heartRate"] == [[72]]


async def test_what_a_rule_cannot_read_is_a_problem_of_who_published_it(house: House, script: Client) -> None:
    await house.add_device("hub")
    await script.put("/v1/mapping-rules/wearables", json=RULE)
    await house.send("hub", PAYLOAD.encode(), topic=WEARABLE)
    [problem] = (await script.get("/v1/devices/hub")).json()["problems"]
    assert problem["kind"] == "unknown_device"
    assert "finds the device 'watch', which is not registered here" in problem["reason"]


async def test_a_message_is_tried_and_nothing_of_it_is_kept(house: House, script: Client) -> None:
    for device_id in ("hub", "watch"):
        await house.add_device(device_id)
    assert (await tried(script))["rule"] is None
    came = await tried(script, rule=RULE)
    assert came["rule"] == "tried"
    [report] = came["reports"]
    assert (report["device_id"], report["readings"]) == ("watch", {"heartRate": 72, "temperature": 36.6})
    assert (report["units"], report["time_source"]) == ({"temperature": "Cel"}, "arrival_no_clock")
    assert (await script.get("/v1/mapping-rules")).json() == {"mapping_rules": []}
    await script.put("/v1/mapping-rules/wearables", json=RULE)
    assert (await tried(script))["rule"] == "wearables"
    assert (await tried(script, payload="{"))["problems"][0]["kind"] == "not_json"
    assert (await script.get("/v1/devices/watch/telemetry")).json()["series"] == []
    assert (await script.get("/v1/devices/hub")).json()["problems"] == []


async def test_bytes_are_tried_in_base64(house: House, script: Client) -> None:
    for device_id in ("hub", "watch"):
        await house.add_device(device_id)
    encoded = b64encode(cbor.encode({"deviceId": "watch", "vitals": {"hr": 61}})).decode()
    came = await tried(script, payload="", payload_base64=encoded, content_type="application/cbor", rule=RULE)
    assert came["reports"][0]["readings"] == {"heartRate": 61}
    answer = await script.post("/v1/mapping-rules/try", json={"publisher": "a", "topic": "b", "payload_base64": "é"})
    assert answer.status_code == 400
    assert "payload_base64 is not base64" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("name", "document", "reason"),
    [
        ("a b", RULE, "cannot be a mapping rule's name"),
        ("r", {"topic": "#"}, "its first level must be a name"),
        ("r", {"topic": "sensors/+/x"}, "the gateway's own"),
        ("r", {"topic": "iot/a", "device": {"from": "moon"}}, "not of a form that is known"),
        ("r", {"topic": "iot/a", "metrics": {"x": ""}}, "metrics.x is no path"),
        ("r", {"topic": "iot/a", "value": {"metric": "x"}, "sequence": "n"}, "no timestamp, sequence or metric"),
    ],
)
async def test_what_cannot_be_a_rule_is_refused_with_why(
    script: Client, name: str, document: dict[str, Any], reason: str
) -> None:
    answer = await script.put(f"/v1/mapping-rules/{name}", json=document)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_mapping_rule")
    assert reason in answer.json()["detail"]
    assert (await script.get("/v1/mapping-rules")).json() == {"mapping_rules": []}


async def test_a_rule_that_is_tried_is_checked_too(script: Client) -> None:
    wrong = {"publisher": "hub", "topic": "a", "rule": {"topic": "+/x"}}
    assert (await script.post("/v1/mapping-rules/try", json=wrong)).status_code == 400


async def test_viewers_look_and_try_and_change_nothing(house: House, script: Client) -> None:
    await script.put("/v1/mapping-rules/wearables", json=RULE)
    async with Client(app_of(house)) as viewer:
        token = await house.gateway.accounts.add_token(1, "viewer", Role.VIEWER)
        viewer.headers.update({"authorization": f"Bearer {token}", "accept": "application/json"})
        assert (await viewer.get("/v1/mapping-rules/wearables")).status_code == 200
        assert (await tried(viewer))["rule"] == "wearables"
        assert (await viewer.put("/v1/mapping-rules/other", json=RULE)).status_code == 403
        assert (await viewer.delete("/v1/mapping-rules/wearables")).status_code == 403
