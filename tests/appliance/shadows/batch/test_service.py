import json
from pathlib import Path
from typing import Any

from appliance.plane_settings import ShadowsConfig
from appliance.shadows import ruling
from appliance.shadows.batch import service
from appliance.shadows.model import Verb
from appliance.shadows.request import read
from tests.appliance.shadows.room import opened, request


async def test_whoever_asks_sees_what_was_asked_for_before_in_the_same_batch(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        told = await room.publish(
            request("get"),
            request("update", {"state": {"reported": {"a": 1}}}),
            request("get"),
            request("update", {"state": {"reported": {"a": 2}}, "version": 1}),
            request("update", {"state": {"reported": {"a": 3}}, "version": 1, "clientToken": "late"}),
            request("delete"),
            request("get"),
        )
    assert [topic for topic, _ in told] == [
        "get/rejected",
        "update/accepted",
        "update/documents",
        "get/accepted",
        "update/accepted",
        "update/documents",
        "update/rejected",
        "delete/accepted",
        "get/rejected",
    ]
    assert told[3][1]["state"] == {"reported": {"a": 1}}
    assert (told[6][1]["code"], told[6][1]["clientToken"]) == (409, "late")


async def test_only_the_newest_changes_of_a_shadow_are_kept(tmp_path: Path) -> None:
    async with opened(tmp_path, ShadowsConfig(history_changes=3)) as room:
        await room.publish(*[request("update", {"state": {"reported": {"a": n}}}) for n in range(5)])
        assert room.on_disk("SELECT version FROM shadow_change ORDER BY version") == [(3,), (4,), (5,)]
        await room.update({"reported": {"a": 9}})
        assert room.on_disk("SELECT version FROM shadow_change ORDER BY version") == [(4,), (5,), (6,)]
        [(counted,)] = room.on_disk("SELECT byte_count FROM shadow_history")
        assert room.on_disk("SELECT SUM(byte_count) FROM shadow_change") == [(counted,)]


async def test_no_history_may_be_wanted(tmp_path: Path) -> None:
    async with opened(tmp_path, ShadowsConfig(history_changes=0)) as room:
        await room.update({"reported": {"a": 1}})
        await room.update({"reported": {"a": 2}})
        assert room.on_disk("SELECT COUNT(*) FROM shadow_change") == [(0,)]


async def test_all_changes_together_have_their_room_and_the_oldest_go(tmp_path: Path) -> None:
    large = "x" * 7_000
    async with opened(tmp_path, ShadowsConfig(history_mb=1, history_changes=1_000)) as room:
        for number in range(8):
            await room.publish(
                *[request("update", {"state": {"reported": {"a": large + str(n)}}}, f"d{number}") for n in range(20)]
            )
        [(counted,)] = room.on_disk("SELECT byte_count FROM shadow_history")
        assert counted <= 1_000_000
        assert room.on_disk("SELECT SUM(byte_count) FROM shadow_change") == [(counted,)]
        [(newest,)] = room.on_disk(
            "SELECT COUNT(*) FROM shadow_change JOIN shadow USING (shadow_number) WHERE device_id = 'd7'"
        )
        assert newest == 20


async def test_a_device_has_only_so_many_named_shadows(tmp_path: Path) -> None:
    async with opened(tmp_path, ShadowsConfig(per_device=2)) as room:
        told = await room.publish(
            *[request(f"name/{name}/update", {"state": {}, "clientToken": name}) for name in ("a", "b", "c")],
            request("name/a/delete"),
            request("name/c/update", {"state": {}}),
            request("update", {"state": {}}),
        )
        refusals = [body for topic, body in told if topic.endswith("rejected")]
        assert [(one["code"], one["clientToken"]) for one in refusals] == [(400, "c")]
        assert "2 named shadows" in refusals[0]["message"]
        assert [one.name for one in await room.shadows.names(1, "pump", "", 10)] == ["b", "c"]
        answer = await room.ask(Verb.UPDATE, {"state": {}}, name="a")
        assert answer.code == 400


async def test_only_the_versions_of_the_shadows_deleted_last_are_remembered(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(service, "DELETED_KEPT", 2)
    async with opened(tmp_path) as room:
        for name in ("a", "b", "c"):
            room.now += 1
            await room.update({}, name=name)
            await room.ask(Verb.DELETE, name=name)
        assert room.on_disk("SELECT name FROM shadow ORDER BY name") == [("b",), ("c",)]
        assert (await room.update({}, name="b"))["version"] == 3
        assert (await room.update({}, name="a"))["version"] == 1


async def test_a_defect_answers_one_request_and_keeps_the_others(tmp_path: Path, monkeypatch: Any) -> None:
    real = read

    def failing(address: Any, payload: bytes) -> Any:
        if b"fail" in payload:
            raise ZeroDivisionError
        return real(address, payload)

    monkeypatch.setattr(ruling, "read", failing)
    async with opened(tmp_path) as room:
        told = await room.publish(
            request("update", {"state": {"reported": {"a": 1}}}),
            request("update", {"state": {"reported": {"a": "fail"}}}),
            request("update", {"state": {"reported": {"b": 1}}}),
        )
        assert [body["message"] for topic, body in told if topic.endswith("rejected")] == ["Internal service failure"]
        assert json.loads((await room.ask(Verb.GET)).payload)["state"] == {"reported": {"a": 1, "b": 1}}
