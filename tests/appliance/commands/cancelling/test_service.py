"""What people take back, and what they cannot."""

import sqlite3

import pytest

from appliance.audit.acting import acting_as
from appliance.commands import ruling
from appliance.commands.cancelling import service
from appliance.commands.model import (
    By,
    CommandEndedError,
    CommandSentError,
    NewCommand,
    Selection,
    State,
    UnknownCommandError,
)
from appliance.store.database import UnwritableError
from tests.appliance.commands.room import TENANT, Hall, until


async def test_only_what_was_not_written_is_taken_back(hall: Hall) -> None:
    sent = await hall.commands.send(TENANT, "lamp", NewCommand("blink"))
    with acting_as("user maria"):
        over = await hall.commands.cancel(TENANT, sent.execution_id)
    assert (over.state, over.ended_by, over.reason) == (State.CANCELLED, By.OPERATOR, "by user maria")
    with pytest.raises(CommandEndedError):
        await hall.commands.cancel(TENANT, sent.execution_id)
    with pytest.raises(UnknownCommandError):
        await hall.commands.cancel(TENANT, "nothing")
    hall.connect("lamp")
    other = await hall.commands.send(TENANT, "lamp", NewCommand("blink"))
    await hall.until(other.execution_id, lambda one: one.offered_at is not None)
    with pytest.raises(CommandSentError):
        await hall.commands.cancel(TENANT, other.execution_id)


async def test_what_was_offered_since_somebody_looked_is_not_called_back(hall: Hall) -> None:
    looked_at = await hall.commands.send(TENANT, "lamp", NewCommand("blink"))
    hall.connect("lamp")
    await hall.until(looked_at.execution_id, lambda one: one.offered_at is not None)
    with pytest.raises(CommandSentError):
        await hall.commands.cancelling.cancel(TENANT, looked_at)
    assert (await hall.commands.command(TENANT, looked_at.execution_id)).state is not State.CANCELLED


async def test_what_cannot_be_cancelled_for_a_full_disk_is_offered_again(hall: Hall) -> None:
    sent = await hall.commands.send(TENANT, "lamp", NewCommand("blink"))
    line = hall.connect("lamp")
    line.is_full = True
    await hall.until(sent.execution_id, lambda one: one.offered_at is not None)
    await until(lambda: bool(line.waiting))
    cancelling = hall.commands.cancelling
    together = cancelling.together

    async def full(work: object) -> None:
        raise UnwritableError("full")

    cancelling.together = full
    with pytest.raises(UnwritableError):
        await hall.commands.cancel(TENANT, sent.execution_id)
    cancelling.together = together
    released = await hall.until(sent.execution_id, lambda one: one.offered_at is None)
    assert (released.state, line.waiting) == (State.QUEUED, [])


async def test_of_a_batch_what_waits_to_be_written_is_taken_back_too(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "PIECE", 2)
    await hall.add("written", "waiting", "away", "last", groups=("choir",))
    lines = {name: hall.connect(name) for name in ("written", "waiting", "last")}
    lines["written"].acknowledges = False
    lines["waiting"].is_full = lines["last"].is_full = True
    batch = await hall.commands.send_to_many(TENANT, Selection(group="choir"), NewCommand("blink"))
    await until(lambda: all(line.waiting or line.written for line in lines.values()))
    await hall.settled()
    with acting_as("user maria"):
        assert await hall.commands.cancel_batch(TENANT, batch.batch_id) == 4
    assert (lines["waiting"].waiting, lines["last"].waiting) == ([], [])
    found = {one.device_id: one for one in await hall.commands.commands(TENANT, batch_id=batch.batch_id)}
    assert {name for name, one in found.items() if one.state is State.CANCELLED} == {"lamp", "waiting", "away", "last"}
    assert (found["waiting"].ended_by, found["waiting"].reason) == (By.OPERATOR, "by user maria")
    assert found["written"].state is State.SENT
    actions = [one.action for one in await hall.registry.audit.entries(TENANT, limit=4)]
    assert actions.count("command.cancel_many") == 1


async def test_what_of_a_batch_cannot_be_cancelled_for_a_full_disk_is_offered_again(hall: Hall) -> None:
    line = hall.connect("lamp")
    line.is_full = True
    batch = await hall.commands.send_to_many(TENANT, Selection(group="choir"), NewCommand("blink"))
    await until(lambda: bool(line.waiting))
    await hall.settled()
    cancelling, done = hall.commands.cancelling, [0]

    async def soon_full(work: object) -> None:
        done[0] += 1
        if done[0] > 1:
            raise UnwritableError("full")
        await hall.together(work)  # type: ignore[arg-type]

    cancelling.together = soon_full
    with pytest.raises(UnwritableError):
        await hall.commands.cancel_batch(TENANT, batch.batch_id)
    assert line.waiting == []
    [sent] = await hall.commands.commands(TENANT, batch_id=batch.batch_id)
    released = await hall.until(sent.execution_id, lambda one: one.offered_at is None)
    assert released.state is State.QUEUED


def _spoil(connection: sqlite3.Connection, command_number: int) -> None:
    connection.execute("UPDATE command SET author = CAST(x'c1' AS TEXT) WHERE command_number = ?", (command_number,))


async def test_of_a_batch_all_are_taken_back_but_for_one_that_is_damaged_which_is_set_aside(hall: Hall) -> None:
    await hall.add("a", "b", groups=("choir",))
    batch = await hall.commands.send_to_many(TENANT, Selection(group="choir"), NewCommand("blink"))
    bad, *_ = await hall.commands.commands(TENANT, batch_id=batch.batch_id)
    await hall.database.write(_spoil, bad.command_number)
    # The damaged one is not taken back by anybody: it ends by the gateway.
    assert await hall.commands.cancel_batch(TENANT, batch.batch_id) == 2
    told = await hall.commands.batch(TENANT, batch.batch_id)
    assert (told.counts, hall.commands.status().details["set_aside"]) == ({State.CANCELLED: 3}, 1)


async def test_whoever_takes_back_a_damaged_command_hears_that_it_has_ended(hall: Hall) -> None:
    sent = await hall.commands.send(TENANT, "lamp", NewCommand("blink"))
    await hall.database.write(_spoil, sent.command_number)
    with pytest.raises(CommandEndedError):
        await hall.commands.cancel(TENANT, sent.execution_id)
    over = await hall.commands.command(TENANT, sent.execution_id)
    assert (over.state, over.reason_code) == (State.CANCELLED, ruling.GATEWAY_ERROR)
