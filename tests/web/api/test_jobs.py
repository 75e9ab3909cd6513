"""`/v1/jobs` and `/v1/devices/{device_id}/jobs`."""

from typing import Any

from appliance.commands.jobs.topics import Api, JobAddress
from appliance.registry.model import NewDevice
from tests.web.house import Client, House

WISH: dict[str, Any] = {"job_id": "reboot", "document": {"operation": "reboot"}, "targets": {"groups": ["hall"]}}


async def fleet(house: House, count: int = 3) -> list[str]:
    devices = [f"pump-{number}" for number in range(count)]
    for device_id in devices:
        await house.gateway.catalogue.add_device(1, NewDevice(device_id, groups=("hall",)))
    return devices


async def go_on(house: House) -> None:
    await house.gateway.job_plans.tending.look_after()


async def test_a_job_is_made_followed_and_done(house: House, script: Client) -> None:
    devices = await fleet(house)
    wish = WISH | {
        "description": "after the flood",
        "per_minute": 100,
        "growth": {"base_per_minute": 50, "factor": 1.5, "notified_count": 1},
        "abort": [{"failure": "failed", "percent": 99.5, "executed_count": 3}],
        "retries": [{"failure": "timed_out", "retry_count": 2}],
        "in_progress_minutes": 10,
        "schedule": {"windows": [{"start": "* * * * *", "duration_minutes": 5}], "zone": "Europe/Berlin"},
    }
    made = await script.post("/v1/jobs", json=wish)
    assert made.status_code == 201, made.text
    job = made.json()
    assert {key: job[key] for key in wish if key not in {"schedule", "growth", "targets"}} == {
        key: wish[key] for key in wish if key not in {"schedule", "growth", "targets"}
    }
    assert job["state"] == "in_progress"
    assert job["progress"]["waiting"] + job["progress"]["queued"] == 3
    assert job["schedule"]["windows"] == wish["schedule"]["windows"]
    assert (await script.post("/v1/jobs", json=wish)).json()["job_number"] == job["job_number"]
    assert (await script.post("/v1/jobs", json=wish | {"per_minute": 99})).status_code == 409
    await go_on(house)
    jobs = house.gateway.jobs
    await jobs.ask(1, JobAddress(devices[0], Api.START_NEXT), b'{"statusDetails": {"step": "1"}}')
    one = (await script.get(f"/v1/jobs/reboot/executions/{devices[0]}")).json()
    assert (one["state"], one["details"], one["try_number"]) == ("in_progress", {"step": "1"}, 1)
    assert 0 < one["left_s"] <= 600
    for device_id in devices:
        await jobs.ask(1, JobAddress(device_id, Api.UPDATE, "reboot"), b'{"status": "SUCCEEDED"}')
    await go_on(house)
    done = (await script.get("/v1/jobs/reboot")).json()
    assert (done["state"], done["progress"]["succeeded"]) == ("completed", 3)
    assert done["ended_at"]


async def test_jobs_and_executions_are_listed_page_by_page(house: House, script: Client) -> None:
    devices = await fleet(house)
    for number in range(3):
        await script.post("/v1/jobs", json=WISH | {"job_id": f"job-{number}"})
    await go_on(house)
    first = (await script.get("/v1/jobs?limit=2")).json()
    assert [job["job_id"] for job in first["jobs"]] == ["job-2", "job-1"]
    rest = (await script.get(f"/v1/jobs?limit=2&before={first['next_before']}")).json()
    assert ([job["job_id"] for job in rest["jobs"]], rest["next_before"]) == (["job-0"], None)
    assert (await script.get("/v1/jobs?state=completed")).json()["jobs"] == []
    assert (await script.get("/v1/jobs?state=strange")).status_code == 400
    page = (await script.get("/v1/jobs/job-1/executions?limit=2")).json()
    assert [one["device_id"] for one in page["executions"]] == devices[:0:-1]
    page = (await script.get(f"/v1/jobs/job-1/executions?before={page['next_before']}&state=queued")).json()
    assert [one["device_id"] for one in page["executions"]] == devices[:1]
    assert (await script.get("/v1/jobs/job-1/executions?state=failed&state=rejected")).json()["executions"] == []
    page = (await script.get(f"/v1/devices/{devices[0]}/jobs")).json()
    assert [one["job_id"] for one in page["executions"]] == ["job-2", "job-1", "job-0"]
    for path in ("/v1/jobs/nothing", "/v1/jobs/nothing/executions", "/v1/devices/nobody/jobs"):
        assert (await script.get(path)).status_code == 404


async def test_an_execution_is_called_back_and_forgotten(house: House, script: Client) -> None:
    devices = await fleet(house)
    await script.post("/v1/jobs", json=WISH)
    await go_on(house)
    await house.gateway.jobs.ask(1, JobAddress(devices[0], Api.START_NEXT), b"{}")
    path = "/v1/jobs/reboot/executions"
    back = await script.post(f"{path}/{devices[1]}/cancel", json={"comment": "being repaired"})
    assert (back.status_code, back.json()["state"], back.json()["reason"]) == (200, "cancelled", "being repaired")
    assert (await script.post(f"{path}/{devices[0]}/cancel", json={})).status_code == 409
    assert (await script.delete(f"{path}/{devices[0]}")).status_code == 409
    assert (await script.delete(f"{path}/{devices[0]}?force=true")).status_code == 204
    assert (await script.get(f"{path}/{devices[0]}")).status_code == 404
    assert (await script.delete(f"{path}/{devices[1]}?try_number=2")).status_code == 404


async def test_a_job_is_cancelled_and_deleted(house: House, script: Client) -> None:
    devices = await fleet(house)
    await script.post("/v1/jobs", json=WISH)
    await go_on(house)
    await house.gateway.jobs.ask(1, JobAddress(devices[0], Api.START_NEXT), b"{}")
    assert (await script.delete("/v1/jobs/reboot")).status_code == 409
    cancelled = await script.post("/v1/jobs/reboot/cancel", json={"comment": "too early"})
    assert (cancelled.json()["state"], cancelled.json()["comment"]) == ("cancelled", "too early")
    await go_on(house)
    progress = (await script.get("/v1/jobs/reboot")).json()["progress"]
    assert (progress["cancelled"], progress["in_progress"]) == (2, 1)
    assert (await script.post("/v1/jobs/reboot/cancel", json={})).status_code == 409
    deleted = await script.delete("/v1/jobs/reboot?force=true")
    assert (deleted.status_code, deleted.json()["state"]) == (202, "deletion_in_progress")
    await go_on(house)
    assert (await script.get("/v1/jobs/reboot")).status_code == 404


async def test_what_cannot_be_a_job_is_refused_with_a_reason(script: Client) -> None:
    for told, code in (
        ({"job_id": "a b"}, "invalid_job"),
        ({"document": {"x": "y" * 40_000}}, "invalid_job"),
        ({"targets": {}}, "invalid_job"),
        ({"targets": {"devices": ["nobody"]}}, "unknown_device"),
        ({"targets": {"query": "colour:red"}}, "invalid_query"),
        ({"per_minute": 0}, "invalid_job"),
        ({"schedule": {"start_at": "soon"}}, "invalid_job"),
        ({"schedule": {"start_at": "2001-01-01"}}, "invalid_job"),
        ({"schedule": {"windows": [{"start": "never", "duration_minutes": 5}]}}, "invalid_job"),
        ({"schedule": {"zone": "Mars"}}, "invalid_input"),
    ):
        answer = await script.post("/v1/jobs", json=WISH | told)
        assert answer.json()["code"] == code, answer.text
    assert (await script.post("/v1/jobs", json=WISH | {"colour": "red"})).status_code == 400


async def test_a_stranger_learns_nothing(stranger: Client) -> None:
    assert (await stranger.get("/v1/jobs", headers={"accept": "application/json"})).status_code == 401
