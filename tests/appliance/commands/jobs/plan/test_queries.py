"""What plans of jobs write into gateway.db, and read there."""

import sqlite3

import msgspec
import pytest

from appliance.commands.jobs import queries as job_queries
from appliance.commands.jobs.model import CommandJob, JobState
from appliance.commands.jobs.plan import queries
from appliance.commands.jobs.plan.model import Growth, Job, JobExistsError, Schedule, Starts, Sweep, Window
from tests.appliance.commands.jobs.plan.fleet import Fleet, wanted
from tests.appliance.registry.examples import NOW


async def test_a_job_comes_back_as_it_went(fleet: Fleet) -> None:
    new = wanted(
        per_minute=9,
        growth=Growth(3, 1.5, notified_count=4),
        schedule=Schedule(start_at=NOW + 1, windows=(Window("0 2 * * *", 5),), zone="Asia/Tokyo"),
    )
    kept = await fleet.database.write(queries.insert_job, 1, new, ["a", "b"], "user:maria", NOW)
    assert kept is not None
    assert (kept.state, kept.targeted_count, kept.author, kept.created_at) == ("scheduled", 2, "user:maria", NOW)
    assert kept.is_same(new)
    assert await fleet.database.read(queries.select_job(1, "night")) == [kept]
    changed = msgspec.structs.replace(
        kept,
        state=JobState.CANCELLED,
        reason="why",
        comment="well",
        updated_at=NOW + 5,
        ended_at=NOW + 5,
        starts=Starts("boot", ((1, 2),)),
        sweep=Sweep.ALL,
        is_rollout_over=True,
    )
    await fleet.database.write(queries.update_job, changed)
    assert await fleet.database.read(queries.select_job(1, "night")) == [changed]
    assert await fleet.database.read(queries.select_job(2, "night")) == []
    assert await fleet.database.write(queries.insert_job, 1, new, [], "user:maria", NOW) is None


async def test_live_is_what_something_is_left_to_do_for(fleet: Fleet) -> None:
    def kept(connection: sqlite3.Connection) -> list[Job]:
        made = [
            one
            for number in range(4)
            if (one := queries.insert_job(connection, 1, wanted(f"job-{number}"), [], "", NOW))
        ]
        replaced = msgspec.structs.replace
        queries.update_job(connection, replaced(made[1], state=JobState.COMPLETED, ended_at=NOW))
        queries.update_job(connection, replaced(made[2], state=JobState.CANCELLED, ended_at=NOW, sweep=Sweep.QUEUED))
        return made

    made = await fleet.database.write(kept)
    live = await fleet.database.read(queries.select_live())
    assert [one.job_number for one in live] == [made[0].job_number, made[2].job_number, made[3].job_number]


async def test_who_waits_is_who_was_meant_and_had_nothing_offered(fleet: Fleet) -> None:
    devices = await fleet.add(4)
    job = await fleet.create(wanted(per_minute=3))
    key = (1, job.job_number)
    assert await fleet.database.read(queries.select_waiting(*key)) == devices
    await fleet.go_on()
    await fleet.begin(devices[0])
    await fleet.say(devices[1:2], "SUCCEEDED")
    assert await fleet.database.read(queries.select_waiting(*key)) == devices[3:]
    assert sorted(await fleet.database.read(queries.select_offered(*key))) == devices[:3]
    assert await fleet.database.read(queries.select_queued(*key)) == devices[2:3]
    assert sorted(await fleet.database.read(queries.select_busy())) == [(1, devices[0]), (1, devices[2])]


async def test_with_a_job_goes_its_plan(fleet: Fleet) -> None:
    job = await fleet.create()
    await fleet.database.write(queries.delete_job, 2, job.job_number)
    assert len(await fleet.plans.jobs(1)) == 1
    await fleet.database.write(queries.delete_job, 1, job.job_number)
    assert await fleet.plans.jobs(1) == []
    again = await fleet.create()
    assert again.job_number > job.job_number


async def test_jobs_of_commands_are_in_nobody_s_way(fleet: Fleet) -> None:
    made = await fleet.create()

    def ordered(connection: sqlite3.Connection) -> list[list[str]]:
        job_queries.insert_command_job(connection, 1, CommandJob("c0ffee", "pump", "{}"), NOW)
        asked = (queries.select_jobs(1, None, 1 << 62, 10), queries.select_live())
        return [
            [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {one.sql}", one.parameters)] for one in asked
        ]

    listed, live = await fleet.database.write(ordered)
    assert "SEARCH job_plan USING INTEGER PRIMARY KEY (rowid<?)" in listed
    assert any(step.endswith("USING INDEX job_live") for step in live), live
    assert [job.job_id for job in await fleet.plans.jobs(1)] == ["night"]
    assert [job.job_id for job in await fleet.database.read(queries.select_live())] == ["night"]
    assert await fleet.database.write(queries.select_live_count, 1) == 1
    with pytest.raises(JobExistsError, match="a command has the id c0ffee"):
        await fleet.create(wanted("c0ffee"))
    assert made.job_number == 1
