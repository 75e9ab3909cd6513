from hypothesis import given
from hypothesis import strategies as st

from bench.numbers import Spread, spread, table

times = st.lists(st.integers(0, 10**10), min_size=1, max_size=300)


@given(times)
def test_a_spread_is_in_order_and_ends_with_the_longest(nanoseconds: list[int]) -> None:
    found = spread(nanoseconds)
    assert found.p50 <= found.p95 <= found.p99 <= found.longest == max(nanoseconds) / 1e6
    assert found.count == len(nanoseconds)


@given(times)
def test_as_many_as_a_percentile_says_were_at_most_this_long(nanoseconds: list[int]) -> None:
    found = spread(nanoseconds)
    for share, limit in ((0.5, found.p50), (0.95, found.p95), (0.99, found.p99)):
        assert sum(time / 1e6 <= limit for time in nanoseconds) >= share * len(nanoseconds)
        assert sum(time / 1e6 < limit for time in nanoseconds) < share * len(nanoseconds)


def test_nothing_measured_is_no_error() -> None:
    assert spread([]) == Spread(0, 0.0, 0.0, 0.0, 0.0)


def test_a_table_lines_up() -> None:
    assert table(("a", "bcd"), [("12", "3")]) == "| a  | bcd |\n| -- | --- |\n| 12 | 3   |"
