"""The ledger as people read it, with rows that are damaged."""

import asyncio
import sqlite3

import pytest

from appliance.commands import ruling
from appliance.commands.model import By, NewCommand, Selection, State
from tests.appliance.commands.room import TENANT, Hall, until

BLINK = NewCommand("blink")


@pytest.mark.parametrize("value", ["'nonsense'", "CAST(x'c1' AS TEXT)"])
@pytest.mark.parametrize("column", ["state", "dialect"])
async def test_a_damaged_row_hides_no_other_and_is_set_aside_before_it_is_due(
    hall: Hall, column: str, value: str
) -> None:
    commands = hall.commands
    bad, good = [await commands.send(TENANT, "lamp", BLINK) for _ in "ab"]

    def spoil(connection: sqlite3.Connection) -> None:
        connection.execute(f"UPDATE command SET {column} = {value} WHERE command_number = ?", (bad.command_number,))

    await hall.database.write(spoil)
    first, second = await commands.commands(TENANT, device_id="lamp")
    assert (first, second.execution_id, second.reason_code) == (good, bad.execution_id, ruling.GATEWAY_ERROR)
    over = await hall.until(bad.execution_id, lambda one: one.ended_by is By.GATEWAY and one.ended_at is not None)
    assert (over.state, over.reason_code) == (State.CANCELLED, ruling.GATEWAY_ERROR)
    await until(lambda: commands.status().details["set_aside"] == 1)
    assert await commands.commands(TENANT) == [good, over]


async def test_of_what_has_ended_a_damaged_row_is_told_and_stays_as_it_is(hall: Hall) -> None:
    batch = await hall.commands.send_to_many(TENANT, Selection(group="choir"), BLINK)
    assert await hall.commands.cancel_batch(TENANT, batch.batch_id) == 1

    def spoil(connection: sqlite3.Connection) -> None:
        connection.execute("UPDATE command SET state = 'nonsense', author = CAST('m' || x'c1' AS TEXT)")
        connection.execute("UPDATE command_batch SET author = CAST('m' || x'c1' AS TEXT)")

    await hall.database.write(spoil)
    for _ in range(2):
        [told] = await hall.commands.commands(TENANT, batch_id=batch.batch_id)
        assert (told.state, told.author) == (State.CANCELLED, "m\ufffd")
        [counted] = await hall.commands.batches(TENANT)
        assert (counted.counts, counted.author) == ({State.CANCELLED: 1}, "m\ufffd")
        await asyncio.sleep(0)
    assert hall.commands.status().details["set_aside"] == 0
