"""Jobs in hard times: full devices, a full disk, a zone that is gone, a death in the middle."""

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from appliance.commands.jobs.model import PIECE, ExecutionState
from appliance.commands.jobs.plan.model import Schedule, Window
from appliance.instant import DAY_MS
from appliance.plane_settings import CommandsConfig
from appliance.registry.catalogue.service import Catalogue
from appliance.registry.service import Registry
from appliance.store.database import UnwritableError, Work
from tests.appliance.commands.jobs.plan.fleet import Fleet, wanted
from tests.appliance.examples import stored
from tests.appliance.registry.examples import NOW, FakeClock


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    clock = FakeClock(NOW)
    async with (
        stored(tmp_path) as database,
        Registry(database, tmp_path / "pki", clock).opened() as registry,
        Catalogue(registry, database, clock).opened() as catalogue,
    ):
        yield Fleet(database, registry, catalogue, clock)


async def test_those_who_are_full_are_asked_a_piece_at_a_time(fleet: Fleet) -> None:
    await fleet.add(600)
    fleet.jobs._config = CommandsConfig(open_per_device=0)
    await fleet.create()
    asked = 0
    together = fleet.jobs.together

    async def counted(work: Work) -> None:
        nonlocal asked
        asked += 1
        await together(work)

    fleet.jobs.together = counted
    for _ in range(3):
        await fleet.go_on(1)
    assert asked == 3
    fleet.jobs._config = CommandsConfig()
    await fleet.go_on(1)
    assert len(await fleet.queued()) == 600


async def test_work_that_is_forgotten_of_a_device_is_not_offered_to_it_again(fleet: Fleet) -> None:
    devices = await fleet.add(2)
    for new in (wanted(), wanted("always", is_continuous=True)):
        await fleet.create(new)
    await fleet.go_on()
    await fleet.say(devices[:1], "SUCCEEDED", "night")
    await fleet.say(devices[:1], "SUCCEEDED", "always")
    for job_id in ("night", "always"):
        await fleet.jobs.delete_execution(1, job_id, devices[0], 1)
    fleet = fleet.started_anew()
    await fleet.go_on(1)
    assert await fleet.jobs.executions_of_device(1, devices[0]) == []
    assert (await fleet.progress("night")).waiting == (await fleet.progress("always")).waiting == 0
    await fleet.say(devices[1:], "SUCCEEDED", "night")
    await fleet.go_on(1)
    assert await fleet.state() == "completed"


async def test_a_job_that_cannot_go_on_keeps_no_other_from_it(fleet: Fleet, caplog: pytest.LogCaptureFixture) -> None:
    devices = await fleet.add(1)
    await fleet.create(wanted("stuck", schedule=Schedule(windows=(Window("* * * * *", 60),), zone="Europe/Berlin")))
    await fleet.go_on()
    await fleet.create()

    # As after an update of the machine that knows the zone no more.
    def renamed(connection: sqlite3.Connection) -> None:
        for column in ("config", "terms"):
            connection.execute(f"UPDATE job SET {column} = replace({column}, 'Europe/Berlin', 'Europe/Nowhere')")

    await fleet.database.write(renamed)
    for _ in range(3):
        await fleet.go_on(1)
    assert await fleet.queued() == devices
    assert caplog.text.count("job cannot go on tenant_id=1 job_id=stuck") == 1
    status = fleet.plans.status()
    assert (status.ok, status.is_serving, status.summary) == (False, True, "1 of 2 jobs cannot go on: the log says why")
    assert (status.details["jobs"], status.details["stuck"]) == (2, 1)
    # And its devices are answered: what nobody knows to be open is not shown.
    assert await fleet.begin(devices[0]) == "night"
    await fleet.say(devices, "SUCCEEDED")
    assert await fleet.begin(devices[0]) is None
    await fleet.plans.cancel(1, "stuck")
    await fleet.go_on()
    await fleet.go_on()
    status = fleet.plans.status()
    assert (status.ok, status.summary) == (True, "0 jobs go on")


async def test_devices_hear_of_a_window_though_the_disk_was_full_when_it_opened(fleet: Fleet) -> None:
    # It is 06:00.
    devices = await fleet.add(1)
    await fleet.create(wanted(schedule=Schedule(windows=(Window("0 7 * * *", 60),))))
    await fleet.go_on(60)
    await fleet.go_on(60)
    fleet.told.clear()
    together, failures = fleet.jobs.together, ["no room"]

    async def full_at_first(work: Work) -> None:
        if failures:
            raise UnwritableError(failures.pop())
        await together(work)

    fleet.jobs.together = full_at_first
    with pytest.raises(UnwritableError):
        await fleet.go_on(23 * 60)
    await fleet.go_on()
    assert fleet.events(f"$aws/things/{devices[0]}/jobs/") == ["notify", "notify-next"]


async def test_by_a_clock_that_nobody_believes_no_window_is_open(fleet: Fleet) -> None:
    # It is 06:00.
    devices = await fleet.add(2)
    await fleet.create(wanted(schedule=Schedule(windows=(Window("0 6 * * *", 120),))))
    await fleet.go_on()
    assert await fleet.queued() == devices
    # As after a power cut without a clock of hardware: years back, and at the same hour.
    right, fleet.clock.now = fleet.clock.now, fleet.clock.now - 10 * 365 * DAY_MS
    assert await fleet.begin(devices[0]) is None
    await fleet.go_on()
    assert await fleet.begin(devices[0]) is None
    fleet.clock.now = right
    fleet.told.clear()
    await fleet.go_on()
    assert fleet.events(f"$aws/things/{devices[0]}/jobs/") == ["notify", "notify-next"]
    assert await fleet.begin(devices[0]) == "night"


@pytest.mark.parametrize("step", ["cancel", "cancel with force", "delete"])
async def test_what_a_death_has_left_of_a_job_that_ends_is_ended(fleet: Fleet, step: str) -> None:
    devices = await fleet.add(2 * PIECE + 10)
    await fleet.create()
    await fleet.go_on()
    await fleet.begin(devices[0])
    if step == "delete":
        await fleet.plans.delete(1, "night", force=True)
    else:
        await fleet.plans.cancel(1, "night", force=step == "cancel with force")
    together, left = fleet.jobs.together, [1]

    async def die_after_one(work: Work) -> None:
        if not left:
            raise UnwritableError("dead")
        await together(work)
        left.pop()

    fleet.jobs.together = die_after_one
    with pytest.raises(UnwritableError):
        await fleet.go_on()
    found = await fleet.jobs.executions_of_job(1, "night", states=(ExecutionState.QUEUED,), limit=10_000)
    assert 0 < len(found) < 2 * PIECE + 9
    fleet = fleet.started_anew()
    await fleet.go_on()
    if step == "delete":
        assert await fleet.plans.jobs(1) == []
        assert await fleet.jobs.executions_of_job(1, "night") == []
        return
    progress = await fleet.progress()
    assert (progress.queued, progress.in_progress) == (0, step == "cancel")
    assert progress.cancelled + progress.in_progress == len(devices)
    assert fleet.events() == ["canceled"]
