"""Many devices of a day are read at a time, and damage of one costs no other anything."""

import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.instant import DAY_MS
from appliance.store.database import connect_reader, connect_writer
from appliance.telemetry import queries
from appliance.telemetry.day_file import DamagedDayError, SealedChunk, SealedDevice, StoredChunk
from appliance.telemetry.days import queries as days_queries
from appliance.telemetry.days.queries import (
    Device,
    read_chunks,
    read_chunks_of_many,
    read_devices,
    read_held,
    read_order,
)
from appliance.telemetry.packing import ChunkError
from tests.appliance.telemetry.keeping import days as keeping_days
from tests.appliance.telemetry.keeping.open_days import forget_tables, patch, put, writing
from tests.appliance.telemetry.reports import DAY, report

START = DAY * DAY_MS
FOREVER = (START, START + DAY_MS)
NAME = "2026-01-31.db"
TABLE_LEAF = 0x0D
"""How a page of rows begins."""

moments = st.integers(0, DAY_MS - 1)
devices = st.tuples(st.integers(1, 2), st.integers(0, 20).map("device-{}".format))
stored = st.tuples(devices, st.tuples(moments, moments).map(sorted))


@settings(max_examples=40, deadline=None)
@given(
    st.lists(stored, max_size=40),
    st.sets(devices, min_size=1),
    st.tuples(st.integers(-DAY_MS, 2 * DAY_MS), st.integers(1, 2 * DAY_MS)),
)
def test_what_is_read_of_many_devices_is_what_each_has(
    all_stored: list[tuple[Device, list[int]]], asked: set[Device], span: tuple[int, int]
) -> None:
    start, end = START + span[0], START + span[0] + span[1]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / NAME
        expected: dict[Device, list[bytes]] = {device: [] for device in asked}
        with writing(path) as connection:
            for number, (device, (first, last)) in enumerate(all_stored):
                blob = str(number).encode()
                chunks = [SealedChunk(1, START + first, START + last, blob)]
                queries.insert_sealed(connection, [SealedDevice(*device, 1, 1, 0, b"", chunks)])
                if device in asked and START + first < end and START + last >= start:
                    expected[device].append(blob)
        found: dict[Device, list[StoredChunk]] = {device: [] for device in asked}
        read_chunks_of_many(path, found, start, end)
        assert {device: sorted(each.blob for each in chunks) for device, chunks in found.items()} == {
            device: sorted(blobs) for device, blobs in expected.items()
        }
        assert read_held(path, asked) == {device for device, _ in all_stored} & asked
        keys = [[each.chunk_id for each in of_device] for of_device in found.values()]
        assert keys == [sorted(each) for each in keys]
        order = read_order(path, asked)
        first_seen = list(dict.fromkeys(device for device, _ in all_stored))
        assert sorted(order) == sorted(asked)
        assert [device for device in order if device in first_seen] == [each for each in first_seen if each in asked]


def filled(path: Path, count: int) -> None:
    with closing(connect_writer(path, page_bytes=4_096, cache_kb=100, synchronous="OFF")) as connection:
        queries.prepare_day(connection)
        connection.execute("BEGIN")
        for slot in range(3):
            at = START + slot * 600_000
            chunks = [SealedChunk(1, at, at, b"x" * 500)]
            names = [f"device-{number}" for number in range(count)]
            queries.insert_sealed(connection, [SealedDevice(1, name, 1, 1, 0, b"", chunks) for name in names])
        connection.execute("COMMIT")


def test_devices_beside_a_damaged_page_are_still_read(tmp_path: Path) -> None:
    path = tmp_path / NAME
    filled(path, 60)
    content = bytearray(path.read_bytes())
    leaves = [page for page in range(1, len(content) // 4_096) if content[page * 4_096] == TABLE_LEAF]
    page = leaves[len(leaves) // 2]
    content[page * 4_096 : page * 4_096 + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    found: dict[Device, list[StoredChunk]] = {(1, f"device-{number}"): [] for number in range(60)}
    with pytest.raises(DamagedDayError, match="2026-01-31 cannot be read: database disk image is malformed"):
        read_chunks_of_many(path, found, START, START + DAY_MS)
    whole = [device for device, chunks in found.items() if len(chunks) == 3]
    assert 0 < len(whole) < 60
    for device in whole:
        assert read_chunks(path, *device, START, START + DAY_MS) == found[device]


def test_many_devices_are_read_without_an_index_being_made_for_it(tmp_path: Path) -> None:
    path = tmp_path / NAME
    filled(path, 200)
    steps = 0

    def counted() -> None:
        nonlocal steps
        steps += 1

    with closing(connect_reader(path)) as connection:
        connection.set_progress_handler(counted, 10)
        span = days_queries._Span(START, START + 600_000, 1)
        assert len(days_queries._select_chunks(connection, 1, (7, 8), span)) == 2
    # A few steps of SQLite's own for each row: the day has 600, each of which would take as many.
    assert steps < 20


def test_a_day_that_cannot_be_read_has_any_order(tmp_path: Path) -> None:
    path = tmp_path / NAME
    assert read_order(path, {(1, "b"), (1, "a")}) == [(1, "a"), (1, "b")]
    path.write_bytes(b"no database" * 500)
    assert read_order(path, {(1, "b"), (1, "a")}) == [(1, "a"), (1, "b")]


def test_the_sealed_part_is_read_with_the_open_one(tmp_path: Path) -> None:
    filled(tmp_path / NAME, 2)
    keeping_days.sealed(tmp_path, [keeping_days.kept([report("device-1", START + 3)])])
    found: dict[Device, list[StoredChunk]] = {(1, "device-0"): [], (1, "device-1"): [], (1, "unknown"): []}
    read_chunks_of_many(tmp_path / NAME, found, START, START + 600_000)
    assert [len(chunks) for chunks in found.values()] == [1, 2, 0]
    assert read_held(tmp_path / NAME, found) == {(1, "device-0"), (1, "device-1")}
    (tmp_path / NAME).unlink()
    assert read_held(tmp_path / NAME, found) == {(1, "device-1")}


def test_a_device_that_is_named_as_none_is_named_is_damage(tmp_path: Path) -> None:
    filled(tmp_path / NAME, 2)
    with closing(sqlite3.connect(tmp_path / NAME)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_schema SET sql = REPLACE(sql, ') STRICT', ')') WHERE name = 'device'")
        connection.commit()
    with closing(sqlite3.connect(tmp_path / NAME)) as connection:
        connection.execute("UPDATE device SET last_log_id = x'00' WHERE device_number = 1")
        connection.commit()
    with pytest.raises(ChunkError, match="names a device as none is named"):
        read_devices(tmp_path / NAME)


@pytest.mark.parametrize("number", [b"\x03", b"\xff"])
def test_a_number_that_is_not_of_a_device_gives_it_nothing_of_another(tmp_path: Path, number: bytes) -> None:
    path = tmp_path / NAME
    with writing(path) as connection:
        for name in ("device-a", "device-b", "device-c"):
            put(connection, name, [1])
    patch(path, "device_by_rank", b"device-b\x02", b"device-b" + number)
    found: dict[Device, list[StoredChunk]] = {(1, f"device-{letter}"): [] for letter in "abc"}
    with pytest.raises(DamagedDayError, match="none of its"):
        read_chunks_of_many(path, found, *FOREVER)
    assert [len(chunks) for chunks in found.values()] == [1, 0, 1]


def test_a_day_that_says_that_it_has_nothing_and_has_something_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / NAME
    with writing(path) as connection:
        put(connection, "device-a", [1])
    forget_tables(path)
    with pytest.raises(DamagedDayError, match="has no tables"):
        read_chunks(path, 1, "device-a", *FOREVER)
    with pytest.raises(ChunkError, match="has no tables"):
        read_devices(path)
    with pytest.raises(ChunkError, match="has no tables"):
        read_held(path, [(1, "device-a")])


def test_where_the_last_chunk_has_no_key_that_chunks_have_the_others_are_read(tmp_path: Path) -> None:
    path = tmp_path / NAME
    with writing(path) as connection:
        put(connection, "device-a", [1, 150])
        before = len(read_chunks(path, 1, "device-a", *FOREVER))
        assert before == 2
        with closing(connect_reader(path)) as reader:
            assert days_queries._turn_count(reader) < 10
        connection.execute("DELETE FROM chunk")
        connection.execute("INSERT INTO chunk VALUES (-1, 1, 1, 0, 0, x'00')")
    with closing(connect_reader(path)) as reader:
        assert days_queries._turn_count(reader) == 2048


@pytest.mark.parametrize(
    ("said", "latest", "believed"), [(9, None, 3), (2, None, 2), (9, b"record", 0), (4, b"record", 4)]
)
def test_no_more_of_the_log_is_thought_to_be_in_chunks_than_can_be(
    tmp_path: Path, said: int, latest: bytes | None, believed: int
) -> None:
    path = tmp_path / NAME
    with writing(path) as connection:
        made = keeping_days.piece([report("a", START)], 3)
        chunks = [SealedChunk(1, START, START, made.blob)]
        queries.insert_sealed(connection, [SealedDevice(1, "a", 3, 4, 0, latest, chunks)])
        connection.execute("UPDATE device SET last_log_id = ?", (said,))
    assert [each.last_log_id for each in read_devices(path)] == [believed]


@pytest.mark.parametrize("log_id", [-1, 1 << 48, (1 << 63) - 1])
def test_a_log_id_that_no_log_has_is_damage(tmp_path: Path, log_id: int) -> None:
    path = tmp_path / NAME
    with writing(path) as connection:
        put(connection, "a", [1])
        connection.execute("UPDATE device SET latest_log_id = ?", (log_id,))
    with pytest.raises(ChunkError, match="names a device as none is named"):
        read_devices(path)
