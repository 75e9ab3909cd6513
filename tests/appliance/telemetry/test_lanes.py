"""Numbers that are added at once come to what they come to one by one."""

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.telemetry.lanes import LANES_LIMIT, added, raised

GREATEST = (1 << 63) - 1
numbers = st.integers(-(1 << 62), 1 << 62) | st.integers(0, 300) | st.sampled_from([0, 1, GREATEST, -GREATEST - 1])
steps = st.integers(-(1 << 40), 1 << 40) | st.integers(-3, 3)


def plainly(sums: list[int]) -> "array[int] | None":
    """None when one of them has more than 64 bits."""
    return array("q", sums) if all(-GREATEST - 1 <= each <= GREATEST for each in sums) else None


@given(st.lists(numbers, max_size=40) | st.lists(st.integers(0, 1 << 61), max_size=40), numbers, steps)
def test_a_line_is_added_to_each(values: list[int], first: int, step: int) -> None:
    expected = plainly([value + first + place * step for place, value in enumerate(values)])
    if expected is None:
        with pytest.raises(OverflowError):
            raised(array("q", values), first, step)
    else:
        assert raised(array("q", values), first, step) == expected


@given(st.lists(st.tuples(numbers, numbers), max_size=40) | st.lists(st.tuples(*[st.integers(0, 1 << 62)] * 2)))
def test_each_is_added_to_the_other_in_its_place(pairs: list[tuple[int, int]]) -> None:
    one, other = (array("q", [pair[side] for pair in pairs]) for side in range(2))
    expected = plainly(list(map(sum, pairs)))
    if expected is None:
        with pytest.raises(OverflowError):
            added(one, other)
    else:
        assert added(one, other) == expected


@pytest.mark.parametrize("count", [LANES_LIMIT, LANES_LIMIT + 1, 3 * LANES_LIMIT + 5])
def test_very_many_are_added_as_well(count: int) -> None:
    values = array("q", range(0, 7 * count, 7))
    assert list(raised(values, 5, 2)) == [5 + 9 * place for place in range(count)]
    assert list(added(values, values)) == [14 * place for place in range(count)]
