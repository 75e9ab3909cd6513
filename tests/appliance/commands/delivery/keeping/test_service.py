"""What is heard of commands under way gets to the disk."""

import asyncio
import sqlite3

import pytest

from appliance.commands import ruling
from appliance.commands.delivery.flight import Key
from appliance.commands.delivery.keeping import service
from appliance.commands.model import NewCommand, State
from appliance.store.database import UnwritableError
from tests.appliance.commands.room import TENANT, Hall, until


def _spoil(connection: sqlite3.Connection, execution_id: str) -> None:
    sql = "UPDATE command SET ended_by = 'nonsense' WHERE tenant_id = ? AND execution_id = ?"
    connection.execute(sql, (TENANT, execution_id))


async def test_evidence_that_cannot_be_kept_keeps_no_other_from_the_disk(hall: Hall) -> None:
    await hall.add("other")
    lines = [hall.connect(name) for name in ("lamp", "other")]
    for line in lines:
        line.acknowledges = False
    bad, good = [await hall.commands.send(TENANT, name, NewCommand("blink")) for name in ("lamp", "other")]
    for one in (bad, good):
        await hall.until(one.execution_id, lambda one: one.state is State.SENT)
    await hall.database.write(_spoil, bad.execution_id)
    for line in lines:
        line.evidence[0].acknowledged(line.client_id)
    await hall.until(good.execution_id, lambda one: one.state is State.ACKNOWLEDGED)
    await until(lambda: hall.commands.status().details["set_aside"] == 1)
    over = await hall.commands.command(TENANT, bad.execution_id)
    assert (over.state, over.reason_code) == (State.CANCELLED, ruling.GATEWAY_ERROR)
    assert hall.commands.status().ok


async def test_what_cannot_be_kept_now_is_kept_later(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "RETRY_S", 0.01)
    line = hall.connect("lamp")
    line.acknowledges = False
    sent = await hall.commands.send(TENANT, "lamp", NewCommand("blink"))
    await hall.until(sent.execution_id, lambda one: one.state is State.SENT)
    keeping = hall.commands.courier.keeping
    await until(lambda: keeping.is_done)
    for error in (UnwritableError("no room"), ZeroDivisionError()):

        async def failing(_work: object, error: Exception = error) -> None:
            raise error

        monkeypatch.setattr(keeping, "_keep_piece", failing)
        line.evidence[0].acknowledged("lamp")
        keeping.about(Key(TENANT, "lamp", sent.command_number, 1)).acknowledged_at = hall.clock()
        await until(lambda: bool(keeping.trouble))
        assert not hall.commands.status().ok
    monkeypatch.undo()
    await hall.until(sent.execution_id, lambda one: one.state is State.ACKNOWLEDGED)
    await until(lambda: hall.commands.status().ok)


async def test_at_the_end_one_that_cannot_be_kept_costs_no_other_its_evidence(hall: Hall) -> None:
    await hall.add("other")
    bad, good = [await hall.commands.send(TENANT, name, NewCommand("blink")) for name in ("lamp", "other")]
    await hall.database.write(_spoil, bad.execution_id)
    keeping = service.Keeping(hall.database, hall.clock, hall.commands._aside, lambda _: None)
    await keeping.finish()
    for one in (bad, good):
        keeping.about(Key(TENANT, one.device_id, one.command_number, 1)).sent_at = hall.clock()
    assert not keeping.is_done
    await asyncio.wait_for(keeping.finish(), 10)
    assert (await hall.commands.command(TENANT, good.execution_id)).state is State.SENT


async def test_what_is_on_the_disk_is_not_heard_again_when_the_disk_fills_halfway(hall: Hall) -> None:
    await hall.add("other")
    bad, good = [await hall.commands.send(TENANT, name, NewCommand("blink")) for name in ("lamp", "other")]
    await hall.database.write(_spoil, bad.execution_id)

    async def full(_work: object) -> None:
        raise UnwritableError("no room")

    hall.commands._aside.together = full
    keeping = service.Keeping(hall.database, hall.clock, hall.commands._aside, lambda _: None)
    keeping.together = hall.together
    keys = [Key(TENANT, one.device_id, one.command_number, 1) for one in (bad, good)]
    for key in keys:
        keeping.about(key).sent_at = hall.clock()
    with pytest.raises(UnwritableError):
        await keeping.keep()
    assert (await hall.commands.command(TENANT, good.execution_id)).state is State.SENT
    assert set(keeping._evidence) == {keys[0]}
    hall.commands._aside.together = hall.together
    await keeping.keep()
    assert keeping.is_done
    assert (await hall.commands.command(TENANT, bad.execution_id)).state is State.CANCELLED
