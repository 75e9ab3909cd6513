"""The rows of executions, whole and damaged."""

import sqlite3

import pytest

from appliance.commands.jobs.model import Execution, ExecutionState, Terms
from appliance.commands.jobs.row import (
    DAMAGED,
    EXECUTION,
    EXECUTION_BYTES,
    Salvaged,
    counted,
    counts_of,
    execution_of,
    salvaged,
    terms_of,
)
from appliance.store.database import Select
from tests.appliance.commands.jobs.desk import JobsDesk


async def _both(desk: JobsDesk) -> tuple[list[Execution], list[Salvaged]]:
    return (
        await desk.database.read(Select(EXECUTION, (), execution_of)),
        await desk.database.read(Select(EXECUTION_BYTES, (), salvaged)),
    )


async def test_what_is_salvaged_of_a_whole_row_is_all_of_it(desk: JobsDesk) -> None:
    await desk.offer("open", "pump", "valve", terms=Terms(in_progress_minutes=3))
    await desk.ask("start-next", statusDetails={"a": "b"})
    executions, found = await _both(desk)
    assert len(executions) == 2
    assert found == [(one, False) for one in executions]


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("job_execution", "details", "'{'"),
        ("job_execution", "details", "CAST(x'c1' AS TEXT)"),
        ("job_execution", "reason", "CAST(x'c1' AS TEXT)"),
        ("job", "terms", "'['"),
        ("job", "job_id", "CAST(x'c1' AS TEXT)"),
    ],
)
async def test_what_cannot_be_read_is_told_as_damaged(desk: JobsDesk, table: str, column: str, value: str) -> None:
    await desk.offer("open", "pump")

    def spoil(connection: sqlite3.Connection) -> None:
        connection.execute(f"UPDATE {table} SET {column} = {value}")

    await desk.database.write(spoil)
    [(found, is_damaged)] = await desk.database.read(Select(EXECUTION_BYTES, (), salvaged))
    assert (found.state, found.device_id, found.details, is_damaged) == (ExecutionState.QUEUED, "pump", {}, True)
    assert found.reason == ("\ufffd" if column == "reason" else DAMAGED)


def test_states_that_nobody_knows_are_counted_with_those_that_were_cancelled() -> None:
    rows = [counted(state, 2) for state in (b"queued", b"cancelled", b"nonsense", b"\xc1")]
    assert rows[2:] == [(None, 2), (None, 2)]
    assert counts_of(rows) == {ExecutionState.QUEUED: 2, ExecutionState.CANCELLED: 6}


def test_terms_are_read_as_they_were_written() -> None:
    assert terms_of('{"in_progress_minutes": 3}') == Terms(in_progress_minutes=3)
