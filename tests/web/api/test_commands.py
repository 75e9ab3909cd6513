"""`/v1/commands` for scripts."""

import base64
import sqlite3
from typing import Any

import pytest

from tests.web.house import Client, House

LAMP = "/v1/devices/lamp/commands"


@pytest.fixture(autouse=True)
async def lamp(house: House) -> None:
    await house.add_device("lamp", zone="north", is_connected=False)


async def test_a_command_is_sent_read_listed_and_taken_back(script: Client) -> None:
    made = await script.post(LAMP, json={"name": "blink", "payload": {"times": 3}, "priority": 5, "retries": 1})
    assert made.status_code == 201
    told = made.json()
    assert (told["state"], told["payload"], told["payload_base64"]) == ("queued", {"times": 3}, None)
    assert (told["priority"], told["retries_left"], told["sent_at"], told["ended_by"]) == (5, 1, None, "")
    assert (await script.get(f"/v1/commands/{told['execution_id']}")).json() == told
    assert (await script.get(LAMP)).json() == {"commands": [told], "next_before": None}
    assert (await script.get("/v1/commands?state=queued&state=sent")).json()["commands"] == [told]
    assert (await script.get(f"{LAMP}?state=sent")).json()["commands"] == []
    over = await script.post(f"/v1/commands/{told['execution_id']}/cancel")
    assert (over.status_code, over.json()["state"]) == (200, "cancelled")
    again = await script.post(f"/v1/commands/{told['execution_id']}/cancel")
    assert (again.status_code, again.json()["code"]) == (409, "command_ended")


async def test_a_page_says_where_the_next_begins(script: Client) -> None:
    for name in ("one", "two", "three"):
        await script.post(LAMP, json={"name": name})
    first = (await script.get(f"{LAMP}?limit=2")).json()
    assert [one["name"] for one in first["commands"]] == ["three", "two"]
    rest = (await script.get(f"{LAMP}?limit=2&before={first['next_before']}")).json()
    assert ([one["name"] for one in rest["commands"]], rest["next_before"]) == (["one"], None)


async def test_the_same_key_sends_once(script: Client) -> None:
    key = {"idempotency-key": "monday"}
    answers = [await script.post(LAMP, json={"name": "blink"}, headers=key) for _ in range(2)]
    assert answers[0].json() == answers[1].json()
    other = await script.post(LAMP, json={"name": "glow"}, headers=key)
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_key_reused")


async def test_bytes_are_told_as_base64(script: Client) -> None:
    text = base64.b64encode(b"\x00\x01").decode()
    sent = {"name": "raw", "payload_base64": text, "content_type": "application/octet-stream"}
    told = (await script.post(LAMP, json=sent)).json()
    assert (told["payload"], told["payload_base64"]) == (None, text)


@pytest.mark.parametrize(
    ("path", "sent", "status", "code"),
    [
        (LAMP, {"name": "a b"}, 400, "invalid_command"),
        (LAMP, {"name": "a", "payload": 1, "parameters": {}}, 400, "invalid_command"),
        (LAMP, {"name": "a", "payload_base64": "?"}, 400, "invalid_command"),
        (LAMP, {"name": "a", "payload": 1, "content_type": "text/plain"}, 400, "invalid_command"),
        (LAMP, {"name": "a", "parameters": {"x": 1}}, 400, "invalid_command"),
        (LAMP, {"name": "a", "qos": 0}, 400, "invalid_command"),
        (LAMP, {"name": "a", "dialect": "morse"}, 400, "bad_request"),
        ("/v1/devices/nobody/commands", {"name": "a"}, 404, "unknown_device"),
        ("/v1/commands/nothing/cancel", None, 404, "unknown_command"),
        ("/v1/commands", {"command": {"name": "a"}}, 400, "invalid_command"),
        ("/v1/commands", {"command": {"name": "a"}, "query": "colour:red"}, 400, "invalid_query"),
        ("/v1/command-batches/nothing/cancel", None, 404, "unknown_command_batch"),
    ],
)
async def test_what_cannot_be_is_refused_with_its_reason(
    script: Client, path: str, sent: Any, status: int, code: str
) -> None:
    answer = await script.post(path, json=sent)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text


async def test_a_command_to_many_is_counted_and_taken_back(script: Client, house: House) -> None:
    await house.add_device("other", zone="north", is_connected=False)
    made = await script.post("/v1/commands", json={"command": {"name": "blink"}, "zone": "north"})
    batch = made.json()
    assert (made.status_code, batch["device_count"], batch["counts"]) == (201, 2, {"queued": 2})
    assert (await script.get("/v1/command-batches")).json() == {"batches": [batch], "next_before": None}
    assert (await script.get(f"/v1/command-batches/{batch['batch_id']}")).json() == batch
    found = (await script.get(f"/v1/commands?batch={batch['batch_id']}")).json()["commands"]
    assert sorted(one["device_id"] for one in found) == ["lamp", "other"]
    cancelled = await script.post(f"/v1/command-batches/{batch['batch_id']}/cancel")
    assert cancelled.json() == {"cancelled_count": 2}
    assert (await script.get("/v1/commands?batch=nothing")).status_code == 404


async def test_a_damaged_row_is_told_beside_the_others(script: Client, house: House) -> None:
    bad, good = [(await script.post(LAMP, json={"name": name})).json() for name in ("bad", "good")]

    def spoil(connection: sqlite3.Connection) -> None:
        sql = """
            UPDATE command SET author = CAST('m' || x'c1' AS TEXT), result = '{', payload = x'7bc1', ended_at = 9,
                state = 'succeeded' WHERE execution_id = ?
        """
        connection.execute(sql, (bad["execution_id"],))

    await house.gateway.commands._database.write(spoil)
    told = (await script.get(LAMP)).json()["commands"]
    assert told[0] == good
    damaged = (told[1]["author"], told[1]["result"], told[1]["payload"], told[1]["state"])
    assert damaged == ("m\ufffd", "{", "{\ufffd", "succeeded")
    page = await script.get("/v1/commands")
    assert (page.status_code, len(page.json()["commands"])) == (200, 2)
