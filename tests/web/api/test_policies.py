from typing import Any

import pytest

from tests.web.house import Client, House

AWS: dict[str, Any] = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": ["iot:Publish"],
            "Resource": ["arn:aws:iot:eu-central-1:123456789012:topic/lab/${iot:Connection.Thing.ThingName}/*"],
        }
    ],
}


async def add_pump(house: House, device_id: str = "pump-1") -> None:
    await house.gateway.registry.add_device(1, device_id, type="pump")


async def asked(script: Client, action: str, resource: str, device_id: str = "pump-1") -> dict[str, Any]:
    answer = await script.post(f"/v1/devices/{device_id}/policy/test", json={"action": action, "resource": resource})
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def test_a_policy_of_aws_for_a_type_lets_its_devices_publish_elsewhere(house: House, script: Client) -> None:
    await add_pump(house)
    assert not (await asked(script, "publish", "lab/pump-1/x"))["allowed"]
    answer = await script.put("/v1/policies/lab", json={"document": AWS, "types": ["pump"]})
    assert answer.status_code == 200, answer.text
    told = await asked(script, "publish", "lab/pump-1/x")
    assert told == {
        "allowed": True,
        "reason": "statement 1 of policy 'lab' lets pump-1 publish to 'lab/pump-1/x': it says lab/pump-1/*",
        "policy": "lab",
        "statement": 1,
        "resource": "lab/pump-1/*",
    }
    assert not (await asked(script, "publish", "lab/pump-2/x"))["allowed"]


async def test_a_policy_is_given_as_it_was_written_and_in_words_of_aws(script: Client) -> None:
    ours = {"statements": [{"effect": "deny", "actions": ["publish"], "resources": ["lab/{device_id}/#"]}]}
    await script.put("/v1/policies/ours", json={"document": ours, "devices": ["a", "a", "b"]})
    told = (await script.get("/v1/policies/ours")).json()
    assert told["document"] == ours
    assert told["devices"] == ["a", "b"]
    assert told["aws"]["Statement"][0]["Resource"] == [
        "arn:aws:iot:*:*:topic/lab/${iot:Connection.Thing.ThingName}",
        "arn:aws:iot:*:*:topic/lab/${iot:Connection.Thing.ThingName}/*",
    ]
    whole = {"statements": [{"effect": "allow", "actions": ["publish"], "resources": ["a/+/b"]}]}
    assert (await script.put("/v1/policies/whole", json={"document": whole})).json()["aws"] is None
    assert [each["name"] for each in (await script.get("/v1/policies")).json()["policies"]] == ["ours", "whole"]


async def test_a_policy_that_was_removed_counts_no_more(house: House, script: Client) -> None:
    await add_pump(house)
    await script.put("/v1/policies/lab", json={"document": AWS, "devices": ["pump-1"]})
    assert (await script.delete("/v1/policies/lab")).status_code == 204
    assert not (await asked(script, "publish", "lab/pump-1/x"))["allowed"]
    assert (await script.delete("/v1/policies/lab")).status_code == 404
    assert (await script.get("/v1/policies/lab")).status_code == 404


async def test_the_statements_of_a_device_are_told_with_its_values(house: House, script: Client) -> None:
    await add_pump(house)
    await script.put("/v1/policies/lab", json={"document": AWS, "types": ["pump"]})
    told = (await script.get("/v1/devices/pump-1/policy")).json()["statements"]
    assert told[0] == {
        "policy": "default",
        "number": 1,
        "effect": "allow",
        "actions": ["connect"],
        "resources": ["pump-1"],
        "sid": "",
        "note": "",
    }
    assert told[-1]["policy"] == "lab"
    assert told[-1]["resources"] == ["topic/lab/pump-1/*"]


async def test_what_cannot_be_judged_is_refused_with_a_sentence(script: Client) -> None:
    condition = {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}
    document = {"Version": "2012-10-17", "Statement": [{**AWS["Statement"][0], "Condition": condition}]}
    answer = await script.put("/v1/policies/lab", json={"document": document})
    assert answer.status_code == 400
    assert answer.json()["code"] == "invalid_policy"
    assert "the condition 'IpAddress' cannot be judged here" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("action", "resource", "allowed"),
    [
        ("connect", "pump-1", True),
        ("connect", "pump-2", False),
        ("subscribe", "$share/all/cmd/pump-1/#", True),
        ("subscribe", "cmd/+/x", False),
        ("publish", "$aws/things/pump-1/shadow/update", True),
        ("publish", "$aws/things/pump-1/shadow/update/accepted", False),
    ],
)
async def test_may_this_device(house: House, script: Client, action: str, resource: str, allowed: bool) -> None:
    await add_pump(house)
    assert (await asked(script, action, resource))["allowed"] is allowed


async def test_a_question_about_nothing_is_refused(house: House, script: Client) -> None:
    await add_pump(house)
    wrong = {"action": "fly", "resource": "x"}
    assert (await script.post("/v1/devices/pump-1/policy/test", json=wrong)).status_code == 400
    right = {"action": "connect", "resource": "x"}
    assert (await script.post("/v1/devices/nobody/policy/test", json=right)).status_code == 404
    assert (await script.get("/v1/devices/nobody/policy")).status_code == 404
