import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.histogram import BRIEF, LONG, Histogram
from web.histograms import FEWEST, HEIGHT, WIDTH, drawing, length_in_words


def filled(lengths_us: list[int], bounds: tuple[int, ...]) -> Histogram:
    histogram = Histogram(bounds)
    histogram.observe_all(list(lengths_us))
    return histogram


@given(st.lists(st.integers(0, 10**14), min_size=1), st.sampled_from([BRIEF, LONG]))
def test_every_bucket_that_holds_something_is_drawn_inside_the_box(lengths: list[int], bounds: tuple[int, ...]) -> None:
    histogram = filled(lengths, bounds)
    drawn = drawing(histogram)
    assert drawn is not None
    assert len(drawn.bars) >= FEWEST
    assert sum(bar.height > 0 for bar in drawn.bars) == sum(count > 0 for count in histogram.counts)
    assert max(bar.height for bar in drawn.bars) == HEIGHT
    assert sum(int(bar.told.rpartition(": ")[2]) for bar in drawn.bars) == len(lengths)
    for bar in drawn.bars:
        assert 0 <= bar.x <= bar.x + bar.width <= WIDTH
        assert bar.y + bar.height == pytest.approx(HEIGHT, abs=0.02)
    assert [bar.x for bar in drawn.bars] == sorted({bar.x for bar in drawn.bars})


def test_the_ends_are_told_in_words() -> None:
    drawn = drawing(filled([1, 10**14], BRIEF))
    assert drawn is not None
    assert (drawn.least, drawn.greatest) == ("0", "longer")
    assert drawn.bars[0].told == "0 to 0.1 ms: 1"
    assert drawn.bars[-1].told == "100 s to longer: 1"


def test_of_nothing_there_is_no_drawing() -> None:
    assert drawing(Histogram()) is None


@pytest.mark.parametrize(
    ("length_us", "told"),
    [
        (None, "none yet"),
        (0, "0"),
        (100, "0.1 ms"),
        (6_300, "6.3 ms"),
        (999_999, "1000 ms"),
        (1_600_000, "1.6 s"),
        (63_000_000, "63 s"),
        (160_000_000, "2.67 min"),
        (9_000_000_000, "2.5 h"),
        (250_000_000_000, "2.89 d"),
        (10**16, "115741 d"),
        (math.inf, "longer"),
    ],
)
def test_lengths_are_told_as_people_read_them(length_us: float | None, told: str) -> None:
    assert length_in_words(length_us) == told
