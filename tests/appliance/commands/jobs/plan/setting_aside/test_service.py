"""Jobs that nobody can read, or with which the gateway fails."""

import sqlite3

import pytest

from appliance.commands.jobs.model import JobState
from appliance.commands.jobs.plan.model import Job, JobConfig, Starts, Targets
from appliance.registry.model import DeviceState
from tests.appliance.commands.jobs.plan.fleet import Fleet, wanted

_CANNOT = "the gateway could not go on with it (ValidationError): its log says where"


def _spoil_job(connection: sqlite3.Connection, table: str, column: str) -> None:
    wrong = '{"per_minute": [], "devices": 3, "recent": 4}'
    connection.execute(f"UPDATE {table} SET {column} = ? WHERE tenant_id = 1 AND job_number = 1", (wrong,))


@pytest.mark.parametrize(("table", "column"), [("job", "config"), ("job", "targets"), ("job_plan", "starts")])
async def test_a_job_that_nobody_can_read_is_cancelled_and_the_others_go_on(
    fleet: Fleet, table: str, column: str
) -> None:
    devices = await fleet.add(2)
    await fleet.create(wanted("bad"))
    await fleet.go_on()
    await fleet.create(wanted("good"))
    await fleet.database.write(_spoil_job, table, column)
    await fleet.go_on(1)
    assert await fleet.state("bad") == JobState.CANCELLED
    bad = await fleet.plans.job(1, "bad")
    assert bad.reason == _CANNOT
    kept = {"config": bad.config, "targets": bad.targets, "starts": bad.starts}
    assert kept[column] == {"config": JobConfig(), "targets": Targets(), "starts": Starts()}[column]
    assert (await fleet.progress("good")).queued == 2
    assert fleet.plans.status().details["set_aside"] == 1
    assert fleet.plans.status().ok
    await fleet.go_on()
    assert (await fleet.progress("bad")).cancelled == 2
    assert [one.job_id for one in await fleet.plans.jobs(1)] == ["good", "bad"]
    assert await fleet.begin(devices[0]) == "good"


@pytest.mark.parametrize(("table", "column"), [("job", "config"), ("job", "targets"), ("job_plan", "starts")])
async def test_a_job_of_bytes_that_are_no_text_is_cancelled(fleet: Fleet, table: str, column: str) -> None:
    await fleet.create(wanted("bad"))

    def spoil(connection: sqlite3.Connection) -> None:
        sql = f"UPDATE {table} SET {column} = CAST(x'7bc1c17d' AS TEXT) WHERE tenant_id = 1 AND job_number = 1"
        connection.execute(sql)

    await fleet.database.write(spoil)
    assert await fleet.plans.tending.aside.put((1, 1), ValueError())
    assert await fleet.state("bad") == JobState.CANCELLED


@pytest.mark.parametrize("has_ended", [False, True])
@pytest.mark.parametrize(
    ("table", "column"),
    [
        *(("job", column) for column in ("description", "author", "reason", "document", "config", "state")),
        *(("job_plan", column) for column in ("comment", "sweep")),
    ],
)
async def test_a_damaged_job_hides_no_other_on_pages_and_keeps_none_from_going_on(
    fleet: Fleet, table: str, column: str, has_ended: bool
) -> None:
    await fleet.add(1)
    await fleet.create(wanted("bad"))
    if has_ended:
        await fleet.plans.cancel(1, "bad")
        await fleet.go_on()
    await fleet.create(wanted("good"))

    def spoil(connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute(f"UPDATE {table} SET {column} = CAST(x'c1' AS TEXT) WHERE tenant_id = 1 AND job_number = 1")
        connection.execute("PRAGMA ignore_check_constraints = OFF")

    await fleet.database.write(spoil)
    assert [one.job_id for one in await fleet.plans.jobs(1)] == ["good", "bad"]
    bad = await fleet.plans.job(1, "bad")
    assert (bad.state, fleet.plans.tending.aside.count) == (JobState.CANCELLED, 0 if has_ended else 1)
    await fleet.go_on(1)
    assert (await fleet.progress("good")).queued == 1


async def test_a_job_that_cannot_even_be_named_keeps_no_other_from_going_on(fleet: Fleet) -> None:
    await fleet.add(1)
    await fleet.create(wanted("bad"))
    await fleet.create(wanted("good"))

    def spoil(connection: sqlite3.Connection) -> None:
        connection.execute("UPDATE job SET job_id = CAST(x'c1' AS TEXT) WHERE tenant_id = 1 AND job_number = 1")

    await fleet.database.write(spoil)
    await fleet.go_on(1)
    assert (await fleet.progress("good")).queued == 1
    assert [one.job_id for one in await fleet.plans.jobs(1)] == ["good"]


@pytest.mark.parametrize("value", ["'{'", "CAST('[\"' || x'c1' || '\"]' AS TEXT)"])
async def test_a_job_of_which_nobody_can_read_for_whom_it_is_is_shown_and_cancelled(fleet: Fleet, value: str) -> None:
    await fleet.add(2)
    await fleet.create(wanted("bad"))
    await fleet.create(wanted("good"))

    def spoil(connection: sqlite3.Connection) -> None:
        connection.execute(f"UPDATE job_target SET device_ids = {value} WHERE tenant_id = 1 AND job_number = 1")

    await fleet.database.write(spoil)
    assert [(await fleet.progress(one)).waiting for one in ("bad", "good")] == [0, 2]
    await fleet.go_on(1)
    assert (await fleet.state("bad"), (await fleet.progress("good")).queued) == (JobState.CANCELLED, 2)
    await fleet.go_on(1)
    assert (fleet.plans.status().ok, fleet.plans.status().details["set_aside"]) == (True, 1)


async def test_what_has_ended_or_is_gone_stays_so(fleet: Fleet) -> None:
    await fleet.create(wanted("done"))
    await fleet.go_on()
    aside = fleet.plans.tending.aside
    for number in (1, 2):
        assert await aside.put((1, number), ValueError())
    assert (await fleet.state("done"), aside.count) == ("completed", 0)


def _spoil(connection: sqlite3.Connection, device_id: str) -> None:
    sql = "UPDATE job_execution SET details = '{' WHERE tenant_id = 1 AND device_id = ?"
    connection.execute(sql, (device_id,))


async def test_one_execution_that_cannot_be_read_keeps_no_other_from_being_taken_back(fleet: Fleet) -> None:
    devices = await fleet.add(3)
    await fleet.create()
    await fleet.go_on()
    await fleet.database.write(_spoil, devices[0])
    for device_id in devices[:2]:
        await fleet.registry.set_state(1, device_id, DeviceState.RETIRED)
    await fleet.go_on()
    progress = await fleet.progress()
    assert (progress.removed, progress.cancelled, progress.queued) == (1, 1, 1)
    assert fleet.plans.status().details["set_aside"] == 1


async def test_one_execution_that_cannot_be_read_keeps_its_job_from_nothing(fleet: Fleet) -> None:
    devices = await fleet.add(3)
    await fleet.create()
    await fleet.go_on()
    await fleet.database.write(_spoil, devices[0])
    await fleet.plans.cancel(1, "night")
    await fleet.go_on()
    await fleet.go_on()
    assert (await fleet.progress()).cancelled == 3
    assert fleet.plans.status().ok


async def test_a_job_that_fails_keeps_no_other_from_going_on_and_says_so(
    fleet: Fleet, caplog: pytest.LogCaptureFixture
) -> None:
    devices = await fleet.add(2)
    for job_id in ("bad", "good"):
        await fleet.create(wanted(job_id))
    jobs = {job_id: await fleet.plans.job(1, job_id) for job_id in ("bad", "good")}
    tending = fleet.plans.tending
    go_on = tending._go_on

    async def broken(job: Job) -> None:
        if job.job_id == "bad":
            raise ValueError("SECRET".lower())
        await go_on(job)

    tending._go_on = broken  # type: ignore[method-assign]
    for _ in range(2):
        await fleet.go_on()
    assert [await fleet.begin(device_id) for device_id in devices] == ["good", "good"]
    reason = "the gateway failed (ValueError): its log says where"
    assert [fleet.plans.stuck(jobs[job_id]) for job_id in ("bad", "good")] == [reason, ""]
    told = fleet.plans.status()
    assert (told.ok, told.is_serving, told.details["stuck"]) == (False, True, 1)
    assert [record.getMessage().split(" error=")[0] for record in caplog.records if record.levelname == "ERROR"] == [
        "job failed"
    ]
    assert "secret" not in caplog.text
    tending._go_on = go_on  # type: ignore[method-assign]
    await fleet.go_on()
    assert fleet.plans.stuck(jobs["bad"]) == ""


async def test_what_nobody_can_read_of_one_job_keeps_no_other_from_the_same_devices(fleet: Fleet) -> None:
    devices = await fleet.add(2)
    await fleet.create(wanted("old"))
    await fleet.go_on()
    await fleet.database.write(_spoil, devices[0])
    await fleet.create(wanted("new"))
    for _ in range(2):
        await fleet.go_on()
    assert (await fleet.progress("new")).queued == 2
    assert (await fleet.progress("old")).cancelled == 1
    assert fleet.plans.status().ok
