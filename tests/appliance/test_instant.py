from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.instant import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, day_of, from_text, to_text

FIRST = -62_135_596_800_000
"""0001-01-01T00:00:00.000Z."""
LAST = 253_402_300_799_999
"""9999-12-31T23:59:59.999Z."""

moments = st.integers(FIRST, LAST)


@settings(deadline=None)
@given(moments)
def test_reading_what_was_printed_gives_the_same_moment(at: int) -> None:
    assert from_text(to_text(at)) == at


@settings(deadline=None)
@given(moments, moments)
def test_printed_moments_sort_as_the_moments_do(first: int, second: int) -> None:
    assert (to_text(first) < to_text(second)) == (first < second)


@settings(deadline=None)
@given(moments, st.integers(-23 * 60 - 59, 23 * 60 + 59))
def test_an_offset_changes_how_a_moment_is_written_and_not_which_it_is(at: int, minutes: int) -> None:
    try:
        local = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at)
        text = local.astimezone(timezone(timedelta(minutes=minutes))).isoformat()
    except OverflowError:
        return
    assert from_text(text) == at


@settings(deadline=None)
@given(st.text(max_size=40) | st.datetimes(timezones=st.just(timezone(timedelta(hours=-23)))).map(datetime.isoformat))
def test_a_text_is_a_moment_that_can_be_printed_or_no_moment_at_all(text: str) -> None:
    try:
        at = from_text(text)
    except ValueError:
        return
    assert FIRST <= at <= LAST
    assert from_text(to_text(at)) == at


@settings(deadline=None)
@given(moments)
def test_a_moment_lies_in_its_day(at: int) -> None:
    start = from_text(day_of(at))
    assert start <= at < start + DAY_MS
    assert start % DAY_MS == 0


def test_moments_are_printed_with_milliseconds_in_utc() -> None:
    assert to_text(1_769_855_400_007) == "2026-01-31T10:30:00.007Z"
    assert to_text(FIRST) == "0001-01-01T00:00:00.000Z"
    assert to_text(LAST) == "9999-12-31T23:59:59.999Z"
    assert day_of(1_769_855_400_007) == "2026-01-31"


def test_a_moment_without_an_offset_is_utc() -> None:
    assert from_text("2026-01-31T10:30:00") == from_text("2026-01-31T11:30:00+01:00") == 1_769_855_400_000


@pytest.mark.parametrize(
    "text",
    ["", "now", "10:30", "2026-02-30", "2026-01-31T25:00", "9999-12-31T23:59:59-23:59", "0001-01-01T00:00+01:00"],
)
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        from_text(text)


def test_the_lengths_of_time_fit_each_other() -> None:
    assert (SECOND_MS * 60, MINUTE_MS * 60, HOUR_MS * 24) == (MINUTE_MS, HOUR_MS, DAY_MS)
