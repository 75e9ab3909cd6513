"""What people ask of jobs."""

import msgspec
import pytest

from appliance.audit.acting import acting_as
from appliance.commands.jobs.plan.model import (
    InvalidJobError,
    Job,
    JobEndedError,
    JobExistsError,
    JobLiveError,
    Schedule,
    Targets,
    TooManyJobsError,
    UnknownJobError,
)
from appliance.commands.jobs.plan.service import LIVE_LIMIT
from appliance.errors import InvalidInputError
from appliance.instant import HOUR_MS, MINUTE_MS
from appliance.registry.model import DeviceState, UnknownDeviceError
from appliance.store.database import Work
from tests.appliance.commands.jobs.plan.fleet import Fleet, wanted
from tests.appliance.registry.examples import NOW


async def kinds(fleet: Fleet) -> list[tuple[str, str]]:
    entries = await fleet.registry.audit.entries(1, limit=1_000)
    return [(one.action, one.actor) for one in reversed(entries) if one.action.startswith("job")]


async def test_the_same_job_is_made_once(fleet: Fleet) -> None:
    await fleet.add(2)
    new = wanted(schedule=Schedule(start_at=NOW + 30 * MINUTE_MS))
    with acting_as("user:maria"):
        made = await fleet.create(new)
    # By now it would begin too soon to be made.
    fleet.clock.now += MINUTE_MS
    assert await fleet.create(new) == made
    assert (made.author, made.targeted_count) == ("user:maria", 2)
    with pytest.raises(JobExistsError):
        await fleet.create(msgspec.structs.replace(new, description="another"))
    assert await kinds(fleet) == [("job.create", "user:maria")]


async def test_two_who_make_one_job_at_once_make_one(fleet: Fleet) -> None:
    await fleet.add(1)
    waiting: list[object] = []
    together = fleet.jobs.together

    async def later(work: Work) -> None:
        if not waiting:
            waiting.append(work)
            await fleet.create(wanted())
        await together(work)

    fleet.jobs.together = later
    await fleet.create(wanted())
    assert len(await fleet.plans.jobs(1)) == 1
    assert len(await kinds(fleet)) == 1


async def test_no_more_jobs_go_on_than_may(fleet: Fleet) -> None:
    await fleet.add(1)
    for number in range(LIVE_LIMIT):
        await fleet.create(wanted(f"job-{number}"))
    with pytest.raises(TooManyJobsError, match="200 jobs go on: cancel some, or wait until they end"):
        await fleet.create()
    # One that is there is given all the same, and another takes the place of one that is not.
    await fleet.create(wanted("job-7"))
    await fleet.plans.cancel(1, "job-7")
    await fleet.create()


async def test_what_cannot_be_is_not_made(fleet: Fleet) -> None:
    with pytest.raises(InvalidJobError):
        await fleet.create(wanted("no id"))
    with pytest.raises(UnknownDeviceError):
        await fleet.create(wanted(targets=Targets(devices=("nobody",))))
    with pytest.raises(InvalidInputError):
        await fleet.create(wanted(targets=Targets(query="colour:red")))
    assert await fleet.plans.jobs(1) == []


async def test_a_job_is_for_whoever_is_named_or_found_and_takes_part(fleet: Fleet) -> None:
    hall, yard = await fleet.add(3), await fleet.add(3, "yard")
    await fleet.registry.set_state(1, hall[2], DeviceState.RETIRED)
    await fleet.create(wanted(targets=Targets(devices=(yard[0], hall[2]), groups=("hall",), query="id:yard-0002")))
    await fleet.go_on()
    assert await fleet.queued() == [*hall[:2], yard[0], yard[2]]


async def test_jobs_are_listed_newest_first_page_by_page(fleet: Fleet) -> None:
    for number in range(5):
        await fleet.create(wanted(f"job-{number}", is_continuous=number % 2 == 0))
    await fleet.go_on()
    found = await fleet.plans.jobs(1, limit=2)
    assert [one.job_id for one in found] == ["job-4", "job-3"]
    found = await fleet.plans.jobs(1, before=found[-1].job_number, limit=2)
    assert [one.job_id for one in found] == ["job-2", "job-1"]
    done = await fleet.plans.jobs(1, state=(await fleet.plans.job(1, "job-1")).state)
    assert [one.job_id for one in done] == ["job-3", "job-1"]
    assert await fleet.plans.jobs(2) == []


async def test_progress_counts_those_who_wait(fleet: Fleet) -> None:
    await fleet.add(5)
    await fleet.create(wanted(per_minute=2))
    assert (await fleet.progress()).waiting == 5
    await fleet.go_on()
    progress = await fleet.progress()
    assert (progress.waiting, progress.queued) == (3, 2)
    await fleet.plans.cancel(1, "night")
    await fleet.go_on()
    progress = await fleet.progress()
    assert (progress.waiting, progress.cancelled) == (0, 2)


async def test_a_cancelled_job_leaves_what_is_in_progress_unless_it_is_forced(fleet: Fleet) -> None:
    devices = await fleet.add(2)
    await fleet.create()
    await fleet.go_on()
    await fleet.begin(devices[0])
    with acting_as("user:maria"):
        job = await fleet.plans.cancel(1, "night", "the pump is being repaired")
    assert (job.state, job.reason, job.comment) == (
        "cancelled",
        "cancelled by user:maria",
        "the pump is being repaired",
    )
    await fleet.go_on()
    assert (await fleet.progress()).in_progress == 1
    with pytest.raises(JobEndedError):
        await fleet.plans.cancel(1, "night")
    await fleet.plans.cancel(1, "night", force=True)
    await fleet.go_on()
    assert (await fleet.progress()).cancelled == 2
    assert (await kinds(fleet))[1] == ("job.cancel", "user:maria")
    with pytest.raises(InvalidInputError):
        await fleet.plans.cancel(1, "night", "x" * 3_000, force=True)


async def test_a_job_that_somebody_is_at_is_deleted_by_force_only(fleet: Fleet) -> None:
    devices = await fleet.add(1)
    await fleet.create()
    await fleet.go_on()
    with pytest.raises(JobLiveError):
        await fleet.plans.delete(1, "night")
    await fleet.begin(devices[0])
    await fleet.plans.cancel(1, "night")
    await fleet.go_on()
    with pytest.raises(JobLiveError):
        await fleet.plans.delete(1, "night")
    job = await fleet.plans.delete(1, "night", force=True)
    assert (await fleet.plans.delete(1, "night")).state == job.state == "deletion_in_progress"
    with pytest.raises(JobExistsError):
        await fleet.create()
    with pytest.raises(JobEndedError):
        await fleet.plans.cancel(1, "night", force=True)
    await fleet.go_on()
    for ask in (fleet.plans.job, fleet.plans.cancel, fleet.plans.delete):
        with pytest.raises(UnknownJobError):
            await ask(1, "night")
    again = await fleet.create()
    assert isinstance(again, Job)
    assert [kind for kind, _ in await kinds(fleet)].count("job.delete") == 1


async def test_a_job_is_its_tenants_alone(fleet: Fleet) -> None:
    await fleet.create()
    for ask in (fleet.plans.job, fleet.plans.cancel, fleet.plans.delete):
        with pytest.raises(UnknownJobError):
            await ask(2, "night")


async def test_a_planned_job_may_be_cancelled_before_it_begins(fleet: Fleet) -> None:
    await fleet.add(1)
    await fleet.create(wanted(schedule=Schedule(start_at=NOW + HOUR_MS)))
    assert (await fleet.progress()).waiting == 1
    await fleet.plans.cancel(1, "night")
    await fleet.go_on(61)
    assert (await fleet.state(), await fleet.queued()) == ("cancelled", [])
