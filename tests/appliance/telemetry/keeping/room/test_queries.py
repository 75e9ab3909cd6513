"""What room asks of gateway.db."""

import sqlite3
from contextlib import closing

from appliance.store.migrate import migrate
from appliance.telemetry.keeping.room import queries
from appliance.telemetry.queries import insert_log


def test_the_log_is_measured_by_tenant() -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate(connection)
        select = queries.select_log_bytes(1)
        assert connection.execute(select.sql, select.parameters).fetchall() == [(0,)]
        for size in (10, 20):
            insert_log(connection, 1, 0, 1, bytes(size))
        assert connection.execute(select.sql, select.parameters).fetchall() == [(30,)]
