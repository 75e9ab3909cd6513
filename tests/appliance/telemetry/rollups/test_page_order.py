"""Wherever pages of roll-ups have changed places, that is found, or nothing that was asked for is missing."""

import contextlib
from itertools import permutations
from pathlib import Path

import pytest

from appliance.store.database import connect_writer
from appliance.store.kept_readers import KeptReaders
from appliance.telemetry import rollup_record
from appliance.telemetry.bins import Bin
from appliance.telemetry.rollup_record import RollUp
from appliance.telemetry.rollups import months, queries
from appliance.telemetry.rollups.model import DamagedRollUpsError, HourRow, MonthFile, Wanted
from appliance.telemetry.rollups.reading import queries as reading
from appliance.telemetry.rollups.stale import HOURS_PER_DAY
from tests.appliance.telemetry.reports import DAY

FIRST = DAY * HOURS_PER_DAY
HOURS = range(FIRST, FIRST + 6)
NAMES = [f"pump-{number:02}" for number in range(40)]
TABLE_LEAF = 0x0D
EVERY_DEVICE_BUT = {"pump-07", "pump-08"}
"""These have no roll-up of the third hour."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / months.file_name(months.month_of(DAY))
    record = rollup_record.encode(RollUp({"pressure": Bin(1, 1.0, 1.0, 1.0, 0.0, 0, 1.0, 0, 1.0)}, {}))
    rows = [
        HourRow(1, name, hour, 1, record, is_certain=True)
        for hour in HOURS
        for name in NAMES
        if hour != HOURS[2] or name not in EVERY_DEVICE_BUT
    ]
    with contextlib.closing(connect_writer(path, page_bytes=4096, cache_kb=100, synchronous="OFF")) as connection:
        queries.prepare(connection)
        connection.execute("BEGIN")
        queries.insert_hours(connection, DAY, rows)
        queries.update_progress(connection, DAY, 1)
        connection.execute("COMMIT")
    return path


def pages_of_hours(path: Path) -> list[int]:
    """Where the pages begin on which roll-ups lie."""
    content = path.read_bytes()
    pages = range(4096, len(content), 4096)
    return [at for at in pages if content[at] == TABLE_LEAF and b"pressure" in content[at : at + 4096]]


def stored(path: Path, names: list[str], *, is_whole: bool = True) -> set[tuple[str, int]]:
    records = reading.read_hours(
        MonthFile(path, KeptReaders(0).reader, is_whole), Wanted(1, names, ["pressure"]), HOURS[0], HOURS[-1] + 1, ()
    ).records
    assert len(records) == len(set(records))
    return {(device, hour) for device, hour, _ in records}


def test_what_is_missing_for_good_is_no_damage(whole: Path) -> None:
    assert len(stored(whole, NAMES)) == len(HOURS) * len(NAMES) - 2
    assert len(stored(whole, ["pump-07"])) == len(HOURS) - 1
    assert stored(whole, ["pump-99"]) == set()


@pytest.mark.parametrize("is_copied", [False, True])
def test_pages_that_have_changed_places_or_stand_twice_are_found(whole: Path, tmp_path: Path, is_copied: bool) -> None:
    pages = pages_of_hours(whole)
    assert len(pages) > 5
    expected = {name: stored(whole, [name]) for name in NAMES}
    content, path = whole.read_bytes(), tmp_path / whole.name
    for one, other in permutations(pages[:4], 2):
        damaged = bytearray(content)
        damaged[one : one + 4096] = content[other : other + 4096]
        if not is_copied:
            damaged[other : other + 4096] = content[one : one + 4096]
        path.write_bytes(damaged)
        for names in (NAMES, *([name] for name in NAMES)):
            with contextlib.suppress(DamagedRollUpsError):
                assert stored(path, names) == set().union(*(expected[name] for name in names))
        with pytest.raises(DamagedRollUpsError):
            stored(path, NAMES)


def test_in_a_file_nobody_has_looked_at_yet_no_page_in_a_wrong_place_hides_behind_many_gaps(tmp_path: Path) -> None:
    path = tmp_path / months.file_name(months.month_of(DAY))
    record = rollup_record.encode(RollUp({"pressure": Bin(1, 1.0, 1.0, 1.0, 0.0, 0, 1.0, 0, 1.0)}, {}))
    names = [f"pump-{number:03}" for number in range(600)]
    rows = [
        HourRow(1, name, hour, 1, record, is_certain=True)
        for hour in HOURS
        for number, name in enumerate(names)
        if (number + hour) % 7 or hour == HOURS[0]
    ]
    with contextlib.closing(connect_writer(path, page_bytes=4096, cache_kb=100, synchronous="OFF")) as connection:
        queries.prepare(connection)
        connection.execute("BEGIN")
        queries.insert_hours(connection, DAY, rows)
        queries.update_progress(connection, DAY, 1)
        connection.execute("COMMIT")
    expected = stored(path, names, is_whole=False)
    assert len(expected) == len(rows)
    content, pages = path.read_bytes(), pages_of_hours(path)
    for one, other in [(pages[place], pages[-place]) for place in range(2, len(pages) // 2, 3)]:
        damaged = bytearray(content)
        damaged[one : one + 4096] = content[other : other + 4096]
        path.write_bytes(damaged)
        with pytest.raises(DamagedRollUpsError):
            stored(path, names, is_whole=False)
        for name in names[::40]:
            with contextlib.suppress(DamagedRollUpsError):
                assert stored(path, [name], is_whole=False) == {each for each in expected if each[0] == name}
