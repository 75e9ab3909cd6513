"""Tables as every migration together gives them: running each of these again costs more than most tests do."""

import functools
import sqlite3
from contextlib import closing

from appliance.store.migrate import migrate


def up_to_date(connection: sqlite3.Connection) -> None:
    """What `migrate` does, for a new database as a copy of one that was migrated before."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == 0:
        with closing(sqlite3.connect(":memory:")) as made:
            made.deserialize(_migrated())
            made.backup(connection)
    migrate(connection)


@functools.cache
def _migrated() -> bytes:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate(connection)
        return connection.serialize()
