"""What jobs do by themselves."""

import asyncio

import pytest

from appliance.commands.jobs.plan.model import (
    AbortRule,
    EndBehaviour,
    Failure,
    Growth,
    RetryRule,
    Schedule,
    Targets,
    Window,
)
from appliance.commands.jobs.plan.tending import service
from appliance.instant import HOUR_MS, MINUTE_MS
from appliance.registry.catalogue.model import DeviceChange
from appliance.registry.model import DeviceState
from appliance.store.database import UnwritableError, Work
from tests.appliance.commands.jobs.plan.fleet import Fleet, wanted
from tests.appliance.registry.examples import NOW


async def test_every_device_has_the_work_offered_once_and_the_job_is_done_with_the_last(fleet: Fleet) -> None:
    devices = await fleet.add(3)
    await fleet.create()
    await fleet.go_on()
    assert await fleet.queued() == devices
    for device_id in devices:
        assert await fleet.begin(device_id) == "night"
    await fleet.say(devices[:2], "SUCCEEDED")
    await fleet.go_on()
    assert await fleet.state() == "in_progress"
    await fleet.say(devices[2:], "FAILED")
    await fleet.go_on()
    assert await fleet.state() == "completed"
    progress = await fleet.progress()
    assert (progress.succeeded, progress.failed, progress.offered) == (2, 1, 3)
    assert fleet.events() == ["completed"]


async def test_a_job_for_nobody_is_done_at_once(fleet: Fleet) -> None:
    await fleet.create()
    await fleet.go_on()
    assert await fleet.state() == "completed"


async def test_the_pace_is_kept_over_restarts(fleet: Fleet) -> None:
    devices = await fleet.add(25)
    await fleet.create(wanted(per_minute=10))
    await fleet.go_on()
    assert len(await fleet.queued()) == 10
    await fleet.go_on(0.9)
    fleet = fleet.started_anew()
    await fleet.go_on()
    assert len(await fleet.queued()) == 10
    await fleet.go_on(0.1)
    assert len(await fleet.queued()) == 20
    fleet.plans.tending.boot_id = "another"
    await fleet.go_on(0.5)
    assert len(await fleet.queued()) == 20
    # Of another boot nobody knows when it was: a whole minute passes from here.
    await fleet.go_on(0.9)
    assert len(await fleet.queued()) == 20
    await fleet.go_on(0.2)
    assert await fleet.queued() == devices


async def test_no_leap_of_the_clock_makes_it_faster(fleet: Fleet) -> None:
    await fleet.add(25)
    await fleet.create(wanted(per_minute=10))
    await fleet.go_on()
    fleet.clock.now += HOUR_MS
    await fleet.plans.tending.look_after()
    fleet.clock.now -= 3 * HOUR_MS
    await fleet.plans.tending.look_after()
    assert len(await fleet.queued()) == 10


async def test_a_pace_grows_with_those_who_succeed(fleet: Fleet) -> None:
    devices = await fleet.add(20)
    await fleet.create(wanted(growth=Growth(2, 3.0, succeeded_count=2)))
    await fleet.go_on()
    assert await fleet.queued() == devices[:2]
    await fleet.say(devices[:2], "SUCCEEDED")
    await fleet.go_on(1)
    assert await fleet.queued() == devices[2:8]


async def test_more_than_a_thousand_are_queued_in_pieces(fleet: Fleet) -> None:
    news = 1_200
    await fleet.catalogue.import_table(
        1,
        ("device_id,groups\n" + "\n".join(f"d{number:05},hall" for number in range(news))).encode(),
        with_certificates=False,
    )
    await fleet.create()
    await fleet.go_on()
    assert len(await fleet.queued()) == 1_000
    await fleet.go_on(1)
    assert len(await fleet.queued()) == news
    await fleet.plans.cancel(1, "night")
    await fleet.go_on()
    assert (await fleet.progress()).cancelled == news
    await fleet.plans.delete(1, "night")
    await fleet.go_on()
    assert await fleet.plans.jobs(1) == []
    assert fleet.events() == ["cancellation_in_progress", "canceled", "deletion_in_progress", "deleted"]


async def test_too_many_failures_cancel_what_is_queued_and_nothing_else(fleet: Fleet) -> None:
    devices = await fleet.add(6)
    await fleet.create(wanted(abort=(AbortRule(Failure.FAILED, 50.0, 3),)))
    await fleet.go_on()
    await fleet.begin(devices[5])
    await fleet.say(devices[:2], "FAILED")
    await fleet.go_on()
    assert await fleet.state() == "in_progress"
    await fleet.say(devices[2:3], "SUCCEEDED")
    await fleet.go_on()
    await fleet.go_on()
    job = await fleet.plans.job(1, "night")
    assert (job.state, job.reason) == ("cancelled", "2 of 3 devices failed, 50 % are the limit")
    progress = await fleet.progress()
    assert (progress.cancelled, progress.in_progress, progress.failed) == (2, 1, 2)
    await fleet.say(devices[5:], "SUCCEEDED")
    assert (await fleet.progress()).succeeded == 2
    assert fleet.events() == ["cancellation_in_progress", "canceled"]


async def test_what_is_tried_again_keeps_a_job_open_and_aborts_nothing(fleet: Fleet) -> None:
    devices = await fleet.add(1)
    await fleet.create(wanted(retries=(RetryRule(Failure.FAILED, 1),), abort=(AbortRule(Failure.ALL, 1.0, 1),)))
    await fleet.go_on()
    await fleet.say(devices, "FAILED")
    await fleet.go_on()
    assert (await fleet.state(), await fleet.queued()) == ("in_progress", devices)
    await fleet.say(devices, "SUCCEEDED")
    await fleet.go_on()
    assert await fleet.state() == "completed"


async def test_a_job_begins_when_it_is_planned_to_and_not_by_a_clock_that_nobody_believes(fleet: Fleet) -> None:
    devices = await fleet.add(1)
    job = await fleet.create(wanted(schedule=Schedule(start_at=NOW + HOUR_MS)))
    assert job.state == "scheduled"
    await fleet.go_on(59)
    assert await fleet.queued() == []
    right = fleet.clock.now
    # Years before what has passed for sure.
    fleet.clock.now = 0
    await fleet.go_on()
    assert await fleet.state() == "scheduled"
    fleet.clock.now = right
    await fleet.go_on(1)
    await fleet.go_on()
    assert (await fleet.state(), await fleet.queued()) == ("in_progress", devices)


@pytest.mark.parametrize(
    ("behaviour", "state", "counts"),
    [
        (EndBehaviour.STOP_ROLLOUT, "in_progress", (1, 1, 0)),
        (EndBehaviour.CANCEL, "cancelled", (0, 1, 1)),
        (EndBehaviour.FORCE_CANCEL, "cancelled", (0, 0, 2)),
    ],
)
async def test_a_job_ends_as_it_was_planned_to(
    fleet: Fleet, behaviour: EndBehaviour, state: str, counts: tuple[int, int, int]
) -> None:
    devices = await fleet.add(5)
    schedule = Schedule(end_at=NOW + HOUR_MS, end_behaviour=behaviour)
    await fleet.create(wanted(per_minute=2, schedule=schedule))
    await fleet.go_on()
    await fleet.begin(devices[0])
    fleet.clock.now += HOUR_MS
    await fleet.go_on()
    await fleet.go_on(2)
    progress = await fleet.progress()
    assert await fleet.state() == state
    assert (progress.queued, progress.in_progress, progress.cancelled) == counts
    assert progress.waiting == 0
    if behaviour is EndBehaviour.STOP_ROLLOUT:
        await fleet.say(devices[:2], "SUCCEEDED")
        await fleet.go_on(2)
        assert await fleet.state() == "completed"


async def test_work_is_offered_in_a_window_and_devices_hear_when_it_opens(fleet: Fleet) -> None:
    # It is 06:00.
    devices = await fleet.add(3)
    schedule = Schedule(windows=(Window("0 7 * * *", 60),))
    await fleet.create(wanted(per_minute=2, schedule=schedule))
    await fleet.go_on()
    assert (await fleet.progress()).waiting == 3
    await fleet.go_on(60)
    assert await fleet.queued() == devices[:2]
    await fleet.go_on(60)
    assert await fleet.begin(devices[0]) is None
    fleet.told.clear()
    await fleet.go_on(23 * 60)
    assert await fleet.begin(devices[0]) == "night"
    assert fleet.events(f"$aws/things/{devices[0]}/jobs/") == ["notify", "notify-next"]
    assert await fleet.queued() == devices[1:]


async def test_who_joins_a_group_has_the_work_offered_and_who_leaves_has_it_taken_back(fleet: Fleet) -> None:
    devices = await fleet.add(2)
    others = await fleet.add(1, "yard")
    await fleet.create(wanted(is_continuous=True))
    await fleet.go_on()
    await fleet.begin(devices[0])
    await fleet.catalogue.change_device(1, others[0], DeviceChange(groups=("yard", "hall")))
    for device_id in devices:
        await fleet.catalogue.change_device(1, device_id, DeviceChange(groups=()))
    await fleet.go_on()
    progress = await fleet.progress()
    # What has been begun is the device's own to end.
    assert (progress.in_progress, progress.removed, progress.queued) == (1, 1, 1)
    assert await fleet.queued() == others
    assert fleet.events("$aws/events/jobExecution/") == ["removed"]
    await fleet.say([devices[0], *others], "SUCCEEDED")
    await fleet.go_on()
    assert await fleet.state() == "in_progress"


async def test_a_snapshot_is_of_those_who_were_there(fleet: Fleet) -> None:
    devices = await fleet.add(1)
    await fleet.create()
    others = await fleet.add(1, "yard")
    await fleet.catalogue.change_device(1, others[0], DeviceChange(groups=("hall",)))
    await fleet.catalogue.change_device(1, devices[0], DeviceChange(groups=()))
    await fleet.go_on()
    assert await fleet.queued() == devices


@pytest.mark.parametrize("state", [DeviceState.SUSPENDED, DeviceState.RETIRED])
async def test_who_takes_no_part_any_more_has_everything_taken_back(fleet: Fleet, state: DeviceState) -> None:
    devices = await fleet.add(3)
    await fleet.create(wanted(per_minute=2))
    await fleet.go_on()
    await fleet.begin(devices[0])
    for device_id in devices:
        await fleet.registry.set_state(1, device_id, state)
    await fleet.go_on()
    await fleet.go_on(1)
    progress = await fleet.progress()
    assert (progress.removed, progress.open, progress.waiting) == (2, 0, 0)
    assert await fleet.state() == "completed"
    [one] = await fleet.jobs.executions_of_device(1, devices[0])
    assert one.reason == f"the device is {state}"


async def test_who_has_too_much_open_waits_behind_the_others(fleet: Fleet) -> None:
    devices = await fleet.add(2)
    for number in range(100):
        await fleet.create(wanted(f"job-{number}", targets=Targets(devices=(devices[0],))))
    await fleet.go_on()
    await fleet.create(wanted(per_minute=1))
    await fleet.go_on()
    await fleet.go_on()
    assert await fleet.queued() == devices[1:]
    assert (await fleet.progress()).waiting == 1
    await fleet.say(devices[:1], "SUCCEEDED", "job-7")
    await fleet.go_on(1)
    assert await fleet.queued() == devices


async def test_a_deletion_goes_on_after_a_death(fleet: Fleet) -> None:
    devices = await fleet.add(2)
    await fleet.create()
    await fleet.go_on()
    await fleet.begin(devices[0])
    await fleet.plans.delete(1, "night", force=True)
    assert await fleet.state() == "deletion_in_progress"
    fleet = fleet.started_anew()
    await fleet.go_on()
    assert await fleet.plans.jobs(1) == []
    assert await fleet.jobs.executions_of_device(1, devices[0]) == []


async def test_a_death_at_any_point_leaves_each_device_with_the_work_once(fleet: Fleet) -> None:
    devices = await fleet.add(12)
    await fleet.create(wanted(per_minute=3))
    for _ in range(8):
        fleet = fleet.started_anew()
        work = asyncio.ensure_future(fleet.go_on(0.7))
        await asyncio.sleep(0)
        # As a death would: whatever comes after the transaction under way does not happen.
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        await fleet.go_on(0.7)
    found = await fleet.jobs.executions_of_job(1, "night")
    assert sorted(one.device_id for one in found) == devices


async def test_a_loop_that_is_told_of_a_job_begins_it(fleet: Fleet) -> None:
    devices = await fleet.add(1)
    async with fleet.plans.running(), asyncio.timeout(10):
        await fleet.create()
        while await fleet.queued() != devices:  # noqa: ASYNC110  it is the database that is waited for
            await asyncio.sleep(0.01)


async def test_a_minute_begins_anew_with_each_minute(fleet: Fleet) -> None:
    await fleet.add(6)
    await fleet.create(wanted(per_minute=2))
    seen = []
    for _ in range(6):
        await fleet.go_on(20_000 / MINUTE_MS)
        seen.append(len(await fleet.queued()))
    assert seen == [2, 2, 2, 4, 4, 4]


async def test_a_job_that_is_cancelled_while_it_is_looked_at_offers_nothing(fleet: Fleet) -> None:
    await fleet.add(2)
    await fleet.create()
    together, waiting = fleet.jobs.together, ["night"]

    async def cancelled_before(work: Work) -> None:
        if waiting:
            await fleet.plans.cancel(1, waiting.pop())
        await together(work)

    fleet.jobs.together = cancelled_before
    await fleet.go_on()
    await fleet.go_on()
    assert await fleet.state() == "cancelled"
    assert await fleet.jobs.executions_of_job(1, "night") == []


async def test_a_full_disk_keeps_jobs_waiting(fleet: Fleet, caplog: pytest.LogCaptureFixture) -> None:
    devices = await fleet.add(1)
    together, failures = fleet.jobs.together, ["no room"]

    async def full_at_first(work: Work) -> None:
        if failures:
            raise UnwritableError(failures.pop())
        await together(work)

    await fleet.create()
    fleet.jobs.together = full_at_first
    async with fleet.plans.running(), asyncio.timeout(10):
        while await fleet.queued() != devices:  # noqa: ASYNC110  it is the database that is waited for
            await asyncio.sleep(0.01)
    assert "jobs wait for the disk reason=no room" in caplog.text


async def test_who_retired_while_the_gateway_was_away_has_everything_taken_back(fleet: Fleet) -> None:
    devices = await fleet.add(2)
    await fleet.create()
    await fleet.go_on()
    await fleet.registry.set_state(1, devices[0], DeviceState.RETIRED)
    fleet = fleet.started_anew()
    await fleet.go_on()
    assert (await fleet.progress()).removed == 1
    assert await fleet.queued() == devices[1:]


async def test_an_error_that_is_no_job_s_ends_nothing_and_is_told(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "LOOK_S", 0.01)

    async def broken() -> None:
        raise ZeroDivisionError

    async def goes_on() -> None:
        return None

    tending = fleet.plans.tending
    for look_after, is_ok in ((broken, False), (goes_on, True)):
        monkeypatch.setattr(tending, "look_after", look_after)
        async with fleet.plans.running(), asyncio.timeout(10):
            while fleet.plans.status().ok is not is_ok:  # noqa: ASYNC110  nobody is told of it
                await asyncio.sleep(0.01)
    monkeypatch.setattr(tending, "look_after", broken)
    async with fleet.plans.running(), asyncio.timeout(10):
        while fleet.plans.status().ok:  # noqa: ASYNC110  nobody is told of it
            await asyncio.sleep(0.01)
    assert "looking after jobs failed (ZeroDivisionError)" in fleet.plans.status().summary
