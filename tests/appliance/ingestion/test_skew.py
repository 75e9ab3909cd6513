from statistics import median_low

from hypothesis import given
from hypothesis import strategies as st

from appliance.ingestion.skew import WINDOW, Skew


@given(st.lists(st.integers(-(10**15), 10**15), max_size=100))
def test_it_is_the_median_of_the_newest(differences: list[int]) -> None:
    skew = Skew()
    for difference in differences:
        skew.note(difference)
    newest = differences[-WINDOW:]
    assert skew.count == len(newest)
    assert skew.median_ms() == (median_low(newest) if newest else None)


def test_one_that_is_far_off_changes_nothing_and_none_is_too_large() -> None:
    skew = Skew()
    for difference in (50, 60, 10**30):
        skew.note(difference)
    assert skew.median_ms() == 60


def test_a_clock_that_was_set_right_is_right_once_the_window_is_full_of_it() -> None:
    skew = Skew()
    for difference in [5_000] * WINDOW + [40] * (WINDOW // 2 + 1):
        skew.note(difference)
    assert skew.median_ms() == 40
