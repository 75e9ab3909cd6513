"""The ledger and the room: what people send, what devices say, and what time does."""

import json
import sqlite3

import pytest

from appliance.commands import ruling
from appliance.commands.catalogue.model import CommandType
from appliance.commands.dialects import plain
from appliance.commands.model import (
    By,
    CommandsChanged,
    DialectName,
    NewCommand,
    Selection,
    State,
    UnknownBatchError,
    UnknownCommandError,
)
from appliance.errors import NotFoundError
from broker.message import Message
from tests.appliance.commands.room import TENANT, Hall, until
from tests.appliance.ingestion.gateway import commit_requests
from tests.appliance.registry.examples import FakeClock

BLINK = NewCommand("blink", b'{"times": 3}')


def done(wire_id: str, device_id: str = "lamp") -> str:
    return f"cmd/{device_id}/response/{wire_id}"


async def test_a_command_goes_its_way_and_everybody_hears_of_it(hall: Hall) -> None:
    line = hall.connect("lamp")
    with hall.bus.subscribe(CommandsChanged) as heard:
        sent = await hall.commands.send(TENANT, "lamp", BLINK)
        assert (sent.state, sent.version) == (State.QUEUED, 1)
        acknowledged = await hall.until(sent.execution_id, lambda one: one.state is State.ACKNOWLEDGED)
        assert acknowledged.offered_at is not None
        assert await heard.next_batch() == [CommandsChanged(TENANT, ("lamp",))]
    await hall.respond(done(sent.execution_id), b'{"status": "in_progress"}')
    await hall.respond(done(sent.execution_id), b'{"status": "succeeded", "result": 7}')
    over = await hall.commands.command(TENANT, sent.execution_id)
    assert (over.state, over.result, over.ended_by) == (State.SUCCEEDED, "7", By.DEVICE)
    assert [message.topic.rpartition("/")[2] for message in hall.told] == [
        "CREATED",
        "ACKNOWLEDGED",
        "IN_PROGRESS",
        "SUCCEEDED",
    ]
    assert len(line.written) == 1


async def test_several_responses_of_one_batch_count_in_their_order(hall: Hall) -> None:
    hall.connect("lamp")
    sent = await hall.commands.send(TENANT, "lamp", BLINK)
    await hall.until(sent.execution_id, lambda one: one.offered_at is not None)
    topic = done(sent.execution_id)
    messages = [
        Message(TENANT, "lamp", "lamp", topic, payload, 1, False, hall.clock())
        for payload in (b'{"status": "in_progress"}', b'{"status": "failed"}', b'{"status": "succeeded"}')
    ]
    await hall.together(lambda connection, now: hall.commands.apply(messages, connection, now))
    assert (await hall.commands.command(TENANT, sent.execution_id)).state is State.FAILED
    assert [problem.kind for problem in hall.problems] == ["command_response"]


@pytest.mark.parametrize("bad", [b"[" * 100_000, b'{"status": "boom"}'])
async def test_a_response_that_cannot_be_taken_costs_nobody_else_theirs(
    hall: Hall, bad: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def state_of(told: object) -> State | None:
        if told == "boom":
            raise ZeroDivisionError
        return State.SUCCEEDED

    monkeypatch.setattr(plain, "state_of", state_of)
    await hall.add("other")
    hall.connect("lamp")
    sent = await hall.commands.send(TENANT, "lamp", BLINK)
    await hall.until(sent.execution_id, lambda one: one.offered_at is not None)
    messages = [
        Message(TENANT, "other", "other", done("x", "other"), bad, 1, False, hall.clock()),
        Message(TENANT, "lamp", "lamp", done(sent.execution_id), b'{"status": "succeeded"}', 1, False, hall.clock()),
    ]
    await hall.together(lambda connection, now: hall.commands.apply(messages, connection, now))
    assert (await hall.commands.command(TENANT, sent.execution_id)).state is State.SUCCEEDED
    assert [(problem.principal, problem.kind) for problem in hall.problems] == [("other", "command_response")]


async def test_the_words_of_a_response_that_cannot_be_taken_are_not_logged(
    hall: Hall, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def state_of(told: object) -> State | None:
        raise ValueError(told)

    monkeypatch.setattr(plain, "state_of", state_of)
    await hall.respond(done("x"), b'{"status": "secret"}')
    assert "response not taken tenant_id=1 device_id=lamp error=ValueError where=" in caplog.text
    assert "in state_of" in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.parametrize(("column", "written"), [("reason", b"secret\xc1"), ("result", b"\xc1"), ("state", b"sent?")])
async def test_a_command_that_nobody_can_read_costs_no_other_its_response(
    hall: Hall, caplog: pytest.LogCaptureFixture, column: str, written: bytes
) -> None:
    names = ("lamp", "fan", "other")
    await hall.add("fan", "other")
    sent = {}
    for name in names:
        hall.connect(name)
        sent[name] = (await hall.commands.send(TENANT, name, BLINK)).execution_id
        await hall.until(sent[name], lambda one: one.state is State.ACKNOWLEDGED)
    await hall.settled()

    def spoil(connection: sqlite3.Connection) -> None:
        sql = f"UPDATE command SET {column} = CAST(? AS TEXT) WHERE tenant_id = 1 AND execution_id = ?"
        connection.execute(sql, (written, sent["fan"]))

    await hall.database.write(spoil)
    messages = [
        Message(TENANT, name, name, done(sent[name], name), b'{"status": "succeeded"}', 1, False, hall.clock())
        for name in names
    ]
    hall.told.clear()
    await commit_requests(hall.database, hall.commands, messages, hall.clock())
    for name in ("lamp", "other"):
        assert (await hall.commands.command(TENANT, sent[name])).state is State.SUCCEEDED
    assert [json.loads(one.payload)["executionId"] for one in hall.told] == [sent["lamp"], sent["other"]]
    assert [(problem.principal, problem.kind) for problem in hall.problems] == [("fan", "command_response")]
    assert "requests failed count=1 error=" in caplog.text
    assert "secret" not in caplog.text
    # What nobody can read ends once it is due, and with a reason.
    hall.clock.now += 10**9
    await until(lambda: hall.commands.status().details["set_aside"] == 1)
    over = await hall.commands.command(TENANT, sent["fan"])
    assert (over.is_over, over.reason_code) == (True, ruling.GATEWAY_ERROR)


def test_a_device_that_speaks_as_to_aws_is_told_that_its_response_was_not_taken(hall: Hall) -> None:
    topic = "$aws/commands/things/lamp/executions/x/response/json"
    hall.commands.unserved(Message(TENANT, "lamp", "lamp", topic, b"{}", 1, False, hall.clock()))
    [(reply, client_id)] = hall.replies
    assert (reply.topic, client_id, hall.problems) == (topic.replace("/json", "/rejected/json"), "lamp", [])
    assert json.loads(reply.payload)["error"] == "InternalError"


async def test_a_foreign_or_unknown_response_changes_nothing(hall: Hall) -> None:
    await hall.add("other")
    hall.connect("lamp")
    sent = await hall.commands.send(TENANT, "lamp", BLINK)
    await hall.until(sent.execution_id, lambda one: one.state is State.ACKNOWLEDGED)
    await hall.respond(done(sent.execution_id, "other"), b"", "other")
    await hall.respond(done(sent.execution_id), b"", "other")
    await hall.respond(done("nobody"), b"")
    aws = f"$aws/commands/things/lamp/executions/{sent.execution_id}-7/response/json"
    await hall.respond(aws, b'{"status": "SUCCEEDED"}')
    assert (await hall.commands.command(TENANT, sent.execution_id)).state is State.ACKNOWLEDGED
    assert len(hall.problems) == 3
    [(reply, client_id)] = hall.replies
    assert (reply.topic, client_id) == (aws.replace("response/", "response/rejected/"), "lamp")
    assert json.loads(reply.payload)["error"] == "ResourceNotFound"
    assert not hall.commands.takes("cmd/lamp/request/x")


async def test_commands_are_listed_page_by_page(hall: Hall) -> None:
    await hall.add("other")
    made = [await hall.commands.send(TENANT, name, BLINK) for name in ("lamp", "other", "lamp")]
    numbers = [one.command_number for one in made]
    commands = hall.commands
    assert [one.command_number for one in await commands.commands(TENANT)] == numbers[::-1]
    assert [one.command_number for one in await commands.commands(TENANT, device_id="lamp", limit=1)] == numbers[2:]
    found = await commands.commands(TENANT, device_id="lamp", before=numbers[2], states=(State.QUEUED,))
    assert [one.command_number for one in found] == numbers[:1]
    assert await commands.commands(TENANT, states=(State.SENT,)) == []
    assert await commands.commands(TENANT + 1) == []
    with pytest.raises(NotFoundError):
        await commands.commands(TENANT, device_id="nobody")
    with pytest.raises(UnknownCommandError):
        await commands.command(TENANT + 1, made[0].execution_id)
    with pytest.raises(UnknownBatchError):
        await commands.commands(TENANT, batch_id="nothing")


async def test_a_batch_counts_and_is_listed(hall: Hall) -> None:
    await hall.add("other", zone="north")
    batch = await hall.commands.send_to_many(TENANT, Selection(zone="north"), BLINK)
    assert (batch.device_count, batch.counts) == (2, {State.QUEUED: 2})
    assert [one.batch_id for one in await hall.commands.batches(TENANT)] == [batch.batch_id]
    assert await hall.commands.batches(TENANT, before=batch.batch_number) == []
    found = await hall.commands.commands(TENANT, batch_id=batch.batch_id)
    assert [one.batch_id for one in found] == [batch.batch_id] * 2
    assert await hall.commands.cancel_batch(TENANT, batch.batch_id) == 2
    assert (await hall.commands.batch(TENANT, batch.batch_id)).counts == {State.CANCELLED: 2}


async def test_what_ended_long_ago_is_forgotten_with_its_batch(hall: Hall, clock: FakeClock) -> None:
    batch = await hall.commands.send_to_many(TENANT, Selection(device_ids=("lamp",)), BLINK)
    await hall.commands.cancel_batch(TENANT, batch.batch_id)
    kept = await hall.commands.send(TENANT, "lamp", BLINK)
    await hall.commands.forgetting.trim(clock.now)
    assert len(await hall.commands.batches(TENANT)) == 1
    await hall.commands.forgetting.trim(clock.now + 1)
    assert await hall.commands.batches(TENANT) == []
    assert [one.execution_id for one in await hall.commands.commands(TENANT)] == [kept.execution_id]


async def test_the_dialect_of_the_type_comes_first_where_a_device_wants_several(hall: Hall) -> None:
    await hall.commands.catalogue.put(TENANT, "light", CommandType("blink", dialect=DialectName.PLAIN))
    line = hall.connect("lamp", "cmd/lamp/#", "$aws/commands/things/lamp/executions/+/request/json")
    await hall.commands.send(TENANT, "lamp", BLINK)
    await hall.commands.send(TENANT, "lamp", NewCommand("glow"))
    await until(lambda: len(line.written) == 2)
    assert [message.topic.split("/")[0] for message in line.written] == ["cmd", "$aws"]
