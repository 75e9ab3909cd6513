"""Pages are the whole in parts, in either order, and a cursor is what it was."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import InvalidInputError
from appliance.telemetry.asking.model import EARLIEST, LATEST, Answer, Order, Place, Row
from appliance.telemetry.asking.paging import Cursor, first_of, order_key, page, read, written
from appliance.telemetry.wanted import is_wanted

places = st.builds(Place, st.integers(0, 5), st.sampled_from(["a", "b", "ü"]), st.integers(0, 2))
rows = st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["a", "b", "ü"])), max_size=20).map(
    lambda found: [Row(Place(*each, found[:number].count(each)), ()) for number, each in enumerate(found)]
)


def next_page(found: list[Row], order: Order, after: Place | None, limit: int) -> Answer:
    """A page, from a run of each key."""
    oldest = sorted(found, key=lambda row: order_key(row.place, Order.OLDEST))
    runs = [[row for row in oldest if row.place.key == key] for key in {row.place.key for row in found}]
    return page(first_of(is_wanted, runs, order, after, limit + 1), limit)


@given(rows, st.sampled_from(Order), st.integers(1, 5))
def test_pages_are_all_rows_in_order_each_once(found: list[Row], order: Order, limit: int) -> None:
    seen: list[Row] = []
    answer = next_page(found, order, None, limit)
    seen += answer.rows
    while answer.next is not None:
        assert len(answer.rows) == limit
        answer = next_page(found, order, answer.next, limit)
        seen += answer.rows
    assert seen == sorted(found, key=lambda row: order_key(row.place, order))


def test_the_newest_come_first_when_that_is_asked_and_keys_in_their_order() -> None:
    found = [Row(Place(at, key, 0), ()) for at in (1, 2) for key in "ba"]
    places = [(row.place.at, row.place.key) for row in next_page(found, Order.NEWEST, None, 9).rows]
    assert places == [(2, "a"), (2, "b"), (1, "a"), (1, "b")]


@given(st.integers(EARLIEST, LATEST), st.integers(0, 10**6), places)
def test_a_cursor_is_read_as_it_was_written(start: int, length: int, place: Place) -> None:
    cursor = Cursor(start, min(start + length, LATEST), place)
    assert read(written(cursor)) == cursor
    assert written(cursor).replace("-", "").replace("_", "").isalnum()


@pytest.mark.parametrize(
    "cursor", [Cursor(5, 4, Place(1, "a", 0)), Cursor(0, LATEST + 1, Place(1, "a", 0)), Cursor(0, 1, None)]
)
def test_a_cursor_of_no_range_or_place_is_refused(cursor: Cursor) -> None:
    with pytest.raises(InvalidInputError):
        read(written(cursor))
