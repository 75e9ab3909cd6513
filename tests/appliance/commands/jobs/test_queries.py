"""What the database itself keeps: whose an execution is, which index finds it, and what it refuses."""

import sqlite3

import pytest

from appliance.commands.jobs import queries
from appliance.commands.jobs.model import ExecutionState, JobState, Retries, Terms
from appliance.commands.jobs.reading import queries as reading
from appliance.store.database import Select
from tests.appliance.commands.jobs.desk import JobsDesk, T

OTHER = T + 1


async def test_a_job_and_its_executions_are_one_tenants_alone(desk: JobsDesk) -> None:
    job_number = await desk.offer("open", "pump")

    def look(connection: sqlite3.Connection) -> None:
        assert queries.select_open(connection, OTHER, "pump") == []
        assert queries.select_open_count(connection, OTHER, "pump") == 0
        assert queries.select_try(connection, OTHER, "open", "pump", None) is None
        assert queries.select_outline(connection, OTHER, job_number) is None
        assert queries.select_queued_of_job(connection, OTHER, job_number, 0, 10) == []
        assert queries.select_any_of_job(connection, OTHER, job_number, 10) == []
        assert queries.select_counts_now(connection, OTHER, job_number) == {}
        assert not queries.select_is_deliverable(connection, OTHER, job_number, "valve")
        assert queries.select_is_deliverable(connection, T, job_number, "valve")

    await desk.database.write(look)


async def test_what_executions_need_of_a_job_comes_as_it_was_kept(desk: JobsDesk) -> None:
    terms = Terms(in_progress_minutes=5, retries=Retries(failed=2))
    job_number = await desk.offer("open", "pump", terms=terms)
    outline = await desk.database.write(queries.select_outline, T, job_number)
    assert outline is not None
    assert (outline.job_id, outline.state, outline.terms) == ("open", JobState.IN_PROGRESS, terms)
    assert (await desk.execution("open")).terms == terms


async def test_a_try_is_found_by_its_number_and_the_latest_without_one(desk: JobsDesk) -> None:
    await desk.offer("open", "pump", terms=Terms(retries=Retries(failed=1)))
    await desk.ask("open/update", status="FAILED")

    def numbers(connection: sqlite3.Connection) -> list[int]:
        found = [queries.select_try(connection, T, "open", "pump", number) for number in (None, 1, 2)]
        return [one.try_number for one in found if one is not None]

    assert await desk.database.write(numbers) == [2, 1, 2]


async def test_a_try_is_there_once(desk: JobsDesk) -> None:
    job_number = await desk.offer("open", "pump")
    with pytest.raises(sqlite3.IntegrityError):
        await desk.database.write(queries.insert_execution, T, job_number, "pump", 1, 0)
    with pytest.raises(sqlite3.IntegrityError):
        await desk.database.write(queries.insert_execution, T, job_number, "nobody", 1, 0)


@pytest.mark.parametrize(
    ("select", "index"),
    [
        (queries.select_next_due(), "job_execution_due"),
        (reading.select_of_device(T, "pump", (), 9, 10), "job_execution_of_device"),
        (queries.select_counts(T, 1), "job_execution_of_job"),
    ],
)
async def test_what_is_asked_often_is_found_by_an_index(desk: JobsDesk, select: Select[object], index: str) -> None:
    def plan(connection: sqlite3.Connection) -> str:
        rows = connection.execute(f"EXPLAIN QUERY PLAN {select.sql}", select.parameters)
        return " ".join(row[3] for row in rows)

    assert index in await desk.database.write(plan)


async def test_what_a_device_has_open_is_found_by_an_index_of_what_is_open(desk: JobsDesk) -> None:
    statements: list[str] = []

    def plan(connection: sqlite3.Connection) -> str:
        connection.set_trace_callback(statements.append)
        queries.select_open(connection, T, "pump")
        connection.set_trace_callback(None)
        rows = connection.execute(f"EXPLAIN QUERY PLAN {statements[0]}")
        return " ".join(row[3] for row in rows)

    assert "job_execution_open" in await desk.database.write(plan)


async def test_pieces_are_no_larger_than_asked_for(desk: JobsDesk) -> None:
    job_number = await desk.offer("open", "pump", "valve")

    def sizes(connection: sqlite3.Connection) -> list[int]:
        first = queries.select_queued_of_job(connection, T, job_number, 0, 1)
        rest = queries.select_queued_of_job(connection, T, job_number, first[0].execution_id, 10)
        return [len(first), len(rest), len(queries.select_any_of_job(connection, T, job_number, 1))]

    assert await desk.database.write(sizes) == [1, 1, 1]


async def test_the_running_time_is_kept_in_the_place_of_what_was(desk: JobsDesk) -> None:
    assert await desk.database.read(queries.select_running_time(T)) == []
    for running_ms in (5, 7):
        await desk.database.write(queries.save_running_time, T, running_ms)
    assert await desk.database.read(queries.select_running_time(T)) == [7]


async def test_counts_are_of_the_latest_tries(desk: JobsDesk) -> None:
    job_number = await desk.offer("open", "pump", "valve", terms=Terms(retries=Retries(failed=1)))
    await desk.ask("open/update", status="FAILED")
    counts = dict(await desk.database.read(queries.select_counts(T, job_number)))
    assert counts == {ExecutionState.QUEUED: 2}
