"""Columns hold what they were given, however it was given."""

from hypothesis import given
from hypothesis import strategies as st

from appliance.telemetry.growing import Runs, new_column
from appliance.telemetry.model import Value
from tests.appliance.telemetry.reports import values


@given(
    st.lists(values | st.floats(), min_size=1, max_size=6),
    st.lists(st.lists(values | st.floats(), max_size=4), max_size=4),
)
def test_values_come_into_a_column_at_once_as_they_do_one_after_the_other(
    first: list[Value], later: list[list[Value]]
) -> None:
    at_once, single = new_column(first[0]), new_column(first[0])
    for cells in (first, *later):
        at_once.extend(cells)
        for cell in cells:
            single.append(cell)
    assert at_once.kind is single.kind
    assert list(map(repr, at_once.cells)) == list(map(repr, single.cells))


@given(st.lists(st.integers(0, 2), min_size=1, max_size=12))
def test_what_is_kept_where_it_changes_is_known_of_every_row(told: list[int]) -> None:
    runs: Runs[int] = Runs([], [])
    for row, value in enumerate(told):
        if not row or value != told[row - 1]:
            runs.append(row, value)
    assert [runs.at(row) for row in range(len(told))] == told == list(runs.expanded(len(told)))
