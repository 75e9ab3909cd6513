import re

from hypothesis import given
from hypothesis import strategies as st

from web import figures
from web.figures import sparkline

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


def test_a_limit_far_away_does_not_flatten_the_line() -> None:
    drawn = sparkline([(0, 1.0), (1, 1.1)], 0, 1, limit=10_000.0)
    assert drawn is not None
    assert drawn.limit is None
