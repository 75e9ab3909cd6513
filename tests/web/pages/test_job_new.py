"""The form for a new job."""

import re

from appliance.commands.jobs.plan.model import AbortRule, Failure, Growth, RetryRule, Window
from tests.web.house import Client, House

HOSTILE = "<img src=x onerror=alert(1)>"
PLAIN = {"job_id": "rotate", "document": '{"operation": "rotate"}', "zones": "north"}


async def test_a_job_is_made_of_the_form(owner: Client, house: House) -> None:
    await house.add_device("pump-1", zone="north")
    assert (await owner.get("/jobs/new")).status_code == 200
    told = {
        **PLAIN,
        "description": "Rotate",
        "selection": "continuous",
        "pace": "growing",
        "per_minute": "500",
        "base_per_minute": "10",
        "factor": "1,5",
        "growth_on": "notified",
        "growth_count": "20",
        "abort_percent_1": "12.5",
        "abort_count_1": "10",
        "in_progress_minutes": "30",
        "retries_failed": "2",
        "clocks": "Europe/Berlin",
        "window_start_1": "0 22 * * sat",
        "window_minutes_1": "90",
    }
    answer = await owner.submit("/jobs", told)
    assert (answer.status_code, answer.headers["location"]) == (303, "/jobs/rotate")
    job = await house.gateway.job_plans.job(1, "rotate")
    assert (job.is_continuous, job.targets.zones, job.document) == (True, ("north",), PLAIN["document"])
    config = job.config
    assert config.growth == Growth(10, 1.5, notified_count=20)
    assert (config.per_minute, config.in_progress_minutes) == (500, 30)
    assert config.abort == (AbortRule(Failure.ALL, 12.5, 10),)
    assert config.retries == (RetryRule(Failure.FAILED, 2),)
    assert config.schedule.windows == (Window("0 22 * * sat", 90),)
    assert config.schedule.zone == "Europe/Berlin"
    assert (await owner.get("/jobs/rotate")).status_code == 200


async def test_every_error_stands_beside_its_field_and_what_was_typed_stays(owner: Client, house: House) -> None:
    wrong = {
        "job_id": "two words",
        "document": "[1]",
        "query": "colour:red",
        "pace": "growing",
        "factor": "9",
        "abort_percent_1": "200",
        "in_progress_minutes": "0",
        "retries_failed": "11",
        "start_at": "2001-01-01T00:00",
        "window_start_1": "at night",
        "clocks": "Moon/Crater",
        "description": HOSTILE,
    }
    answer = await owner.submit("/jobs", wrong)
    assert answer.status_code == 400
    found = set(re.findall(r'id="wrong-([a-z_0-9]+)"', answer.text))
    assert found == (set(wrong) - {"pace", "description", "job_id"}) | {
        "base_per_minute",
        "growth_count",
        "window_minutes_1",
        "job_id",
    }
    for name in found:
        assert re.search(rf'name="{name}"[^>]*aria-invalid="true"', answer.text), name
    assert answer.text.count('<details class="card fold" open>') == 4
    assert 'value="two words"' in answer.text
    assert "<img" not in answer.text
    assert await house.gateway.job_plans.jobs(1) == []


async def test_whom_a_job_is_for_is_shown_before_it_is_made(owner: Client, house: House) -> None:
    await house.add_device("pump-1", name="Feed pump", zone="north")
    await house.add_device("pump-2", zone="north", is_connected=False)
    await house.add_device("pump-3", zone="south")
    answer = await owner.submit("/jobs", {**PLAIN, "step": "check"})
    assert answer.status_code == 200
    assert '<b class="num">2</b> devices now, <b class="num">1</b> of them connected' in answer.text
    assert "Feed pump" in answer.text
    assert await house.gateway.job_plans.jobs(1) == []


async def test_what_a_service_refuses_is_said_and_what_was_typed_stays(owner: Client, house: House) -> None:
    await house.add_device("pump-1", zone="north")
    assert (await owner.submit("/jobs", PLAIN)).status_code == 303
    other = await owner.submit("/jobs", {**PLAIN, "document": '{"operation": "other"}'})
    assert other.status_code == 409
    assert 'role="alert"' in other.text
    assert "&#34;other&#34;" in other.text
    unknown = await owner.submit("/jobs", {"job_id": "x", "document": "{}", "devices": "pump-1 nobody"})
    assert unknown.status_code == 404
    assert "nobody" in unknown.text
