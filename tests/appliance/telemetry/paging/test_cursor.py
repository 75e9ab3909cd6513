import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import InvalidInputError
from appliance.telemetry.paging.cursor import beginning, read, written
from appliance.telemetry.paging.model import PLACES_LIMIT, Cursor, Going, Place

START, END = -5, 1 << 45
places = st.builds(Place, st.integers(START, END), st.integers(0, 1 << 40))
going = st.builds(Going, places, st.lists(st.text(st.characters(codec="utf-8")), max_size=3).map(tuple))
PLACE = Going(Place(0, 0), ())


@given(st.lists(going, min_size=1, max_size=PLACES_LIMIT).map(tuple))
def test_a_cursor_is_read_as_it_was_written(found: tuple[Going, ...]) -> None:
    cursor = Cursor(START, END, found)
    assert read(written(cursor)) == cursor
    assert written(cursor).replace("-", "").replace("_", "").isalnum()


@pytest.mark.parametrize(
    "cursor",
    [
        Cursor(5, 4, (PLACE,)),
        Cursor(0, 1, (Going(Place(2, 0), ()),)),
        Cursor(0, 1, (Going(Place(-1, 0), ()),)),
        Cursor(0, 1, (Going(Place(0, -1), ()),)),
        Cursor(0, 1 << 60, (PLACE,)),
        Cursor(0, 1, ()),
        Cursor(0, 1, (PLACE,) * (PLACES_LIMIT + 1)),
    ],
)
def test_a_cursor_of_no_range_or_place_is_refused(cursor: Cursor) -> None:
    with pytest.raises(InvalidInputError):
        read(written(cursor))


def test_the_first_page_has_all_before_the_end() -> None:
    assert read(written(beginning(0, 1))) == Cursor(0, 1, (Going(Place(1, 0), ()),))
