"""Entries are appended with what they tell of, or not at all."""

import sqlite3

import pytest

from appliance.audit import queries
from appliance.audit.model import Actor, Entry
from appliance.store.database import Database


class UnluckyError(Exception):
    """What was to be told of did not happen."""


async def test_an_entry_stays_only_if_what_it_tells_of_does(database: Database) -> None:
    def fail(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO tenant (tenant_id, name, created_at) VALUES (7, 'seven', 0)")
        raise UnluckyError

    told = (1, (Entry("try", "it"),), 5, Actor("ann"))
    with pytest.raises(UnluckyError):
        await database.write(queries.with_entries, told, fail)
    assert await database.read(queries.select_entries(1, 10, 10)) == []
    assert await database.write(queries.with_entries, told, lambda _, value: value, "done") == "done"
    [entry] = await database.read(queries.select_entries(1, 10, 10))
    assert (entry.position, entry.recorded_at, entry.actor, entry.action, entry.subject) == (1, 5, "ann", "try", "it")


async def test_each_tenant_has_a_chain_of_its_own(database: Database) -> None:
    def second(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO tenant (tenant_id, name, created_at) VALUES (2, 'second', 0)")

    await database.write(second)
    for tenant_id in (1, 2, 1):
        await database.write(queries.insert_entry, tenant_id, Entry("a", "b"), 5)
    assert [one.position for one in await database.read(queries.select_entries(1, 10, 10))] == [2, 1]
    assert [one.position for one in await database.read(queries.select_entries(2, 10, 10))] == [1]
    assert await database.read(queries.select_tenants()) == [1, 2]
    entries, head = await database.write(queries.select_whole, 1)
    assert (len(entries), head.position, head.hash) == (2, 2, entries[-1].hash)
    assert entries[0].actor == "gateway"
