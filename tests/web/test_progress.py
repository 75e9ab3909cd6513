"""A bar of parts."""

from hypothesis import given
from hypothesis import strategies as st

from web.progress import LEAST_WIDTH, WIDTH, bar

COUNTS = st.lists(st.integers(-5, 100_000), max_size=9)


@given(COUNTS)
def test_the_parts_fill_the_bar_side_by_side_and_each_is_seen(counts: list[int]) -> None:
    made = bar([(f"k{number}", "there", count) for number, count in enumerate(counts)])
    present = [count for count in counts if count > 0]
    assert [part.count for part in made.parts] == present
    assert made.total == sum(present)
    x = 0.0
    for part in made.parts:
        assert abs(part.x - x) < 0.05
        assert part.width > LEAST_WIDTH / 2
        x = part.x + part.width
    assert not present or abs(x - WIDTH) < 0.2


def test_what_a_bar_shows_is_told_too() -> None:
    assert bar([("a", "succeeded", 1_200), ("b", "failed", 0), ("c", "queued", 3)]).told == "1,200 succeeded, 3 queued"
    assert bar([]).told == "nobody yet"
