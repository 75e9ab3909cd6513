"""Executions as people read them, with rows that are damaged."""

import sqlite3

import pytest

from appliance.commands.jobs.model import ExecutionState, ExecutionStateError
from tests.appliance.commands.jobs.desk import JobsDesk, T
from tests.appliance.commands.room import until


def _spoil(connection: sqlite3.Connection, job_number: int) -> None:
    connection.execute("UPDATE job_execution SET details = '{' WHERE tenant_id = 1 AND job_number = ?", (job_number,))


async def test_a_damaged_row_hides_no_other_and_is_set_aside(desk: JobsDesk) -> None:
    async with desk.jobs.running():
        bad = await desk.offer("bad", "pump")
        await desk.offer("good", "pump")
        await desk.database.write(_spoil, bad)
        assert await desk.states() == {"bad": [ExecutionState.QUEUED], "good": [ExecutionState.QUEUED]}
        assert "damaged" in (await desk.execution("bad")).reason
        await until(lambda: desk.jobs.aside.count == 1)
        assert await desk.states() == {"bad": [ExecutionState.CANCELLED], "good": [ExecutionState.QUEUED]}
        assert [one.job_id for one in await desk.jobs.tries(T, "bad", "pump")] == ["bad"]


async def test_whoever_calls_one_back_is_not_kept_from_it_by_another(desk: JobsDesk) -> None:
    bad = await desk.offer("bad", "pump")
    await desk.offer("good", "pump")
    await desk.database.write(_spoil, bad)
    assert (await desk.jobs.cancel_execution(T, "good", "pump")).state is ExecutionState.CANCELLED
    assert await desk.states() == {"bad": [ExecutionState.CANCELLED], "good": [ExecutionState.CANCELLED]}
    with pytest.raises(ExecutionStateError):
        await desk.jobs.cancel_execution(T, "bad", "pump")
