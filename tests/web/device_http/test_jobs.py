import json
import sqlite3
from typing import Any

import pytest

from appliance.policies.document import parse
from appliance.policies.model import Policy
from appliance.store.database import Afterwards
from tests.web.device_http.device import Device, asking, refusal
from tests.web.house import House

OWN = "/things/pump/jobs"


async def offer(house: House, job_id: str, device_id: str = "pump") -> None:
    """Have a device have something to do."""
    jobs = house.gateway.jobs

    def insert(connection: sqlite3.Connection, now: int) -> Afterwards:
        sql = """
            INSERT INTO job (tenant_id, job_id, state, document, terms, created_at, updated_at)
            VALUES (1, ?, 'in_progress', '{"operation": "open"}', '{}', ?, ?)
        """
        number = connection.execute(sql, (job_id, now, now)).lastrowid
        ledger = jobs.ledger(connection, now)
        ledger.hand_out(1, int(number or 0), [device_id])
        return ledger.close()

    await jobs.together(insert)


async def test_a_device_gets_begins_and_ends_what_it_has_to_do(house: House, pump: Device) -> None:
    assert (await pump.get(OWN)).json()["queuedJobs"] == []
    await offer(house, "one")
    assert [job["jobId"] for job in (await pump.get(OWN)).json()["queuedJobs"]] == ["one"]
    begun = (await pump.put(f"{OWN}/$next", json={"statusDetails": {"step": "1"}})).json()["execution"]
    assert (begun["jobId"], begun["status"], begun["statusDetails"]) == ("one", "IN_PROGRESS", {"step": "1"})
    # As AWS has it: over HTTPS the document is a text.
    assert json.loads(begun["jobDocument"]) == {"operation": "open"}
    body = {"status": "SUCCEEDED", "expectedVersion": begun["versionNumber"], "includeJobExecutionState": True}
    ended = await pump.post(f"{OWN}/one", json=body)
    assert (ended.status_code, ended.json()["executionState"]["status"]) == (200, "SUCCEEDED")
    assert (await pump.get(OWN)).json()["inProgressJobs"] == []
    assert "execution" not in (await pump.put(f"{OWN}/$next")).json()


@pytest.mark.parametrize("job_id", ["one", "$next", "%24next"])
async def test_one_execution_is_described(house: House, pump: Device, job_id: str) -> None:
    await offer(house, "one")
    told = (await pump.get(f"{OWN}/{job_id}")).json()["execution"]
    assert (told["jobId"], told["status"], json.loads(told["jobDocument"])) == ("one", "QUEUED", {"operation": "open"})
    told = (await pump.get(f"{OWN}/{job_id}?includeJobDocument=false&executionNumber=1")).json()["execution"]
    assert "jobDocument" not in told


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        ({"status": "DONE"}, 400, "InvalidRequestException"),
        ({"status": "SUCCEEDED", "expectedVersion": 7}, 409, "VersionMismatchException"),
    ],
)
async def test_what_is_refused_has_a_status(
    house: House, pump: Device, body: dict[str, Any], status: int, kind: str
) -> None:
    await offer(house, "one")
    answer = await pump.post(f"{OWN}/one", json=body)
    assert refusal(answer) == (status, kind)
    assert (await pump.get(f"{OWN}/one")).json()["execution"]["status"] == "QUEUED"


async def test_what_is_over_or_unknown_is_told_so(house: House, pump: Device) -> None:
    await offer(house, "one")
    await pump.post(f"{OWN}/one", json={"status": "SUCCEEDED"})
    answer = await pump.post(f"{OWN}/one", json={"status": "IN_PROGRESS"})
    assert refusal(answer) == (409, "InvalidStateTransitionException")
    assert answer.json()["executionState"]["status"] == "SUCCEEDED"
    assert refusal(await pump.get(f"{OWN}/one")) == (410, "TerminalStateException")
    assert refusal(await pump.get(f"{OWN}/two")) == (404, "ResourceNotFoundException")
    for path in (f"{OWN}/a%20b", f"{OWN}/one?executionNumber=0", f"{OWN}/one?includeJobDocument=1", "/things/%2B/jobs"):
        assert refusal(await pump.get(path))[0] == 400, path


async def test_the_jobs_of_another_device_are_out_of_reach(house: House, pump: Device) -> None:
    await offer(house, "one")
    async with asking(house, "fan") as fan:
        for method, path in (("GET", OWN), ("PUT", f"{OWN}/$next"), ("GET", f"{OWN}/one"), ("POST", f"{OWN}/one")):
            answer = await fan.request(method, path, content=b'{"status": "SUCCEEDED"}')
            assert refusal(answer) == (403, "ForbiddenException"), path
    assert (await pump.get(f"{OWN}/one")).json()["execution"]["status"] == "QUEUED"


async def test_who_is_not_sent_an_answer_over_mqtt_gets_none_here(house: House, pump: Device) -> None:
    document = parse(
        b'{"statements": [{"effect": "allow", "actions": ["publish"], "resources": ["$aws/things/+/jobs/#"]}]}'
    )
    await offer(house, "one")
    async with asking(house, "fan") as fan:
        await house.gateway.registry.policies.put(1, Policy("worker", document, (), ("fan",)))
        for method, path in (("GET", OWN), ("PUT", f"{OWN}/$next"), ("GET", f"{OWN}/one"), ("POST", f"{OWN}/one")):
            answer = await fan.request(method, path, content=b'{"status": "SUCCEEDED"}')
            assert refusal(answer) == (403, "ForbiddenException"), path
            assert "be sent" in answer.json()["message"]
    assert (await pump.get(f"{OWN}/one")).json()["execution"]["status"] == "QUEUED"
