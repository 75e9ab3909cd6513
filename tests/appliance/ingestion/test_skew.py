from statistics import median_low

from hypothesis import given
from hypothesis import strategies as st

from appliance.ingestion.skew import WINDOW, Skew


@given(st.lists(st.lists(st.integers(-(10**15), 10**15), max_size=40), max_size=8))
def test_it_is_the_median_of_the_newest(told: list[list[int]]) -> None:
    skew = Skew()
    for some in told:
        skew.note(some)
    differences = [difference for some in told for difference in some]
    newest = differences[-WINDOW:]
    assert skew.count == len(newest)
    assert skew.median_ms() == (median_low(newest) if newest else None)


def test_one_that_is_far_off_changes_nothing_and_none_is_too_large() -> None:
    skew = Skew()
    skew.note((50, 60, 10**30))
    assert skew.median_ms() == 60


def test_a_clock_that_was_set_right_is_right_once_the_window_is_full_of_it() -> None:
    skew = Skew()
    skew.note([5_000] * WINDOW + [40] * (WINDOW // 2 + 1))
    assert skew.median_ms() == 40
