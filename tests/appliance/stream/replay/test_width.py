from hypothesis import given
from hypothesis import strategies as st

from appliance.stream.replay.width import FEW, LONGEST_MS, MANY, next_width


@given(st.integers(1, LONGEST_MS), st.integers(0, 10**7))
def test_a_piece_stays_within_its_bounds(width: int, count: int) -> None:
    assert 1 <= next_width(width, count) <= LONGEST_MS


def test_a_piece_grows_with_few_reports_and_shrinks_with_many() -> None:
    assert next_width(1_000, FEW - 1) == 2_000
    assert next_width(1_000, FEW) == next_width(1_000, MANY) == 1_000
    assert next_width(1_000, MANY + 1) == 500
