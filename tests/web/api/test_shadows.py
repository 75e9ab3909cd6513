from typing import Any

import pytest

from appliance.accounts.model import Role
from appliance.instant import from_text
from tests.web import house as houses
from tests.web.house import Client, House
from tests.web.shadows import report, say

PATH = "/v1/devices/pump/shadow"


@pytest.fixture(autouse=True)
async def _pump(house: House) -> None:
    await house.add_device("pump")


async def test_a_shadow_is_made_read_changed_and_deleted(script: Client) -> None:
    assert (await script.get(PATH)).status_code == 404
    answer = await script.post(PATH, json={"state": {"desired": {"interval": 30, "mode": "auto"}}})
    assert answer.status_code == 200, answer.text
    assert answer.json()["version"] == 1
    await script.post(PATH, json={"state": {"reported": {"interval": 60}, "desired": {"mode": None}}, "version": 1})
    told = (await script.get(PATH)).json()
    assert (told["device_id"], told["name"], told["version"]) == ("pump", "", 2)
    assert told["desired"] == {"interval": 30}
    assert told["reported"] == {"interval": 60}
    assert told["delta"] == {"interval": 30}
    assert set(told["metadata"]) == {"desired", "reported"}
    assert isinstance(told["metadata"]["desired"]["interval"]["timestamp"], int)
    assert told["updated_at"].endswith("Z")
    gone = await script.delete(PATH)
    assert (gone.status_code, gone.json()["version"]) == (200, 2)
    assert (await script.get(PATH)).status_code == 404
    assert (await script.delete(PATH)).status_code == 404
    assert (await script.post(PATH, json={"state": {"desired": {"a": 1}}})).json()["version"] == 4


async def test_a_named_shadow_is_one_of_its_own(script: Client) -> None:
    await script.post(PATH, params={"name": "display"}, json={"state": {"desired": {"colour": "blue"}}})
    assert (await script.get(PATH)).status_code == 404
    told = (await script.get(PATH, params={"name": "display"})).json()
    assert (told["name"], told["desired"]) == ("display", {"colour": "blue"})


async def test_a_version_that_was_seen_earlier_changes_nothing(script: Client) -> None:
    await script.post(PATH, json={"state": {"desired": {"a": 1}}})
    assert (await script.post(PATH, json={"state": {"desired": {"a": 2}}, "version": 1})).status_code == 200
    answer = await script.post(PATH, json={"state": {"desired": {"a": 2}}, "version": 1})
    assert answer.status_code == 409
    assert answer.json()["code"] == "conflict"
    assert answer.json()["detail"] == "Version conflict"
    assert (await script.get(PATH)).json()["version"] == 2


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        ({"state": {"wanted": {}}}, 400, "State contains an invalid node: 'wanted'"),
        ({"state": {"desired": [1]}}, 400, "Desired node must be an object"),
        ({"state": {"reported": 7}}, 400, "Reported node must be an object"),
        ({"state": {"desired": {"a": [None]}}}, 400, "null cannot stand in an array"),
        ({"state": {"desired": {}}, "version": -1}, 400, "Invalid version"),
        ({"state": {"desired": {}}, "client_token": "x" * 65}, 400, "Invalid clientToken"),
        ({"state": {"desired": {"a": "x" * 9_000}}}, 413, "The payload exceeds the maximum size allowed"),
        ({"state": [1]}, 400, "state"),
        ({}, 400, "state"),
        ({"state": {}, "thing": 1}, 400, "thing"),
    ],
)
async def test_what_is_refused_is_a_problem_in_the_shadows_own_words(
    script: Client, body: dict[str, Any], status: int, detail: str
) -> None:
    await script.post(PATH, json={"state": {"desired": {"kept": True}}})
    answer = await script.post(PATH, json=body)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert detail in answer.json()["detail"]
    assert (await script.get(PATH)).json()["desired"] == {"kept": True}


@pytest.mark.parametrize("name", ["a b", "x" * 65, "a/b", "ü"])
async def test_what_is_no_name_is_refused_everywhere(script: Client, name: str) -> None:
    asked = {"name": name}
    answers = [
        await script.get(PATH, params=asked),
        await script.get(f"{PATH}/history", params=asked),
        await script.post(PATH, params=asked, json={"state": {}}),
        await script.delete(PATH, params=asked),
    ]
    assert [answer.status_code for answer in answers] == [400] * 4


async def test_the_token_of_the_client_comes_back(script: Client) -> None:
    told = (await script.post(PATH, json={"state": {"desired": {"a": 1}}, "client_token": "t-1"})).json()
    assert told["client_token"] == "t-1"


async def test_the_list_has_the_classic_shadow_and_goes_on_by_its_cursor(house: House, script: Client) -> None:
    await report(house, "pump", {"a": 1})
    for name in ("c", "a", "b"):
        await say(house, "pump", {"desired": {"x": 1}}, name=name)
    first = (await script.get(f"{PATH}s", params={"limit": 2})).json()
    assert [(one["name"], one["has_delta"]) for one in first["shadows"]] == [("", False), ("a", True), ("b", True)]
    assert first["next_cursor"] == "b"
    rest = (await script.get(f"{PATH}s", params={"limit": 1, "cursor": "b"})).json()
    assert [one["name"] for one in rest["shadows"]] == ["c"]
    assert rest["next_cursor"] is None
    assert (await script.get(f"{PATH}s", params={"limit": 0})).status_code == 400


async def test_the_history_says_who_did_what_and_goes_on_by_its_cursor(house: House, script: Client) -> None:
    await report(house, "pump", {"interval": 60})
    await script.post(PATH, json={"state": {"desired": {"interval": 30}}})
    await script.delete(PATH)
    first = (await script.get(f"{PATH}/history", params={"limit": 2})).json()
    assert [(one["version"], one["author"], one["kind"]) for one in first["changes"]] == [
        (3, "script test", "deleted"),
        (2, "script test", "updated"),
    ]
    assert first["changes"][1]["patch"] == {"desired": {"interval": 30}}
    assert first["changes"][1]["reported"] == {"interval": 60}
    assert first["next_before"] == 2
    rest = (await script.get(f"{PATH}/history", params={"before": 2})).json()
    assert [(one["version"], one["author"]) for one in rest["changes"]] == [(1, "device pump")]
    assert rest["next_before"] is None


async def test_a_shadow_is_told_as_it_was_at_a_moment(house: House, script: Client) -> None:
    await report(house, "pump", {"interval": 60})
    at = (await script.get(PATH)).json()["updated_at"]
    while house.clock() <= from_text(at):
        pass
    await report(house, "pump", {"interval": 30})
    then = (await script.get(PATH, params={"at": at})).json()
    assert (then["version"], then["reported"]) == (1, {"interval": 60})
    assert (await script.get(PATH, params={"at": "2099-01-01T00:00:00Z"})).json()["version"] == 2
    early = await script.get(PATH, params={"at": "1999-01-01T00:00:00Z"})
    assert early.status_code == 404
    assert (await script.get(PATH, params={"at": "yesterday"})).status_code == 400


async def test_nobody_reaches_a_device_that_is_not_theirs(script: Client) -> None:
    answers = [
        await script.get("/v1/devices/nobody/shadow"),
        await script.get("/v1/devices/nobody/shadows"),
        await script.get("/v1/devices/nobody/shadow/history"),
        await script.post("/v1/devices/nobody/shadow", json={"state": {"desired": {"a": 1}}}),
        await script.delete("/v1/devices/nobody/shadow"),
    ]
    assert [answer.status_code for answer in answers] == [404] * 5


async def test_who_may_look_may_not_change(house: House) -> None:
    await report(house, "pump", {"interval": 60})
    async with Client(houses.app_of(house)) as viewer:
        token = await house.gateway.accounts.add_token(1, "eyes", Role.VIEWER)
        viewer.headers.update({"authorization": f"Bearer {token}", "accept": "application/json"})
        assert (await viewer.get(PATH)).status_code == 200
        assert (await viewer.post(PATH, json={"state": {"desired": {"a": 1}}})).status_code == 403
        assert (await viewer.delete(PATH)).status_code == 403
        assert (await viewer.get(PATH)).json()["version"] == 1
