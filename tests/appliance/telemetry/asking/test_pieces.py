"""Whatever bins are cut into, it is the range, and as much of it as can be is whole hours and days."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from appliance.instant import DAY_MS, HOUR_MS
from appliance.telemetry.asking.pieces import clipped, cut, pieces_of, shorter

edges = st.lists(
    st.integers(0, 20 * DAY_MS) | st.integers(0, 480).map(lambda hour: hour * HOUR_MS),
    min_size=2,
    max_size=8,
    unique=True,
).map(sorted)


@given(edges)
def test_pieces_are_the_range_cut_where_bins_are(found: list[int]) -> None:
    pieces = pieces_of(found)
    spans = sorted([*pieces.days, *pieces.hours, *pieces.raw])
    assert spans[0][0] == found[0]
    assert spans[-1][1] == found[-1]
    assert all(one[1] == other[0] for one, other in pairwise(spans))
    assert all(one[1] < other[0] for kind in pieces for one, other in pairwise(kind))
    for kind, length in ((pieces.days, DAY_MS), (pieces.hours, HOUR_MS)):
        assert all(moment % length == 0 for span in kind for moment in span)
        # What is whole lies in one bin: no edge falls inside an hour or day that is taken whole.
        assert not [edge for edge in found for start, end in kind if start < edge < end and edge % length]


@given(edges)
def test_raw_is_only_what_is_no_whole_hour_of_a_bin(found: list[int]) -> None:
    for start, end in pieces_of(found).raw:
        hours = range(-(-start // HOUR_MS), end // HOUR_MS)
        assert all(any(hour * HOUR_MS < edge < (hour + 1) * HOUR_MS for edge in found) for hour in hours)


def test_days_in_a_zone_of_half_hours_read_half_hours_only_at_their_edges() -> None:
    start = 10 * DAY_MS - HOUR_MS // 2
    pieces = pieces_of([start, start + DAY_MS])
    assert pieces.raw == [(start, start + HOUR_MS // 2), (start + DAY_MS - HOUR_MS // 2, start + DAY_MS)]
    assert pieces.hours == [(10 * DAY_MS, 11 * DAY_MS - HOUR_MS)]
    assert pieces.days == []


def test_bins_are_clipped_to_the_range() -> None:
    assert clipped([0, 10, 20], 5, 12) == [5, 10, 12]
    assert clipped([0, 20], 5, 12) == [5, 12]
    assert clipped([], 5, 12) == []


@given(edges, st.integers(HOUR_MS, 3 * DAY_MS))
def test_what_is_cut_is_still_all_there(found: list[int], length: int) -> None:
    parts = list(cut([(found[0], found[-1])], length))
    assert [parts[0][0], *(end for _, end in parts)] == [*(start for start, _ in parts), found[-1]]
    assert all(start // length == (end - 1) // length for start, end in parts)


@given(edges, st.integers(HOUR_MS, 3 * DAY_MS))
def test_shorter_spans_are_still_all_there_and_no_more_than_it_takes(found: list[int], length: int) -> None:
    parts = list(shorter(pairwise(found), length))
    assert [parts[0][0], *(end for _, end in parts)] == [*(start for start, _ in parts), found[-1]]
    assert all(0 < end - start <= length for start, end in parts)
    assert len(parts) == sum(-(-(high - low) // length) for low, high in pairwise(found))


@given(edges)
def test_no_whole_day_of_a_bin_is_taken_in_hours(found: list[int]) -> None:
    bins = list(pairwise(found))
    for start, end in pieces_of(found).hours:
        for day in range(-(-start // DAY_MS) * DAY_MS, end - DAY_MS + 1, DAY_MS):
            assert not any(low <= day and day + DAY_MS <= high for low, high in bins)
