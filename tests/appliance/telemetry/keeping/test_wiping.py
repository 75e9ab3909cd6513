"""Nothing that was deleted is left anywhere in an open day, and everything else is as it was."""

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.telemetry.keeping import queries, wiping
from appliance.telemetry.keeping.erasing.queries import delete_devices
from appliance.telemetry.keeping.resealing import EVERYTHING
from appliance.telemetry.packing import ChunkError
from appliance.telemetry.queries import DAY_PAGE_BYTES
from tests.appliance.telemetry.keeping.open_days import fill, rows, writing


def wipe(path: Path) -> int:
    with queries.opened_day(path) as part:
        assert part is not None
        roots = part.root_pages()
    with path.open("r+b", 0) as file:
        return wiping.wipe(file, roots, lambda: None)


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([40, 900]), st.sampled_from([60, 3_000, 40_000]))
def test_what_was_deleted_is_nowhere_and_all_else_stays(
    tmp_path_factory: pytest.TempPathFactory, seed: int, count: int, largest: int
) -> None:
    path = tmp_path_factory.mktemp("days") / "2026-01-31.db"
    with writing(path) as connection:
        # What SQLite does unless it was built otherwise: then old rows lie everywhere.
        connection.execute("PRAGMA secure_delete = OFF")
        marks = fill(connection, seed, min(count, 9_000_000 // largest), largest)
        connection.execute("BEGIN")
        delete_devices(connection, {(1, "device-7"): EVERYTHING})
        connection.execute("COMMIT")
    before = rows(path)
    wipe(path)
    content = path.read_bytes()
    assert [mark for mark in marks.get("device-7", ()) if mark in content] == []
    assert b"device-7" not in content
    assert rows(path) == before
    assert wipe(path) == 0


def test_copies_of_rows_that_were_moved_are_found_and_wiped(tmp_path: Path) -> None:
    path = tmp_path / "2026-01-31.db"
    with writing(path) as connection:
        connection.execute("PRAGMA secure_delete = ON")
        fill(connection, 1, 900, 3_000)
    before = rows(path)
    assert wipe(path) > 0
    assert rows(path) == before


class Unsyncable(FileIO):
    """A file whose disk takes nothing for good: whoever has it synced reaches the end of a pipe, which cannot be."""

    pipe: int

    def fileno(self) -> int:
        return self.pipe


@contextmanager
def unsyncable(path: Path) -> Iterator[Unsyncable]:
    reading, writing_end = os.pipe()
    try:
        with Unsyncable(path, "r+") as file:
            file.pipe = writing_end
            yield file
            # Closed by its own number, not by that of the pipe.
    finally:
        os.close(reading)
        os.close(writing_end)


def test_nothing_is_called_wiped_that_is_not_on_the_disk_not_even_what_was_wiped_before(tmp_path: Path) -> None:
    path = tmp_path / "2026-01-31.db"
    with writing(path) as connection:
        connection.execute("PRAGMA secure_delete = OFF")
        marks = fill(connection, 1, 40, 3_000)
        delete_devices(connection, {(1, "device-7"): EVERYTHING})
    with queries.opened_day(path) as part:
        assert part is not None
        roots = part.root_pages()
    for _ in range(2):
        with unsyncable(path) as file, pytest.raises(OSError, match="Invalid argument"):
            wiping.wipe(file, roots, lambda: None)
        assert marks["device-7"]
        assert [mark for mark in marks["device-7"] if mark in path.read_bytes()] == []


@pytest.mark.parametrize(
    ("offset", "bad"),
    [(0, b"\x07"), (1, b"\x3f\xff"), (3, b"\xff\xff"), (5, b"\x00\x01"), (8, b"\x00\x01")],
    ids=["kind", "free block", "count of rows", "rows within the head", "row within the head"],
)
def test_a_page_that_is_none_of_sqlites_is_refused_and_nothing_written(tmp_path: Path, offset: int, bad: bytes) -> None:
    path = tmp_path / "2026-01-31.db"
    with writing(path) as connection:
        fill(connection, 3, 10, 100)
        (root,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'chunk'").fetchone()
    content = bytearray(path.read_bytes())
    at = (root - 1) * DAY_PAGE_BYTES + offset
    content[at : at + len(bad)] = bad
    path.write_bytes(content)
    with path.open("r+b", 0) as file, pytest.raises(ChunkError, match=r"page|free block"):
        wiping.wipe(file, [root], lambda: None)
    assert path.read_bytes() == content


def test_pages_that_lead_back_to_themselves_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "2026-01-31.db"
    with writing(path) as connection:
        fill(connection, 3, 200, 3_000)
        (root,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'chunk'").fetchone()
    content = bytearray(path.read_bytes())
    struct.pack_into(">I", content, (root - 1) * DAY_PAGE_BYTES + 8, root)
    path.write_bytes(content)
    with path.open("r+b", 0) as file, pytest.raises(ChunkError, match="belongs to two places"):
        wiping.wipe(file, [root], lambda: None)
