"""The list of jobs, and the page of each."""

import asyncio

from appliance.bus import Subscription
from appliance.commands.jobs.model import ExecutionsChanged, ExecutionState, JobState
from appliance.commands.jobs.plan.model import JobConfig, NewJob, Targets, UnknownJobError
from tests.web.house import Client, House

HOSTILE = "<img src=x onerror=alert(1)>"
LIMIT_S = 10.0


async def handed_out(house: House, count: int, job_id: str = "rotate", **told: object) -> None:
    """A job that has come to so many devices."""
    for number in range(count):
        await house.add_device(f"pump-{number}", name=f"Pump {number}", zone="north", is_connected=False)
    new = NewJob(job_id, '{"operation": "rotate"}', Targets(zones=("north",)), **told)  # type: ignore[arg-type]
    with house.gateway.bus.subscribe(ExecutionsChanged) as changes:
        await house.gateway.job_plans.create(1, new)
        async with asyncio.timeout(LIMIT_S):
            while len(await house.gateway.jobs.executions_of_job(1, job_id)) < count:
                await changes.next_batch()


async def all_over(house: House, changes: Subscription) -> None:
    async with asyncio.timeout(LIMIT_S):
        while any(one.state.is_open for one in await house.gateway.jobs.executions_of_job(1, "rotate")):
            await changes.next_batch()


async def test_an_empty_list_says_what_a_job_is(owner: Client) -> None:
    page = (await owner.get("/jobs")).text
    assert "No jobs yet" in page
    assert 'href="/jobs/new"' in page


async def test_a_job_is_listed_with_its_state_and_how_far_it_has_come(owner: Client, house: House) -> None:
    await handed_out(house, 3, description=HOSTILE)
    await house.gateway.jobs.cancel_execution(1, "rotate", "pump-0", reason="not this one")
    page = (await owner.get("/jobs")).text
    assert 'id="job-rotate"' in page
    assert 'aria-label="Devices: 2 queued, 1 cancelled"' in page
    assert "<img" not in page
    assert 'id="job-rotate"' in (await owner.get("/jobs?state=in_progress")).text
    assert "No job is like this" in (await owner.get("/jobs?state=completed")).text
    assert 'id="job-rotate"' in (await owner.get("/jobs?state=nonsense&before=nonsense")).text


async def test_many_jobs_have_pages(owner: Client, house: House) -> None:
    await house.add_device("pump-0", is_connected=False)
    for number in range(23):
        new = NewJob(f"job-{number:02}", "{}", Targets(devices=("pump-0",)), config=JobConfig())
        await house.gateway.job_plans.create(1, new)
    page = (await owner.get("/jobs")).text
    assert 'id="job-job-22"' in page
    assert 'id="job-job-02"' not in page
    older = page.partition(">Older<")[0].rpartition('href="')[2].partition('"')[0]
    assert 'id="job-job-00"' in (await owner.get(older)).text


async def test_the_page_of_a_job_tells_device_by_device_and_shows_its_document(owner: Client, house: House) -> None:
    await handed_out(house, 3)
    await house.gateway.jobs.cancel_execution(1, "rotate", "pump-1", reason="not this one")
    page = (await owner.get("/jobs/rotate")).text
    for text in ("Pump 0", "Waits: the device is not connected", "zones north", "not this one", "&#34;operation&#34;"):
        assert text in page, text
    assert page.count('id="execution-') == 3 + 1
    assert (await owner.get("/jobs/rotate?state=cancelled")).text.count('<li class="order"') == 1
    assert (await owner.get("/jobs/rotate?device=pump-2")).text.count('<li class="order"') == 1
    assert "No device is like this" in (await owner.get("/jobs/rotate?device=nobody")).text
    assert (await owner.get("/jobs/nothing")).status_code == 404


async def test_many_executions_have_pages(owner: Client, house: House) -> None:
    await handed_out(house, 55)
    page = (await owner.get("/jobs/rotate")).text
    assert page.count('<li class="order"') == 50
    older = page.partition(">Older<")[0].rpartition('href="')[2].partition('"')[0]
    assert (await owner.get(older)).text.count('<li class="order"') == 5


async def test_a_job_is_called_back_with_a_reason(owner: Client, house: House) -> None:
    await handed_out(house, 2)
    with house.gateway.bus.subscribe(ExecutionsChanged) as changes:
        answer = await owner.submit("/jobs/rotate/cancel", {"comment": f"wrong file {HOSTILE}"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/jobs/rotate")
        await all_over(house, changes)
    page = (await owner.get("/jobs/rotate")).text
    assert "wrong file" in page
    assert "<img" not in page
    assert (await house.gateway.job_plans.job(1, "rotate")).state is JobState.CANCELLED
    assert "Cancel this job" not in page


async def test_a_job_is_called_back_from_one_device(owner: Client, house: House) -> None:
    await handed_out(house, 2)
    path = "/jobs/rotate/executions/pump-0/cancel"
    assert f'formaction="{path}"' in (await owner.get("/jobs/rotate")).text
    assert (await owner.submit(path)).status_code == 303
    assert (await house.gateway.jobs.execution(1, "rotate", "pump-0")).state is ExecutionState.CANCELLED
    again = await owner.submit(path)
    assert again.status_code == 409
    assert 'role="alert"' in again.text


async def test_a_job_that_is_not_over_is_deleted_only_by_who_types_its_id(owner: Client, house: House) -> None:
    await handed_out(house, 1)
    for typed in ({}, {"name": "rotat"}, {"name": "ROTATE"}):
        refused = await owner.submit("/jobs/rotate/delete", typed)
        assert refused.status_code == 400
        assert "type its id, rotate" in refused.text
    assert (await owner.submit("/jobs/rotate/delete", {"name": "rotate"})).headers["location"] == "/jobs"
    await gone(house)


async def test_a_job_that_is_over_is_deleted_without_typing(owner: Client, house: House) -> None:
    await handed_out(house, 1)
    with house.gateway.bus.subscribe(ExecutionsChanged) as changes:
        await house.gateway.job_plans.cancel(1, "rotate", "", force=True)
        await all_over(house, changes)
    assert "to delete it<input" not in (await owner.get("/jobs/rotate")).text
    assert (await owner.submit("/jobs/rotate/delete")).status_code == 303
    await gone(house)


async def gone(house: House) -> None:
    async with asyncio.timeout(LIMIT_S):
        try:
            while True:
                await house.gateway.job_plans.job(1, "rotate")
                await asyncio.sleep(0.01)
        except UnknownJobError:
            return


async def test_a_viewer_sees_jobs_and_changes_none(owner: Client, house: House) -> None:
    await handed_out(house, 1)

    def demote(connection: object) -> None:
        connection.execute("UPDATE user SET role = 'viewer' WHERE tenant_id = 1")  # type: ignore[attr-defined]

    await house.gateway.accounts._database.write(demote)
    assert 'href="/jobs/new"' not in (await owner.get("/jobs")).text
    page = (await owner.get("/jobs/rotate")).text
    assert "formaction" not in page
    assert "Delete this job" not in page
    assert (await owner.submit("/jobs/rotate/cancel")).status_code == 403
    assert (await owner.submit("/jobs/rotate/delete", {"name": "rotate"})).status_code == 403
    assert (await owner.get("/jobs/new")).status_code == 403


async def test_the_jobs_of_a_device_are_on_the_page_of_its_commands(owner: Client, house: House) -> None:
    await handed_out(house, 1)
    page = (await owner.get("/devices/pump-0/commands")).text
    assert 'href="/jobs/rotate"' in page


async def test_a_job_that_cannot_go_on_says_why(owner: Client, house: House) -> None:
    await handed_out(house, 1)
    job = await house.gateway.job_plans.job(1, "rotate")
    assert "cannot go on" not in (await owner.get("/jobs/rotate")).text
    tending = house.gateway.job_plans.tending
    tending._stuck[job.job_number] = f"nobody knows {HOSTILE}"
    page = (await owner.get("/jobs/rotate")).text
    assert "It cannot go on now: nobody knows &lt;img" in page
    assert "<img src=x" not in page
