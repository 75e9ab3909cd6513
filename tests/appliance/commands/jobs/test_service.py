"""Requests over MQTT and HTTPS, timers that survive restarts and clocks, and the ledger of what was."""

import asyncio
import contextlib
import json
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from appliance.audit.acting import acting_as
from appliance.commands.jobs.model import (
    Execution,
    ExecutionState,
    ExecutionStateError,
    Retries,
    Terms,
    UnknownExecutionError,
)
from appliance.commands.jobs.service import Jobs
from appliance.commands.jobs.topics import Api, JobAddress
from appliance.errors import InvalidInputError
from appliance.instant import DAY_MS, MINUTE_MS, SECOND_MS
from appliance.plane_settings import CommandsConfig
from appliance.store.database import Database, UnwritableError, Work
from broker.message import Message
from tests.appliance.commands.jobs.desk import JobsDesk, T
from tests.appliance.registry.examples import FakeClock

HOUR = Terms(in_progress_minutes=60)
DEADLINE_S = 20.0


class Uptime:
    """A clock that nobody sets, and that passes when it is told to."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self._begun_s = jobs._uptime_s()
        self._passed_s = 0.0
        jobs._uptime_s = lambda: self._begun_s + self._passed_s
        jobs._begun_s = self._begun_s

    def passes(self, passed_ms: int) -> None:
        self._passed_s += passed_ms / SECOND_MS
        self._jobs._timers_changed.set()


@contextlib.asynccontextmanager
async def _running(desk: JobsDesk) -> AsyncIterator[Uptime]:
    async with desk.jobs.running():
        yield Uptime(desk.jobs)


async def _until(is_so: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not await is_so():  # noqa: ASYNC110  the database tells nobody
            await asyncio.sleep(0.01)


def _is(desk: JobsDesk, job_id: str, *states: ExecutionState) -> Callable[[], Awaitable[bool]]:
    async def is_so() -> bool:
        return (await desk.states()).get(job_id) == [*states]

    return is_so


async def _restarted(desk: JobsDesk) -> JobsDesk:
    return JobsDesk(Jobs(desk.database, CommandsConfig(), desk.clock), desk.database, desk.clock)


async def test_requests_of_a_batch_are_answered_in_their_order_to_whoever_asked(desk: JobsDesk) -> None:
    await desk.offer("open", "pump", "valve")
    wishes = [("pump", "start-next"), ("valve", "get"), ("pump", "open/update"), ("pump", "get")]
    messages = [
        Message(
            T,
            f"{who}-client",
            f"{who}-client",
            f"$aws/things/{who}/jobs/{wish}",
            b'{"status": "SUCCEEDED"}',
            0,
            False,
            1,
        )
        for who, wish in wishes
    ]
    ignored = Message(T, "pump", "pump", "$aws/things/pump/shadow/get", b"{}", 1, False, 1)
    await desk.together(lambda connection, now: desk.jobs.apply([*messages, ignored], connection, now))
    assert [(client_id, answer.topic) for client_id, answer in desk.replies] == [
        (f"{who}-client", f"$aws/things/{who}/jobs/{wish}/accepted") for who, wish in wishes
    ]
    assert json.loads(desk.replies[-1][1].payload)["queuedJobs"] == []
    assert all((answer.qos, answer.retain) == (1, False) for _, answer in desk.replies)


async def test_requests_for_jobs_are_taken_and_others_left(desk: JobsDesk) -> None:
    assert desk.jobs.takes("$aws/things/pump/jobs/get")
    assert not desk.jobs.takes("$aws/things/pump/jobs/get/accepted")
    assert not desk.jobs.takes("sensors/pump/telemetry")


async def test_over_https_a_document_is_a_string_and_subscribers_hear_the_same(desk: JobsDesk) -> None:
    await desk.offer("open", "pump")
    answer = await desk.jobs.ask(T, JobAddress("pump", Api.START_NEXT), b"{}")
    assert answer.error is None
    assert json.loads(answer.payload)["execution"]["jobDocument"] == '{"operation": "open"}'
    desk.heard()
    await desk.jobs.ask(T, JobAddress("pump", Api.UPDATE, "open"), b'{"status": "FAILED"}')
    assert desk.topics() == ["$aws/events/jobExecution/open/failed", "pump/jobs/notify", "pump/jobs/notify-next"]
    refused = await desk.jobs.ask(T, JobAddress("pump", Api.DESCRIBE, "open"), b"")
    assert (refused.error, json.loads(refused.payload)["code"]) == ("TerminalStateReached", "TerminalStateReached")


async def test_what_takes_too_long_times_out(desk: JobsDesk) -> None:
    async with _running(desk) as uptime:
        await desk.offer("open", "pump", terms=HOUR)
        _, said = await desk.ask("start-next")
        assert said["execution"]["approximateSecondsBeforeTimedOut"] == 3_600
        assert desk.jobs.left_ms(await desk.execution("open")) == 60 * MINUTE_MS
        uptime.passes(59 * MINUTE_MS)
        assert (await desk.ask("open/get"))[1]["execution"]["approximateSecondsBeforeTimedOut"] == 60
        desk.heard()
        uptime.passes(MINUTE_MS)
        await _until(_is(desk, "open", ExecutionState.TIMED_OUT))
        assert (await desk.ask("open/update", status="SUCCEEDED"))[1]["executionState"]["status"] == "TIMED_OUT"
    assert desk.topics() == ["$aws/events/jobExecution/open/timed_out", "pump/jobs/notify", "pump/jobs/notify-next"]
    assert (await desk.execution("open")).reason == "the time for the job is over"


async def test_a_step_that_takes_too_long_times_out_and_the_job_is_tried_again(desk: JobsDesk) -> None:
    async with _running(desk) as uptime:
        await desk.offer("open", "pump", terms=Terms(retries=Retries(timed_out=1)))
        await desk.ask("start-next", stepTimeoutInMinutes=5)
        uptime.passes(4 * MINUTE_MS)
        await desk.ask("open/update", status="IN_PROGRESS", stepTimeoutInMinutes=5)
        uptime.passes(4 * MINUTE_MS)
        await desk.ask("get")
        assert (await desk.states())["open"] == [ExecutionState.IN_PROGRESS]
        uptime.passes(MINUTE_MS)
        await _until(_is(desk, "open", ExecutionState.TIMED_OUT, ExecutionState.QUEUED))


async def test_no_clock_that_is_set_ends_a_job_or_spares_one(desk: JobsDesk) -> None:
    async with _running(desk) as uptime:
        await desk.offer("open", "pump", terms=HOUR)
        await desk.ask("start-next")
        desk.clock.now += 40 * 365 * DAY_MS
        uptime.passes(59 * MINUTE_MS)
        assert (await desk.ask("open/get"))[0] == "accepted"
        desk.clock.now -= 60 * 365 * DAY_MS
        uptime.passes(MINUTE_MS)
        await _until(_is(desk, "open", ExecutionState.TIMED_OUT))


async def test_a_timer_goes_on_after_a_restart_and_while_the_gateway_is_off_no_time_passes(desk: JobsDesk) -> None:
    async with _running(desk) as uptime:
        await desk.offer("open", "pump", terms=HOUR)
        await desk.ask("start-next")
        uptime.passes(40 * MINUTE_MS)
    desk.clock.now += 30 * DAY_MS
    again = await _restarted(desk)
    async with _running(again) as uptime:
        assert again.jobs.left_ms(await again.execution("open")) == 20 * MINUTE_MS
        uptime.passes(20 * MINUTE_MS)
        await _until(_is(again, "open", ExecutionState.TIMED_OUT))


async def test_a_timer_that_is_set_keeps_the_running_time_with_it(desk: JobsDesk) -> None:
    """So a power cut costs it no more than the few minutes until it is kept again."""
    async with _running(desk) as uptime:
        uptime.passes(30 * MINUTE_MS)
        await desk.offer("open", "pump", terms=HOUR)
        await desk.ask("get")
        assert await desk.database.write(_kept) == 0
        await desk.ask("start-next")
        assert await desk.database.write(_kept) >= 30 * MINUTE_MS


async def test_while_the_disk_is_full_what_is_due_waits(desk: JobsDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = asyncio.Event()
    monkeypatch.setattr("appliance.commands.jobs.service.AGAIN_S", 0.01)

    async def full(_work: Work) -> None:
        tried.set()
        raise UnwritableError("the disk is full")

    async with _running(desk) as uptime:
        await desk.offer("open", "pump", terms=HOUR)
        await desk.ask("start-next")
        desk.jobs.together = full
        uptime.passes(61 * MINUTE_MS)
        async with asyncio.timeout(DEADLINE_S):
            await tried.wait()
        desk.jobs.together = desk.together
        await _until(_is(desk, "open", ExecutionState.TIMED_OUT))


async def test_a_device_that_has_retired_is_handed_out_nothing(desk: JobsDesk) -> None:
    await _retire(desk.database, "pump")
    assert (await desk.hand_out(await desk.add_job("other"), "pump")).device_ids == ()


def _spoil(connection: sqlite3.Connection, device_id: str) -> None:
    sql = "UPDATE job_execution SET details = '{' WHERE tenant_id = ? AND device_id = ?"
    connection.execute(sql, (T, device_id))


async def test_one_execution_that_cannot_be_read_keeps_no_other_from_timing_out(desk: JobsDesk) -> None:
    async def is_set_aside() -> bool:
        return desk.jobs.aside.count == 1

    async with _running(desk) as uptime:
        await desk.offer("open", "pump", "valve", terms=HOUR)
        for device_id in ("pump", "valve"):
            await desk.ask("start-next", device_id)
        await desk.database.write(_spoil, "pump")
        uptime.passes(60 * MINUTE_MS)
        await _until(is_set_aside)
        assert (await desk.states("valve"))["open"] == [ExecutionState.TIMED_OUT]
    one = await desk.execution("open")
    assert (one.state, one.details) == (ExecutionState.CANCELLED, {})
    assert one.reason == "the gateway could not go on with it (DecodeError): its log says where"


async def test_an_error_that_is_no_execution_s_ends_nothing_and_is_told(
    desk: JobsDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken() -> None:
        raise ZeroDivisionError

    async def is_told() -> bool:
        return desk.jobs.mishap.trouble == "ending what has run out of time failed (ZeroDivisionError)"

    async def is_well() -> bool:
        return desk.jobs.mishap.trouble == ""

    async with _running(desk) as uptime:
        await desk.offer("open", "pump", terms=HOUR)
        monkeypatch.setattr("appliance.commands.jobs.service.AGAIN_S", 0.01)
        monkeypatch.setattr(desk.jobs, "_see_to_due", broken)
        await desk.ask("start-next")
        uptime.passes(60 * MINUTE_MS)
        await _until(is_told)
        monkeypatch.undo()
        await _until(_is(desk, "open", ExecutionState.TIMED_OUT))
        await _until(is_well)


async def test_a_person_calls_a_job_back_from_one_device_and_that_is_in_the_audit_log(desk: JobsDesk) -> None:
    await desk.offer("open", "pump", "valve")
    with acting_as("maria"):
        cancelled = await desk.jobs.cancel_execution(T, "open", "pump", reason="wrong pump")
    assert (cancelled.state, cancelled.reason) == (ExecutionState.CANCELLED, "wrong pump")
    assert (await desk.states("valve"))["open"] == [ExecutionState.QUEUED]
    with pytest.raises(ExecutionStateError, match="ended already"):
        await desk.jobs.cancel_execution(T, "open", "pump", force=True)
    [entry] = await desk.database.write(_audited)
    assert entry == ("maria", "job_execution.cancel", "open")
    with pytest.raises(InvalidInputError, match="2,029 characters, expected at most 2,028"):
        await desk.jobs.cancel_execution(T, "open", "valve", reason="w" * 2_029)


async def test_one_in_progress_is_called_back_and_deleted_with_force_only(desk: JobsDesk) -> None:
    await desk.offer("open", "pump", "valve")
    for device_id in ("pump", "valve"):
        await desk.ask("start-next", device_id)
    with pytest.raises(ExecutionStateError):
        await desk.jobs.cancel_execution(T, "open", "pump")
    with pytest.raises(ExecutionStateError):
        await desk.jobs.delete_execution(T, "open", "pump", 1)
    await desk.jobs.cancel_execution(T, "open", "pump", force=True)
    await desk.jobs.delete_execution(T, "open", "pump", 1)
    await desk.jobs.delete_execution(T, "open", "valve", 1, force=True)
    assert (await desk.states(), await desk.states("valve")) == ({}, {})
    # They have had it all the same.
    assert (await desk.hand_out(1, "pump", "valve")).device_ids == ()
    with pytest.raises(UnknownExecutionError):
        await desk.jobs.execution(T, "open", "pump")
    with pytest.raises(UnknownExecutionError):
        await desk.jobs.delete_execution(T, "open", "pump", 1)


async def test_the_ledger_is_read_newest_first_piece_by_piece(desk: JobsDesk) -> None:
    for number in range(5):
        await desk.offer(f"job-{number}", "pump", "valve")
    await desk.ask("job-1/update", status="FAILED")
    first = await desk.jobs.executions_of_device(T, "pump", limit=2)
    assert _ids(first) == ["job-4", "job-3"]
    rest = await desk.jobs.executions_of_device(T, "pump", before=first[-1].execution_id)
    assert _ids(rest) == ["job-2", "job-1", "job-0"]
    failed = await desk.jobs.executions_of_device(T, "pump", states=[ExecutionState.FAILED])
    assert _ids(failed) == ["job-1"]
    of_job = await desk.jobs.executions_of_job(T, "job-1", states=[ExecutionState.QUEUED, ExecutionState.FAILED])
    assert [one.device_id for one in of_job] == ["valve", "pump"]
    assert [one.device_id for one in await desk.jobs.executions_of_job(T, "job-1", limit=1)] == ["valve"]
    assert [one.try_number for one in await desk.jobs.tries(T, "job-1", "pump")] == [1]
    assert await desk.jobs.executions_of_device(T + 1, "pump") == []


async def test_what_ended_long_ago_is_forgotten_with_its_job_and_nothing_else(desk: JobsDesk, clock: FakeClock) -> None:
    old = await desk.offer("old", "pump")
    going = await desk.offer("going", "pump")
    for job_id in ("old", "going"):
        await desk.ask(f"{job_id}/update", status="SUCCEEDED")
    left = await desk.offer("left", "pump")
    await desk.database.write(_end, old, clock())
    await desk.database.write(_end, left, clock())
    clock.now += 90 * DAY_MS
    await desk.jobs.forget_old()
    assert set(await desk.states()) == {"old", "going", "left"}
    clock.now += 1
    await desk.jobs.forget_old()
    assert set(await desk.states()) == {"going", "left"}
    assert await desk.database.write(_job_ids) == ["going", "left"]
    assert going < left


async def test_a_job_that_is_in_nobodys_hands_says_so(desk: JobsDesk) -> None:
    job_number = await desk.add_job("open")
    counts = await desk.within(lambda ledger: ledger.counts(T, job_number))
    assert counts == {}
    with pytest.raises(UnknownExecutionError, match="no execution of the job open"):
        await desk.jobs.execution(T, "open", "pump")


def _ids(executions: list[Execution]) -> list[str]:
    return [one.job_id for one in executions]


async def _retire(database: Database, device_id: str) -> None:
    def retire(connection: sqlite3.Connection) -> None:
        connection.execute("UPDATE device SET state = 'retired' WHERE tenant_id = ? AND device_id = ?", (T, device_id))

    await database.write(retire)


def _end(connection: sqlite3.Connection, job_number: int, now: int) -> None:
    sql = "UPDATE job SET state = 'completed', ended_at = ? WHERE tenant_id = ? AND job_number = ?"
    connection.execute(sql, (now, T, job_number))


def _job_ids(connection: sqlite3.Connection) -> list[str]:
    return [row[0] for row in connection.execute("SELECT job_id FROM job WHERE tenant_id = ? ORDER BY 1", (T,))]


def _kept(connection: sqlite3.Connection) -> int:
    rows = connection.execute("SELECT running_ms FROM job_running_time WHERE tenant_id = ?", (T,)).fetchall()
    return sum(row[0] for row in rows)


def _audited(connection: sqlite3.Connection) -> list[tuple[str, str, str]]:
    return connection.execute("SELECT actor, action, subject FROM audit_entry WHERE tenant_id = ?", (T,)).fetchall()


async def test_with_what_a_device_sent_goes_what_it_said_of_its_jobs(desk: JobsDesk) -> None:
    for job_id in ("first", "second"):
        await desk.offer(job_id, "pump", "valve")
        for device_id in ("pump", "valve"):
            await desk.ask(f"{job_id}/update", device_id, status="SUCCEEDED", statusDetails={"owner": "Maria"})
        desk.clock.now += MINUTE_MS
    asked_at = desk.clock.now - MINUTE_MS - 1
    await desk.jobs.erase(T, "pump", asked_at)
    assert (await desk.execution("first")).details == {}
    assert (await desk.execution("first")).state is ExecutionState.SUCCEEDED
    # Of another device, and what was said later, stays.
    assert (await desk.execution("first", "valve")).details == {"owner": "Maria"}
    assert (await desk.execution("second")).details == {"owner": "Maria"}


async def test_what_cannot_be_looked_through_keeps_no_timer_from_its_end(
    desk: JobsDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[object] = []

    async def broken(select: object, _error: Exception) -> None:
        looked.append(select)
        raise ZeroDivisionError

    monkeypatch.setattr(desk.jobs.aside, "look_through", broken)
    async with _running(desk) as uptime:
        await desk.offer("open", "pump", terms=HOUR)
        await desk.ask("start-next")
        for device_id in ("valve", "valve", "pump"):
            desk.jobs._note_puzzled(T, device_id)
        uptime.passes(60 * MINUTE_MS)
        await _until(_is(desk, "open", ExecutionState.TIMED_OUT))
    assert len(looked) == 2
