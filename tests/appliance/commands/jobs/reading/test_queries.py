"""What people ask about executions."""

from appliance.commands.jobs.model import ExecutionState
from appliance.commands.jobs.reading import queries
from tests.appliance.commands.jobs.desk import JobsDesk, T


async def test_what_is_salvaged_is_asked_for_in_the_same_words(desk: JobsDesk) -> None:
    for job_id in ("first", "second", "third"):
        await desk.offer(job_id, "pump")
    third = await desk.execution("third")
    select = queries.select_of_device(T, "pump", (ExecutionState.QUEUED,), third.execution_id, 1)
    [found] = await desk.database.read(select)
    assert found.job_id == "second"
    assert await desk.database.read(queries.salvaging(select)) == [(found, False)]
    for same in (
        queries.select_of_job(T, "second", (), third.execution_id, 9),
        queries.select_tries(T, "second", "pump", third.execution_id, 9),
    ):
        assert await desk.database.read(queries.salvaging(same)) == [(found, False)]
