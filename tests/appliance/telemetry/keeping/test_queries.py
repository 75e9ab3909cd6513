"""What sealing reads of an open day, and how the erasing of devices is written down."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import pytest

from appliance.store.database import Select, connect_writer
from appliance.store.migrate import migrate
from appliance.telemetry import queries as day_queries
from appliance.telemetry.day_file import SealedChunk, SealedDevice
from appliance.telemetry.keeping import queries
from appliance.telemetry.keeping.model import DamagedOpenDayError
from appliance.telemetry.keeping.sealed_day import at_once
from appliance.telemetry.packing import ChunkError
from tests.appliance.telemetry.keeping.days import kept, sealed
from tests.appliance.telemetry.keeping.open_days import forget_tables, patch, put, writing
from tests.appliance.telemetry.reports import NOON, report

Row = TypeVar("Row")


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    path = tmp_path / "gateway.db"
    with closing(connect_writer(path, page_bytes=4096, cache_kb=100, synchronous="FULL")) as connection:
        migrate(connection)
        yield connection


def make_day(path: Path) -> None:
    with closing(
        connect_writer(path, page_bytes=day_queries.DAY_PAGE_BYTES, cache_kb=100, synchronous="NORMAL")
    ) as connection:
        day_queries.prepare_day(connection)
        for name in ("b", "a"):
            chunks = [SealedChunk(1, NOON + late, NOON + late, f"{name}{late}".encode()) for late in (0, 700_000)]
            day_queries.insert_sealed(connection, [SealedDevice(1, name, 4, 5, 6, b"latest", chunks)])


def rows_of(connection: sqlite3.Connection, select: Select[Row]) -> list[Row]:
    return [select.into(*row) for row in connection.execute(select.sql, select.parameters)]


def test_an_open_day_is_read_by_device(tmp_path: Path) -> None:
    path = tmp_path / "2026-01-31.db"
    make_day(path)
    with queries.opened_day(path) as day:
        assert day is not None
        day.require_whole(path.name, lambda: False, lambda: at_once)
        assert [each[1:] for each in day.devices()] == [(1, name, 4, 5, 6, b"latest") for name in "ba"]
        first, second = (each.number for each in day.devices())
        assert [row.blob for row in day.chunks(first, first)] == [b"b0", b"b700000"]
        assert [row.blob for row in day.chunks(first, second)] == [b"b0", b"b700000", b"a0", b"a700000"]
        assert next(row[:4] for row in day.chunks(second, second)) == (second, 1, NOON, NOON)
        assert day.identity > 0
        assert day.size_bytes > 0


def test_open_days_of_one_day_differ(tmp_path: Path) -> None:
    identities = set()
    for name in ("2026-01-31.db", "2026-02-01.db"):
        make_day(tmp_path / name)
        with queries.opened_day(tmp_path / name) as day:
            assert day is not None
            identities.add(day.identity)
    assert len(identities) == 2


def test_a_day_that_is_not_there_is_none_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    path = tmp_path / "2026-01-31.db"
    with queries.opened_day(path) as day:
        assert day is None
    path.touch()
    with queries.opened_day(path) as day:
        assert day is None
    path.write_bytes(b"no database" * 2000)
    with pytest.raises(ChunkError, match=r"2026-01-31\.db"), queries.opened_day(path):
        pass


def test_a_day_that_says_that_it_has_no_tables_and_has_some_is_not_nothing(tmp_path: Path) -> None:
    path = tmp_path / "2026-01-31.db"
    make_day(path)
    forget_tables(path)
    with pytest.raises(DamagedOpenDayError, match="has no tables"), queries.opened_day(path):
        pass


def require_whole(path: Path) -> None:
    with queries.opened_day(path) as day:
        assert day is not None
        day.require_whole(path.name, lambda: False, lambda: at_once)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE chunk SET tenant_id = 2 WHERE chunk_id = (SELECT MIN(chunk_id) FROM chunk)",
        "UPDATE chunk SET first_at = first_at - 1",
        "UPDATE chunk SET last_at = last_at + 1",
        "UPDATE chunk SET report_count = 7",
        "UPDATE chunk SET chunk_id = chunk_id + (1 << 40) WHERE chunk_id = (SELECT MAX(chunk_id) FROM chunk)",
        "UPDATE device SET last_log_id = last_log_id + 1 WHERE device_number = 2",
        "DELETE FROM chunk WHERE chunk_id = (SELECT MAX(chunk_id) FROM chunk)",
        "DELETE FROM device WHERE device_number = 1",
        "UPDATE chunk SET chunk_id = chunk_id - (1 << 62) WHERE chunk_id = (SELECT MIN(chunk_id) FROM chunk)",
    ],
)
def test_rows_that_do_not_agree_are_damage(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "2026-01-31.db"
    with writing(path) as connection:
        for name in ("device-a", "device-b"):
            put(connection, name, [1, 2, 3])
    require_whole(path)
    with writing(path) as connection:
        connection.execute(damage)
    with pytest.raises(DamagedOpenDayError, match=r"2026-01-31\.db was damaged"):
        require_whole(path)


@pytest.mark.parametrize("place", ["device", "device_by_rank"])
def test_a_device_that_has_another_name_in_the_index_is_damage(tmp_path: Path, place: str) -> None:
    path = tmp_path / "2026-01-31.db"
    with writing(path) as connection:
        for name in ("device-a", "device-b"):
            put(connection, name, [1, 2, 3])
    patch(path, place, b"device-b", b"device-x")
    with pytest.raises(DamagedOpenDayError, match=r"2026-01-31\.db was damaged"):
        require_whole(path)


def test_what_is_written_while_rows_are_compared_is_no_damage(tmp_path: Path) -> None:
    path = tmp_path / "2026-01-31.db"
    with writing(path) as connection:
        for number in range(60):
            put(connection, f"device-{number}", list(range(1, 21)))

        def change() -> None:
            put(connection, "device-60", [30])
            put(connection, "device-59", [31])
            connection.execute("DELETE FROM chunk WHERE chunk_id >> 24 & 65535 = 60")
            connection.execute("DELETE FROM device WHERE device_id = 'device-59'")

        breaths = [change]
        with queries.opened_day(path) as day:
            assert day is not None
            day.require_whole(path.name, lambda: False, lambda: lambda: breaths.pop()() if breaths else None)
    assert not breaths


def test_what_sqlite_takes_to_look_at_every_page_is_not_slept_off(tmp_path: Path) -> None:
    path = tmp_path / "2026-01-31.db"
    with writing(path) as connection:
        put(connection, "device-a", [1, 2, 3])
    said: list[str] = []

    def breather() -> Callable[[], None]:
        said.append("made")
        return lambda: said.append("breathed")

    with queries.opened_day(path) as day:
        assert day is not None
        day._connection.set_trace_callback(said.append)
        day.require_whole(path.name, lambda: False, breather)
    assert said[:2] == ["PRAGMA integrity_check(1)", "made"]
    assert said[-1] == "breathed"


def test_a_chunk_that_does_not_match_its_checksum_is_for_its_readers_to_name(tmp_path: Path) -> None:
    path = tmp_path / "2026-01-31.db"
    with writing(path) as connection:
        put(connection, "device-a", [1, 2, 3])
        connection.execute("UPDATE chunk SET record = x'00' WHERE chunk_id = (SELECT MAX(chunk_id) FROM chunk)")
    require_whole(path)


def test_only_an_open_day_that_was_taken_in_is_removed_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "2026-01-31.db"
    make_day(path)
    unfinished = tmp_path / "2026-01-31.sealed.tmp"
    unfinished.touch()
    with queries.opened_day(path) as day:
        assert day is not None
        identity = day.identity
    sealed(tmp_path, [kept([report()])], taken=identity + 1)
    queries.remove_leftovers(tmp_path)
    assert path.exists()
    assert not unfinished.exists()
    sealed(tmp_path, [kept([report()])], taken=identity)
    queries.remove_leftovers(tmp_path)
    assert not path.exists()
    (tmp_path / "2026-01-31.sealed").write_bytes(b"damaged")
    make_day(path)
    queries.remove_leftovers(tmp_path)
    assert path.exists()


def test_an_erasure_knows_how_far_the_log_was_and_stays_until_it_is_done(gateway: sqlite3.Connection) -> None:
    assert queries.insert_erasures(gateway, 1, ["early"], 1)[0].through_log_id == 0
    log_id = day_queries.insert_log(gateway, 1, NOON, 1, b"record")
    [_, erasure] = rows_of(gateway, queries.select_erasures()) + queries.insert_erasures(gateway, 1, ["a"], 7)
    assert (erasure.device_id, erasure.through_log_id, erasure.asked_at) == ("a", log_id, 7)
    assert [each.device_id for each in rows_of(gateway, queries.select_erasures())] == ["early", "a"]
    queries.update_erasures_done(gateway, [erasure], 9)
    assert [each.device_id for each in rows_of(gateway, queries.select_erasures())] == ["early"]


def test_log_records_are_replaced_and_the_old_bytes_are_nowhere(gateway: sqlite3.Connection, tmp_path: Path) -> None:
    ids = [day_queries.insert_log(gateway, 1, NOON, 2, b"private-" * 9) for _ in range(3)]
    assert rows_of(gateway, queries.select_log_of(1, 0, ids[1], 10)) == [(each, b"private-" * 9) for each in ids[:2]]
    queries.update_log(gateway, 1, [(each, 1, b"x") for each in ids])
    queries.checkpoint(gateway)
    assert rows_of(gateway, queries.select_log_of(1, ids[0], ids[2], 10)) == [(ids[1], b"x"), (ids[2], b"x")]
    assert b"private-" not in (tmp_path / "gateway.db").read_bytes()
    assert b"private-" not in (tmp_path / "gateway.db-wal").read_bytes()
