from hypothesis import given
from hypothesis import strategies as st

from bench.telemetry_rows import Target, judged, plain

numbers = st.floats(0, 1e9)


@given(numbers, numbers)
def test_a_target_is_met_by_what_is_no_more_than_it(value: float, most: float) -> None:
    assert judged("what", value, Target(most, "ms"))[-1] == ("yes" if value <= most else "NO")


def test_a_row_says_what_was_measured_and_what_was_wanted() -> None:
    assert judged("time", 1_234.56, Target(1_000.0, "ms")) == ["time", "1,234.6 ms", "at most 1,000 ms", "NO"]
    assert judged("ratio", 1.25, Target(1.2, "", 2)) == ["ratio", "1.25", "at most 1.2", "NO"]
    assert plain("what", "so much") == ["what", "so much", "", ""]
