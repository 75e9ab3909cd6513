"""Jobs that nobody can read."""

import sqlite3

import pytest

from appliance.commands.jobs.model import JobState
from appliance.commands.jobs.plan.model import JobConfig, Starts, Targets
from tests.appliance.commands.jobs.plan.fleet import Fleet, wanted

_CANNOT = "the gateway could not go on with it (ValidationError): its log says where"


def _spoil(connection: sqlite3.Connection, table: str, column: str) -> None:
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
    await fleet.database.write(_spoil, table, column)
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


async def test_what_has_ended_or_is_gone_stays_so(fleet: Fleet) -> None:
    await fleet.create(wanted("done"))
    await fleet.go_on()
    aside = fleet.plans.tending.aside
    for number in (1, 2):
        assert await aside.put((1, number), ValueError())
    assert (await fleet.state("done"), aside.count) == ("completed", 0)
