"""What drops ask of gateway.db."""

import sqlite3
from contextlib import closing

from appliance.store.migrate import migrate
from appliance.telemetry.keeping.room.drops import queries


def test_every_tenant_hears_of_a_day() -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate(connection)
        assert connection.execute(queries.select_tenants().sql).fetchall() == [(1,)]
