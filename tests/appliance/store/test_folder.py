import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from appliance.store.database import ClosedError, Database, Select
from appliance.store.folder import DatabaseFolder, FileSettings
from tests.appliance.store.descriptors import open_count, open_nameless_count

WORDS = Select("SELECT text FROM word", (), str)


def prepare(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE IF NOT EXISTS word (text TEXT) STRICT")


def insert(connection: sqlite3.Connection, text: str) -> None:
    connection.execute("INSERT INTO word (text) VALUES (?)", (text,))


def words(connection: sqlite3.Connection) -> list[str]:
    return [text for (text,) in connection.execute(WORDS.sql)]


def empty_log(connection: sqlite3.Connection) -> None:
    assert connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone() == (0, 0, 0)


@pytest.fixture
async def folder(tmp_path: Path) -> AsyncIterator[DatabaseFolder]:
    made = DatabaseFolder(tmp_path / "deep" / "days", FileSettings(prepare, 4096, 1_000, 2), 2)
    async with made.opened():
        yield made
        await made.close("a.db")
        asked(made, "a.db")
    assert not any(map(open_count, made.paths("*")))


def asked(folder: DatabaseFolder, name: str) -> list[str]:
    """What a reader of a file is told, after which it is kept."""
    if not folder.path(name).exists():
        return []
    with folder.readers.reader(folder.path(name)) as connection:
        return words(connection)


async def test_a_file_is_made_when_it_is_first_written(folder: DatabaseFolder) -> None:
    assert folder.paths("*.db") == []
    await (await folder.writer("a.db")).write(insert, "kept")
    assert folder.paths("*.db") == [folder.path("a.db")]
    assert folder.path("a.db").exists()


async def test_a_file_stays_open_while_it_is_among_the_last_that_were_used(folder: DatabaseFolder) -> None:
    first = await folder.writer("a.db")
    await folder.writer("b.db")
    assert await folder.writer("a.db") is first
    await folder.writer("c.db")
    assert await folder.writer("a.db") is first


async def test_a_file_is_closed_when_asked_and_opened_again_by_the_next_writer(folder: DatabaseFolder) -> None:
    first: Database = await folder.writer("a.db")
    await first.write(insert, "kept")
    assert asked(folder, "a.db") == ["kept"]
    await folder.close("a.db")
    await folder.close("a.db")
    assert not folder.path("a.db-wal").exists()
    with pytest.raises(ClosedError):
        await first.write(insert, "lost")
    again = await folder.writer("a.db")
    assert await again.maintain(words) == ["kept"]


async def test_a_file_that_was_closed_for_others_is_opened_again_whole(folder: DatabaseFolder) -> None:
    first: Database = await folder.writer("a.db")
    await first.write(insert, "kept")
    assert asked(folder, "a.db") == ["kept"]
    await folder.writer("b.db")
    await folder.writer("c.db")
    # All of it is in the file then, however it is copied.
    assert not folder.path("a.db-wal").exists()
    again = await folder.writer("a.db")
    assert again is not first
    assert await again.maintain(words) == ["kept"]


async def test_the_last_name_comes_first_and_other_names_not_at_all(folder: DatabaseFolder) -> None:
    for name in ("2026-01-01.db", "2026-01-02.db", "notes.db"):
        await folder.writer(name)
    names = [path.name for path in folder.paths("????-??-??.db")]
    assert names == ["2026-01-02.db", "2026-01-01.db"]


async def test_a_damaged_file_is_set_aside_and_a_new_one_takes_its_place(folder: DatabaseFolder) -> None:
    for number in (1, 2):
        damage = b"not a database " * 1_000
        folder.path("a.db").write_bytes(damage)
        await (await folder.writer("a.db")).write(insert, "new")
        assert folder.path(f"a.db.damaged-{number}").read_bytes() == damage
        assert asked(folder, "a.db") == ["new"]
        await folder.writer("b.db")
        await folder.writer("c.db")
    assert await (await folder.writer("a.db")).maintain(words) == ["new"]


async def test_of_a_damaged_file_that_is_removed_nothing_stays_open(folder: DatabaseFolder) -> None:
    writer = await folder.writer("a.db")
    await writer.write(insert, "old")
    await writer.maintain(empty_log)
    with folder.readers.reader(folder.path("a.db")), folder.readers.reader(folder.path("a.db")):
        # Both are kept from here on, and so they are when the writer has gone.
        await folder.close("a.db")
    damage = folder.path("a.db").read_bytes()
    folder.path("a.db").write_bytes(b"no" + damage[2:])
    await folder.writer("a.db")
    aside = folder.paths("a.db.damaged-1*")
    assert aside
    for path in aside:
        path.unlink()
    assert open_nameless_count(folder.folder) == 0


async def test_a_file_that_is_refused_for_another_reason_is_left_alone(tmp_path: Path) -> None:
    def refuse(_: sqlite3.Connection) -> None:
        raise ValueError("written by a later release")

    made = DatabaseFolder(tmp_path, FileSettings(refuse, 4096, 1_000), 2)
    async with made.opened():
        with pytest.raises(ValueError, match="later release"):
            await made.writer("a.db")
    assert [path.name for path in tmp_path.iterdir() if "damaged" in path.name] == []


async def test_a_file_that_turns_out_to_be_damaged_is_set_aside_when_that_is_asked_for(folder: DatabaseFolder) -> None:
    await folder.set_aside("a.db")
    await (await folder.writer("a.db")).write(insert, "kept")
    assert asked(folder, "a.db") == ["kept"]
    await folder.set_aside("a.db")
    assert not any(map(open_count, folder.paths("*")))
    assert [path.name for path in folder.paths("*")] == ["a.db.damaged-1"]
    assert await (await folder.writer("a.db")).maintain(words) == []
