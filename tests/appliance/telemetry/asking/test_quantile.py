"""Percentiles are those of the standard library."""

import statistics
from math import isclose

from hypothesis import given
from hypothesis import strategies as st

from appliance.telemetry.asking.quantile import quantile

numbers = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(st.floats(-1e9, 1e9), min_size=2, max_size=30), st.integers(2, 100), st.data())
def test_a_percentile_is_that_of_the_standard_library(found: list[float], count: int, data: st.DataObject) -> None:
    share = data.draw(st.integers(1, count - 1))
    expected = statistics.quantiles(found, n=count, method="inclusive")[share - 1]
    assert isclose(quantile(sorted(found), share, count), expected, rel_tol=1e-12, abs_tol=1e-6)


@given(st.lists(numbers, min_size=1), st.integers(0, 100))
def test_a_percentile_lies_among_the_numbers_and_the_ends_are_the_extremes(found: list[float], share: int) -> None:
    ordered = sorted(found)
    assert ordered[0] <= quantile(ordered, share, 100) <= ordered[-1]
    assert quantile(ordered, 0, 1) == ordered[0]
    assert quantile(ordered, 1, 1) == ordered[-1]
