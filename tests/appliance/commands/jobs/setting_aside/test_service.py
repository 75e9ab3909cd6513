"""Executions with which the gateway cannot go on."""

import asyncio
import sqlite3

import pytest

from appliance.commands.jobs.ledger.service import Ledger
from appliance.commands.jobs.model import ExecutionState
from appliance.commands.jobs.setting_aside.queries import select_texts, select_texts_of_device
from appliance.commands.jobs.setting_aside.service import ExecutionsAside
from tests.appliance.commands.jobs.desk import JobsDesk, T


def _spoil(connection: sqlite3.Connection, table: str, column: str, job_number: int) -> None:
    connection.execute(f"UPDATE {table} SET {column} = '[' WHERE tenant_id = ? AND job_number = ?", (T, job_number))


@pytest.mark.parametrize(("table", "column"), [("job_execution", "details"), ("job", "terms")])
async def test_what_nobody_can_read_of_a_job_is_found_and_cancelled(desk: JobsDesk, table: str, column: str) -> None:
    bad = await desk.offer("bad", "pump")
    await desk.offer("good", "pump")
    await desk.database.write(_spoil, table, column, bad)
    # The device itself is told of none of it, but is answered.
    word, said = await desk.ask("get")
    assert (word, said["code"]) == ("rejected", "InternalError")
    await desk.jobs.aside.look_through(select_texts(T), ValueError())
    assert await desk.states() == {"bad": [ExecutionState.CANCELLED], "good": [ExecutionState.QUEUED]}
    assert (await desk.execution("bad")).reason == (
        "the gateway could not go on with it (ValueError): its log says where"
    )
    word, said = await desk.ask("get")
    assert [one["jobId"] for one in said["queuedJobs"]] == ["good"]
    assert "$aws/events/jobExecution/bad/canceled" in [topic for topic, _ in desk.heard()]
    assert desk.jobs.aside.count == 1
    await desk.jobs.aside.look_through(select_texts(T), ValueError())
    assert desk.jobs.aside.count == 1


@pytest.mark.parametrize(
    ("table", "column"),
    [
        *(("job_execution", column) for column in ("details", "reason", "state")),
        *(("job", column) for column in ("terms", "job_id")),
    ],
)
async def test_bytes_that_are_no_text_end_one_execution(
    desk: JobsDesk, table: str, column: str, caplog: pytest.LogCaptureFixture
) -> None:
    bad = await desk.offer("bad", "pump")
    await desk.offer("good", "pump")

    def spoil(connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute(
            f"UPDATE {table} SET {column} = CAST('secret' || x'c1' AS TEXT) WHERE job_number = ?", (bad,)
        )
        connection.execute("PRAGMA ignore_check_constraints = OFF")

    await desk.database.write(spoil)
    word, said = await desk.ask("get")
    assert (word, said["code"]) == ("rejected", "InternalError")
    assert "request for jobs not served" in caplog.text
    assert "secret" not in caplog.text
    await desk.jobs.aside.look_through(select_texts(T), ValueError())
    assert desk.jobs.aside.count == 1
    word, said = await desk.ask("get")
    assert [one["jobId"] for one in said["queuedJobs"]] == ["good"]


async def test_where_the_ledger_fails_its_row_ends_all_the_same(desk: JobsDesk) -> None:
    def broken(_connection: sqlite3.Connection, _now: int) -> Ledger:
        raise ZeroDivisionError

    aside = ExecutionsAside(desk.database, broken)
    aside.together = desk.together
    await desk.offer("open", "pump")
    one = await desk.execution("open")
    assert await aside.put((T, one.execution_id), ValueError())
    assert (await desk.execution("open")).state is ExecutionState.CANCELLED
    assert aside.count == 1
    # Once is enough, and what is gone stays gone.
    assert await desk.jobs.aside.put((T, one.execution_id), ValueError())
    assert await desk.jobs.aside.put((T, 4_711), ValueError())
    assert await aside.put((T, 4_711), ValueError())
    assert (aside.count, desk.jobs.aside.count) == (1, 0)


async def test_a_device_that_cannot_be_answered_is_once_its_jobs_were_looked_through(desk: JobsDesk) -> None:
    async with desk.jobs.running(), asyncio.timeout(10):
        bad = await desk.offer("bad", "pump")
        await desk.offer("good", "pump")
        await desk.database.write(_spoil, "job_execution", "details", bad)
        assert (await desk.ask("start-next"))[0] == "rejected"
        while desk.jobs.aside.count == 0:  # noqa: ASYNC110  nobody is told of it
            await asyncio.sleep(0.01)
        word, said = await desk.ask("start-next")
        assert (word, said["execution"]["jobId"]) == ("accepted", "good")
    assert (await desk.execution("bad")).reason == "its row is damaged: the gateway could not go on with it"


async def test_a_document_that_is_no_text_ends_what_its_device_has_of_it(desk: JobsDesk) -> None:
    bad = await desk.offer("bad", "pump")
    await desk.offer("good", "pump")

    def spoil(connection: sqlite3.Connection) -> None:
        connection.execute("UPDATE job SET document = CAST(x'c1' AS TEXT) WHERE job_number = ?", (bad,))

    await desk.database.write(spoil)
    word, said = await desk.ask("start-next")
    assert (word, said["code"]) == ("rejected", "InternalError")
    assert await desk.jobs.aside.look_through(select_texts_of_device(T, "pump"), ValueError())
    assert not await desk.jobs.aside.look_through(select_texts_of_device(T, "pump"), ValueError())
    word, said = await desk.ask("start-next")
    assert (word, said["execution"]["jobId"]) == ("accepted", "good")
