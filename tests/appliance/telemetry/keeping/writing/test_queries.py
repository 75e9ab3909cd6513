"""Whatever of an open day can be read is saved, whichever of its pages was damaged."""

from pathlib import Path

import pytest

from appliance.telemetry import chunk
from appliance.telemetry.keeping.sealed_day import at_once
from appliance.telemetry.keeping.writing.queries import saved_day
from appliance.telemetry.queries import DAY_PAGE_BYTES
from tests.appliance.telemetry.keeping.open_days import patch, put, writing

DEVICES = [f"device-{number:02}" for number in range(60)]
LOG_IDS = list(range(1, 13))
Saved = set[tuple[str, int]]


def made(path: Path) -> Path:
    with writing(path) as connection:
        for number, name in enumerate(DEVICES):
            put(connection, name, [100 * number + each for each in LOG_IDS], latest=b"newest" * 40)
    return path


def saved(path: Path) -> Saved:
    """Devices, each with the log id of a chunk; each is seen once and is whole."""
    found = []
    with saved_day(path, at_once) as part:
        devices = {each.number: each for each in part.devices()}
        for row in part.chunks(0, 1 << 28):
            rows = chunk.decode(row.blob)
            assert (rows.tenant_id, rows.device_id) == devices[row.number][1:3]
            assert (rows.count, min(rows.at), max(rows.at)) == row[1:4]
            assert devices[row.number].last_log_id >= rows.last_log_id
            found.append((rows.device_id, rows.last_log_id))
        assert part.chunk_count == len(found)
    assert len(found) == len(set(found))
    return set(found)


def test_a_whole_day_is_saved_whole(tmp_path: Path) -> None:
    path = made(tmp_path / "2026-01-31.db")
    everything = {(name, 100 * number + each) for number, name in enumerate(DEVICES) for each in LOG_IDS}
    assert saved(path) == everything
    with saved_day(path, at_once) as part:
        assert part.identity > 0
        assert part.size_bytes == path.stat().st_size


def test_a_page_that_is_lost_costs_what_lies_on_it(tmp_path: Path) -> None:
    path = made(tmp_path / "2026-01-31.db")
    good = path.read_bytes()
    pages = len(good) // DAY_PAGE_BYTES
    with writing(path) as connection:
        roots = dict(connection.execute("SELECT name, rootpage FROM sqlite_schema WHERE rootpage > 0"))
    assert pages > 10
    most = len(DEVICES) * len(LOG_IDS)
    for page in range(pages):
        bad = bytes(DAY_PAGE_BYTES) if page % 2 else b"\xff" * DAY_PAGE_BYTES
        path.write_bytes(good[: page * DAY_PAGE_BYTES] + bad + good[(page + 1) * DAY_PAGE_BYTES :])
        count = len(saved(path))
        # Without the first page it is no database, without the root of the chunks nothing leads to them.
        if page + 1 in (1, roots["chunk"]):
            assert count == 0
        else:
            assert count > most * 0.8


@pytest.mark.parametrize("name", [b"device-39", b"device-xx", b"\xff\xff\xff"])
def test_whose_a_chunk_is_it_says_itself(tmp_path: Path, name: bytes) -> None:
    path = made(tmp_path / "2026-01-31.db")
    everything = saved(path)
    with writing(path) as connection:
        connection.execute("UPDATE device SET latest = x'00'")
        connection.execute("VACUUM")
    patch(path, "device", b"device-40", name)
    assert saved(path) == everything


def test_a_device_that_is_listed_twice_is_saved_once_and_as_far_as_its_chunks_have_the_log(tmp_path: Path) -> None:
    path = tmp_path / "2026-01-31.db"
    with writing(path) as connection:
        put(connection, "device-a", [1, 2])
        connection.execute("UPDATE device SET device_id = 'device-x', last_log_id = 99, latest_log_id = ?", (1 << 48,))
        put(connection, "device-a", [3, 4], latest=b"newest")
        connection.execute("UPDATE device SET last_log_id = 99 WHERE device_id = 'device-a'")
    assert saved(path) == {("device-a", log_id) for log_id in (1, 2, 3, 4)}
    with saved_day(path, at_once) as part:
        [device] = part.devices()
        assert device[1:] == (1, "device-a", 4, 4, 4, b"newest")


@pytest.mark.parametrize("content", [b"", b"no database", b"SQLite format 3\0" + b"\xff" * 20_000])
def test_what_is_no_database_gives_nothing(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "2026-01-31.db"
    path.write_bytes(content)
    assert saved(path) == set()
    with saved_day(path, at_once) as part:
        assert part.identity == 0
