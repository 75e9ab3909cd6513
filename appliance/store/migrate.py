"""Brings the tables of gateway.db up to date: numbered SQL files, forward only, one transaction each.

The number of the last one that ran is kept in `PRAGMA user_version`. A copy of the file is made
before the first one runs on a database that already holds something.

`schema.sql` shows what all of them give. After adding one, write it anew with
`python -m appliance.store.migrate > appliance/store/schema.sql`.
"""

import contextlib
import sqlite3
import sys
from collections.abc import Sequence
from contextlib import closing
from importlib.resources import files
from pathlib import Path

from appliance.errors import ApplianceError

_SCHEMA_HEAD = """\
-- What all migrations together give; nothing reads this but people and a test.
-- Written by: python -m appliance.store.migrate > appliance/store/schema.sql
"""

_NUMBERED = "SELECT name FROM sqlite_schema WHERE type = 'table' AND sql LIKE '%AUTOINCREMENT%'"
"""The tables of which SQLite keeps the greatest number that they ever gave."""


class NewerDatabaseError(ApplianceError):
    """The database was written by a newer release than this one."""

    code = "newer_database"


def migrations() -> list[tuple[int, str]]:
    """Every migration that ships with this release: its number and its SQL, in order."""
    folder = files("appliance.store").joinpath("migrations")
    named = sorted((entry.name, entry) for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return [(int(name[:4]), entry.read_text(encoding="utf-8")) for name, entry in named]


def migrate(connection: sqlite3.Connection) -> None:
    """Run every migration of this release that has not run yet.

    Raises `NewerDatabaseError` when the file was written by a later release: it is left untouched. Raises
    `sqlite3.DatabaseError` when the tenants were damaged: of one that is not listed nobody would find anything again;
    and when the log seems to be empty because its page lies in the place of another table's.
    """
    run(connection, migrations())
    by_row, by_name = (
        connection.execute(f"SELECT tenant_id FROM tenant {place} ORDER BY tenant_id").fetchall()
        for place in ("NOT INDEXED", "INDEXED BY sqlite_autoindex_tenant_1")
    )
    # The same from two pages; the first tenant came with the file.
    if by_row != by_name or (1,) not in by_row:
        raise _damage("the tenants are not those that were written")
    if connection.execute("SELECT log_id FROM log LIMIT 1").fetchone() is None:
        _require_own_rows(connection)


def run(connection: sqlite3.Connection, steps: Sequence[tuple[int, str]]) -> None:
    """Run those of the steps, each a number and its SQL, that have not run yet.

    A step that fails leaves nothing of itself, and the steps before it in place. Raises
    `NewerDatabaseError`, and what SQLite raises.
    """
    version = _version(connection)
    if version > steps[-1][0]:
        raise NewerDatabaseError(
            f"gateway.db has version {version}, this release knows {steps[-1][0]}: install the newer release again"
        )
    missing = [(number, sql) for number, sql in steps if number > version]
    if missing and version > 0:
        _copy(connection, version)
    for number, sql in missing:
        try:
            connection.executescript(f"BEGIN IMMEDIATE;\n{sql}\nPRAGMA user_version = {number};\nCOMMIT;")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def schema(connection: sqlite3.Connection) -> str:
    """Every table and index of a database as SQL: by table, each table before its indexes."""
    rows = connection.execute(
        """
        SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite!_%' ESCAPE '!'
        ORDER BY tbl_name, type DESC, name
        """
    )
    return _SCHEMA_HEAD + "".join(f"\n{sql};\n" for (sql,) in rows)


def _require_own_rows(connection: sqlite3.Connection) -> None:
    """Raise `sqlite3.DatabaseError` when a table has a number that it never gave: what lies there is the log.

    What is wrong with a table otherwise is told to whoever needs it, and keeps nobody else from going on.
    """
    for (table,) in connection.execute(_NUMBERED).fetchall():
        given = f"SELECT COALESCE(MAX(seq), 0) FROM sqlite_sequence WHERE name = '{table}'"
        with contextlib.suppress(sqlite3.Error):
            if connection.execute(f"SELECT MAX(rowid) > ({given}) FROM {table}").fetchone() == (1,):
                break
    else:
        return
    raise _damage(f"the log is empty, and {table} has rows that it never had")


def _damage(what: str) -> sqlite3.DatabaseError:
    damage = sqlite3.DatabaseError(what)
    damage.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return damage


def _version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def _copy(connection: sqlite3.Connection, version: int) -> None:
    _, _, path = connection.execute("PRAGMA database_list").fetchone()
    copy = Path(path).with_name(f"gateway-before-migration-{version + 1}.db")
    copy.unlink(missing_ok=True)
    connection.execute("VACUUM INTO ?", (str(copy),))


if __name__ == "__main__":
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as empty:
        migrate(empty)
        sys.stdout.write(schema(empty))
