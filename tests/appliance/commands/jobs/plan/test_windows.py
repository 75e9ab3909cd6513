"""Times in which work is offered."""

import time
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.commands.jobs.plan.check import check_config
from appliance.commands.jobs.plan.model import InvalidJobError, JobConfig, Schedule, Window
from appliance.commands.jobs.plan.windows import _is_in, _moment, _starts, cron_of, is_open, next_change
from appliance.instant import DAY_MS, HOUR_MS, MINUTE_MS, from_text, to_text

BERLIN = "Europe/Berlin"
NIGHT = [Window("0 2 * * *", 60)]

LINES = st.sampled_from(
    [
        "0 2 * * *",
        "*/20 * * * *",
        "30 1-3 * * sun",
        "15 22 1,15 * *",
        "0 0 31 * 1",
        "59 23 * jan-mar fri",
        "5/10 4 * * 7",
    ]
)
WINDOWS = st.lists(st.builds(Window, LINES, st.integers(1, 1_430)), min_size=1, max_size=3)
LEAPS = [
    date(2026, 3, 29),
    date(2026, 10, 25),
    date(2026, 3, 8),
    date(2026, 11, 1),
    date(2026, 4, 5),
    date(2026, 10, 4),
]
ZONES = st.sampled_from(["UTC", BERLIN, "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"])
MOMENTS = st.integers(from_text("2026-01-01") // MINUTE_MS, from_text("2028-01-01") // MINUTE_MS)


@settings(max_examples=40, deadline=None)
@given(WINDOWS, ZONES, MOMENTS)
def test_nothing_changes_before_the_next_change_and_then_it_does(windows: list[Window], zone: str, minute: int) -> None:
    at = minute * MINUTE_MS
    then = next_change(windows, zone, at)
    now_open = is_open(windows, zone, at)
    if then is None:
        assert all(is_open(windows, zone, at + hour * HOUR_MS) is now_open for hour in range(0, 24 * 7, 5))
        return
    assert then > at
    assert is_open(windows, zone, then) is not now_open
    assert is_open(windows, zone, then - 1) is now_open
    step = max(MINUTE_MS, (then - at) // 20)
    assert all(is_open(windows, zone, between) is now_open for between in range(at, then, step))


@settings(max_examples=40, deadline=None)
@given(LINES, st.integers(1, 600), MOMENTS)
def test_in_utc_a_window_is_what_going_minute_by_minute_finds(line: str, duration: int, minute: int) -> None:
    cron, at = cron_of(line), minute * MINUTE_MS
    found = False
    for back in range(duration):
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(minutes=minute - back)
        begins = cron.is_on(moment.date()) and moment.hour in cron.hours and moment.minute in cron.minutes
        found = found or begins
    assert is_open([Window(line, duration)], "UTC", at) is found


def test_without_windows_it_is_always_open() -> None:
    assert is_open([], "UTC", 0)
    assert next_change([], "UTC", 0) is None


def test_a_window_is_by_the_clocks_of_its_zone() -> None:
    assert is_open(NIGHT, BERLIN, from_text("2026-01-10T01:00Z"))
    assert not is_open(NIGHT, BERLIN, from_text("2026-01-10T02:00Z"))
    assert is_open(NIGHT, BERLIN, from_text("2026-07-10T00:30Z"))


def test_a_clock_put_forward_over_its_beginning_begins_it_at_the_leap() -> None:
    # On this day 02:00 in Berlin is 03:00 at once, which is 01:00 UTC.
    before = from_text("2026-03-29T00:30Z")
    for line in ("0 2 * * *", "30 2 * * *"):
        window = [Window(line, 60)]
        assert to_text(next_change(window, BERLIN, before) or 0) == "2026-03-29T01:00:00.000Z"
        assert not is_open(window, BERLIN, from_text("2026-03-29T02:00Z"))


def test_a_clock_put_back_begins_it_once() -> None:
    # 02:00 to 03:00 in Berlin comes twice: from 00:00 and from 01:00 UTC.
    start = from_text("2026-10-25T00:00Z")
    hours = [is_open(NIGHT, BERLIN, start + half * HOUR_MS // 2) for half in range(-1, 5)]
    assert hours == [False, True, True, False, False, False]


def test_a_leap_shorter_than_an_hour_is_found_exactly() -> None:
    # Lord Howe puts its clocks forward by half an hour, at 02:00.
    window = [Window("15 2 4 10 *", 10)]
    at = next_change(window, "Australia/Lord_Howe", from_text("2026-10-03T00:00Z"))
    assert at is not None
    local = datetime.fromtimestamp(at / 1000, ZoneInfo("Australia/Lord_Howe"))
    assert (local.hour, local.minute, local.second) == (2, 30, 0)


def test_windows_that_follow_each_other_are_one() -> None:
    whole = [Window("0 0 * * *", 720), Window("0 12 * * *", 720)]
    assert next_change(whole, "UTC", 0) is None
    assert is_open(whole, "UTC", 12 * HOUR_MS)
    gap = [Window("0 0 * * *", 720), Window("0 12 * * *", 719)]
    assert next_change(gap, "UTC", 0) == DAY_MS - MINUTE_MS


def test_a_window_may_wait_for_the_29th_of_february() -> None:
    window = [Window("0 0 29 2 *", 5)]
    assert next_change(window, "UTC", from_text("2096-03-01")) == from_text("2104-02-29")


def test_a_window_that_never_comes_is_never_open() -> None:
    assert next_change([Window("0 0 31 2 *", 5)], "UTC", 0) is None


def test_of_two_kinds_of_days_either_will_do() -> None:
    cron = cron_of("0 0 13 * fri")
    on = [day for day in range(1, 32) if cron.is_on(datetime(2026, 10, day, tzinfo=UTC).date())]
    assert on == [2, 9, 13, 16, 23, 30]


@pytest.mark.parametrize(
    "line",
    ["", "* * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8", "a * * * *", "5-1 * * * *",
     "*/0 * * * *", "1- * * * *", "\u0661 * * * *", ", * * * *", "1/ * * * *", "* * * * * *"],
)  # fmt: skip
def test_what_is_no_crontab_line_is_refused_with_what_was_expected(line: str) -> None:
    with pytest.raises(InvalidJobError, match="expected"):
        cron_of(line)


def test_sunday_is_0_and_7() -> None:
    assert cron_of("0 0 * * 7").weekdays == cron_of("0 0 * * 0").weekdays == cron_of("0 0 * * SUN").weekdays
    assert cron_of("0 0 * * 5-7").weekdays == {5, 6, 0}
    assert cron_of("0 0 * * *").weekdays == frozenset(range(7))


def test_a_window_reaches_into_the_next_day() -> None:
    long = [Window("30 23 * * *", 1_430)]
    assert is_open(long, "UTC", from_text("2026-11-02T00:10Z"))
    assert is_open(long, BERLIN, from_text("2026-11-02T22:19Z"))
    assert not is_open(long, BERLIN, from_text("2026-11-02T22:25Z"))
    assert next_change(long, "UTC", from_text("2026-11-02T00:10Z")) == from_text("2026-11-02T23:20Z")


@settings(max_examples=40, deadline=None)
@given(st.one_of(st.dates(date(2026, 1, 1), date(2027, 12, 31)), st.sampled_from(LEAPS)), ZONES)
def test_a_day_is_summed_up_as_it_is_found_moment_by_moment(day: date, zone: str) -> None:
    clocks = ZoneInfo(zone)
    found = {_moment(day, hour, minute, clocks) for hour in range(24) for minute in (0, 20, 40)}
    assert _starts("*/20 * * * *", zone, day) == tuple(sorted(found))


def test_the_densest_windows_are_looked_through_in_no_time() -> None:
    """A person who makes a job with them, and a device that asks, hold up everybody else."""
    windows = [Window(f"{minute}-59 * * * *", 1_430) for minute in range(60)]
    for cache in (_starts, _is_in):
        cache.cache_clear()
    begun = time.process_time()
    check_config(JobConfig(schedule=Schedule(windows=tuple(windows[:16]), zone=BERLIN)), from_text("2026-11-02T00:10Z"))
    assert not is_open([Window(one.start, 1) for one in windows[30:]], BERLIN, from_text("2026-11-02T00:10Z"))
    assert time.process_time() - begun < 0.4
