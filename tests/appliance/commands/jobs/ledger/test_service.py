"""Executions inside one transaction: what becomes of them, and who hears what."""

import json
import sqlite3
from collections.abc import Callable, Sequence

import pytest

from appliance.commands.jobs import requests
from appliance.commands.jobs.ledger.service import Ledger
from appliance.commands.jobs.model import CommandJob, ExecutionChange, ExecutionState, Retries, Terms, Window
from appliance.commands.jobs.turns import ASKED_LIMIT
from appliance.plane_settings import CommandsConfig
from appliance.store.database import Afterwards, Database, Select
from broker.message import Message
from tests.appliance.commands.jobs.desk import DOCUMENT, JobsDesk, T, opened
from tests.appliance.registry.examples import FakeClock

NIGHTLY = Terms(windows=(Window("0 2 * * *", 60),))


async def test_a_job_is_handed_out_once_and_its_devices_hear_of_it(desk: JobsDesk) -> None:
    job_number = await desk.add_job("open")
    given = await desk.hand_out(job_number, "pump", "valve", "nobody")
    assert (given.device_ids, given.full) == (("pump", "valve"), ())
    assert desk.topics() == ["pump/jobs/notify", "pump/jobs/notify-next", "valve/jobs/notify", "valve/jobs/notify-next"]
    assert (await desk.hand_out(job_number, "pump")).device_ids == ()
    assert desk.topics() == []
    assert [one.device_ids for one in desk.announced] == [("pump", "valve")]


async def test_the_first_one_is_told_with_its_document_and_the_second_only_in_the_list(desk: JobsDesk) -> None:
    await desk.offer("first", "pump")
    [(_, listed), (_, first)] = desk.heard()
    assert [one["jobId"] for one in listed["jobs"]["QUEUED"]] == ["first"]
    assert (first["execution"]["jobId"], first["execution"]["jobDocument"]) == ("first", {"operation": "open"})
    await desk.offer("second", "pump")
    [(topic, listed)] = desk.heard()
    assert topic.endswith("/notify")
    assert [one["jobId"] for one in listed["jobs"]["QUEUED"]] == ["first", "second"]


async def test_the_queue_is_in_the_order_of_queueing_whatever_the_clock_says(desk: JobsDesk) -> None:
    await desk.offer("first", "pump")
    desk.clock.now -= 10**9
    await desk.offer("second", "pump")
    _, said = await desk.ask("get")
    assert [one["jobId"] for one in said["queuedJobs"]] == ["first", "second"]


async def test_a_device_that_has_too_much_open_is_left_for_later(database: Database, clock: FakeClock) -> None:
    async with opened(database, clock, CommandsConfig(open_per_device=2)) as desk:
        for job_id in ("one", "two"):
            await desk.offer(job_id, "pump")
        job_number = await desk.add_job("three")
        given = await desk.hand_out(job_number, "pump", "valve")
        assert (given.device_ids, given.full) == (("valve",), ("pump",))
        await desk.ask("one/update", status="SUCCEEDED")
        assert (await desk.hand_out(job_number, "pump")).device_ids == ("pump",)


async def test_a_job_from_beginning_to_end(desk: JobsDesk) -> None:
    await desk.offer("open", "pump")
    desk.heard()
    word, said = await desk.ask("start-next", statusDetails={"step": "1"}, clientToken="t")
    assert (word, said["clientToken"], said["execution"]["status"]) == ("accepted", "t", "IN_PROGRESS")
    assert (said["execution"]["versionNumber"], said["execution"]["statusDetails"]) == (2, {"step": "1"})
    assert said["execution"]["jobDocument"] == {"operation": "open"}
    assert await desk.ask("start-next", statusDetails={"step": "9"}, clientToken="t") == ("accepted", said)
    word, said = await desk.ask("open/update", status="IN_PROGRESS", statusDetails={"step": "2"}, expectedVersion="2")
    assert (word, set(said)) == ("accepted", {"timestamp"})
    assert desk.topics() == [], "neither beginning nor details change the list"
    word, said = await desk.ask(
        "open/update", status="SUCCEEDED", includeJobExecutionState=True, includeJobDocument=True
    )
    assert said["executionState"] == {"status": "SUCCEEDED", "statusDetails": {"step": "2"}, "versionNumber": 4}
    assert said["jobDocument"] == {"operation": "open"}
    heard = desk.heard()
    assert [topic for topic, _ in heard] == [
        "$aws/events/jobExecution/open/succeeded",
        "$aws/things/pump/jobs/notify",
        "$aws/things/pump/jobs/notify-next",
    ]
    assert heard[1][1]["jobs"] == {}
    assert "execution" not in heard[2][1]


async def test_starting_with_nothing_pending_is_accepted_without_an_execution(desk: JobsDesk) -> None:
    word, said = await desk.ask("start-next", clientToken="t")
    assert (word, set(said)) == ("accepted", {"timestamp", "clientToken"})


async def test_the_next_one_can_be_described_without_starting_it(desk: JobsDesk) -> None:
    word, said = await desk.ask("$next/get")
    assert (word, set(said)) == ("accepted", {"timestamp"})
    await desk.offer("open", "pump")
    _, said = await desk.ask("$next/get", includeJobDocument=False)
    assert (said["execution"]["jobId"], said["execution"]["status"]) == ("open", "QUEUED")
    assert "jobDocument" not in said["execution"]
    _, said = await desk.ask("open/get", executionNumber=1)
    assert said["execution"]["jobDocument"] == {"operation": "open"}


async def test_what_cannot_be_is_rejected_with_the_code_of_aws(desk: JobsDesk) -> None:
    await desk.offer("open", "pump")
    for topic, said, code in (
        ("other/get", {}, "ResourceNotFound"),
        ("open/get", {"executionNumber": 2}, "ResourceNotFound"),
        ("a b/get", {}, "InvalidTopic"),
        ("$next/update", {"status": "SUCCEEDED"}, "InvalidTopic"),
        ("open/update", {}, "InvalidRequest"),
        ("open/update", {"status": "SUCCEEDED", "expectedVersion": 7}, "VersionMismatch"),
        ("open/update", {"status": "CANCELED"}, "InvalidStateTransition"),
    ):
        word, answer = await desk.ask(topic, **said, clientToken="t")
        assert (word, answer["code"], answer["clientToken"]) == ("rejected", code, "t")
        assert ("executionState" in answer) is (code in ("VersionMismatch", "InvalidStateTransition"))
    assert (await desk.execution("open")).version == 1


async def test_what_has_ended_is_neither_described_nor_updated(desk: JobsDesk) -> None:
    await desk.offer("open", "pump")
    await desk.ask("open/update", status="REJECTED")
    assert (await desk.ask("open/get"))[1]["code"] == "TerminalStateReached"
    word, said = await desk.ask("open/update", status="IN_PROGRESS")
    assert (word, said["code"], said["executionState"]["status"]) == ("rejected", "InvalidStateTransition", "REJECTED")


async def test_another_devices_job_is_none_of_this_one(desk: JobsDesk) -> None:
    await desk.offer("open", "valve")
    assert (await desk.ask("open/get"))[1]["code"] == "ResourceNotFound"
    assert (await desk.ask("open/update", status="SUCCEEDED"))[1]["code"] == "ResourceNotFound"
    assert (await desk.ask("get"))[1]["queuedJobs"] == []


async def test_another_try_follows_a_failure_and_the_list_says_so(desk: JobsDesk) -> None:
    told: list[int] = []
    desk.jobs.ended = _noting(told)
    job_number = await desk.offer("open", "pump", terms=Terms(retries=Retries(failed=1)))
    desk.heard()
    await desk.ask("open/update", status="FAILED")
    assert desk.topics() == ["$aws/events/jobExecution/open/failed", "pump/jobs/notify", "pump/jobs/notify-next"]
    _, said = await desk.ask("start-next")
    assert (said["execution"]["executionNumber"], said["execution"]["versionNumber"]) == (2, 2)
    assert told == [], "the job goes on"
    counts = await desk.within(lambda ledger: ledger.counts(T, job_number))
    assert counts == {ExecutionState.IN_PROGRESS: 1}, "a device counts by its latest try"
    await desk.ask("open/update", status="FAILED")
    assert (await desk.states())["open"] == [ExecutionState.FAILED, ExecutionState.FAILED]
    assert told == [job_number]


async def test_nothing_is_tried_again_of_a_job_that_is_not_going_on(desk: JobsDesk) -> None:
    job_number = await desk.offer("open", "pump", terms=Terms(retries=Retries(failed=3)))
    await desk.database.write(
        lambda connection: connection.execute(
            "UPDATE job SET state = 'cancelled' WHERE tenant_id = ? AND job_number = ?", (T, job_number)
        )
    )
    await desk.ask("open/update", status="FAILED")
    assert (await desk.states())["open"] == [ExecutionState.FAILED]


@pytest.mark.parametrize("force", [False, True])
async def test_a_job_is_called_back_from_whom_it_waits_for_and_with_force_from_all(
    desk: JobsDesk, *, force: bool
) -> None:
    told: list[int] = []
    desk.jobs.ended = _noting(told)
    job_number = await desk.offer("open", "pump", "valve")
    await desk.ask("start-next")
    desk.heard()
    count = await desk.within(lambda ledger: ledger.cancel(T, job_number, "called back", force=force))
    assert count == (2 if force else 1)
    assert (await desk.states("valve"))["open"] == [ExecutionState.CANCELLED]
    pump = ExecutionState.CANCELLED if force else ExecutionState.IN_PROGRESS
    assert (await desk.states())["open"] == [pump]
    assert "valve/jobs/notify-next" in desk.topics()
    assert (await desk.execution("open", "valve")).reason == "called back"
    assert told == [job_number], "told once per transaction"


async def test_what_is_queued_is_taken_back_from_a_device_that_left(desk: JobsDesk) -> None:
    job_number = await desk.offer("open", "pump", "valve")
    await desk.ask("start-next")
    count = await desk.within(lambda ledger: ledger.remove(T, job_number, ["pump", "valve"], "left"))
    assert count == 1
    assert (await desk.states())["open"] == [ExecutionState.IN_PROGRESS]
    assert (await desk.states("valve"))["open"] == [ExecutionState.REMOVED]


async def test_what_is_deleted_is_gone_from_the_ledger_and_is_told(desk: JobsDesk) -> None:
    job_number = await desk.offer("open", "pump")
    desk.heard()
    assert await desk.within(lambda ledger: ledger.delete(T, job_number)) == 1
    assert await desk.states() == {}
    assert desk.topics() == ["$aws/events/jobExecution/open/deleted", "pump/jobs/notify", "pump/jobs/notify-next"]
    assert await desk.within(lambda ledger: ledger.delete(T, job_number)) == 0


async def test_outside_its_windows_a_job_is_hidden_and_its_devices_hear_when_that_ends(desk: JobsDesk) -> None:
    shown = False
    desk.jobs.is_open = lambda _windows, _now: shown
    job_number = await desk.offer("nightly", "pump", terms=NIGHTLY)
    assert desk.topics() == []
    assert (await desk.ask("start-next"))[1].keys() == {"timestamp"}
    await desk.offer("now", "pump")
    desk.heard()
    shown = True
    await desk.jobs.show(T, job_number)
    [(_, listed), (_, first)] = desk.heard()
    assert [one["jobId"] for one in listed["jobs"]["QUEUED"]] == ["nightly", "now"]
    assert first["execution"]["jobId"] == "nightly"
    shown = False
    await desk.jobs.show(T, job_number)
    [(_, listed), (_, first)] = desk.heard()
    assert [one["jobId"] for one in listed["jobs"]["QUEUED"]] == ["now"]
    assert first["execution"]["jobId"] == "now"


async def test_what_was_begun_in_a_window_goes_on_outside_it(desk: JobsDesk) -> None:
    shown = True
    desk.jobs.is_open = lambda _windows, _now: shown
    job_number = await desk.offer("nightly", "pump", terms=NIGHTLY)
    await desk.ask("start-next")
    shown = False
    desk.heard()
    await desk.jobs.show(T, job_number)
    assert desk.topics() == []
    assert (await desk.ask("start-next"))[1]["execution"]["jobId"] == "nightly"


async def test_a_transaction_tells_a_device_once_how_its_list_is_in_the_end(desk: JobsDesk) -> None:
    first, second = await desk.add_job("first"), await desk.add_job("second")

    def both(ledger: Ledger) -> None:
        ledger.hand_out(T, first, ["pump"])
        ledger.hand_out(T, second, ["pump"])
        ledger.cancel(T, first, "", force=False)

    await desk.within(both)
    heard = desk.heard()
    assert [topic.rpartition("/")[2] for topic, _ in heard] == ["canceled", "notify", "notify-next"]
    assert heard[-1][1]["execution"]["jobId"] == "second"


async def test_a_document_is_given_as_it_was_written(desk: JobsDesk) -> None:
    job_number = await desk.add_job("open", document='{"n": 1.50}')
    await desk.hand_out(job_number, "pump")
    message = desk.published[-1]
    assert b'"jobDocument":{"n": 1.50}' in message.payload
    assert DOCUMENT.encode() not in message.payload


def _noting(told: list[int]) -> Callable[[sqlite3.Connection, int, int, int], Afterwards]:
    def ended(_connection: sqlite3.Connection, _tenant_id: int, job_number: int, _now: int) -> Afterwards:
        return lambda: told.append(job_number)

    return ended


async def test_who_asks_too_often_at_once_is_told_so_and_nobody_else(desk: JobsDesk) -> None:
    for number in range(5):
        await desk.offer(f"job-{number}", "pump", "valve")
    read: list[str] = []
    asked = [_request(desk, "pump", "get", number) for number in range(ASKED_LIMIT + 3)]
    asked += [_request(desk, "valve", "get", 0)]

    def work(connection: sqlite3.Connection, now: int) -> Afterwards:
        connection.set_trace_callback(read.append)
        try:
            return desk.jobs.apply(asked, connection, now)
        finally:
            connection.set_trace_callback(None)

    await desk.together(work)
    words = [message.topic.rpartition("/")[2] for _, message in desk.replies]
    assert desk.jobs.throttled_count == 3
    assert words == ["accepted"] * ASKED_LIMIT + ["rejected"] * 3 + ["accepted"]
    last = json.loads(desk.replies[-2][1].payload)
    assert (last["code"], last["clientToken"]) == ("RequestThrottled", str(ASKED_LIMIT + 2))
    # However often a device asks, what it has open is read once.
    assert len(read) == 2


async def test_what_is_asked_in_one_batch_sees_what_came_before_it(desk: JobsDesk) -> None:
    await desk.offer("first", "pump", terms=Terms(retries=Retries(failed=1)))
    await desk.offer("second", "pump")
    asked = [
        _request(desk, "pump", "start-next", 0),
        _request(desk, "pump", "first/update", 1, status="FAILED"),
        _request(desk, "pump", "get", 2),
        _request(desk, "pump", "start-next", 3),
        _request(desk, "pump", "get", 4),
    ]
    await desk.together(lambda connection, now: desk.jobs.apply(asked, connection, now))
    said = [json.loads(message.payload) for _, message in desk.replies]
    assert [(one["jobId"], one["executionNumber"]) for one in said[2]["queuedJobs"]] == [("second", 1), ("first", 2)]
    assert said[3]["execution"]["jobId"] == "second"
    assert [one["jobId"] for one in said[4]["inProgressJobs"]] == ["second"]
    assert [one["jobId"] for one in said[4]["queuedJobs"]] == ["first"]


def _request(desk: JobsDesk, device_id: str, what: str, token: int, **said: object) -> Message:
    payload = json.dumps({**said, "clientToken": str(token)}).encode()
    return Message(T, device_id, device_id, f"$aws/things/{device_id}/jobs/{what}", payload, 1, False, desk.clock())


async def test_a_command_that_is_sent_as_a_job_hears_of_every_change(desk: JobsDesk) -> None:
    heard: list[tuple[str, str]] = []

    def followed(_connection: object, changes: Sequence[ExecutionChange], _now: int) -> Afterwards:
        words = [tuple("" if it is None else it.state.value for it in (one.before, one.after)) for one in changes]
        return lambda: heard.extend((before, after) for before, after in words)

    desk.jobs.followed = followed
    order = CommandJob("c0ffee", "pump", DOCUMENT)
    assert (await desk.within(lambda ledger: ledger.order(T, order))).is_command
    assert desk.topics() == ["pump/jobs/notify", "pump/jobs/notify-next"]
    # Its id is taken, and nobody is there to have it.
    assert await desk.within(lambda ledger: ledger.order(T, order)) is None
    assert await desk.within(lambda ledger: ledger.order(T, CommandJob("other", "nobody", DOCUMENT))) is None
    word, said = await desk.ask("start-next")
    assert (word, said["execution"]["jobId"], said["execution"]["jobDocument"]) == (
        "accepted",
        "c0ffee",
        {"operation": "open"},
    )
    assert not await desk.within(lambda ledger: ledger.recall(T, "c0ffee", "pump", "too late", force=False))
    await desk.ask("c0ffee/update", status="IN_PROGRESS")
    await desk.ask("c0ffee/update", status="SUCCEEDED")
    assert heard == [
        ("", "queued"),
        ("queued", "in_progress"),
        ("in_progress", "in_progress"),
        ("in_progress", "succeeded"),
    ]
    assert await _job(desk, "c0ffee") == ("completed", desk.clock())


async def test_what_was_ordered_can_be_called_back_and_forgotten(desk: JobsDesk) -> None:
    heard: list[tuple[bool, bool]] = []

    def followed(_connection: object, changes: Sequence[ExecutionChange], _now: int) -> Afterwards:
        return lambda: heard.extend((one.before is None, one.after is None) for one in changes)

    desk.jobs.followed = followed
    for job_id in ("one", "two"):
        await desk.within(lambda ledger, job_id=job_id: ledger.order(T, CommandJob(job_id, "pump", DOCUMENT)))
    await desk.ask("start-next")
    assert await desk.within(lambda ledger: ledger.recall(T, "one", "pump", "it is late", force=True))
    assert not await desk.within(lambda ledger: ledger.recall(T, "one", "pump", "again", force=True))
    assert await _job(desk, "one") == ("cancelled", desk.clock())
    await desk.jobs.delete_execution(T, "two", "pump", 1)
    assert await _job(desk, "two") == ("cancelled", desk.clock())
    assert heard[-2:] == [(False, False), (False, True)]
    # What is no command's is not called back so.
    await desk.offer("plan", "pump")
    assert not await desk.within(lambda ledger: ledger.recall(T, "plan", "pump", "", force=True))


async def _job(desk: JobsDesk, job_id: str) -> tuple[str, int | None]:
    sql = "SELECT state, ended_at FROM job WHERE tenant_id = ? AND job_id = ?"
    [found] = await desk.database.read(Select(sql, (T, job_id), lambda *row: row))
    return found


async def test_a_request_at_which_the_gateway_fails_is_answered_and_costs_nobody_else_theirs(
    desk: JobsDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.offer("first", "valve")

    def token_of(said: object) -> str | None:
        if said == {"boom": 1}:
            raise ZeroDivisionError
        return None

    monkeypatch.setattr(requests, "token_of", token_of)
    word, said = await desk.ask("get", boom=1)
    assert (word, said["code"]) == ("rejected", "InternalError")
    assert (await desk.ask("get", device_id="valve"))[0] == "accepted"
