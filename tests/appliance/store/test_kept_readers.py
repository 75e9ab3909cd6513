"""A reader that is kept answers as a new one would, whatever became of its file, and nothing of it stays in the way."""

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.store.database import connect_writer
from appliance.store.kept_readers import KeptReaders, once
from tests.appliance.store.descriptors import open_count

LIMIT = 2


@pytest.fixture
def readers() -> Iterator[KeptReaders]:
    made = KeptReaders(LIMIT)
    yield made
    made.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return made(tmp_path / "one.db", 1)


def made(path: Path, value: int) -> Path:
    with writing(path) as connection:
        connection.execute("CREATE TABLE t (value INTEGER)")
        connection.execute("INSERT INTO t VALUES (?)", (value,))
    return path


def writing(path: Path) -> "contextlib.closing[sqlite3.Connection]":
    return contextlib.closing(connect_writer(path, page_bytes=4_096, cache_kb=100, synchronous="NORMAL"))


def value_of(readers: KeptReaders, path: Path) -> int:
    with readers.reader(path) as connection:
        return int(connection.execute("SELECT value FROM t").fetchone()[0])


def test_one_connection_serves_question_after_question_in_any_thread(readers: KeptReaders, path: Path) -> None:
    with readers.reader(path) as first:
        pass
    found = []

    def ask() -> None:
        with readers.reader(path) as connection:
            found.append(connection)

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    assert found == [first]
    assert open_count(path) == 1


def test_two_at_once_have_a_connection_each(readers: KeptReaders, path: Path) -> None:
    with readers.reader(path) as one, readers.reader(path) as other:
        assert one is not other


def test_what_was_written_since_is_seen_and_no_question_keeps_the_log_from_being_emptied(
    readers: KeptReaders, path: Path
) -> None:
    with readers.reader(path) as connection:
        assert connection.execute("SELECT value FROM t").fetchone() == (1,)
    with writing(path) as connection:
        connection.execute("UPDATE t SET value = 2")
        assert connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
    assert value_of(readers, path) == 2


@pytest.mark.parametrize("is_forgotten", [True, False])
def test_a_file_in_the_place_of_another_is_the_one_that_is_asked(
    readers: KeptReaders, path: Path, *, is_forgotten: bool
) -> None:
    assert value_of(readers, path) == 1
    aside = path.rename(path.with_name("aside.db"))
    made(path, 7)
    if is_forgotten:
        readers.forget(path)
        assert open_count(aside) == 0
    assert value_of(readers, path) == 7
    assert open_count(aside) == 0


def test_of_two_that_are_kept_of_a_file_none_outlives_it(readers: KeptReaders, path: Path) -> None:
    with readers.reader(path), readers.reader(path):
        pass
    aside = path.rename(path.with_name("aside.db"))
    made(path, 7)
    assert value_of(readers, path) == 7
    assert open_count(aside) == 0


@pytest.mark.parametrize("is_kept", [True, False])
def test_one_question_sees_one_state(readers: KeptReaders, path: Path, *, is_kept: bool) -> None:
    with (readers.reader if is_kept else once)(path) as connection:
        assert connection.execute("SELECT value FROM t").fetchone() == (1,)
        with writing(path) as writer:
            writer.execute("UPDATE t SET value = 2")
        assert connection.execute("SELECT value FROM t").fetchone() == (1,)
    # What the writer had open SQLite closes with the last of them.
    assert (open_count(path) > 0) == is_kept


def test_tables_whose_names_are_no_text_any_more_are_told_as_damage(readers: KeptReaders, path: Path) -> None:
    assert value_of(readers, path) == 1
    with writing(path) as connection:
        # So that the tables are looked at again.
        connection.execute("CREATE TABLE another (value INTEGER)")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = path.read_bytes()
    path.write_bytes(content.replace(b"tableanotheranother", b"tableanoth\xffranother"))
    with pytest.raises(sqlite3.DatabaseError, match="malformed") as told, readers.reader(path):
        pass
    assert told.value.sqlite_errorcode == sqlite3.SQLITE_CORRUPT
    assert open_count(path) == 0


def test_who_asks_while_the_file_loses_its_name_leaves_nothing_open(readers: KeptReaders, path: Path) -> None:
    with readers.reader(path):
        aside = path.rename(path.with_name("aside.db"))
        readers.forget(path)
    assert open_count(aside) == 0


def test_a_file_that_is_not_there_is_told(readers: KeptReaders, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), readers.reader(tmp_path / "none.db"):
        pass


def test_after_a_question_that_failed_nothing_is_kept(readers: KeptReaders, path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError), readers.reader(path) as connection:
        connection.execute("SELECT nothing FROM nowhere")
    assert open_count(path) == 0
    assert value_of(readers, path) == 1


def test_damage_that_came_after_a_question_is_found_by_the_next(readers: KeptReaders, path: Path) -> None:
    with writing(path) as connection:
        connection.executemany("INSERT INTO t VALUES (?)", [(number,) for number in range(10_000)])
    with readers.reader(path) as connection:
        assert connection.execute("SELECT COUNT(*) FROM t").fetchone() == (10_001,)
    with path.open("r+b") as file:
        file.seek(3 * 4_096)
        file.write(b"\xff" * 4_096)
    with pytest.raises(sqlite3.DatabaseError), readers.reader(path) as connection:
        connection.execute("SELECT COUNT(*) FROM t").fetchone()


@pytest.fixture(scope="module")
def five(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("five")
    return [made(folder / f"{number}.db", number) for number in range(5)]


@given(st.lists(st.integers(0, 4), max_size=12), st.integers(0, 3))
def test_those_that_were_asked_last_are_kept_and_no_more_than_may_be(
    five: list[Path], asked: list[int], limit: int
) -> None:
    readers = KeptReaders(limit)
    try:
        for number in asked:
            assert value_of(readers, five[number]) == number
        kept = {number for number, path in enumerate(five) if open_count(path)}
        assert kept == set(list(dict.fromkeys(reversed(asked)))[:limit])
    finally:
        readers.close()
    assert not any(map(open_count, five))
