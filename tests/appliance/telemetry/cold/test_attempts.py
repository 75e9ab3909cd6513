"""What failed is tried again later and later, whatever the clock does."""

from hypothesis import given
from hypothesis import strategies as st

from appliance.telemetry.cold import attempts
from appliance.telemetry.cold.attempts import Attempts


def test_the_waits_grow_up_to_a_bound() -> None:
    waits = [attempts.wait_ms(count) for count in range(1, 40)]
    assert waits == sorted(waits)
    assert (waits[0], waits[1], waits[-1]) == (attempts.FIRST_WAIT_MS, 120_000, attempts.LONGEST_WAIT_MS)


@given(st.integers(1, 30), st.integers(0, 1 << 42), st.integers(-(1 << 42), 1 << 42))
def test_nobody_waits_for_longer_than_the_bound_or_for_a_clock_that_was_set_back(
    count: int, now: int, leap: int
) -> None:
    tried: Attempts[str] = Attempts()
    assert tried.is_due("day", now)
    for _ in range(count):
        tried.failed("day", now)
    assert tried.count("day") == count
    assert not tried.is_due("day", now)
    assert tried.is_due("another", now)
    assert tried.is_due("day", now + leap) == (not 0 <= leap < attempts.wait_ms(count))
    tried.succeeded("day")
    assert tried.is_due("day", now)
    assert tried.count("day") == 0
