import re
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from web import figures
from web.figures import sparkline, thinned, with_gaps

VALUES = st.floats(min_value=-1e9, max_value=1e9)
POINTS = st.lists(st.tuples(st.integers(0, 1_000_000), VALUES), max_size=200, unique_by=lambda point: point[0]).map(
    sorted
)


@given(POINTS, st.none() | VALUES)
def test_a_sparkline_stays_in_its_box(points: list[figures.Point], limit: float | None) -> None:
    drawn = sparkline(points, 0, 1_000_000, limit)
    if len(points) < figures.FEWEST:
        assert drawn is None
        return
    assert drawn is not None
    for x, y in re.findall(r"(-?[\d.]+) (-?[\d.]+)", drawn.line):
        assert 0 <= float(x) <= figures.WIDTH
        assert figures.TOP - 0.1 <= float(y) <= figures.BOTTOM + 0.1
    if drawn.limit is not None:
        assert figures.TOP - 0.1 <= drawn.limit <= figures.BOTTOM + 0.1


@given(POINTS, st.integers(1, 50))
def test_thinning_keeps_the_order_and_the_bounds(points: list[figures.Point], count: int) -> None:
    kept = thinned(points, 0, 1_000_000, count)
    # A reading at the very end opens one more length of time.
    assert len(kept) <= count + 1
    assert all(earlier[0] <= later[0] for earlier, later in pairwise(kept))
    if points:
        low, high = min(value for _, value in points), max(value for _, value in points)
        assert all(low - 1 <= value <= high + 1 for _, value in kept)


@given(POINTS)
def test_gaps_add_nothing_but_silence(points: list[figures.Point]) -> None:
    drawn = with_gaps(points)
    assert [point for point in drawn if point[1] is not None] == points
    assert all(earlier[0] <= later[0] for earlier, later in pairwise(drawn))


def test_a_long_silence_is_a_gap() -> None:
    points = [(second * 1_000, 1.0) for second in (*range(10), *range(60, 70))]
    assert [at for at, value in with_gaps(points) if value is None] == [9_001]


def test_a_limit_far_away_does_not_flatten_the_line() -> None:
    drawn = sparkline([(0, 1.0), (1, 1.1)], 0, 1, limit=10_000.0)
    assert drawn is not None
    assert drawn.limit is None
