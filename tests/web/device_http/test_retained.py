import base64
import json

import pytest

from broker.message import Message
from broker.packets import Properties
from broker.ports import ALLOWED, Denied
from tests.web.device_http.device import Device, asking, refusal
from tests.web.house import House
from web.device_http import retained


def keep(house: House, topic: str, payload: bytes = b"x", *, who: str = "", qos: int = 1) -> None:
    properties = Properties(user_properties=(("a", "1"), ("a", "2"))) if payload == b"with properties" else None
    told = (topic, payload, qos, True, 1_000_000)
    house.gateway.broker.publish(Message(1, who, who, *told, *((properties,) if properties else ())))


async def test_a_message_comes_with_all_that_is_known_of_it(house: House, pump: Device) -> None:
    keep(house, "cmd/pump/mode", b"with properties", qos=2)
    answer = (await pump.get("/retainedMessage/cmd%2Fpump%2Fmode")).json()
    assert answer["topic"] == "cmd/pump/mode"
    assert base64.b64decode(answer["payload"]) == b"with properties"
    assert (answer["qos"], answer["lastModifiedTime"]) == (1, 1_000_000)
    assert json.loads(base64.b64decode(answer["userProperties"])) == [{"a": "1"}, {"a": "2"}]
    keep(house, "cmd/pump//x/", b"y")
    assert "userProperties" not in (await pump.get("/retainedMessage/cmd/pump//x/")).json()


async def test_what_it_may_not_subscribe_to_it_may_not_read(house: House, pump: Device) -> None:
    keep(house, "cmd/fan/mode")
    assert refusal(await pump.get("/retainedMessage/cmd/fan/mode")) == (403, "ForbiddenException")
    assert refusal(await pump.get("/retainedMessage/cmd/pump/mode")) == (404, "ResourceNotFoundException")
    for topic in ("cmd/pump/%2B", "cmd/pump/%23"):
        assert refusal(await pump.get(f"/retainedMessage/{topic}")) == (400, "InvalidRequestException")


async def test_what_would_not_be_sent_to_its_subscription_it_may_not_read(
    house: House, pump: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(house, "cmd/pump/a")
    keep(house, "cmd/pump/b")
    authorizer = house.gateway.broker._permissions._authorizer
    # As a plugin does that filters topics.
    monkeypatch.setattr(authorizer, "may_receive", lambda _, topic: ALLOWED if topic == "cmd/pump/a" else Denied("no"))
    assert (await pump.get("/retainedMessage/cmd/pump/a")).status_code == 200
    assert refusal(await pump.get("/retainedMessage/cmd/pump/b")) == (403, "ForbiddenException")
    listed = (await pump.get("/retainedMessage")).json()["retainedTopics"]
    assert [one["topic"] for one in listed] == ["cmd/pump/a"]


async def test_what_its_publisher_may_no_longer_say_is_not_repeated(house: House, pump: Device) -> None:
    keep(house, "cmd/pump/response/mine", who="pump")
    keep(house, "cmd/pump/mode", who="fan")
    assert (await pump.get("/retainedMessage/cmd/pump/response/mine")).status_code == 200
    assert refusal(await pump.get("/retainedMessage/cmd/pump/mode"))[0] == 404
    listed = (await pump.get("/retainedMessage")).json()["retainedTopics"]
    assert [one["topic"] for one in listed] == ["cmd/pump/response/mine"]


@pytest.mark.parametrize("looked_at", [1_000, 3])
async def test_the_pages_of_a_list_come_to_all_that_it_may_have_once_each_in_order(
    house: House, pump: Device, monkeypatch: pytest.MonkeyPatch, looked_at: int
) -> None:
    monkeypatch.setattr(retained, "LOOKED_AT", looked_at)
    monkeypatch.setattr(retained, "_SLICE", 4)
    for number in range(11):
        keep(house, f"cmd/pump/{number:02}", b"x" * number or b"-")
        keep(house, f"cmd/fan/{number:02}")
    found: list[str] = []
    token = ""
    for _ in range(40):
        page = (await pump.get("/retainedMessage", params={"maxResults": "4", "nextToken": token})).json()
        assert len(page["retainedTopics"]) <= 4
        found += [one["topic"] for one in page["retainedTopics"]]
        token = page.get("nextToken", "")
        if not token:
            break
    assert found == [f"cmd/pump/{number:02}" for number in range(11)]


async def test_nobody_sees_what_is_of_somebody_else(house: House, pump: Device) -> None:
    keep(house, "cmd/pump/mode")
    async with asking(house, "fan") as fan:
        assert (await fan.get("/retainedMessage")).json() == {"retainedTopics": []}
    [summary] = (await pump.get("/retainedMessage")).json()["retainedTopics"]
    assert summary == {"topic": "cmd/pump/mode", "payloadSize": 1, "qos": 1, "lastModifiedTime": 1_000_000}


@pytest.mark.parametrize("token", ["!", "AA", "%FF", "/w=="])
async def test_a_token_that_was_not_given_here_is_refused(pump: Device, token: str) -> None:
    assert refusal(await pump.get(f"/retainedMessage?nextToken={token}")) == (400, "InvalidRequestException")
