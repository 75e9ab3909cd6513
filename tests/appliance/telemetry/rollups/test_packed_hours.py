"""Packed hours come out as they went in, and no damage stays unseen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.telemetry import rollup_record
from appliance.telemetry.bins import Bin
from appliance.telemetry.rollup_record import RollUp
from appliance.telemetry.rollups import packed_hours
from appliance.telemetry.rollups.model import HourRow
from appliance.telemetry.rollups.stale import HOURS_PER_DAY
from tests.appliance.telemetry.test_rollup_record import rollups

ALL_DAMAGED = [(hour, packed_hours.DAMAGED) for hour in range(HOURS_PER_DAY)]
hours_of_day = st.integers(0, HOURS_PER_DAY - 1)


def rollup(count: int = 1, metrics: str = "t", others: int = 0) -> RollUp:
    bins = {metric: Bin(count, 1.0, 2.0, 3.0, 4.0, 5, 6.0, 7, 8.0) for metric in metrics}
    return RollUp(bins, {"state": others} if others else {})


def record(count: int = 1, metrics: str = "t", others: int = 0) -> bytes:
    return rollup_record.encode(rollup(count, metrics, others))


@given(st.dictionaries(hours_of_day, rollups), st.lists(rollups, min_size=1, max_size=2), st.sets(hours_of_day))
def test_what_was_packed_comes_out_exactly(some: dict[int, RollUp], usual: list[RollUp], hours: set[int]) -> None:
    found = {hour: usual[hour % len(usual)] for hour in hours} | some
    records = {hour: rollup_record.encode(each) for hour, each in found.items()}
    assert packed_hours.unpack(packed_hours.pack(records)) == sorted(records.items())


def test_a_record_that_was_damaged_comes_out_as_no_record_and_the_others_as_they_were() -> None:
    records = {0: record(), 1: record()[:-1], 2: record(others=3), 3: packed_hours.DAMAGED}
    assert packed_hours.unpack(packed_hours.pack(records)) == [
        (0, records[0]),
        (1, packed_hours.DAMAGED),
        (2, records[2]),
        (3, packed_hours.DAMAGED),
    ]


@pytest.mark.parametrize(
    "records", [{}, {3: packed_hours.DAMAGED}, {5: rollup_record.encode(RollUp({}, {"state": 2}))}]
)
def test_hours_without_any_numbers_are_packed_too(records: dict[int, bytes]) -> None:
    assert packed_hours.unpack(packed_hours.pack(records)) == list(records.items())


def test_every_changed_byte_and_every_missing_end_is_told_of_each_hour() -> None:
    packed = packed_hours.pack({4: record(), 9: record(2, "tu", 3)})
    for place in range(len(packed)):
        changed = bytearray(packed)
        changed[place] ^= 1 << place % 8
        assert packed_hours.unpack(bytes(changed)) == ALL_DAMAGED
        assert packed_hours.unpack(packed[:place]) == ALL_DAMAGED


def test_packed_hours_take_less_than_their_records() -> None:
    records = {hour: record(720, "abcde") for hour in range(HOURS_PER_DAY)}
    assert len(packed_hours.pack(records)) < 0.95 * sum(map(len, records.values()))


def test_a_roll_up_of_more_readings_takes_the_place_of_one_of_fewer() -> None:
    known = {0: record(3), 1: record(3), 2: record(3), 3: packed_hours.DAMAGED}
    rows = [
        HourRow(1, "a", 48 + hour, count, record(count), is_certain=True)
        for hour, count in ((0, 2), (1, 3), (2, 4), (3, 1), (4, 1))
    ]
    merged = packed_hours.merged(known, rows, is_closed=False)
    assert merged == {0: record(3), 1: record(3), 2: record(4), 3: record(1), 4: record(1)}
    assert packed_hours.merged(known, rows, is_closed=True) == known | {4: record(1)}


def test_a_damaged_hour_that_has_no_readings_goes_and_no_other_does() -> None:
    known = {0: record(), 1: packed_hours.DAMAGED}
    rows = [HourRow(1, "a", 48 + hour, 0, b"", is_certain=True) for hour in range(3)]
    assert packed_hours.merged(known, rows, is_closed=False) == {0: record()}
    assert packed_hours.merged(known, rows, is_closed=True) == known


def test_in_the_place_of_a_damaged_hour_comes_only_what_was_computed_of_every_chunk() -> None:
    known = {0: record(2), 1: packed_hours.DAMAGED, 2: packed_hours.DAMAGED}
    rows = [HourRow(1, "a", 48 + hour, 3, record(3), is_certain=False) for hour in (0, 1, 3)]
    rows.append(HourRow(1, "a", 50, 0, b"", is_certain=False))
    assert packed_hours.merged(known, rows, is_closed=False) == known | {0: record(3), 3: record(3)}
    certain = [row._replace(is_certain=True) for row in rows]
    assert packed_hours.merged(known, certain, is_closed=False) == dict.fromkeys((0, 1, 3), record(3))
