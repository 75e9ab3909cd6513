"""Things come so many at a time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.portions import portions_of


@given(st.lists(st.integers()), st.integers(1, 4))
def test_all_come_in_their_order_and_every_portion_but_the_last_is_whole(things: list[int], count: int) -> None:
    portions = list(portions_of(iter(things), count))
    assert [each for some in portions for each in some] == things
    assert all(len(some) == count for some in portions[:-1])
    assert all(0 < len(some) <= count for some in portions)


def test_what_changes_between_two_portions_changes_nothing_of_the_rest() -> None:
    things = {1: "a", 2: "b", 3: "c"}
    found = []
    for some in portions_of(things.items(), 2):
        found.append(dict(some))
        things.clear()
    assert found == [{1: "a", 2: "b"}, {3: "c"}]


def test_none_at_a_time_is_an_error_and_no_silence() -> None:
    with pytest.raises(ValueError, match="zero"):
        next(portions_of([1], 0))
