"""Executions that are gone through one by one."""

import sqlite3

from appliance.commands.jobs.model import ExecutionState, Terms
from appliance.commands.jobs.setting_aside import queries
from appliance.commands.jobs.setting_aside.queries import Texts
from appliance.commands.mishaps.service import BEFORE_ALL
from tests.appliance.commands.jobs.desk import DOCUMENT, JobsDesk, T


async def test_they_are_found_by_their_numbers_and_mended(desk: JobsDesk) -> None:
    await desk.offer("open", "pump", "valve", terms=Terms(in_progress_minutes=1))
    await desk.ask("start-next")
    one = await desk.execution("open")
    other = await desk.execution("open", "valve")
    read, write, number = desk.database.read, desk.database.write, one.execution_id
    assert await read(queries.select_open_keys(T, "pump")) == [(T, number)]
    due_ms = one.due_ms or 0
    assert await read(queries.select_due_keys(due_ms, BEFORE_ALL, 9)) == [(due_ms, (T, number))]
    assert await read(queries.select_due_keys(due_ms - 1, BEFORE_ALL, 9)) == []
    assert await read(queries.select_due_keys(due_ms, (due_ms, number), 9)) == []
    texts = await read(queries.select_texts(T))
    [of_device] = await read(queries.select_texts_of_device(T, "pump"))
    assert (of_device._replace(document=b""), of_device.document) == (texts[0], DOCUMENT.encode())
    assert await read(queries.select_texts_for_command(T, 1)) == []
    assert [found.execution_id for found in texts] == [number, other.execution_id]
    assert await write(queries.texts_of, T, number) == texts[0]
    assert (texts[0].details, b"in_progress_minutes" in texts[0].terms, texts[0].job_id) == (b"{}", True, b"open")
    assert await write(queries.texts_of, T + 1, number) is None
    await desk.ask("open/update", status="IN_PROGRESS", statusDetails={"a": "b"})
    await write(queries.empty_details, T, number)
    await write(queries.empty_terms, T, number)
    assert await write(queries.texts_of, T, number) == Texts(T, number, b"{}", b"{}", b"open", b"in_progress", b"", b"")
    await write(queries.mend_row, T, number)
    assert (await desk.execution("open")).state is ExecutionState.IN_PROGRESS
    assert await write(queries.end_row, T, number, "because", desk.clock()) == 1
    assert await write(queries.end_row, T, number, "again", desk.clock()) == 0
    ended = await desk.execution("open")
    assert (ended.state, ended.reason, ended.due_ms) == (ExecutionState.CANCELLED, "because", None)
    assert (await desk.execution("open", "valve")).state is ExecutionState.QUEUED


async def test_states_that_nobody_knows_are_found_by_the_index_of_states(desk: JobsDesk) -> None:
    job_number = await desk.offer("open", "pump", "valve")
    select = queries.select_texts_of_unknown(T, job_number)

    def spoil(connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute(
            "UPDATE job_execution SET state = 'nonsense' WHERE tenant_id = ? AND device_id = 'pump'", (T,)
        )
        connection.execute("PRAGMA ignore_check_constraints = OFF")

    def plan(connection: sqlite3.Connection) -> str:
        rows = connection.execute(f"EXPLAIN QUERY PLAN {select.sql}", select.parameters)
        return " ".join(row[3] for row in rows)

    assert await desk.database.read(select) == []
    await desk.database.write(spoil)
    [found] = await desk.database.read(select)
    assert found.execution_id == (await desk.execution("open")).execution_id
    assert "job_execution_of_job (job_number=? AND tenant_id=? AND is_retried=?" in await desk.database.write(plan)
