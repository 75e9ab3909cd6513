"""What the head of a file says of its tables, which no checksum covers."""

import sqlite3

from appliance.store.database import as_damage


def tables_version(connection: sqlite3.Connection) -> int:
    """The version that whoever made the tables of a file gave them; 0 when it has none yet.

    Raises `sqlite3.DatabaseError` when the file says that it has none and is larger than one of these: its head was
    damaged, and what it holds must not count as nothing.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if not version and connection.execute("PRAGMA page_count").fetchone()[0] > 1:
        # Asked once more, for the tables may have been made in between.
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if not version:
            raise as_damage("the file says that it has no tables, and has more than its head")
    return int(version)
