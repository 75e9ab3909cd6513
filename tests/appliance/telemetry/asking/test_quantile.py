"""Percentiles are those of the standard library."""

import statistics
from math import isclose

from hypothesis import given
from hypothesis import strategies as st

from appliance.telemetry.asking import quantile as quantiles
from appliance.telemetry.asking.quantile import quantile, runs
from appliance.telemetry.wanted import is_wanted

numbers = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(st.floats(-1e9, 1e9), min_size=2, max_size=30), st.integers(2, 100), st.data())
def test_a_percentile_is_that_of_the_standard_library(found: list[float], count: int, data: st.DataObject) -> None:
    share = data.draw(st.integers(1, count - 1))
    expected = statistics.quantiles(found, n=count, method="inclusive")[share - 1]
    assert isclose(quantile([sorted(found)], share, count), expected, rel_tol=1e-12, abs_tol=1e-6)


@given(st.lists(numbers, min_size=1), st.integers(0, 100))
def test_a_percentile_lies_among_the_numbers_and_the_ends_are_the_extremes(found: list[float], share: int) -> None:
    ordered = sorted(found)
    assert ordered[0] <= quantile([ordered], share, 100) <= ordered[-1]
    assert quantile([ordered], 0, 1) == ordered[0]
    assert quantile([ordered], 1, 1) == ordered[-1]


few = st.sampled_from([0.0, -0.0, 1.0, 5e-324, -5e-324, 1.7e308, -1.7e308])


@given(st.lists(st.lists(numbers | few, min_size=1, max_size=8), min_size=1, max_size=6), st.integers(0, 100))
def test_numbers_in_sorted_runs_give_what_they_give_as_one(found: list[list[float]], share: int) -> None:
    whole = sorted(number for run in found for number in run)
    assert quantile([sorted(run) for run in found], share, 100) == quantile([whole], share, 100)


def test_runs_are_short_and_it_is_asked_before_each_whether_it_is_wanted() -> None:
    calls: list[int] = []
    found = runs([float(-number) for number in range(3 * quantiles.RUN_LENGTH + 1)], lambda: calls.append(1))
    assert len(found) == len(calls) == 4
    assert all(list(run) == sorted(run) and len(run) <= quantiles.RUN_LENGTH for run in found)
    assert runs([], is_wanted) == []
