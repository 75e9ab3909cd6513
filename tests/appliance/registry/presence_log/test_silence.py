"""Whether a device has fallen silent."""

from hypothesis import given
from hypothesis import strategies as st

from appliance.registry.presence_log.silence import is_silent

MOMENTS = st.integers(0, 2**45)


@given(seen_at=MOMENTS, interval_ms=st.integers(1, 10**9), passed=st.integers(0, 10**10))
def test_a_device_is_silent_once_more_than_three_intervals_have_passed(
    seen_at: int, interval_ms: int, passed: int
) -> None:
    assert is_silent(seen_at, interval_ms, seen_at + passed) == (passed > 3 * interval_ms)


@given(seen_at=st.none() | MOMENTS, now=MOMENTS)
def test_nothing_is_expected_without_an_interval_nor_before_the_first_message(seen_at: int | None, now: int) -> None:
    assert not is_silent(seen_at, None, now)
    assert not is_silent(seen_at, 0, now)
    assert not is_silent(None, 1, now)
