"""What is drawn of a metric, and what is said of it, is what its readings say."""

import re
from itertools import pairwise
from math import isclose

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.instant import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, from_text
from appliance.telemetry.bins import bin_of
from appliance.telemetry.model import Value
from appliance.telemetry.wanted import is_wanted
from web import charts
from web.charts import POINTS_LIMIT, RANGES, Bin, Drawn
from web.figures import BOTTOM, TOP, WIDTH

MIDNIGHT = from_text("2026-11-20T00:00Z")

numbers = st.floats(-1e6, 1e6)
readings = st.lists(
    st.tuples(st.integers(0, 5 * DAY_MS), st.one_of(numbers, st.integers(-9, 9), st.sampled_from(["on", None, True]))),
    max_size=80,
).map(lambda found: sorted(found, key=lambda each: each[0]))
widths = st.sampled_from([10 * SECOND_MS, MINUTE_MS, 5 * MINUTE_MS, HOUR_MS, DAY_MS])


def bins_at(*places: int, width: int = HOUR_MS) -> Drawn:
    return Drawn([Bin(MIDNIGHT + place * width, 2.0, 1.0, 4.0, 3) for place in places], width)


def columns(found: list[tuple[int, Value]]) -> tuple[list[int], list[Value]]:
    return [at for at, _ in found], [value for _, value in found]


@given(readings, widths)
def test_bins_hold_every_number_once_and_nothing_else(found: list[tuple[int, Value]], width: int) -> None:
    at, values = columns(found)
    bins = charts.binned(is_wanted, at, values, width)
    plain = charts.as_they_are(at, values)
    assert sum(each.reading_count for each in bins) == len(plain)
    assert all(each.at % width == 0 for each in bins)
    for each in bins:
        inside = [one.mean for one in plain if each.at <= one.at < each.at + width]
        assert (each.least, each.greatest, each.reading_count) == (min(inside), max(inside), len(inside))
        assert isclose(each.mean, sum(inside) / len(inside), rel_tol=1e-9, abs_tol=1e-6)
        assert each.least <= each.mean <= each.greatest


@given(readings, widths)
def test_pieces_are_all_that_there_is_and_end_where_something_is_missing(
    found: list[tuple[int, Value]], width: int
) -> None:
    drawn = Drawn(charts.binned(is_wanted, *columns(found), width), width)
    runs = charts.runs(drawn)
    assert [each for run in runs for each in run] == list(drawn.bins)
    longest = charts.longest_ms(drawn)
    assert all(later.at - earlier.at <= longest for run in runs for earlier, later in pairwise(run))
    assert all(later[0].at - earlier[-1].at > longest for earlier, later in pairwise(runs))
    points = charts.points(drawn)
    assert [point[0] for point in points if point[1] is not None] == [each.at for each in drawn.bins]
    assert all(len(point) == 4 for point in points)
    assert points == sorted(points, key=lambda point: point[0] or 0)


@given(readings, widths, st.none() | numbers, st.booleans())
def test_a_figure_stays_in_its_box(
    found: list[tuple[int, Value]], width: int, limit: float | None, are_bins: bool
) -> None:
    at, values = columns(found)
    drawn = Drawn(charts.binned(is_wanted, at, values, width), width)
    if not are_bins:
        drawn = Drawn(charts.as_they_are(at, values), 0)
    figure = charts.figure(drawn, 0, 5 * DAY_MS, limit)
    assert (figure is None) == (not drawn.bins)
    if figure is None:
        return
    assert figure.line.count("M") == figure.area.count("M") == figure.area.count("Z") == len(charts.runs(drawn))
    for x, y in re.findall(r"(-?[\d.]+) (-?[\d.]+)", figure.line):
        assert -0.3 <= float(x) <= WIDTH + 0.3
        assert TOP - 0.1 <= float(y) <= BOTTOM + 0.1


def test_a_day_without_readings_is_not_drawn_over() -> None:
    drawn = bins_at(0, 1, 2, 4, 5, width=DAY_MS)
    assert [len(run) for run in charts.runs(drawn)] == [3, 2]
    assert charts.points(drawn)[3][1:] == (None, None, None)
    figure = charts.figure(drawn, MIDNIGHT, MIDNIGHT + 6 * DAY_MS, None)
    assert figure is not None
    assert [part.count("L") for part in figure.line.split("M")[1:]] == [2, 1]


def test_no_day_that_is_missing_is_drawn_over_however_seldom_a_device_reports() -> None:
    assert len(charts.runs(bins_at(0, 7, 14, 21, width=DAY_MS))) == 4
    assert len(charts.runs(bins_at(0, 24, 49, 73))) == 1
    assert len(charts.runs(bins_at(0, 24, 72, 96))) == 2


def test_a_device_that_reports_every_six_hours_has_a_line() -> None:
    assert len(charts.runs(bins_at(0, 6, 12, 19, 24))) == 1
    assert len(charts.runs(bins_at(0, 6, 12, 60, 66, 72))) == 2


def test_a_long_silence_is_a_gap_between_readings() -> None:
    at = [second * SECOND_MS for second in (*range(10), *range(60, 70))]
    drawn = Drawn(charts.as_they_are(at, [1.0] * len(at)), 0)
    assert [len(run) for run in charts.runs(drawn)] == [10, 10]
    assert [point[0] for point in charts.points(drawn) if point[1] is None] == [60 * SECOND_MS - 1]


def test_few_readings_are_drawn_as_they_are_and_many_in_bins() -> None:
    at = [MIDNIGHT + place * SECOND_MS for place in range(POINTS_LIMIT + 1)]
    values: list[Value] = [float(place % 7) for place in range(len(at))]
    few = charts.drawn_of_readings(is_wanted, at[:-1], values[:-1], MINUTE_MS)
    assert few.bin_ms == 0
    assert len(few.bins) == POINTS_LIMIT
    many = charts.drawn_of_readings(is_wanted, at, values, MINUTE_MS)
    assert many.bin_ms == MINUTE_MS
    assert len(many.bins) == 11


def test_readings_are_read_only_where_they_are_few_and_not_of_many_days() -> None:
    few, many = bins_at(0).bins, [Bin(MIDNIGHT, 1.0, 1.0, 1.0, POINTS_LIMIT + 1)]
    assert charts.may_be_read(few, RANGES["7d"])
    assert not charts.may_be_read(many, RANGES["7d"])
    assert not charts.may_be_read(few, RANGES["30d"])
    assert not charts.may_be_read(few, RANGES["1y"])


def test_bins_are_drawn_where_the_readings_behind_them_were_let_go() -> None:
    bins = bins_at(0, 1)
    some = charts.as_they_are([MIDNIGHT + MINUTE_MS] * 5, [1.0] * 5)
    assert charts.preferred(some, bins, MIDNIGHT) == bins
    whole = [*some, Bin(MIDNIGHT + HOUR_MS, 3.0, 3.0, 3.0, 1)]
    assert charts.preferred(whole, bins, MIDNIGHT) == Drawn(whole, 0)
    assert charts.preferred(whole, bins, MIDNIGHT + HOUR_MS) == Drawn(whole[-1:], 0)


def test_a_drawing_of_bins_begins_and_ends_with_whole_ones() -> None:
    now = MIDNIGHT + 90 * MINUTE_MS
    assert charts.span_of(Drawn([], 0), RANGES["1h"], now) == (now - HOUR_MS, now)
    assert charts.span_of(bins_at(0), RANGES["7d"], now) == (MIDNIGHT + HOUR_MS - 7 * DAY_MS, MIDNIGHT + 2 * HOUR_MS)
    ahead = charts.as_they_are([now + MINUTE_MS], [1.0])
    assert charts.span_of(Drawn(ahead, 0), RANGES["1h"], now) == (now - HOUR_MS, now + MINUTE_MS)


@pytest.mark.parametrize("range_", RANGES.values(), ids=RANGES)
def test_no_range_has_more_bins_than_a_screen_has_points(range_: charts.Range) -> None:
    assert range_.length_ms / range_.bin_ms <= 720
    assert range_.length_ms / range_.row_ms <= 365
    assert range_.row_ms % range_.bin_ms == 0
    drawn = bins_at(0, 1, width=range_.bin_ms)
    assert "mean of each " in charts.told(drawn)


def test_what_is_known_of_bins_by_their_place_is_told_by_their_moment() -> None:
    known = bin_of([MIDNIGHT + HOUR_MS], [5.0])
    assert known is not None
    bounds = range(MIDNIGHT, MIDNIGHT + DAY_MS, HOUR_MS)
    assert charts.told_by(bounds, {1: known}) == [Bin(MIDNIGHT + HOUR_MS, 5.0, 5.0, 5.0, 1)]


def test_the_table_weighs_bins_by_their_readings() -> None:
    bins = [Bin(MIDNIGHT, 10.0, 10.0, 10.0, 1), Bin(MIDNIGHT + HOUR_MS, 20.0, 15.0, 1_000.0, 9_999)]
    [row] = charts.table(Drawn(bins, HOUR_MS), RANGES["30d"])
    assert row == ("2026-11-20", "20.0", "10.0", "1000.0", "10\u202f000")


def test_the_table_of_a_year_has_a_row_a_month() -> None:
    days = [Bin(MIDNIGHT + day * DAY_MS, 1.0, 1.0, 1.0, 1) for day in range(15)]
    assert [row.begin for row in charts.table(Drawn(days, DAY_MS), RANGES["1y"])] == ["2026-11", "2026-12"]


def test_what_a_chart_is_stands_under_it() -> None:
    assert charts.told(Drawn([], 0)) == ""
    one = Drawn(charts.as_they_are([MIDNIGHT], [1.5]), 0)
    assert charts.told(one) == "One reading as it came."
    whole = charts.told(bins_at(0, 1))
    assert whole == (
        "The line is the mean of each hour, the band reaches from its least to its greatest reading. 6 readings in all."
    )
    broken = charts.told(bins_at(0, 1, 3, 4, width=DAY_MS))
    assert "Days begin at midnight UTC. Where the line is broken, there are no readings." in broken


def test_the_drawing_is_said_in_a_line() -> None:
    assert charts.said(Drawn([], 0)) == ""
    assert charts.said(bins_at(0)) == "lowest 1, highest 4, at the end 2"


def test_many_damaged_days_are_told_from_the_first_to_the_last() -> None:
    day = MIDNIGHT // DAY_MS
    assert charts.damaged([]) == ""
    assert charts.damaged([day, day + 2]) == "2026-11-20, 2026-11-22"
    assert charts.damaged(range(day, day + 4)) == "4 days from 2026-11-20 to 2026-11-23"


def test_a_picture_of_nothing_is_empty() -> None:
    picture = charts.picture(is_wanted, Drawn([], 0), RANGES["1y"], MIDNIGHT, 60.0)
    assert picture.figure is None
    assert not picture.points
    assert not picture.rows
