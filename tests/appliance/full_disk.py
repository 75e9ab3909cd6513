"""A disk that takes nothing for a while."""

import contextlib
import sqlite3
from collections.abc import AsyncIterator

from appliance.store.database import Database


@contextlib.asynccontextmanager
async def full_disk(database: Database) -> AsyncIterator[None]:
    """Nothing can be written to the database while it lasts: another program holds the file, which is told alike."""
    await database.maintain(_wait_ms, 0)
    with contextlib.closing(sqlite3.connect(database.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            other.execute("ROLLBACK")
    await database.maintain(_wait_ms, 5_000)


def _wait_ms(connection: sqlite3.Connection, limit_ms: int) -> None:
    connection.execute(f"PRAGMA busy_timeout = {limit_ms}")
