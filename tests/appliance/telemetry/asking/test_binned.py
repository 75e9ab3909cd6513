"""Bins tell what their numbers say, and gaps are filled without inventing anything outside."""

from itertools import pairwise
from math import isclose

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.telemetry.asking.binned import Gathered, Told, aggregate_of, filled
from appliance.telemetry.asking.columns import columns_of
from appliance.telemetry.asking.edges import width_of
from appliance.telemetry.asking.model import Aggregate, Fill
from appliance.telemetry.bins import Bin, bin_of
from appliance.telemetry.wanted import is_wanted
from tests.appliance.telemetry.asking.source import question

told_lists = st.lists(st.none() | st.floats(-1e9, 1e9) | st.integers(-5, 5), min_size=1, max_size=12)

EVERYTHING = "avg(p),min(p),max(p),sum(p),count(p),first(p),last(p),stddev(p)"


def rows(gathered: Gathered, select: str, **changes: object) -> list[tuple[object, ...]]:
    asked = question(columns=columns_of([select]), width=width_of("1h"), **changes)
    return [(row.place.at, row.place.key, *row.values) for row in gathered.rows(is_wanted, asked)]


def test_every_aggregate_is_told() -> None:
    gathered = Gathered([0, 10, 20])
    gathered.add_readings("a", "p", [1, 2, 3, 12], [1, 3.0, "on", 5], is_exact=False)
    gathered.add_bins("b", "p", {0: Bin(2, 1.0, 2.0, 3.0, 0.5, 0, 1.0, 1, 2.0)})
    assert rows(gathered, EVERYTHING) == [
        (0, "a", 2.0, 1.0, 3.0, 4.0, 2, 1.0, 3.0, 1.0),
        (0, "b", 1.5, 1.0, 2.0, 3.0, 2, 1.0, 2.0, 0.5),
        (10, "a", 5.0, 5.0, 5.0, 5.0, 1, 5.0, 5.0, 0.0),
    ]


def test_the_readings_of_several_devices_under_one_key_count_together() -> None:
    gathered = Gathered([0, 10])
    gathered.add_readings("north", "p", [5, 6], [1, 2], is_exact=True)
    gathered.add_readings("north", "p", [1, 9], [3, 4], is_exact=True)
    assert rows(gathered, "count(p),first(p),last(p),p50(p)", keys={"north": ("a", "b")}) == [
        (0, "north", 4, 3.0, 4.0, 2.5)
    ]


def test_text_alone_makes_no_row_and_no_percentile() -> None:
    gathered = Gathered([0, 10])
    gathered.add_readings("a", "p", [5], ["on"], is_exact=True)
    assert rows(gathered, "p50(p)") == []
    assert rows(gathered, "p50(p),count(p)", keys={"a": ("a",)}, fill=Fill.NULL) == [(0, "a", None, 0)]


def test_how_many_is_never_made_up() -> None:
    gathered = Gathered([0, 10, 20])
    gathered.add_readings("a", "p", [5], [7], is_exact=False)
    for fill in (Fill.NULL, Fill.PREVIOUS, Fill.LINEAR, Fill.ZERO):
        assert [row[2] for row in rows(gathered, "count(p)", keys={"a": ("a",)}, fill=fill)] == [1, 0]


def test_a_row_stands_where_one_of_its_columns_has_something() -> None:
    gathered = Gathered([0, 10, 20])
    gathered.add_readings("a", "p", [5], [7], is_exact=False)
    gathered.add_readings("a", "q", [15], [8], is_exact=False)
    assert rows(gathered, "max(p),max(q)") == [(0, "a", 7.0, None), (10, "a", None, 8.0)]


def test_a_column_of_readings_has_no_bins() -> None:
    gathered = Gathered([0, 10])
    gathered.add_readings("a", "p", [5], [7], is_exact=False)
    with pytest.raises(TypeError):
        rows(gathered, "p")


@given(told_lists, st.sampled_from(Fill))
def test_filling_keeps_what_is_known_and_invents_nothing_outside(told: list[Told], fill: Fill) -> None:
    found = filled(told, fill, range(0, 10 * len(told) + 10, 10))
    known = [place for place, each in enumerate(told) if each is not None]
    assert len(found) == len(told)
    assert all(found[place] == told[place] for place in known)
    gaps = [place for place in range(len(told)) if place not in known]
    for place in gaps:
        before = [told[other] for other in known if other < place][-1:]
        after = [told[other] for other in known if other > place][:1]
        match fill:
            case Fill.NONE | Fill.NULL:
                assert found[place] is None
            case Fill.ZERO:
                assert found[place] == 0
            case Fill.PREVIOUS:
                assert [found[place]] == (before or [None])
            case Fill.LINEAR if before and after:
                ends = sorted(each for each in (*before, *after) if each is not None)
                each = found[place]
                assert each is not None
                assert ends[0] <= each <= ends[1]
            case Fill.LINEAR:
                assert found[place] is None


def test_a_line_goes_by_time_and_not_by_bin() -> None:
    assert filled([0, None, 8], Fill.LINEAR, [0, 1, 4, 9]) == [0, 2, 8]


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20))
def test_an_aggregate_is_that_of_the_numbers(numbers: list[float]) -> None:
    each = bin_of(range(len(numbers)), numbers)
    assert each is not None
    mean = sum(numbers) / len(numbers)
    assert aggregate_of(each, Aggregate.COUNT) == len(numbers)
    assert isclose(aggregate_of(each, Aggregate.AVG), mean, rel_tol=1e-9, abs_tol=1e-6)
    assert (aggregate_of(each, Aggregate.FIRST), aggregate_of(each, Aggregate.LAST)) == (numbers[0], numbers[-1])
    deviation = (sum((number - mean) ** 2 for number in numbers) / len(numbers)) ** 0.5
    assert isclose(aggregate_of(each, Aggregate.STDDEV), deviation, rel_tol=1e-6, abs_tol=1e-4)


@given(st.lists(st.integers(0, 99), max_size=30).map(sorted), st.sets(st.integers(1, 99)).map(sorted))
def test_every_reading_falls_into_its_bin(at: list[int], inner: list[int]) -> None:
    edges = [0, *inner, 100]
    gathered = Gathered(edges)
    gathered.add_readings("a", "p", at, [1] * len(at), is_exact=False)
    counts = {row[0]: row[2] for row in rows(gathered, "count(p)")}
    expected = {low: sum(low <= moment < high for moment in at) for low, high in pairwise(edges)}
    assert counts == {low: count for low, count in expected.items() if count}
