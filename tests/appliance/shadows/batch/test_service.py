import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from appliance.plane_settings import ShadowsConfig
from appliance.shadows import ruling
from appliance.shadows.batch import service
from appliance.shadows.model import Verb
from appliance.shadows.request import read
from tests.appliance.shadows.room import opened, request


def _add_tenant(connection: sqlite3.Connection) -> None:
    connection.execute("INSERT INTO tenant (tenant_id, name, created_at) VALUES (2, 'other', 0)")


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
        [(counted,)] = room.on_disk("SELECT byte_count FROM shadow_total")
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
        [(counted,)] = room.on_disk("SELECT byte_count FROM shadow_total")
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


async def test_there_are_only_so_many_shadows_whoever_they_are_said_to_be_of(tmp_path: Path) -> None:
    async with opened(tmp_path, ShadowsConfig(per_tenant=3)) as room:
        made = [request("update", {"state": {}, "clientToken": name}, name) for name in ("a", "b", "c", "d")]
        told = await room.publish(*made, request("update", {"state": {}}, "a"), request("name/x/update", {"state": {}}))
        refusals = [body for topic, body in told if topic.endswith("rejected")]
        assert [(one["code"], one.get("clientToken")) for one in refusals] == [(400, "d"), (400, None)]
        assert "There are 3 shadows" in refusals[0]["message"]
        assert (await room.ask(Verb.UPDATE, {"state": {}}, "d")).code == 400
        # Another tenant has room of its own.
        await room.database.write(_add_tenant)
        [(topic, _), _] = await room.publish(request("update", {"state": {}}, "d", tenant_id=2))
        assert topic == "update/accepted"
        assert room.on_disk("SELECT tenant_id, shadow_count FROM shadow_total ORDER BY tenant_id") == [(1, 3), (2, 1)]


async def test_one_that_was_deleted_is_forgotten_for_one_that_comes_to_be(tmp_path: Path) -> None:
    async with opened(tmp_path, ShadowsConfig(per_tenant=2)) as room:
        for name in ("a", "b"):
            await room.update({"reported": {"a": 1}}, name)
            room.now += 1
        await room.ask(Verb.DELETE, device_id="b")
        told = await room.publish(
            request("update", {"state": {}}, "c"),
            request("update", {"state": {}}, "b"),
            request("delete", device_id="a"),
            request("update", {"state": {}}, "b"),
        )
        assert [topic for topic, _ in told if "documents" not in topic] == [
            "update/accepted",
            "update/rejected",
            "delete/accepted",
            "update/accepted",
        ]
        assert room.on_disk("SELECT device_id, version FROM shadow ORDER BY device_id") == [("b", 1), ("c", 1)]
        [(count, byte_count)] = room.on_disk("SELECT shadow_count, byte_count FROM shadow_total")
        assert room.on_disk("SELECT SUM(byte_count) FROM shadow_change") == [(byte_count,)]
        assert count == 2
        await room.shadows.erase(1, "b", room.now)
        assert room.on_disk("SELECT shadow_count FROM shadow_total") == [(1,)]


async def test_the_shadow_that_was_deleted_first_is_found_without_looking_at_the_others(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        plan = room.on_disk(
            "EXPLAIN QUERY PLAN SELECT shadow_number, device_id, name FROM shadow"
            " WHERE tenant_id = 1 AND state IS NULL ORDER BY updated_at, shadow_number LIMIT 1"
        )
        assert "shadow_deleted" in plan[0][3]
        assert len(plan) == 1


async def test_a_defect_answers_one_request_and_keeps_the_others(
    tmp_path: Path, monkeypatch: Any, caplog: pytest.LogCaptureFixture
) -> None:
    real = read

    def failing(address: Any, payload: bytes) -> Any:
        if b"fail" in payload:
            raise ZeroDivisionError(payload)
        return real(address, payload)

    monkeypatch.setattr(ruling, "read", failing)
    async with opened(tmp_path) as room:
        told = await room.publish(
            request("update", {"state": {"reported": {"a": 1}}}),
            request("update", {"state": {"reported": {"a": "fail", "b": "secret"}}}),
            request("update", {"state": {"reported": {"b": 1}}}),
        )
        assert [body["message"] for topic, body in told if topic.endswith("rejected")] == ["Internal service failure"]
        assert json.loads((await room.ask(Verb.GET)).payload)["state"] == {"reported": {"a": 1, "b": 1}}
    assert "tenant_id=1 device_id=pump error=ZeroDivisionError where=" in caplog.text
    assert "in failing" in caplog.text
    assert "secret" not in caplog.text


async def test_a_shadow_that_is_damaged_keeps_no_other_of_its_batch(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        for device_id in ("pump", "fan"):
            await room.update({"reported": {"a": 1}}, device_id)
        await room.database.write(
            lambda connection: connection.execute(
                "UPDATE shadow SET state = CAST(X'7B22E1227D' AS TEXT) WHERE device_id = 'pump'"
            )
        )
        told = await room.publish(
            request("update", {"state": {"reported": {"a": 2}}}),
            request("update", {"state": {"reported": {"a": 2}}}, "fan"),
        )
    assert [topic for topic, _ in told] == ["update/rejected", "update/accepted", "update/documents"]
    assert told[0][1]["code"] == 500


async def test_what_is_asked_for_together_is_each_its_own(tmp_path: Path) -> None:
    names = ['a"b', "ä", "[0]", "pump"]
    async with opened(tmp_path) as room:
        await room.database.write(_add_tenant)
        await room.publish(
            request("update", {"state": {"reported": {"at": "pump"}}}),
            request("update", {"state": {"reported": {"at": "other"}}}, tenant_id=2),
            request("name/pump/update", {"state": {"reported": {"at": "named"}}}),
        )
        told = await room.publish(
            *[request("get", device_id=name) for name in names],
            request("get", tenant_id=2),
            request("name/pump/get"),
            request("get"),
        )
    found = [body["state"]["reported"]["at"] if "state" in body else body["code"] for _, body in told]
    assert found == [400, 400, 400, "pump", "other", "named", "pump"]
