"""Bins tell what their numbers say, and gaps are filled without inventing anything outside."""

from itertools import pairwise
from statistics import fmean, pstdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.telemetry.asking.binned import COLUMNS_AT_ONCE, Gathered, Told, filled
from appliance.telemetry.asking.columns import columns_of
from appliance.telemetry.asking.edges import width_of
from appliance.telemetry.asking.model import Fill
from appliance.telemetry.bin_column import BinColumn
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
    gathered.add_bins("b", "p", BinColumn.of({0: Bin(2, 1.0, 2.0, 3.0, 0.5, 0, 1.0, 1, 2.0)}))
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


@given(
    st.dictionaries(st.integers(0, 29), st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=4), min_size=1),
    st.sampled_from([[0, 30], [0, 10, 20, 30], [*range(31)]]),
    st.sampled_from("wpr"),
)
def test_bins_say_the_same_whether_they_come_whole_in_pieces_or_as_readings(
    numbers: dict[int, list[float]], edges: list[int], way: str
) -> None:
    gathered = Gathered(edges)
    for parity in range(2):
        some = {at: each for at, each in sorted(numbers.items()) if at % 2 == parity or way == "w"}
        bins = {at: found for at, each in some.items() if (found := bin_of([at] * len(each), each)) is not None}
        if way == "r":
            flat = [(at, value) for at, each in some.items() for value in each]
            gathered.add_readings("a", "p", [at for at, _ in flat], [value for _, value in flat], is_exact=False)
        elif parity == 0 or way == "p":
            gathered.add_bins("a", "p", BinColumn.of(bins))
    told = {row[0]: row[2:] for row in rows(gathered, EVERYTHING, keys={"a": ("a",)})}
    expected: dict[object, tuple[object, ...]] = {}
    for low, high in pairwise(edges):
        inside = [value for at, each in sorted(numbers.items()) if low <= at < high for value in each]
        if inside:
            expected[low] = (
                *(pytest.approx(fmean(inside), rel=1e-9, abs=1e-6), min(inside), max(inside)),
                *(pytest.approx(sum(inside), rel=1e-9, abs=1e-6), len(inside), inside[0], inside[-1]),
                pytest.approx(pstdev(inside), rel=1e-6, abs=1e-4),
            )
    assert told == expected


@given(
    st.lists(st.tuples(st.integers(0, 19), st.integers(-9, 9)), min_size=20, max_size=80),
    st.sampled_from([[0, 20], [0, 5, 20]]),
)
def test_however_many_devices_stand_behind_a_key_all_of_them_count(
    sent: list[tuple[int, int]], edges: list[int]
) -> None:
    gathered = Gathered(edges)
    for at, value in sent:
        each = bin_of([at], [value])
        assert each is not None
        gathered.add_bins("all", "p", BinColumn.of({at: each}))
    assert all(len(columns) < COLUMNS_AT_ONCE for columns in gathered._columns.values())
    told = {
        row[0]: row[2:] for row in rows(gathered, "count(p),sum(p),min(p),max(p),first(p),last(p)", keys={"all": ()})
    }
    expected: dict[object, tuple[object, ...]] = {}
    for low, high in pairwise(edges):
        inside = [value for at, value in sorted(sent, key=lambda pair: pair[0]) if low <= at < high]
        if inside:
            expected[low] = (len(inside), sum(inside), min(inside), max(inside), inside[0], inside[-1])
    assert told == expected


@given(st.lists(st.integers(0, 99), max_size=30).map(sorted), st.sets(st.integers(1, 99)).map(sorted))
def test_every_reading_falls_into_its_bin(at: list[int], inner: list[int]) -> None:
    edges = [0, *inner, 100]
    gathered = Gathered(edges)
    gathered.add_readings("a", "p", at, [1] * len(at), is_exact=False)
    counts = {row[0]: row[2] for row in rows(gathered, "count(p)")}
    expected = {low: sum(low <= moment < high for moment in at) for low, high in pairwise(edges)}
    assert counts == {low: count for low, count in expected.items() if count}
