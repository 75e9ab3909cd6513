"""Every hour and day has one place in one month."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.telemetry.rollups import months
from appliance.telemetry.rollups.stale import HOURS_PER_DAY

days = st.integers(-40_000, 60_000)


@given(days)
def test_a_day_lies_in_its_month(day: int) -> None:
    month = months.month_of(day)
    assert months.first_day(month) <= day < months.end_day(month)
    assert months.month_of(months.end_day(month)) != month
    assert months.end_day(month) - months.first_day(month) in {28, 29, 30, 31}


@given(days)
def test_a_month_is_one(day: int) -> None:
    assert months.is_month(months.month_of(day))


@pytest.mark.parametrize("name", ["2026-99", "2026-00", "foo", "copy-of", "abcd-ef", "2026-1", "2026-01-01"])
def test_other_names_are_no_month(name: str) -> None:
    assert not months.is_month(name)


@given(days, st.integers(0, 400))
def test_months_partition_a_range(first: int, count: int) -> None:
    spans = list(months.spans(first, first + count))
    assert [day for _, low, high in spans for day in range(low, high)] == list(range(first, first + count))
    assert all(months.month_of(day) == month for month, low, high in spans for day in (low, high - 1))


@given(days, st.integers(0, 23), st.integers(0, 2**40 - 1))
def test_keys_tell_the_place_and_the_device(day: int, hour: int, number: int) -> None:
    month = months.month_of(day)
    key = months.hour_key(day * HOURS_PER_DAY + hour, month, number)
    assert 0 <= key < 2**62
    assert key & (2**40 - 1) == number
    assert (key >> 40) == (months.day_key(day, month, number) >> 40) * HOURS_PER_DAY + hour


@given(days, st.integers(0, 2**40 - 1))
def test_a_day_has_24_places_for_its_hours(day: int, number: int) -> None:
    month, first = months.month_of(day), day * HOURS_PER_DAY
    assert months.hour_keys(day, number) == [months.hour_key(first + hour, month, number) for hour in range(24)]


@given(days, days, st.tuples(*[st.integers(0, 2**32 - 1)] * 2), st.integers(0, months.NUMBER_MASK))
def test_rows_of_metrics_lie_in_the_order_of_the_days_they_belong_to(
    day: int, other_day: int, devices: tuple[int, int], number: int
) -> None:
    keys = [
        months.day_key(each, months.month_of(each), device)
        for each, device in zip((day, other_day), devices, strict=True)
    ]
    firsts = [months.metric_day_key(key) for key in keys]
    assert (firsts[0] < firsts[1]) == (keys[0] < keys[1])
    assert 0 <= firsts[0] | number < 2**63
    assert months.day_key_of(firsts[0] | number) == keys[0]
    assert months.day_of_place(firsts[0] | number) == keys[0] >> months.DEVICE_SHIFT
    assert firsts[0] & months.NUMBER_MASK == 0


@given(days, st.integers(0, 23), st.integers(1, 2**26 - 1), st.integers(0, months.NUMBER_MASK))
def test_a_key_is_told_from_one_that_can_be_none_of_its_table(day: int, hour: int, number: int, metric: int) -> None:
    month = months.month_of(day)
    key, last = months.day_key(day, month, number), 2**26 - 1
    of_hour = months.hour_key(day * HOURS_PER_DAY + hour, month, number)
    assert months.day_key_of_hour(of_hour) == key
    assert months.is_day_key(key, month, number)
    assert not months.is_day_key(key, month, number - 1)
    # A row of metrics lies where no day does, and a day that is not of the month lies nowhere.
    assert not months.is_day_key(months.metric_day_key(key) | metric, month, last)
    for other in (months.first_day(month) - 1, months.end_day(month)):
        assert not months.is_day_key(months.day_key(other, month, number), month, last)


def test_names() -> None:
    assert months.file_name(months.month_of(0)) == "1970-01.db"
