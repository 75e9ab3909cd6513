"""What people ask of the ledger."""

import sqlite3

from appliance.commands.model import NewCommand, State
from appliance.commands.reading import queries
from appliance.commands.reading.queries import Page
from tests.appliance.commands.room import TENANT, Hall


async def test_what_is_salvaged_is_asked_for_in_the_same_words(hall: Hall) -> None:
    made = [await hall.commands.send(TENANT, "lamp", NewCommand("blink")) for _ in range(3)]
    select = queries.select_of_device(TENANT, "lamp", Page((State.QUEUED,), made[2].command_number, 1))
    assert await hall.database.read(select) == [made[1]]
    assert await hall.database.read(queries.salvaging(select)) == [(made[1], False)]


async def test_states_that_are_no_text_are_counted(hall: Hall) -> None:
    made = await hall.commands.send(TENANT, "lamp", NewCommand("blink"))

    def join(connection: sqlite3.Connection) -> None:
        sql = "UPDATE command SET batch_number = ?, state = CAST(x'c1' AS TEXT) WHERE command_number = ?"
        connection.execute("PRAGMA defer_foreign_keys = ON")
        connection.execute(
            "INSERT INTO command_batch (tenant_id, batch_id, name, selection, device_count, author, created_at, digest)"
            " VALUES (1, 'b', 'blink', 'all', 1, 'me', 1, 'd')"
        )
        connection.execute(sql, (1, made.command_number))

    await hall.database.write(join)
    assert await hall.database.read(queries.select_counts(TENANT, [1])) == [(1, State.CANCELLED, 1)]
