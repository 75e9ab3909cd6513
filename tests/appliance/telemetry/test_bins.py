"""Bins of parts combine into the bin of the whole, and say what the numbers say."""

import statistics
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from math import fsum, inf, isclose, sqrt, ulp

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.telemetry.bins import Bin, bin_of, combined, number_of
from appliance.telemetry.model import Value
from tests.appliance.telemetry.reports import values as any_values

numbers = st.floats(-1e9, 1e9) | st.integers(-(2**40), 2**40)
readings = st.lists(st.tuples(st.integers(0, 50), numbers), min_size=1, max_size=40)


def binned(pairs: Sequence[tuple[int, Value]]) -> Bin | None:
    return bin_of([at for at, _ in pairs], [value for _, value in pairs])


def certain(pairs: Sequence[tuple[int, Value]]) -> Bin:
    found = binned(pairs)
    assert found is not None
    return found


@given(st.lists(st.tuples(st.integers(0, 50), any_values), max_size=20))
def test_only_finite_numbers_count(pairs: list[tuple[int, Value]]) -> None:
    pairs.sort(key=lambda pair: pair[0])
    kept = [(at, number) for at, value in pairs if (number := number_of(value)) is not None]
    found = binned(pairs)
    if not kept:
        assert found is None
        return
    assert found is not None
    assert found.count == len(kept)
    assert (found.minimum, found.maximum) == (min(value for _, value in kept), max(value for _, value in kept))
    assert (found.first_at, found.first, found.last_at, found.last) == (*kept[0], *kept[-1])
    assert found.minimum <= found.mean <= found.maximum
    assert found.squares >= 0


@given(readings)
def test_the_sums_are_those_of_exact_arithmetic(pairs: list[tuple[int, float]]) -> None:
    found = certain(pairs)
    exact = [Fraction(value) for _, value in pairs]
    assert abs(Fraction(found.total) - sum(exact)) <= Fraction(ulp(found.total))
    variance = float(statistics.pvariance(exact))
    # The mean itself is rounded: its error enters the squares once for each number.
    assert isclose(found.variance, variance, rel_tol=1e-12, abs_tol=4 * ulp(found.mean) ** 2)
    assert isclose(found.deviation, sqrt(variance), rel_tol=1e-12, abs_tol=4 * ulp(found.mean))


@given(readings, st.lists(st.integers(0, 40), max_size=6))
def test_any_split_combines_into_the_whole(pairs: list[tuple[int, float]], cuts: list[int]) -> None:
    pairs.sort(key=lambda pair: pair[0])
    borders = [0, *sorted(min(cut, len(pairs)) for cut in cuts), len(pairs)]
    parts = [binned(pairs[start:end]) for start, end in pairwise(borders)]
    whole = certain(pairs)
    found = combined([part for part in parts if part is not None])
    assert found is not None
    for field in ("count", "minimum", "maximum", "first_at", "first", "last_at", "last"):
        assert repr(getattr(found, field)) == repr(getattr(whole, field))
    size = fsum(abs(value) for _, value in pairs)
    assert abs(found.total - whole.total) <= len(parts) * ulp(size)
    assert isclose(found.squares, whole.squares, rel_tol=1e-9, abs_tol=whole.count * ulp(size) ** 2)


@given(readings)
def test_of_equal_moments_the_order_in_which_they_stand_decides(pairs: list[tuple[int, float]]) -> None:
    same = [(7, value) for _, value in pairs]
    parts = [certain([pair]) for pair in same]
    found = combined(parts)
    assert found is not None
    assert (found.first, found.last) == (float(same[0][1]), float(same[-1][1]))
    assert (certain(same).first, certain(same).last) == (found.first, found.last)


def test_a_small_variance_of_large_numbers_is_not_lost() -> None:
    found = certain([(at, 1e9 + (at % 2) / 1000) for at in range(1000)])
    assert isclose(found.variance, 0.0005**2, rel_tol=1e-3)
    hours = [certain([(at, 1e9 + (at % 2) / 1000) for at in range(hour, hour + 100)]) for hour in range(0, 1000, 100)]
    day = combined(hours)
    assert day is not None
    assert isclose(day.variance, 0.0005**2, rel_tol=1e-3)


def test_equal_numbers_have_no_variance() -> None:
    found = certain([(at, 0.1) for at in range(7)])
    assert (found.mean, found.variance) == (0.1, 0.0)
    whole = combined([found, found])
    assert whole is not None
    assert (whole.mean, whole.variance) == (0.1, 0.0)


def test_sums_beyond_every_number_are_infinite_and_not_an_error() -> None:
    up, down = certain([(0, 1e308), (1, 1.5e308)]), certain([(2, -1e308), (3, -1.5e308)])
    assert (up.total, down.total, up.squares) == (inf, -inf, inf)
    assert up.mean == 1.5e308
    both = combined([up, down])
    assert both is not None
    assert (both.count, both.total, both.squares) == (4, inf, inf)


def test_nothing_has_no_bin() -> None:
    assert bin_of([], []) is None
    assert bin_of([1, 2], [None, "text"]) is None
    assert combined([]) is None


@pytest.mark.parametrize("value", [True, None, "1", float("nan"), inf, 10**400])
def test_what_is_no_number(value: Value) -> None:
    assert number_of(value) is None


def test_columns_of_different_length_are_a_defect() -> None:
    with pytest.raises(ValueError, match="argument"):
        bin_of([1], [1.0, "text"])
