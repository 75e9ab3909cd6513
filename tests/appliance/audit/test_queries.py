"""Entries are appended with what they tell of, or not at all."""

import sqlite3

import pytest

from appliance.audit import chain, queries
from appliance.audit.model import GATEWAY, Actor, End, Entry, Head, RecordedEntry, Wanted
from appliance.store.database import Database


async def entries(database: Database, tenant_id: int) -> list[RecordedEntry]:
    return await database.read(queries.select_window(tenant_id, 10, 10, Wanted(), 10))


class UnluckyError(Exception):
    """What was to be told of did not happen."""


async def test_an_entry_stays_only_if_what_it_tells_of_does(database: Database) -> None:
    def fail(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO tenant (tenant_id, name, created_at) VALUES (7, 'seven', 0)")
        raise UnluckyError

    told = (1, lambda result: [Entry("try", str(result))], 5, Actor("ann"))
    with pytest.raises(UnluckyError):
        await database.write(queries.with_entries, told, fail)
    assert await entries(database, 1) == []
    assert await database.write(queries.with_entries, told, lambda _, value: value, "done") == "done"
    [entry] = await entries(database, 1)
    assert (entry.position, entry.recorded_at, entry.actor, entry.action, entry.subject) == (1, 5, "ann", "try", "done")


async def test_nothing_to_tell_leaves_the_chain_as_it_is(database: Database) -> None:
    await database.write(queries.insert_entries, 1, [], 5, GATEWAY)
    assert await database.read(queries.select_end(1)) == [End(chain.START, 0)]


async def test_each_tenant_has_a_chain_of_its_own(database: Database) -> None:
    def second(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO tenant (tenant_id, name, created_at) VALUES (2, 'second', 0)")

    await database.write(second)
    for tenant_id in (1, 2, 1):
        await database.write(queries.insert_entry, tenant_id, Entry("a", "b"), 5)
    assert [one.position for one in await entries(database, 1)] == [2, 1]
    assert [one.position for one in await entries(database, 2)] == [1]
    assert await database.read(queries.select_tenants()) == [1, 2]
    [one, two] = await database.read(queries.select_after(1, 0, 10))
    assert (one.position, two.position, one.actor) == (1, 2, "gateway")
    assert await database.read(queries.select_end(1)) == [End(Head(2, two.hash), 2)]
    [row] = await database.read(queries.select_rows(1, 1, 2, 10))
    assert chain.read(row) == two
    assert await database.read(queries.select_end(3)) == []
