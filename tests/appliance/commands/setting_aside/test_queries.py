"""The rows of commands that are gone through one by one."""

import sqlite3

import pytest

from appliance.commands import queries
from appliance.commands.mishaps.service import BEFORE_ALL
from appliance.commands.model import By, DialectName, NewCommand, Selection, State
from appliance.commands.setting_aside import queries as own
from tests.appliance.commands.room import TENANT, Hall


async def test_a_row_that_was_spoilt_can_be_read_once_it_is_mended(hall: Hall) -> None:
    bad, good = [await hall.commands.send(TENANT, "lamp", NewCommand("blink", dialect=DialectName.AWS)) for _ in "ab"]

    def spoil(connection: sqlite3.Connection) -> None:
        sql = "UPDATE command SET dialect = 'x', state = 'y', ended_by = 'z' WHERE tenant_id = 1 AND execution_id = ?"
        connection.execute(sql, (bad.execution_id,))

    await hall.database.write(spoil)
    numbers = [bad.command_number, good.command_number]
    with pytest.raises(KeyError):
        await hall.database.write(queries.by_numbers, TENANT, numbers)
    for number in numbers:
        await hall.database.write(own.mend, TENANT, number)
    found = await hall.database.write(queries.by_numbers, TENANT, numbers)
    assert found[good.command_number] == good
    mended = found[bad.command_number]
    assert (mended.dialect, mended.state, mended.ended_by) == (DialectName.ANY, State.QUEUED, By.NOBODY)


async def test_commands_are_found_by_their_numbers_whatever_else_they_say(hall: Hall) -> None:
    await hall.add("other")
    low, high = [await hall.commands.send(TENANT, "lamp", NewCommand("blink", priority=one)) for one in (0, 9)]
    foreign = await hall.commands.send(TENANT, "other", NewCommand("blink", expires_in_s=1))
    read = hall.database.read
    numbers = await read(own.select_waiting_numbers(TENANT, "lamp"))
    assert numbers == [high.command_number, low.command_number]
    keys = {(TENANT, low.command_number), (TENANT, high.command_number)}
    assert set(await read(own.select_open_keys(TENANT, "lamp"))) == keys
    due_at = hall.clock() + 1_000
    first = (foreign.due_at, (TENANT, foreign.command_number))
    assert await read(own.select_due_keys(due_at, BEFORE_ALL, 9)) == [first]
    assert await read(own.select_due_keys(due_at, (foreign.due_at, foreign.command_number), 9)) == []
    behind = await read(own.select_due_keys(low.due_at, (foreign.due_at, foreign.command_number), 1))
    assert behind == [(low.due_at, (TENANT, low.command_number))]
    await hall.commands.cancel(TENANT, low.execution_id)
    assert await read(own.select_waiting_numbers(TENANT, "lamp")) == [high.command_number]
    assert await read(own.select_open_keys(TENANT, "lamp")) == [(TENANT, high.command_number)]


async def test_words_that_are_no_text_are_mended_and_a_row_ends_unread(hall: Hall) -> None:
    bad, good = [await hall.commands.send(TENANT, "lamp", NewCommand("blink")) for _ in "ab"]

    def spoil(connection: sqlite3.Connection) -> None:
        sql = "UPDATE command SET name = CAST(x'62ec' AS TEXT), result = CAST(x'c1' AS TEXT) WHERE command_number = ?"
        connection.execute(sql, (bad.command_number,))

    await hall.database.write(spoil)
    for one in (bad, good):
        await hall.database.write(own.mend, TENANT, one.command_number)
    found = await hall.database.write(queries.by_numbers, TENANT, [bad.command_number, good.command_number])
    assert (found[bad.command_number].name, found[bad.command_number].result) == ("b\ufffd", "\ufffd")
    assert found[good.command_number] == good
    end = (own.end_row, TENANT, bad.command_number, "code", "words", 7)
    assert [await hall.database.write(*end) for _ in range(2)] == [1, 0]
    ended = await hall.commands.command(TENANT, bad.execution_id)
    assert (ended.state, ended.ended_at, ended.ended_by) == (State.CANCELLED, 7, By.GATEWAY)
    assert (ended.reason_code, ended.reason, ended.version) == ("code", "words", bad.version + 1)


async def test_of_a_batch_those_are_found_that_go_on_behind_a_number(hall: Hall) -> None:
    await hall.add("other", groups=("choir",))
    sent = await hall.commands.send_to_many(TENANT, Selection(group="choir"), NewCommand("blink"))
    numbers = [one.command_number for one in await hall.commands.commands(TENANT, batch_id=sent.batch_id)]
    batch = (TENANT, sent.batch_number)
    found = await hall.database.write(own.open_of_batch, *batch, 0, 9)
    assert found == [(TENANT, number) for number in sorted(numbers)]
    assert await hall.database.write(own.open_of_batch, *batch, min(numbers), 9) == found[1:]
    assert await hall.database.write(own.open_of_batch, *batch, 0, 1) == found[:1]
