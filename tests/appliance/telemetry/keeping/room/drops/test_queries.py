"""What drops ask of gateway.db."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from appliance.store.migrate import migrate
from appliance.telemetry.keeping.plan import Spent
from appliance.telemetry.keeping.room.drops import queries
from appliance.telemetry.keeping.room.drops.queries import Night


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate(connection)
        yield connection


def nights(connection: sqlite3.Connection, tenant_id: int) -> list[Night]:
    asked = queries.select_night(tenant_id)
    return [asked.into(*row) for row in connection.execute(asked.sql, asked.parameters)]


def test_every_tenant_hears_of_a_day(connection: sqlite3.Connection) -> None:
    assert connection.execute(queries.select_tenants().sql).fetchall() == [(1,)]


def test_a_night_takes_the_place_of_the_one_before_and_none_of_another_tenants(connection: sqlite3.Connection) -> None:
    connection.execute("INSERT INTO tenant (tenant_id, name, created_at) VALUES (2, 'other', 0)")
    assert nights(connection, 1) == []
    first, second, other = Night("a", 8, Spent(7, 3, 10**12)), Night("b", 0, Spent(-9, 0, 1)), Night("", 1, Spent())
    for tenant_id, night in ((1, first), (2, other), (1, second)):
        queries.save_night(connection, tenant_id, night)
    assert (nights(connection, 1), nights(connection, 2)) == ([second], [other])
