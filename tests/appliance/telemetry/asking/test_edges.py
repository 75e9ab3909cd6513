"""Bins partition every range, and are those that a clock on the wall would make."""

from datetime import UTC
from itertools import pairwise
from zoneinfo import TZPATH, ZoneInfo, reset_tzpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import InvalidInputError
from appliance.instant import DAY_MS, HOUR_MS, SECOND_MS, from_text
from appliance.telemetry.asking.edges import edges, least_ms, width_of, zone_of
from appliance.telemetry.asking.model import EARLIEST, LATEST
from tests.appliance.telemetry.asking.wall import ZONES, Asked, label, shown

# Leaped over a whole day; shown midnight twice; had no midnight; put back at another time every year.
ODD_ZONES = ["Pacific/Apia", "America/St_Johns", "America/Havana", "Africa/Casablanca", "America/Sao_Paulo"]
WIDTHS = ["1s", "7m", "15m", "1h", "90m", "2h", "5h", "6h", "24h", "1d", "3d", "1w", "1mo", "3mo"]

FIRST, LAST = from_text("2001-01-01"), from_text("2030-01-01")
changes = st.sampled_from(
    [from_text(text) for text in ("2026-03-29", "2026-10-25", "2026-03-08", "2026-11-01", "2011-12-30", "2026-04-05")]
)
moments = st.integers(FIRST, LAST) | st.builds(lambda at, by: at + by, changes, st.integers(-2 * DAY_MS, 2 * DAY_MS))


@given(st.sampled_from(ZONES), st.sampled_from(WIDTHS), moments, st.data())
def test_moments_are_in_one_bin_when_the_clock_on_the_wall_says_so(
    name: str, text: str, start: int, data: st.DataObject
) -> None:
    zone, width = zone_of(name), width_of(text)
    end = start + data.draw(st.integers(1, 40 * least_ms(width)))
    found = edges(start, end, width, zone)
    at = data.draw(st.lists(st.integers(start, end - 1), min_size=2, max_size=8).map(sorted))
    places = [sum(edge <= moment for edge in found) for moment in at]
    for (one, first), (other, second) in pairwise(zip(at, places, strict=True)):
        assert (first == second) == (label(one, text, zone) == label(other, text, zone)), (one, other)


@given(st.sampled_from(ZONES + ODD_ZONES), st.sampled_from(WIDTHS), moments, st.data())
def test_bins_partition_the_range(name: str, text: str, start: int, data: st.DataObject) -> None:
    zone, width = zone_of(name), width_of(text)
    end = start + data.draw(st.integers(1, 40 * least_ms(width)))
    found = edges(start, end, width, zone)
    assert all(low < high for low, high in pairwise(found))
    assert found[0] <= start < found[1]
    assert found[-2] < end <= found[-1]


@given(st.sampled_from(ZONES + ODD_ZONES), st.sampled_from(WIDTHS), moments, st.data())
def test_a_bin_is_the_same_whatever_range_it_is_asked_in(name: str, text: str, start: int, data: st.DataObject) -> None:
    zone, width = zone_of(name), width_of(text)
    length = 20 * least_ms(width)
    low, high = sorted(data.draw(st.tuples(st.integers(0, length), st.integers(0, length))))
    wide = edges(start, start + length, width, zone)
    assert set(edges(start + low, start + high + 1, width, zone)) <= {
        *wide,
        *edges(start, start + length + 1, width, zone),
    }


def lengths(text: str, name: str, start: str, end: str) -> list[float]:
    found = edges(from_text(start), from_text(end), width_of(text), zone_of(name))
    return [(high - low) / HOUR_MS for low, high in pairwise(found)]


def test_days_have_23_and_25_hours_when_the_clock_is_changed() -> None:
    assert lengths("1d", "Europe/Berlin", "2026-03-28T12:00Z", "2026-03-30T12:00Z") == [24, 23, 24]
    assert lengths("1d", "Europe/Berlin", "2026-10-24T12:00Z", "2026-10-26T12:00Z") == [24, 25, 24]
    assert lengths("1d", "Australia/Lord_Howe", "2026-04-04T00:00Z", "2026-04-06T00:00Z") == [24, 24.5, 24]


def test_hours_that_are_shown_twice_are_two_bins_and_longer_bins_hold_both() -> None:
    assert lengths("1h", "Europe/Berlin", "2026-10-24T22:00Z", "2026-10-25T23:00Z") == [1] * 25
    assert lengths("15m", "Europe/Berlin", "2026-10-24T22:00Z", "2026-10-25T23:00Z") == [0.25] * 100
    assert lengths("6h", "Europe/Berlin", "2026-10-24T22:00Z", "2026-10-25T23:00Z") == [7, 6, 6, 6]
    assert lengths("6h", "Europe/Berlin", "2026-03-28T23:00Z", "2026-03-29T22:00Z") == [5, 6, 6, 6]


def test_an_edge_that_the_clock_leaps_over_lies_at_the_leap() -> None:
    assert lengths("2h", "Europe/Berlin", "2026-03-28T23:00Z", "2026-03-29T04:00Z") == [2, 1, 2]
    assert lengths("90m", "Europe/Berlin", "2026-03-28T23:00Z", "2026-03-29T02:30Z") == [1.5, 0.5, 1.5]
    assert lengths("15m", "Europe/Berlin", "2026-03-28T23:00Z", "2026-03-29T22:00Z") == [0.25] * 92


def test_a_day_that_a_zone_leaped_over_is_no_bin() -> None:
    found = edges(
        from_text("2011-12-29T12:00Z"), from_text("2012-01-01T00:00Z"), width_of("1d"), zone_of("Pacific/Apia")
    )
    assert [shown(at, ZoneInfo("Pacific/Apia")).day for at in found] == [29, 31, 1, 2]


@pytest.mark.parametrize("name", ["UTC", "Asia/Kolkata", "Europe/Berlin"])
def test_widths_that_do_not_divide_the_day_begin_anew_at_midnight(name: str) -> None:
    start = from_text("2026-02-03T00:00Z")
    shown_hours = [
        shown(edge, zone_of(name)).hour for edge in edges(start, start + 3 * DAY_MS, width_of("5h"), zone_of(name))
    ]
    assert {0, 5, 10, 15, 20} == set(shown_hours)


def test_weeks_begin_on_monday_and_months_on_the_first() -> None:
    zone = zone_of("Europe/Berlin")
    weeks = edges(from_text("2026-03-01"), from_text("2026-05-01"), width_of("1w"), zone)
    assert {shown(at, zone).strftime("%A %H:%M") for at in weeks} == {"Monday 00:00"}
    months = edges(from_text("2026-01-20"), from_text("2027-05-01"), width_of("1mo"), zone)
    assert {shown(at, zone).strftime("%d %H:%M") for at in months} == {"01 00:00"}


@pytest.mark.parametrize("text", WIDTHS)
def test_the_ends_of_time_have_bins_too(text: str) -> None:
    width = width_of(text)
    for name in ("Pacific/Kiritimati", "America/Los_Angeles"):
        for start in (EARLIEST, LATEST - SECOND_MS):
            assert len(edges(start, start + SECOND_MS, width, zone_of(name))) >= 2


@pytest.mark.parametrize(("text", "days"), [("366d", 366_000), ("2w", 14_000), ("1d", 1_000), ("1h", 1_000)])
def test_a_zone_is_asked_about_bins_and_not_about_every_day_of_wide_ones(text: str, days: int) -> None:
    assert len(edges(0, days * DAY_MS, width_of(text), Asked(10_000))) > 1_000


@pytest.mark.parametrize("text", ["1h", "23h", "1d", "1w", "1mo"])
def test_whoever_gives_up_does_not_wait_for_all_the_days_of_a_zone(text: str) -> None:
    class GivenUpError(Exception):
        """Nobody wants the rest."""

    asked: list[None] = []

    def check() -> None:
        asked.append(None)
        if len(asked) == 3:
            raise GivenUpError

    with pytest.raises(GivenUpError):
        edges(
            FIRST,
            FIRST + 400 * least_ms(width_of(text)) + 400 * DAY_MS,
            width_of(text),
            zone_of("Europe/Berlin"),
            check,
        )


def test_an_empty_range_has_no_bins() -> None:
    assert edges(5, 5, width_of("1s"), UTC) == []


@pytest.mark.parametrize("text", ["", "h", "0h", "-1h", "25h", "1441m", "1y", "367d", "53w", "13mo", "1.5h", "1H"])
def test_a_width_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError, match="bin is"):
        width_of(text)


@pytest.mark.parametrize(
    "name", ["", "Berlin", "../../etc/passwd", "/etc/passwd", "Europe", "Europe/Berlin\0", "x" * 300]
)
def test_a_zone_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(InvalidInputError, match="no time zone"):
        zone_of(name)


def test_a_machine_without_time_zones_still_knows_utc_and_says_what_it_lacks() -> None:
    before = TZPATH
    reset_tzpath(to=["/nonexistent"])
    try:
        assert zone_of("UTC") is UTC
        with pytest.raises(InvalidInputError, match="tzdata"):
            zone_of("Asia/Ho_Chi_Minh")
    finally:
        reset_tzpath(to=before)
