"""Where in a day file what lies."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.telemetry.day_file import (
    DEVICE_MASK,
    DEVICE_SHIFT,
    NUMBER_MASK,
    RANK_BITS,
    TURNS_LIMIT,
    DayDevice,
    day_number,
    is_day,
    is_device_number,
    key_of,
    rank_of,
    turn_of,
)
from appliance.telemetry.queries import day_name
from tests.appliance.telemetry.reports import DAY

turns = st.integers(0, TURNS_LIMIT - 1)
numbers = st.integers(1, (1 << 28) - 1)


@given(turns, numbers, turns, numbers)
def test_chunks_lie_in_the_order_of_their_turns_and_then_of_their_devices(
    turn: int, number: int, other_turn: int, other_number: int
) -> None:
    key, other = key_of(turn, number), key_of(other_turn, other_number)
    assert (key < other) == ((turn, number) < (other_turn, other_number))
    assert (turn_of(key), key >> DEVICE_SHIFT & (1 << 28) - 1, key & NUMBER_MASK) == (turn, number, 0)
    assert key | NUMBER_MASK < 1 << 63


def test_a_device_has_a_number_that_finds_room_in_a_key() -> None:
    numbers = (-1, 0, 1, DEVICE_MASK, DEVICE_MASK + 1)
    assert [is_device_number(number) for number in numbers] == [False, False, True, True, False]


@given(st.text(max_size=9))
def test_the_rank_of_a_device_is_that_of_its_name(device_id: str) -> None:
    assert 0 <= rank_of(device_id) < 1 << RANK_BITS
    assert rank_of("device-1") == 0xB72FE279


def test_a_day_file_is_named_for_its_day() -> None:
    assert day_number(Path("2026-01-31.db")) == DAY


@given(st.integers(-700_000, 2_900_000))
def test_every_day_is_one(day: int) -> None:
    assert is_day(Path(day_name(day)))


@pytest.mark.parametrize("name", ["2026-13-45.db", "copy.db", "20260-1-3.db", "2026-W05-6.db", "0000-01-01.db"])
def test_other_names_are_no_day(name: str) -> None:
    assert not is_day(Path(name))


def test_how_far_chunks_go_is_not_underrated_where_damage_hides_it() -> None:
    device = DayDevice(1, "a", 5, 9, 0, b"")
    assert (device.newest_log_id, device._replace(last_log_id=0).newest_log_id) == (5, 9)
