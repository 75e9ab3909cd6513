"""A column of bins is the bins that it was made of, and tells what each of them does."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.telemetry.bin_column import NOTHING, BinColumn, joined
from appliance.telemetry.bins import Bin, bin_of, combined, deviations, means

moments = st.integers(-(10**6), 10**6)


@st.composite
def bins(draw: st.DrawFn) -> dict[int, Bin]:
    found: dict[int, Bin] = {}
    for at in draw(st.lists(moments, max_size=8, unique=True)):
        values = draw(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=3))
        each = bin_of(range(at, at + len(values)), values)
        assert each is not None
        found[at] = each
    return found


@given(bins())
def test_a_column_is_its_bins_in_the_order_of_time(found: dict[int, Bin]) -> None:
    column = BinColumn.of(found)
    ordered = dict(sorted(found.items()))
    assert (len(column), list(column)) == (len(found), list(ordered))
    assert dict(column.items()) == ordered == {at: column[at] for at in found}
    assert repr(column) == repr(ordered)
    assert means(column.fields) == [each.mean for each in ordered.values()]
    assert deviations(column.fields) == [each.deviation for each in ordered.values()]


@given(bins(), moments)
def test_what_is_not_there_is_not_made_up(found: dict[int, Bin], at: int) -> None:
    column = BinColumn.of(found)
    assert (at in column) == (at in found)
    with pytest.raises(KeyError):
        column[10**7]


@given(bins(), st.lists(st.integers(0, 2), min_size=8, max_size=8))
def test_columns_that_are_joined_are_all_of_their_bins(found: dict[int, Bin], shares: list[int]) -> None:
    parts: list[dict[int, Bin]] = [{}, {}, {}]
    for (at, each), share in zip(found.items(), shares, strict=False):
        parts[share][at] = each
    assert repr(joined([BinColumn.of(part) for part in parts])) == repr(BinColumn.of(found))


def test_nothing_joined_is_nothing() -> None:
    assert joined([]) is NOTHING
    assert not NOTHING


@given(bins(), st.sets(st.integers(1, 7)))
def test_groups_are_what_their_bins_combine_into(found: dict[int, Bin], cuts: set[int]) -> None:
    column = BinColumn.of(found)
    if not column:
        return
    bounds = [0, *sorted(cut for cut in cuts if cut < len(column)), len(column)]
    whole = column.grouped([column.at[low] for low in bounds[:-1]], bounds)
    each = list(dict(column.items()).values())
    expected = [combined(each[low:high]) for low, high in pairwise(bounds)]
    assert [whole[at] for at in whole] == expected
