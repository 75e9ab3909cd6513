import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.histogram import BRIEF, LONG, Histogram, spaced

LENGTHS = st.one_of(
    st.integers(-(10**4), 10**15), st.integers(0, 10**6), st.sampled_from([*BRIEF, *LONG, *(b + 1 for b in BRIEF)])
)
BOUNDS = st.sampled_from([BRIEF, LONG])


def filled(lengths: list[int], bounds: tuple[int, ...] = BRIEF) -> Histogram:
    histogram = Histogram(bounds)
    for length in lengths:
        histogram.observe(length)
    return histogram


@given(st.lists(LENGTHS), BOUNDS)
def test_every_length_is_counted_once_and_summed(lengths: list[int], bounds: tuple[int, ...]) -> None:
    histogram = filled(lengths, bounds)
    assert histogram.count == len(lengths) == histogram.cumulative()[-1]
    assert histogram.sum_us == sum(max(length, 0) for length in lengths)


@given(st.lists(LENGTHS), BOUNDS)
def test_up_to_each_bound_as_many_are_counted_as_there_are(lengths: list[int], bounds: tuple[int, ...]) -> None:
    cumulative = filled(lengths, bounds).cumulative()
    assert cumulative[:-1] == [sum(length <= bound for length in lengths) for bound in bounds]


@given(st.lists(LENGTHS, min_size=1), st.floats(0.001, 1.0))
def test_a_quantile_is_the_bound_of_the_bucket_that_holds_the_true_one(lengths: list[int], part: float) -> None:
    true = sorted(max(length, 0) for length in lengths)[max(1, math.ceil(part * len(lengths))) - 1]
    told = filled(lengths).quantile_us(part)
    assert told == next((bound for bound in BRIEF if true <= bound), math.inf)


@given(st.lists(LENGTHS), st.lists(LENGTHS), BOUNDS)
def test_many_at_once_are_the_same_as_one_by_one(first: list[int], then: list[int], bounds: tuple[int, ...]) -> None:
    at_once, one_by_one = filled(first, bounds), filled([*first, *then], bounds)
    at_once.observe_all(list(then))
    assert (at_once.counts, at_once.sum_us) == (one_by_one.counts, one_by_one.sum_us)


@given(st.lists(st.integers(-10, 10**9)), BOUNDS)
def test_milliseconds_are_counted_as_a_thousand_microseconds_each(
    lengths_ms: list[int], bounds: tuple[int, ...]
) -> None:
    histogram, expected = Histogram(bounds), filled([length * 1_000 for length in lengths_ms], bounds)
    histogram.observe_all(list(lengths_ms), 1_000)
    assert (histogram.counts, histogram.sum_us) == (expected.counts, expected.sum_us)


@given(LENGTHS, st.integers(0, 10**6))
def test_a_length_counted_several_times_is_there_several_times(length: int, count: int) -> None:
    histogram = Histogram()
    histogram.observe(length, count)
    assert (histogram.count, histogram.sum_us) == (count, max(length, 0) * count)


@given(st.lists(LENGTHS), st.lists(LENGTHS))
def test_what_came_since_a_copy_is_told_apart_and_leaves_the_copy_alone(before: list[int], after: list[int]) -> None:
    histogram = filled(before)
    copy = histogram.copy()
    for length in after:
        histogram.observe(length)
    assert (copy.counts, copy.sum_us) == (filled(before).counts, filled(before).sum_us)
    since = histogram.since(copy)
    assert (since.counts, since.sum_us) == (filled(after).counts, filled(after).sum_us)


@pytest.mark.parametrize(("bounds", "first", "last"), [(BRIEF, 100, 100_000_000), (LONG, 1_000, 10**12)])
def test_bounds_are_spaced_evenly_on_a_logarithmic_scale(bounds: tuple[int, ...], first: int, last: int) -> None:
    assert (bounds[0], bounds[-1]) == (first, last)
    assert all(1.55 < later / earlier < 1.62 for earlier, later in pairwise(bounds))


def test_bounds_are_round_numbers() -> None:
    assert spaced(1_000, 1) == (1_000, 1_600, 2_500, 4_000, 6_300, 10_000)


def test_without_lengths_there_is_no_quantile() -> None:
    assert Histogram().quantile_us(0.5) is None
