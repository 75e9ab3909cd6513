"""Fractions that are kept as whole numbers are those that a division gives, to the last bit."""

from array import array

from hypothesis import given
from hypothesis import strategies as st

from appliance.telemetry.scaled import FRACTIONS_LIMIT, NUMBERS, Scaled, Window

windows = st.builds(Window, st.integers(-(1 << 52), 1 << 52), st.sampled_from([10.0**places for places in range(10)]))


@given(windows, st.lists(st.integers(0, NUMBERS - 1), min_size=1, max_size=9))
def test_fractions_are_divided_one_by_one_or_all_at_once(window: Window, beyond: list[int]) -> None:
    scaled = Scaled(array("H", beyond), window)
    expected = [repr((window.lowest + each) / window.scale) for each in beyond]
    assert list(map(repr, scaled.doubles())) == expected
    assert list(map(repr, scaled)) == expected
    assert [repr(scaled[row]) for row in range(len(scaled))] == expected
    assert repr(scaled[-1]) == expected[-1]
    assert list(map(repr, scaled[1:-1])) == expected[1:-1]
    assert scaled[:1].window is window


def test_more_fractions_than_are_kept_are_divided_as_well() -> None:
    window = Window(-30_000, 100.0)
    beyond = [number * 7 % NUMBERS for number in range(3 * FRACTIONS_LIMIT)]
    for _ in range(2):
        assert list(Scaled(array("H", beyond), window)) == [(each - 30_000) / 100 for each in beyond]
