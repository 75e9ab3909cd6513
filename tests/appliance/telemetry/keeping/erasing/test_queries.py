"""Devices go from an open day up to a log id, and files that were set aside are judged by what they may hold."""

import sqlite3
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.telemetry import chunk, log_record
from appliance.telemetry.keeping.erasing import queries
from appliance.telemetry.keeping.model import DamagedOpenDayError
from appliance.telemetry.keeping.queries import opened_day
from appliance.telemetry.keeping.resealing import EVERYTHING
from appliance.telemetry.queries import DAY_PAGE_BYTES
from tests.appliance.telemetry.keeping.open_days import fill, put, writing

Kept = dict[str, tuple[int, int, bytes, list[int]]]
"""By device: last log id, when it was seen last, newest values, and the log ids of its chunks."""

log_ids = st.lists(st.integers(1, 300), min_size=1, max_size=8, unique=True).map(sorted)


def kept(path: Path) -> Kept:
    with opened_day(path) as part:
        assert part is not None
        devices = {each.number: each for each in part.devices()}
        found: Kept = {
            each.device_id: (each.last_log_id, each.last_seen_at, each.latest, []) for each in devices.values()
        }
        for row in part.chunks(0, max(devices, default=0)):
            found[devices[row.number].device_id][3].append(chunk.header(row.blob).last_log_id)
    for each in found.values():
        each[3].sort()
    return found


@settings(max_examples=30, deadline=None)
@given(
    st.dictionaries(st.sampled_from("abc"), log_ids, min_size=1),
    st.dictionaries(st.sampled_from("abcd"), st.integers(1, 300) | st.just(EVERYTHING)),
)
def test_what_is_newer_stays_and_so_does_every_other_device(
    tmp_path_factory: pytest.TempPathFactory, written: dict[str, list[int]], through: dict[str, int]
) -> None:
    path = tmp_path_factory.mktemp("days") / "2026-01-31.db"
    left_out = {(1, name): log_id for name, log_id in through.items()}
    with writing(path) as connection:
        for name, ids in written.items():
            put(connection, name, ids)
        for _ in range(2):
            queries.delete_devices(connection, left_out)
    expected: Kept = {}
    for name, ids in written.items():
        if left := [log_id for log_id in ids if log_id > through.get(name, 0)]:
            expected[name] = (ids[-1], ids[-1], b"latest", left)
    assert kept(path) == expected


def test_newest_values_go_with_what_they_came_from(tmp_path: Path) -> None:
    path = tmp_path / "2026-01-31.db"
    with writing(path) as connection:
        put(connection, "a", [5, 9])
        connection.execute("UPDATE device SET latest_log_id = 5")
        queries.delete_devices(connection, {(1, "a"): 5})
    assert kept(path) == {"a": (9, 0, log_record.encode(()), [9])}


def test_another_tenants_device_of_that_name_stays(tmp_path: Path) -> None:
    path = tmp_path / "2026-01-31.db"
    with writing(path) as connection:
        put(connection, "a", [5])
        queries.delete_devices(connection, {(2, "a"): EVERYTHING})
    assert list(kept(path)) == ["a"]


def damage_root(path: Path, table: str) -> None:
    with writing(path) as connection:
        (root,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,)).fetchone()
    content = bytearray(path.read_bytes())
    start, half = (root - 1) * DAY_PAGE_BYTES, DAY_PAGE_BYTES // 2
    content[start : start + half] = b"\xff" * half
    path.write_bytes(content)


def test_a_damaged_day_is_told(tmp_path: Path) -> None:
    path = tmp_path / "2026-01-31.db"
    with writing(path) as connection:
        fill(connection, 1, 60, 3_000)
    damage_root(path, "chunk")
    with writing(path) as connection, pytest.raises(DamagedOpenDayError, match="malformed"):
        queries.delete_devices(connection, {(1, "device-7"): 5})


def test_why_a_day_may_only_be_read_is_told_by_whoever_knows_its_path(tmp_path: Path) -> None:
    path = tmp_path / "2026-01-31.db"
    with writing(path) as connection:
        put(connection, "a", [5])
    content = path.read_bytes()
    path.write_bytes(content[:18] + b"\x03" + content[19:])
    with writing(path) as connection, pytest.raises(sqlite3.OperationalError, match="readonly"):
        queries.delete_devices(connection, {(1, "a"): EVERYTHING})


def test_a_file_that_was_set_aside_is_free_of_a_device_only_when_its_list_says_so(tmp_path: Path) -> None:
    path = tmp_path / "2026-01-31.db.damaged-1"
    path.write_bytes(b"nothing")
    assert queries.may_hold(path, {(1, "a")})
    path.unlink()
    with writing(path) as connection:
        put(connection, "a", [1])
    assert queries.may_hold(path, {(1, "a")})
    assert not queries.may_hold(path, {(2, "a"), (1, "b")})
    damage_root(path, "chunk")
    assert not queries.may_hold(path, {(1, "b")})
    damage_root(path, "device")
    assert queries.may_hold(path, {(1, "b")})
