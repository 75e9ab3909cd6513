"""A file of which a bit of the head was damaged does not count as one that has nothing."""

import contextlib
import sqlite3
from pathlib import Path

import pytest

from appliance.store.database import connect_writer
from appliance.store.head import tables_version


def test_a_file_that_says_that_it_has_no_tables_and_has_some_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "words.db"
    with contextlib.closing(connect_writer(path, page_bytes=4096, cache_kb=100, synchronous="NORMAL")) as writer:
        assert tables_version(writer) == 0
        writer.execute("CREATE TABLE word (word_id INTEGER PRIMARY KEY, text TEXT NOT NULL)")
        writer.execute("PRAGMA user_version = 3")
        assert tables_version(writer) == 3
        writer.execute("PRAGMA user_version = 0")
        with pytest.raises(sqlite3.DatabaseError, match="has no tables") as raised:
            tables_version(writer)
        assert raised.value.sqlite_errorcode == sqlite3.SQLITE_CORRUPT
