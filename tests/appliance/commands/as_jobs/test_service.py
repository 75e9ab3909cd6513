"""Commands and their jobs, in step with each other whatever happens."""

import json
import random
import sqlite3
from collections.abc import AsyncIterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from appliance.commands import ruling
from appliance.commands.catalogue.model import CommandType
from appliance.commands.jobs.model import Execution, ExecutionState, ExecutionStateError
from appliance.commands.jobs.service import Jobs
from appliance.commands.jobs.turns import ASKED_LIMIT
from appliance.commands.model import (
    Command,
    CommandEndedError,
    CommandSentError,
    DialectName,
    InvalidCommandError,
    NewCommand,
    Selection,
    State,
)
from appliance.errors import UnavailableError
from appliance.plane_settings import CommandsConfig
from appliance.registry.service import Registry
from appliance.store.database import Database
from broker.message import Message
from tests.appliance.commands.jobs.desk import JobsDesk
from tests.appliance.commands.room import TENANT, Hall, until
from tests.appliance.ingestion.gateway import commit_requests
from tests.appliance.registry.examples import FakeClock

NEWS = "$aws/things/lamp/jobs/notify-next"
AS_JOB = NewCommand("blink", dialect=DialectName.JOBS)


class Both(SimpleNamespace):
    """Commands and jobs over one database."""

    hall: Hall
    desk: JobsDesk

    async def send(self, new: NewCommand = AS_JOB) -> str:
        return (await self.hall.commands.send(TENANT, "lamp", new)).execution_id

    async def command(self, execution_id: str) -> Command:
        return await self.hall.commands.command(TENANT, execution_id)

    async def open(self) -> Sequence[Execution]:
        executions = await self.desk.jobs.executions_of_device(TENANT, "lamp", limit=1_000)
        return [one for one in executions if one.state.is_open]

    async def ask(self, topic: str, **said: object) -> dict[str, Any]:
        word, answer = await self.desk.ask(topic, "lamp", **said)
        return {"word": word, **answer}

    async def check(self) -> None:
        """Both tell the same."""
        commands = await self.hall.commands.commands(TENANT, limit=1_000)
        expected = {one.wire_id: one.state.value for one in commands if ruling.is_ordered(one) and not one.is_over}
        assert {one.job_id: one.state.value for one in await self.open()} == expected


@pytest.fixture
async def both(database: Database, registry: Registry, clock: FakeClock) -> AsyncIterator[Both]:
    hall = Hall(database, registry, clock)
    await hall.add("lamp", type="light", groups=("choir",))
    desk = JobsDesk(Jobs(database, CommandsConfig(), clock), database, clock)
    hall.commands.speak_jobs(desk.jobs)
    async with desk.jobs.running(), hall.commands.running(hall.exchange):
        yield Both(hall=hall, desk=desk)


async def test_what_is_asked_for_as_a_job_is_one_at_once(both: Both) -> None:
    command = await both.command(await both.send())
    assert (command.state, command.offered_at, command.sent_at) == (State.QUEUED, both.hall.clock(), None)
    assert command.due_at == command.expires_at
    [execution] = await both.open()
    assert (execution.job_id, execution.is_command) == (command.execution_id, True)
    assert (NEWS, command.execution_id) in [
        (topic, told.get("execution", {}).get("jobId")) for topic, told in both.desk.heard()
    ]


async def test_a_device_that_hears_of_jobs_alone_gets_what_waits_as_jobs_the_most_urgent_first(both: Both) -> None:
    made = [await both.send(NewCommand("blink", priority=priority)) for priority in (0, 9)]
    assert await both.open() == []
    line = both.hall.connect("lamp", NEWS)
    for one in made:
        await both.hall.until(one, lambda command: command.dialect is DialectName.JOBS)
    assert [one.job_id for one in reversed(await both.open())] == made[::-1]
    assert line.written == []
    await both.check()


async def test_who_has_subscribed_to_another_dialect_is_spoken_to_in_that(both: Both) -> None:
    line = both.hall.connect("lamp", NEWS, "cmd/lamp/request/+")
    command = await both.send(NewCommand("blink"))
    assert (await both.hall.until(command, lambda one: one.sent_at is not None)).dialect is DialectName.ANY
    assert await both.open() == []
    assert len(line.written) == 1


async def test_a_type_may_say_that_its_devices_speak_of_jobs(both: Both) -> None:
    await both.hall.commands.catalogue.put(TENANT, "light", CommandType("blink", dialect=DialectName.JOBS))
    await both.send(NewCommand("blink"))
    assert len(await both.open()) == 1
    await both.send(NewCommand("blink", dialect=DialectName.PLAIN))
    assert len(await both.open()) == 1


async def test_a_batch_is_a_job_for_each_device(both: Both) -> None:
    await both.hall.add("lantern", groups=("choir",))
    batch = await both.hall.commands.send_to_many(TENANT, Selection(group="choir"), AS_JOB)
    for device_id in ("lamp", "lantern"):
        assert len(await both.desk.jobs.executions_of_device(TENANT, device_id)) == 1
    assert await both.hall.commands.cancel_batch(TENANT, batch.batch_id) == 2
    await both.check()


async def test_what_is_too_long_for_a_job_is_refused_or_ends_with_a_reason(both: Both) -> None:
    long = b'"' + b"a" * 32_768 + b'"'
    with pytest.raises(InvalidCommandError):
        await both.send(NewCommand("blink", long, dialect=DialectName.JOBS))
    command = await both.send(NewCommand("blink", long))
    both.hall.connect("lamp", NEWS)
    told = await both.hall.until(command, lambda one: one.is_over)
    assert (told.state, told.reason_code) == (State.CANCELLED, "NOT_ENCODABLE")
    assert await both.open() == []


async def test_what_has_expired_or_was_called_back_is_given_to_nobody(both: Both) -> None:
    expired = await both.send(NewCommand("blink", dialect=DialectName.JOBS, expires_in_s=5))
    regretted = await both.send()
    await both.hall.commands.cancel(TENANT, regretted)
    both.hall.clock.now += 5_000
    await both.hall.commands.tending.tend()
    assert (await both.command(expired)).reason_code == ruling.EXPIRED
    assert "execution" not in await both.ask("start-next")
    for one in (expired, regretted):
        assert (await both.ask(f"{one}/update", status="IN_PROGRESS"))["code"] == "InvalidStateTransition"
    await both.check()


async def test_what_is_begun_cannot_be_called_back(both: Both) -> None:
    command = await both.send()
    await both.ask("start-next")
    with pytest.raises(CommandSentError):
        await both.hall.commands.cancel(TENANT, command)
    assert (await both.command(command)).state is State.IN_PROGRESS


async def test_an_attempt_that_came_to_no_end_is_taken_away_and_the_next_one_is_another_job(both: Both) -> None:
    new = NewCommand("blink", dialect=DialectName.JOBS, finish_timeout_s=60, retries=1)
    command = await both.send(new)
    await both.ask("start-next")
    both.hall.clock.now += 60_000
    await both.hall.commands.tending.tend()
    waiting = await both.command(command)
    assert (waiting.attempt, waiting.offered_at, waiting.reason_code) == (2, None, ruling.NOT_FINISHED)
    await both.check()
    both.hall.clock.now += ruling.BACKOFF_MS
    await both.hall.commands.tending.tend()
    assert [one.job_id for one in await both.open()] == [f"{command}-2"]
    assert (await both.ask(f"{command}/update", status="SUCCEEDED"))["code"] == "InvalidStateTransition"
    await both.check()


async def test_what_a_device_says_in_one_batch_counts_in_its_order(both: Both) -> None:
    command = await both.send()
    first = await both.command(command)
    asked = (("start-next", b""), (f"{command}/update", b'{"status": "SUCCEEDED"}'))
    messages = [
        Message(TENANT, "lamp", "lamp", f"$aws/things/lamp/jobs/{topic}", payload, 1, False, both.hall.clock())
        for topic, payload in asked
    ]
    await both.desk.together(lambda connection, now: both.desk.jobs.apply(messages, connection, now))
    told = await both.command(command)
    assert (told.state, told.version, told.started_at) == (State.SUCCEEDED, first.version + 2, both.hall.clock())


async def test_a_start_of_the_gateway_offers_nothing_twice(both: Both) -> None:
    command = await both.send(NewCommand("blink", dialect=DialectName.JOBS, may_repeat=True))
    before = await both.command(command)
    await both.hall.commands.courier._recall()
    await both.hall.settled()
    both.hall.connect("lamp", NEWS)
    await both.hall.settled()
    assert await both.command(command) == before
    assert len(await both.open()) == 1


async def test_the_word_of_the_device_counts_on_whichever_topic(both: Both) -> None:
    command = await both.send()
    await both.hall.respond(f"cmd/lamp/response/{command}", b'{"status": "succeeded"}')
    assert (await both.command(command)).state is State.SUCCEEDED
    await both.check()


async def test_a_suspended_device_loses_both(both: Both) -> None:
    command = await both.send()
    both.hall.commands.gone(TENANT, "lamp")
    await both.hall.until(command, lambda one: one.reason_code == ruling.DEVICE_GONE)
    await both.check()


async def test_what_becomes_of_it_is_told_as_of_any_command(both: Both) -> None:
    command = await both.send()
    await both.ask("start-next")
    await both.ask(f"{command}/update", status="SUCCEEDED")
    assert [one.topic.rpartition("/")[2] for one in both.hall.told] == ["CREATED", "IN_PROGRESS", "SUCCEEDED"]
    await until(lambda: not both.hall.commands.courier._flights)


@pytest.mark.parametrize("seed", range(6))
async def test_both_ledgers_tell_the_same_whatever_happens(both: Both, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311  for a test
    made: list[str] = []

    async def step() -> None:
        match chance.choice(["send", "start", "update", "update", "cancel", "by hand", "wait", "forget"]):
            case "send":
                made.append(await both.send(NewCommand("b", dialect=DialectName.JOBS, retries=2, expires_in_s=90)))
            case "start":
                await both.ask("start-next")
            case "update" if found := await both.open():
                word = chance.choice(["IN_PROGRESS", "SUCCEEDED", "FAILED", "REJECTED"])
                await both.ask(f"{chance.choice(found).job_id}/update", status=word)
            case "cancel" if made:
                await both.hall.commands.cancel(TENANT, chance.choice(made))
            case "by hand" if found := await both.open():
                await both.desk.jobs.cancel_execution(TENANT, chance.choice(found).job_id, "lamp", force=seed % 2 == 0)
            case "forget" if found := await both.open():
                await both.desk.jobs.delete_execution(TENANT, chance.choice(found).job_id, "lamp", 1)
            case _:
                both.hall.clock.now += chance.choice([1_000, 10_000, 40_000])
                await both.hall.commands.tending.tend()

    for _ in range(60):
        try:
            await step()
        except (CommandSentError, CommandEndedError, ExecutionStateError):
            continue
        await both.check()
    # Nothing is left open once its time is over.
    both.hall.clock.now += 10**9
    await both.hall.commands.tending.tend()
    assert await both.open() == []
    assert {(await both.command(one)).is_over for one in made} == {True}


async def test_a_job_that_nobody_can_read_costs_its_device_no_command(both: Both) -> None:
    job_number = await both.desk.offer("old", "lamp")

    def spoil(connection: sqlite3.Connection) -> None:
        connection.execute(
            "UPDATE job_execution SET details = '{' WHERE tenant_id = 1 AND job_number = ?", (job_number,)
        )

    await both.desk.database.write(spoil)
    command = await both.send(NewCommand("blink"))
    both.hall.connect("lamp", NEWS)
    await both.hall.until(command, lambda one: one.dialect is DialectName.JOBS)
    assert [one.job_id for one in await both.open()] == [command]
    assert both.hall.commands.status().details["set_aside"] == 0


async def _spoil_job(both: Both, device_id: str, assignment: str = "details = '{'") -> None:
    sql = f"UPDATE job_execution SET {assignment} WHERE tenant_id = 1 AND device_id = ?"
    await both.desk.database.write(lambda connection: connection.execute(sql, (device_id,)))


@pytest.mark.parametrize("assignment", ["details = '{'", "reason = CAST(x'c1' AS TEXT)"])
async def test_a_job_that_nobody_can_read_keeps_no_command_from_becoming_one(both: Both, assignment: str) -> None:
    await both.desk.offer("old", "lamp")
    await _spoil_job(both, "lamp", assignment)
    command = await both.send()
    assert [one.job_id for one in await both.open()] == [command]
    [old] = await both.desk.jobs.executions_of_job(TENANT, "old")
    assert (old.state, both.desk.jobs.aside.count) == (ExecutionState.CANCELLED, 1)
    await both.check()


async def test_a_batch_goes_on_past_a_device_with_a_job_that_nobody_can_read(both: Both) -> None:
    await both.hall.add("fan", groups=("choir",))
    await both.desk.offer("old", "lamp", "fan")
    await _spoil_job(both, "fan")
    batch = await both.hall.commands.send_to_many(TENANT, Selection(group="choir"), AS_JOB)
    assert (batch.device_count, batch.counts, both.desk.jobs.aside.count) == (2, {State.QUEUED: 2}, 1)
    mine, old = await both.desk.jobs.executions_of_device(TENANT, "fan")
    assert (mine.is_command, mine.state, old.state) == (True, ExecutionState.QUEUED, ExecutionState.CANCELLED)


async def test_what_cannot_even_be_mended_is_refused_with_a_reason_and_ends_in_a_batch(
    both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unmended(*_: object) -> bool:
        return False

    monkeypatch.setattr(both.desk.jobs.aside, "look_through", unmended)
    await both.hall.add("fan", groups=("choir",))
    await both.desk.offer("old", "lamp", "fan")
    await _spoil_job(both, "fan")
    with pytest.raises(UnavailableError, match="its log says where"):
        await both.hall.commands.send(TENANT, "fan", AS_JOB)
    batch = await both.hall.commands.send_to_many(TENANT, Selection(group="choir"), AS_JOB)
    assert batch.counts == {State.QUEUED: 1, State.CANCELLED: 1}
    [over] = await both.hall.commands.commands(TENANT, states=[State.CANCELLED])
    assert (over.device_id, over.reason_code) == ("fan", ruling.GATEWAY_ERROR)


async def test_a_command_is_due_and_taken_back_with_its_job_whatever_else_its_device_has(both: Both) -> None:
    sent = [await both.send(NewCommand("blink", dialect=DialectName.JOBS, expires_in_s=5)) for _ in "ab"]
    await both.desk.offer("old", "lamp")
    await _spoil_job(both, "lamp", "details = CASE execution_id WHEN 3 THEN '{' ELSE details END")
    assert (await both.hall.commands.cancel(TENANT, sent[0])).reason_code == ruling.CANCELLED
    await both.desk.offer("older", "lamp")
    await _spoil_job(both, "lamp", "details = CASE execution_id WHEN 4 THEN '{' ELSE details END")
    both.hall.clock.now += 5_000
    await both.hall.commands.tending.tend()
    assert (await both.command(sent[1])).reason_code == ruling.EXPIRED
    assert (await both.open(), both.hall.commands.status().details["set_aside"]) == ([], 0)


async def test_a_command_that_nobody_can_read_costs_no_other_what_its_device_says_of_the_job(both: Both) -> None:
    commands, names = both.hall.commands, ("lamp", "fan", "other")
    await both.hall.add("fan", "other")
    sent = {name: (await commands.send(TENANT, name, AS_JOB)).execution_id for name in names}

    def spoil(connection: sqlite3.Connection) -> None:
        sql = "UPDATE command SET reason = CAST(x'c1' AS TEXT) WHERE tenant_id = 1 AND execution_id = ?"
        connection.execute(sql, (sent["fan"],))

    await both.desk.database.write(spoil)
    now = both.hall.clock()
    messages = [
        Message(
            TENANT,
            name,
            name,
            f"$aws/things/{name}/jobs/{sent[name]}/update",
            b'{"status": "SUCCEEDED", "clientToken": "mine"}',
            1,
            False,
            now,
        )
        for name in names
    ]
    await commit_requests(both.desk.database, both.desk.jobs, messages, now)
    replied = {client_id: reply.topic.rpartition("/")[2] for client_id, reply in both.desk.replies}
    assert replied == {"lamp": "accepted", "fan": "rejected", "other": "accepted"}
    [refused] = [json.loads(reply.payload) for client_id, reply in both.desk.replies if client_id == "fan"]
    assert (refused["code"], refused["clientToken"]) == ("InternalError", "mine")
    for name in ("lamp", "other"):
        assert (await both.command(sent[name])).state is State.SUCCEEDED
    [left] = await both.desk.jobs.executions_of_device(TENANT, "fan")
    assert left.state.is_open


async def test_no_device_asks_more_often_because_a_batch_is_done_in_parts(both: Both) -> None:
    await both.hall.add("fan")
    sent = (await both.hall.commands.send(TENANT, "fan", AS_JOB)).execution_id

    def spoil(connection: sqlite3.Connection) -> None:
        sql = "UPDATE command SET reason = CAST(x'c1' AS TEXT) WHERE tenant_id = 1 AND execution_id = ?"
        connection.execute(sql, (sent,))

    await both.desk.database.write(spoil)
    now = both.hall.clock()
    asked = [
        Message(TENANT, "lamp", "lamp", "$aws/things/lamp/jobs/get", b"{}", 1, False, now)
        for _ in range(3 * ASKED_LIMIT)
    ]
    topic = f"$aws/things/fan/jobs/{sent}/update"
    asked.insert(ASKED_LIMIT, Message(TENANT, "fan", "fan", topic, b'{"status": "SUCCEEDED"}', 1, False, now))
    await commit_requests(both.desk.database, both.desk.jobs, asked, now)
    words = [reply.topic.rpartition("/")[2] for client_id, reply in both.desk.replies if client_id == "lamp"]
    assert words == ["accepted"] * ASKED_LIMIT + ["rejected"] * 2 * ASKED_LIMIT
    assert both.desk.jobs.throttled_count == 2 * ASKED_LIMIT
