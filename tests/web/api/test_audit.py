import hashlib
import json

from appliance.audit.model import Entry
from appliance.instant import from_text
from tests.web.house import Client, House
from web.api import audit


async def test_the_log_is_read_page_by_page(script: Client, house: House) -> None:
    for number in range(5):
        await house.gateway.registry.audit.record(1, Entry("test", str(number), {"of": "5"}))
    first = (await script.get("/v1/audit?limit=3")).json()
    second = (await script.get(f"/v1/audit?limit=3&before={first['next_before']}")).json()
    # The first entry tells of the script's own token.
    subjects = [one["subject"] for one in (*first["entries"], *second["entries"])]
    assert subjects == ["4", "3", "2", "1", "0", "test"]
    assert second["next_before"] is None
    assert first["entries"][0]["details"] == {"of": "5"}
    assert len(first["entries"][0]["hash"]) == 64


async def test_the_log_is_searched_by_who_what_and_to_what(script: Client, house: House) -> None:
    await house.add_device("a", is_connected=False)
    await script.post("/v1/devices/a/certificates")
    await script.put("/v1/devices/a/state", json={"state": "suspended"})
    for query, actions in (
        ("actor=token:test", ["device.state", "certificate.issue"]),
        ("subject=a", ["device.state", "certificate.issue", "device.add"]),
        ("action=certificate.issue", ["certificate.issue"]),
        ("actor=token:test&subject=a&action=device.add", []),
        ("actor=nobody", []),
    ):
        page = (await script.get(f"/v1/audit?{query}")).json()
        assert ([one["action"] for one in page["entries"]], page["next_before"]) == (actions, None), query
    assert (await script.get(f"/v1/audit?subject={'a' * 301}")).status_code == 400


async def test_an_export_can_be_checked_without_the_gateway(script: Client, house: House) -> None:
    for number in range(audit.PIECE_COUNT + 3):
        await house.gateway.registry.audit.record(1, Entry("test", f"number {number}", {"b": "ü", "a": "1"}))
    answer = await script.get("/v1/audit-exports")
    assert answer.headers["content-type"].startswith("application/jsonl")
    entries = [json.loads(line) for line in answer.text.splitlines()]
    assert [one["position"] for one in entries] == list(range(1, audit.PIECE_COUNT + 5))
    last = "0" * 64
    for one in entries:
        told = {name: value for name, value in one.items() if name != "hash"}
        told["recorded_at"] = from_text(one["recorded_at"])
        told["details"] = as_json(dict(sorted(one["details"].items())))
        assert hashlib.sha256(as_json([last, *told.values()]).encode()).hexdigest() == one["hash"]
        last = one["hash"]
    rest = await script.get(f"/v1/audit-exports?after={audit.PIECE_COUNT}")
    assert rest.text == "".join(f"{line}\n" for line in answer.text.splitlines()[audit.PIECE_COUNT :])


def as_json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


async def test_limits_that_cannot_be_are_refused(script: Client) -> None:
    for query in ("limit=0", "limit=1001", "before=0", "before=x"):
        assert (await script.get(f"/v1/audit?{query}")).status_code == 400, query


async def test_nobody_reads_the_log_of_another_tenant(script: Client, house: House) -> None:
    audit = house.gateway.registry.audit
    await audit.recorded(
        1, [], lambda connection: connection.execute("INSERT INTO tenant VALUES (2, 'second', 0)").rowcount
    )
    await audit.record(2, Entry("test", "secret of the second"))
    assert "secret of the second" not in (await script.get("/v1/audit")).text
    assert (await script.get("/v1/audit?subject=secret+of+the+second")).json() == {"entries": [], "next_before": None}
    assert "secret of the second" not in (await script.get("/v1/audit-exports")).text
