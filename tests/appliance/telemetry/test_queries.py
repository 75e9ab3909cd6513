"""The event log and day files keep what is put into them."""

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.instant import DAY_MS
from appliance.store.database import connect_writer
from appliance.telemetry import chunk, latest_record, queries
from appliance.telemetry.day_file import DamagedDayError, SealedChunk, SealedDevice, key_of, turn_of
from appliance.telemetry.days.queries import read_chunks, read_devices
from appliance.telemetry.keeping.model import DamagedOpenDayError
from appliance.telemetry.packing import ChunkError
from tests.appliance.store.tables import up_to_date
from tests.appliance.telemetry.keeping import days as keeping_days
from tests.appliance.telemetry.keeping.open_days import patch, writing
from tests.appliance.telemetry.reports import DAY, report

START = DAY * DAY_MS
FOREVER = (START, START + DAY_MS)


@pytest.fixture
def day(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    path = tmp_path / "2026-01-31.db"
    with closing(
        connect_writer(path, page_bytes=queries.DAY_PAGE_BYTES, cache_kb=100, synchronous="NORMAL")
    ) as connection:
        queries.prepare_day(connection)
        yield connection


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    path = tmp_path / "gateway.db"
    with closing(connect_writer(path, page_bytes=4096, cache_kb=100, synchronous="FULL")) as connection:
        up_to_date(connection)
        yield connection


def sealed(device_id: str, log_id: int, *spans: tuple[int, int], tenant_id: int = 1) -> SealedDevice:
    chunks = [
        SealedChunk(1, START + first, START + last, f"{device_id} {first} {last}".encode()) for first, last in spans
    ]
    return SealedDevice(tenant_id, device_id, log_id, log_id, START, b"record", chunks)


def read(folder: Path, tenant_id: int, start: int, end: int) -> list[bytes]:
    return [stored.blob for stored in read_chunks(folder / "2026-01-31.db", tenant_id, "a", start, end)]


spans = st.tuples(st.integers(0, DAY_MS - 1), st.integers(0, DAY_MS - 1)).map(lambda span: (min(span), max(span)))


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(st.sampled_from("ab"), spans), max_size=12), spans)
def test_the_chunks_of_a_range_are_found(
    tmp_path: Path, day: sqlite3.Connection, stored: list[tuple[str, tuple[int, int]]], asked: tuple[int, int]
) -> None:
    day.execute("DELETE FROM chunk")
    for log_id, (device_id, span) in enumerate(stored):
        queries.insert_sealed(day, [sealed(device_id, log_id, span)])
    start, end = START + asked[0], START + asked[1]
    found = read(tmp_path, 1, start, end)
    expected = [
        f"a {first} {last}".encode()
        for device_id, (first, last) in stored
        if device_id == "a" and START + first < end and START + last >= start
    ]
    assert sorted(found) == sorted(expected)


def test_a_second_chunk_of_the_same_ten_minutes_does_not_replace_the_first(
    tmp_path: Path, day: sqlite3.Connection
) -> None:
    queries.insert_sealed(day, [sealed("a", 1, (0, 5), (1, 6))])
    queries.insert_sealed(day, [sealed("a", 2, (0, 5))])
    assert len(read(tmp_path, 1, *FOREVER)) == 3


def turns(day: sqlite3.Connection) -> list[int]:
    return [turn_of(key) for (key,) in day.execute("SELECT chunk_id FROM chunk ORDER BY chunk_id")]


def test_a_turn_ends_when_most_have_had_theirs_and_takes_a_minute_at_least(day: sqlite3.Connection) -> None:
    def seal(names: str, minute: int) -> None:
        queries.insert_sealed(day, [sealed(name, 1, (minute * 60_000, minute * 60_000 + 5)) for name in names])

    seal("abc", 9)
    seal("de", 9)
    assert turns(day) == [0] * 5
    # One comes before its time, it finds room beside its first one.
    seal("af", 10)
    assert turns(day) == [0] * 7
    seal("ab", 10)
    assert turns(day) == [0] * 7 + [1] * 2
    for _ in range(20):
        seal("ab", 11)
    assert max(turns(day)) <= 11


def test_a_file_grows_at_its_end_and_not_between(day: sqlite3.Connection) -> None:
    names = [f"device-{number:03}" for number in range(300)]
    for minute in range(30):
        for first in range(0, 300, 100):
            batch = names[first : first + 100]
            (last,) = day.execute("SELECT COALESCE(MAX(chunk_id), 0) FROM chunk").fetchone()
            queries.insert_sealed(day, [sealed(name, 1, (minute * 60_000, minute * 60_000 + 5)) for name in batch])
            (count,) = day.execute("SELECT COUNT(*) FROM chunk WHERE chunk_id > ?", (last,)).fetchone()
            assert count == 100
    assert turns(day) == sorted(list(range(30)) * 300)


def test_the_newest_values_are_found_in_the_last_chunk(tmp_path: Path, day: sqlite3.Connection) -> None:
    path = tmp_path / "2026-01-31.db"
    queries.insert_sealed(day, [sealed("a", 1, (0, 5), (6, 9))._replace(latest=None)])
    (known,) = read_devices(path)
    assert known.latest == latest_record.with_chunk(b"a 6 9")
    (stored,) = day.execute("SELECT LENGTH(latest) FROM device").fetchone()
    assert stored < 10
    queries.insert_sealed(day, [sealed("a", 2, (9, 9))._replace(latest=b"record")])
    (known,) = read_devices(path)
    assert known.latest == b"record"
    # Where the chunk was lost, so are they, and the log is not taken to be in it.
    queries.insert_sealed(day, [sealed("a", 3, (11, 12))._replace(latest=None)])
    day.execute("DELETE FROM chunk")
    (known,) = read_devices(path)
    assert (known.last_log_id, known.latest) == (0, b"")


VERSION_1 = """
    CREATE TABLE device (
        device_number INTEGER PRIMARY KEY AUTOINCREMENT, tenant_id INTEGER NOT NULL, device_id TEXT NOT NULL,
        last_log_id INTEGER NOT NULL, latest_log_id INTEGER NOT NULL, last_seen_at INTEGER NOT NULL,
        latest BLOB NOT NULL, UNIQUE (tenant_id, device_id)
    ) STRICT;
    CREATE TABLE chunk (
        chunk_id INTEGER PRIMARY KEY, tenant_id INTEGER NOT NULL, report_count INTEGER NOT NULL,
        first_at INTEGER NOT NULL, last_at INTEGER NOT NULL, record BLOB NOT NULL
    ) STRICT;
    INSERT INTO device VALUES (1, 1, 'b', 7, 8, 9, x'01'), (2, 1, 'a', 7, 8, 9, x'01');
    PRAGMA user_version = 1;
    PRAGMA application_id = 77;
"""


def test_a_file_of_version_1_whose_names_cannot_be_read_is_left_to_be_saved(tmp_path: Path) -> None:
    with closing(
        connect_writer(tmp_path / "2026-01-31.db", page_bytes=16_384, cache_kb=100, synchronous="NORMAL")
    ) as day:
        day.executescript(VERSION_1)
        day.execute("UPDATE device SET device_id = CAST(x'ff61' AS TEXT) WHERE device_number = 2")
        with pytest.raises(DamagedOpenDayError):
            queries.prepare_day(day)
        assert not day.in_transaction
        assert day.execute("PRAGMA user_version").fetchone() == (1,)


def test_a_file_of_version_1_is_read_and_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "2026-01-31.db"
    with closing(connect_writer(path, page_bytes=16_384, cache_kb=100, synchronous="NORMAL")) as day:
        day.executescript(VERSION_1)
        # The ten minutes in which each begins: 12:00 and 12:10.
        for turn, first in ((72, DAY_MS // 2), (73, DAY_MS // 2 + 600_000)):
            row = (key_of(turn, 2), START + first, START + first + 5, f"a {first}".encode())
            day.execute("INSERT INTO chunk VALUES (?, 1, 1, ?, ?, ?)", row)
        before = read(tmp_path, 1, *FOREVER)
        assert before == [b"a 43200000", b"a 43800000"]
        queries.prepare_day(day)
        queries.prepare_day(day)
        assert read(tmp_path, 1, *FOREVER) == before
        queries.insert_sealed(day, [sealed("a", 9, (DAY_MS // 2 + 9, DAY_MS // 2 + 10)), sealed("c", 9, (0, 5))])
        assert read(tmp_path, 1, *FOREVER) == [*before, b"a 43200009 43200010"]
        assert read(tmp_path, 1, START, START + 43_200_008) == before[:1]
        assert [known[:4] for known in read_devices(path)] == [(1, "b", 7, 8), (1, "a", 9, 9), (1, "c", 9, 9)]
        assert day.execute("PRAGMA application_id").fetchone() == (77,)
        assert day.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_tenants_do_not_see_each_other(tmp_path: Path, day: sqlite3.Connection) -> None:
    queries.insert_sealed(day, [sealed("a", 1, (0, 5)), sealed("a", 1, (7, 8), tenant_id=2)])
    assert read(tmp_path, 2, *FOREVER) == [b"a 7 8"]
    assert read(tmp_path, 3, *FOREVER) == []


def test_how_far_the_log_is_covered_never_goes_back(tmp_path: Path, day: sqlite3.Connection) -> None:
    queries.insert_sealed(day, [sealed("a", 9, (0, 5))])
    queries.insert_sealed(day, [sealed("a", 4, (0, 5))])
    assert day.execute("SELECT last_log_id, latest_log_id FROM device").fetchall() == [(9, 4)]


@pytest.mark.parametrize("version", [-1, 3, 255])
def test_a_file_whose_version_cannot_be_is_left_to_be_saved(day: sqlite3.Connection, version: int) -> None:
    day.execute(f"PRAGMA user_version = {version}")
    with pytest.raises(DamagedOpenDayError):
        queries.prepare_day(day)


def test_a_device_that_the_index_does_not_find_is_no_new_one(tmp_path: Path, day: sqlite3.Connection) -> None:
    queries.insert_sealed(day, [sealed(name, 1, (0, 5)) for name in ("device-a", "device-b")])
    day.close()
    path = tmp_path / "2026-01-31.db"
    patch(path, "device_by_rank", b"device-b", b"device-x")
    with writing(path) as damaged, pytest.raises(DamagedOpenDayError, match="does not find"):
        queries.insert_sealed(damaged, [sealed("device-b", 2, (6, 7))])
    # Others are given numbers as before, one for each.
    with writing(path) as damaged:
        queries.insert_sealed(damaged, [sealed("device-c", 2, (6, 7)), sealed("device-c", 3, (8, 9))])
        assert damaged.execute("SELECT COUNT(*) FROM device").fetchone() == (3,)


def test_the_number_of_another_device_is_not_taken(tmp_path: Path, day: sqlite3.Connection) -> None:
    queries.insert_sealed(day, [sealed(name, 1, (0, 5)) for name in ("device-a", "device-b", "device-c")])
    day.close()
    path = tmp_path / "2026-01-31.db"
    patch(path, "device_by_rank", b"device-b\x02", b"device-b\x03")
    with writing(path) as damaged, pytest.raises(DamagedOpenDayError, match="of another"):
        queries.insert_sealed(damaged, [sealed("device-b", 2, (6, 7))])


def test_a_number_that_no_device_has_is_damage(tmp_path: Path, day: sqlite3.Connection) -> None:
    queries.insert_sealed(day, [sealed(name, 1, (0, 5)) for name in ("device-a", "device-b")])
    day.close()
    path = tmp_path / "2026-01-31.db"
    patch(path, "device_by_rank", b"device-b\x02", b"device-b\xff")
    with writing(path) as damaged, pytest.raises(DamagedOpenDayError, match="none has"):
        queries.insert_sealed(damaged, [sealed("device-b", 2, (6, 7))])


def test_a_file_that_says_that_only_later_releases_may_write_it_is_damaged(
    tmp_path: Path, day: sqlite3.Connection
) -> None:
    queries.insert_sealed(day, [sealed("a", 1, (0, 5))])
    day.close()
    path = tmp_path / "2026-01-31.db"
    content = path.read_bytes()
    path.write_bytes(content[:18] + b"\x03" + content[19:])
    with pytest.raises(DamagedOpenDayError, match="readonly"), queries.damage_told(path), writing(path) as damaged:
        queries.insert_sealed(damaged, [sealed("a", 2, (6, 7))])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize(("suffix", "mode"), [("", 0o444), ("", 0o600), ("-wal", 0o444), ("-wal", 0o600)])
def test_a_file_that_the_gateway_may_not_write_is_not_damaged(suffix: str, mode: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        path = Path(folder, "2026-01-31.db")
        with writing(Path(folder, "before.db")) as connection:
            queries.insert_sealed(connection, [sealed("a", 1, (0, 5))])
            for each in ("", "-wal"):
                path.with_name(path.name + each).write_bytes(Path(folder, f"before.db{each}").read_bytes())
                path.with_name(path.name + each).chmod(0o666)
        path.with_name(path.name + suffix).chmod(mode)
        os.seteuid(65_534)
        try:
            told = rf"^2026-01-31\.db{suffix} may not be written by the gateway: give it the owner and the permissions"
            refused = pytest.raises(queries.ForbiddenDayError, match=told)
            with refused, queries.damage_told(path), writing(path) as denied:
                queries.insert_sealed(denied, [sealed("a", 2, (6, 7))])
        finally:
            os.seteuid(0)


def test_a_key_that_no_chunk_has_is_damage(day: sqlite3.Connection) -> None:
    queries.insert_sealed(day, [sealed("a", 1, (0, 5))])
    day.execute("UPDATE chunk SET chunk_id = -5")
    with pytest.raises(DamagedOpenDayError, match="none has"):
        queries.insert_sealed(day, [sealed("a", 2, (6, 7))])


def test_preparing_twice_changes_nothing(tmp_path: Path, day: sqlite3.Connection) -> None:
    queries.insert_sealed(day, [sealed("a", 9, (0, 5))])
    queries.prepare_day(day)
    assert queries.checkpoint(day)
    assert len(read_devices(tmp_path / "2026-01-31.db")) == 1


def test_a_reader_in_the_way_of_a_checkpoint_is_told(tmp_path: Path, day: sqlite3.Connection) -> None:
    day.execute("PRAGMA busy_timeout = 1")
    with closing(sqlite3.connect(tmp_path / "2026-01-31.db", isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM chunk").fetchall()
        queries.insert_sealed(day, [sealed("a", 9, (0, 5))])
        assert not queries.checkpoint(day)
    assert queries.checkpoint(day)


def test_an_open_day_that_is_in_the_sealed_one_counts_no_more(tmp_path: Path, day: sqlite3.Connection) -> None:
    queries.insert_sealed(day, [sealed("a", 1, (0, 5))])
    (identity,) = day.execute("PRAGMA application_id").fetchone()
    reports = [report("a", START + 3)]
    keeping_days.sealed(tmp_path, [keeping_days.kept(reports)], taken=identity)
    [blob] = read(tmp_path, 1, *FOREVER)
    assert chunk.decode(blob).reports() == reports
    keeping_days.sealed(tmp_path, [keeping_days.kept(reports)], taken=identity + 1)
    assert len(read(tmp_path, 1, *FOREVER)) == 2
    assert read(tmp_path, 1, START + 6, START + 9) == []
    (tmp_path / "2026-01-31.sealed").write_bytes(b"damaged")
    with pytest.raises(DamagedDayError, match=r"2026-01-31\.sealed") as raised:
        read(tmp_path, 1, *FOREVER)
    assert [each.blob for each in raised.value.chunks] == [b"a 0 5"]
    assert queries.day_paths(tmp_path) == [tmp_path / "2026-01-31.db"]


def test_what_lies_where_is_said(tmp_path: Path) -> None:
    assert queries.place_of(tmp_path / "2026-01-31.db", 7) == "2026-01-31.db chunk 7"
    assert queries.place_of(tmp_path / "2026-01-31.db", -4096) == "2026-01-31.sealed page 1"
    assert queries.day_paths(tmp_path) == []
    assert not queries.has_day(tmp_path / "2026-01-31.db")


def test_a_file_without_tables_is_empty(tmp_path: Path) -> None:
    (tmp_path / "2026-01-30.db").touch()
    assert read_chunks(tmp_path / "2026-01-30.db", 1, "a", *FOREVER) == []
    assert read_devices(tmp_path / "2026-01-30.db") == []


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "2026-01-30.db").write_bytes(b"not a database" * 1000)
    with pytest.raises(ChunkError, match=r"2026-01-30\.db"):
        read_chunks(tmp_path / "2026-01-30.db", 1, "a", *FOREVER)
    with pytest.raises(ChunkError, match=r"2026-01-30\.db"):
        read_devices(tmp_path / "2026-01-30.db")


def test_a_file_of_a_later_release_is_left_alone(day: sqlite3.Connection) -> None:
    day.execute("PRAGMA user_version = 9")
    with pytest.raises(ChunkError, match="version 9"):
        queries.prepare_day(day)


def test_log_ids_grow_and_are_never_given_twice(gateway: sqlite3.Connection) -> None:
    first = queries.insert_log(gateway, 1, START, 2, b"record")
    second = queries.insert_log(gateway, 1, START, 2, b"record")
    assert second > first
    queries.delete_log(gateway, [1], second)
    assert queries.insert_log(gateway, 1, START, 2, b"record") > second


@given(st.lists(st.one_of(st.just(0), st.just(-1), st.integers(1, 12), st.integers(20, 30)), max_size=20))
def test_nor_after_any_trimming_and_any_restored_database(steps: list[int]) -> None:
    """0 appends, -1 trims all, others trim up to a log id or raise the floor to one."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as gateway:
        up_to_date(gateway)
        given_ids: list[int] = []
        floor = 0
        for step in steps:
            if step == 0:
                given_ids.append(queries.insert_log(gateway, 1, START, 1, b"record"))
                assert given_ids[-1] > max([floor, *given_ids[:-1]])
            elif step < 20:
                queries.delete_log(gateway, [1], 1_000 if step < 0 else step)
            else:
                assert queries.raise_log_id(gateway, step) is (step > max([floor, *given_ids]))
                floor = max(floor, step)
            assert gateway.execute("SELECT log_id FROM log_end").fetchone() == (max([floor, *given_ids]),)


def test_log_ids_start_behind_what_day_files_know(gateway: sqlite3.Connection) -> None:
    queries.raise_log_id(gateway, 50)
    queries.raise_log_id(gateway, 7)
    assert queries.insert_log(gateway, 1, START, 2, b"record") == 51


def test_the_log_is_read_in_order_and_trimmed_to_the_id(gateway: sqlite3.Connection) -> None:
    ids = [queries.insert_log(gateway, 1, START, 1, bytes([row])) for row in range(5)]
    queries.delete_log(gateway, [1], ids[1])
    select = queries.select_log(1, ids[2], 10)
    rows = [select.into(*row) for row in gateway.execute(select.sql, select.parameters)]
    assert [(row.log_id, row.record) for row in rows] == [(ids[3], b"\x03"), (ids[4], b"\x04")]
    oldest = queries.select_oldest_log(1)
    assert gateway.execute(oldest.sql, oldest.parameters).fetchall() == [(ids[2],)]
    assert gateway.execute(queries.select_tenants().sql).fetchall() == [(1,)]


def test_names_of_no_day_are_passed_over_and_told_apart(tmp_path: Path) -> None:
    days, strays = ["2026-02-01.sealed", "2026-01-31.db", "2026-01-31.sealed"], ["2026-13-45.db", "copy-of-it.sealed"]
    for name in [*days, *strays, "notes.txt"]:
        (tmp_path / name).touch()
    assert [path.name for path in queries.day_paths(tmp_path)] == ["2026-02-01.db", "2026-01-31.db"]
    assert queries.stray_names(tmp_path) == sorted(strays)
