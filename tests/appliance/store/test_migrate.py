import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from appliance.store.migrate import NewerDatabaseError, migrate, migrations, run, schema

SCHEMA = Path(__file__).parents[3] / "appliance" / "store" / "schema.sql"

FIRST = (1, "CREATE TABLE word (text TEXT) STRICT; INSERT INTO word VALUES ('kept');")
SECOND = (2, "ALTER TABLE word ADD COLUMN language TEXT;")
BROKEN = (3, "CREATE TABLE half (done TEXT) STRICT; CREATE TABLE half (done TEXT) STRICT;")


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(tmp_path / "gateway.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        yield connection


def version(connection: sqlite3.Connection) -> int:
    (number,) = connection.execute("PRAGMA user_version").fetchone()
    return int(number)


def tables(connection: sqlite3.Connection) -> list[str]:
    rows = connection.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite!_%' ESCAPE '!'"
    )
    return [name for (name,) in rows]


def test_all_migrations_together_give_exactly_schema_sql(connection: sqlite3.Connection) -> None:
    migrate(connection)
    assert schema(connection) == SCHEMA.read_text(encoding="utf-8")
    assert version(connection) == len(migrations())


def test_schema_sql_is_sql_that_gives_itself(connection: sqlite3.Connection) -> None:
    text = SCHEMA.read_text(encoding="utf-8")
    connection.executescript(text)
    assert schema(connection) == text


def test_every_table_names_its_tenant_and_is_strict(connection: sqlite3.Connection) -> None:
    migrate(connection)
    for name in tables(connection):
        columns = [row[1] for row in connection.execute(f"PRAGMA table_info({name})")]
        assert "tenant_id" in columns, name
    assert [
        row[1] for row in connection.execute("PRAGMA table_list") if not row[5] and row[1] in tables(connection)
    ] == []


def test_no_number_is_ever_given_twice(connection: sqlite3.Connection) -> None:
    migrate(connection)
    # A tenant has one mark and one night: their key is the tenant's number, which is given elsewhere. The log counts
    # on from what was taken out of it. A plan has the number of its job.
    for name, sql in connection.execute(
        "SELECT name, sql FROM sqlite_schema WHERE type = 'table' AND sql LIKE '%INTEGER PRIMARY KEY%'"
        " AND name NOT IN ('clock_mark', 'retention_night', 'log', 'job_plan', 'job_running_time', 'job_target')"
    ):
        assert "INTEGER PRIMARY KEY AUTOINCREMENT" in sql, name


def test_migrating_again_changes_nothing_and_copies_nothing(connection: sqlite3.Connection, tmp_path: Path) -> None:
    migrate(connection)
    before = list(connection.iterdump())
    migrate(connection)
    assert list(connection.iterdump()) == before
    assert [path.name for path in tmp_path.glob("*.db")] == ["gateway.db"]


def test_stopping_after_any_step_and_going_on_gives_what_not_stopping_gives(connection: sqlite3.Connection) -> None:
    run(connection, [FIRST])
    run(connection, [FIRST, SECOND])
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as whole:
        run(whole, [FIRST, SECOND])
        assert list(connection.iterdump()) == list(whole.iterdump())
    assert version(connection) == 2


def test_a_file_of_a_later_release_is_left_untouched(connection: sqlite3.Connection) -> None:
    migrate(connection)
    connection.execute("PRAGMA user_version = 9999")
    before = list(connection.iterdump())
    with pytest.raises(NewerDatabaseError, match=r"version 9999.*install the newer release again"):
        migrate(connection)
    assert list(connection.iterdump()) == before
    assert version(connection) == 9999


def test_a_step_that_fails_leaves_nothing_of_itself_and_the_steps_before_it_in_place(
    connection: sqlite3.Connection,
) -> None:
    with pytest.raises(sqlite3.OperationalError, match="half already exists"):
        run(connection, [FIRST, SECOND, BROKEN])
    assert not connection.in_transaction
    assert (version(connection), tables(connection)) == (2, ["word"])


def test_what_is_there_is_copied_before_the_first_step_that_changes_it(
    connection: sqlite3.Connection, tmp_path: Path
) -> None:
    run(connection, [FIRST])
    (tmp_path / "gateway-before-migration-2.db").write_text("left behind by an attempt that was cut short")
    with pytest.raises(sqlite3.OperationalError):
        run(connection, [FIRST, SECOND, BROKEN])
    with closing(sqlite3.connect(tmp_path / "gateway-before-migration-2.db")) as copy:
        assert copy.execute("SELECT * FROM word").fetchall() == [("kept",)]
        assert version(copy) == 1


@pytest.mark.parametrize("name", ["tenant", "sqlite_autoindex_tenant_1"])
@pytest.mark.parametrize("place", [0.0, 0.5])
def test_a_file_that_has_lost_its_tenants_is_refused(
    connection: sqlite3.Connection, tmp_path: Path, name: str, place: float
) -> None:
    migrate(connection)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    (size,) = connection.execute("PRAGMA page_size").fetchone()
    (page,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (name,)).fetchone()
    connection.close()
    path = tmp_path / "gateway.db"
    with path.open("r+b") as file:
        file.seek((page - 1) * size + int(place * size))
        file.write(bytes(size - int(place * size)))
    with closing(sqlite3.connect(path, isolation_level=None)) as again:
        with pytest.raises(sqlite3.DatabaseError) as raised:
            migrate(again)
        assert raised.value.sqlite_errorcode & 0xFF == sqlite3.SQLITE_CORRUPT


def test_a_file_in_which_pages_of_two_tables_changed_places_is_refused(
    connection: sqlite3.Connection, tmp_path: Path
) -> None:
    """The log would be empty, and nobody would be told."""
    migrate(connection)
    connection.execute("INSERT INTO log VALUES (7, 1, 0, 1, x'00')")
    migrate(connection)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    (size,) = connection.execute("PRAGMA page_size").fetchone()
    names = "SELECT rootpage FROM sqlite_schema WHERE name IN ('log', 'shadow')"
    places = [(page - 1) * size for (page,) in connection.execute(names).fetchall()]
    connection.close()
    path = tmp_path / "gateway.db"
    content = path.read_bytes()
    with path.open("r+b") as file:
        for place, other in zip(places, reversed(places), strict=True):
            file.seek(place)
            file.write(content[other : other + size])
    with closing(sqlite3.connect(path, isolation_level=None)) as again:
        assert again.execute("SELECT * FROM log").fetchall() == []
        with pytest.raises(sqlite3.DatabaseError, match="the log is empty, and shadow has rows") as raised:
            migrate(again)
        assert raised.value.sqlite_errorcode & 0xFF == sqlite3.SQLITE_CORRUPT


def test_a_new_file_is_not_copied(connection: sqlite3.Connection, tmp_path: Path) -> None:
    run(connection, [FIRST, SECOND])
    assert [path.name for path in tmp_path.glob("*.db")] == ["gateway.db"]
