"""A window tells what its readings say when they are looked at one by one."""

from fractions import Fraction
from math import isclose, sqrt

from hypothesis import given
from hypothesis import strategies as st

from appliance.telemetry.asking.model import Aggregate
from appliance.telemetry.asking.rolling import windows
from appliance.telemetry.bins import number_of
from appliance.telemetry.model import Value

values: st.SearchStrategy[Value] = st.one_of(
    st.floats(-1e6, 1e6), st.integers(-9, 9), st.sampled_from([None, "on", True, float("nan"), 10**400, 1e300, 5e-324])
)
series = st.lists(st.tuples(st.integers(0, 50), values), max_size=25).map(
    lambda pairs: sorted(pairs, key=lambda pair: pair[0])
)


def naive(at: list[int], numbers: list[float | None], end: int, length: int) -> list[Fraction]:
    return [
        Fraction(number)
        for moment, number in zip(at, numbers, strict=True)
        if end - length < moment <= end and number is not None
    ]


@given(series, st.integers(1, 60))
def test_a_window_is_what_its_readings_say(pairs: list[tuple[int, Value]], length: int) -> None:
    at, told = [moment for moment, _ in pairs], [value for _, value in pairs]
    numbers = [number_of(value) for value in told]
    for end, window in zip(at, windows(at, told, length), strict=True):
        inside = naive(at, numbers, end, length)
        if window is None:
            assert not inside
            continue
        mean = sum(inside) / len(inside)
        assert window.told(Aggregate.COUNT) == len(inside)
        assert window.told(Aggregate.MIN) == min(inside)
        assert window.told(Aggregate.MAX) == max(inside)
        assert window.told(Aggregate.SUM) == float(sum(inside))
        assert window.told(Aggregate.AVG) == float(mean)
        variance = sum((number - mean) ** 2 for number in inside) / len(inside)
        if variance < Fraction(10) ** 300:
            assert isclose(window.told(Aggregate.STDDEV), sqrt(variance))


def test_a_sum_does_not_remember_what_has_left_the_window() -> None:
    found = windows([0, 10, 20], [1e300, 0.1, 0.2], 15)
    assert [window.total for window in found if window] == [1e300, 1e300, 0.1 + 0.2]


def test_a_score_counts_in_deviations_and_there_is_none_where_nothing_deviates() -> None:
    [_, window] = windows([0, 1], [1, 3], 10)
    assert window is not None
    assert window.score(3) == 1
    assert window.score(0) == -2
    [flat] = windows([0], [7], 10)
    assert flat is not None
    assert flat.score(7) is None


def test_numbers_beyond_the_greatest_double_are_infinite_and_no_error() -> None:
    [*_, window] = windows([0, 1, 2], [1.7e308, 1.7e308, -1.7e308], 10)
    assert window is not None
    assert window.deviation == float("inf")
    assert window.score(1.0) == 0.0
    [*_, window] = windows([0, 1], [-1.7e308, -1.7e308], 10)
    assert window is not None
    assert window.total == float("-inf")
    assert window.mean == -1.7e308
