"""Where in a day file what lies."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.telemetry.day_file import DEVICE_SHIFT, NUMBER_MASK, SLOT_SHIFT, day_number, is_day, key_of
from appliance.telemetry.queries import day_name
from tests.appliance.telemetry.reports import DAY

slots = st.integers(0, 143)
numbers = st.integers(1, (1 << 28) - 1)


@given(slots, numbers, slots, numbers)
def test_chunks_lie_in_the_order_of_their_ten_minutes_and_then_of_their_devices(
    slot: int, number: int, other_slot: int, other_number: int
) -> None:
    key, other = key_of(slot, number), key_of(other_slot, other_number)
    assert (key < other) == ((slot, number) < (other_slot, other_number))
    assert (key >> SLOT_SHIFT, key >> DEVICE_SHIFT & (1 << 28) - 1, key & NUMBER_MASK) == (slot, number, 0)
    assert key | NUMBER_MASK < 1 << 63


def test_a_day_file_is_named_for_its_day() -> None:
    assert day_number(Path("2026-01-31.db")) == DAY


@given(st.integers(-700_000, 2_900_000))
def test_every_day_is_one(day: int) -> None:
    assert is_day(Path(day_name(day)))


@pytest.mark.parametrize("name", ["2026-13-45.db", "copy.db", "20260-1-3.db", "2026-W05-6.db", "0000-01-01.db"])
def test_other_names_are_no_day(name: str) -> None:
    assert not is_day(Path(name))
