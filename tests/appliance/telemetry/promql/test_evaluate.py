from itertools import pairwise
from math import inf, isnan, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.instant import HOUR_MS, MINUTE_MS
from appliance.telemetry.asking.binned import aggregate_of
from appliance.telemetry.asking.model import Aggregate
from appliance.telemetry.bins import Bin, bin_of, combined
from appliance.telemetry.promql.evaluate import (
    calculated,
    leaf_of,
    result_of,
    values_of,
    window_of,
    windows_of,
)
from appliance.telemetry.promql.model import Leaf, Scalar, Series, Sign, Steps
from appliance.telemetry.promql.parser import parsed
from appliance.telemetry.wanted import is_wanted

STEPS = Steps(0, 3, HOUR_MS)


def leaf(query: str) -> Leaf:
    found = leaf_of(parsed(query))
    assert found is not None
    return found


def told(query: str, *series: Series) -> object:
    return result_of(is_wanted, parsed(query), list(series))


NORTH = Series({"__name__": "flow", "zone": "north", "device_id": "a"}, [1.0, None, 3.0])
SOUTH = Series({"__name__": "flow", "zone": "south", "device_id": "b"}, [10.0, None, None])


@given(st.integers(0, 10**12), st.integers(1, 50), st.integers(1, 10**8), st.integers(1, 10**8))
def test_every_window_is_cut_out_of_whole_bins(start: int, count: int, step_ms: int, window_ms: int) -> None:
    steps = Steps(start, count, step_ms)
    for query in (f"avg_over_time(flow[{window_ms}ms])", "flow", "flow offset 7m"):
        edges, spans = windows_of(leaf(query), steps)
        length_ms, offset_ms, _ = window_of(leaf(query), steps)
        assert edges == sorted(set(edges))
        for at, (first, behind) in zip(steps.moments(), spans, strict=True):
            assert (edges[first], edges[behind]) == (at - offset_ms - length_ms, at - offset_ms)


def test_the_present_reading_is_the_newest_of_five_minutes_and_of_a_step() -> None:
    assert window_of(leaf("flow"), Steps(0, 1, 0)) == (5 * MINUTE_MS, 0, Aggregate.LAST)
    assert window_of(leaf("flow"), Steps(0, 9, HOUR_MS)) == (HOUR_MS, 0, Aggregate.LAST)
    assert window_of(leaf("flow offset 1h"), Steps(0, 9, 2 * MINUTE_MS)) == (6 * MINUTE_MS, HOUR_MS, Aggregate.LAST)


def test_a_window_has_what_lies_before_its_end() -> None:
    windows = windows_of(leaf("sum_over_time(flow[1h])"), STEPS)
    assert windows.edges == [-HOUR_MS, 0, HOUR_MS, 2 * HOUR_MS]
    bins = {1: Bin(2, 1.0, 3.0, 4.0, 2.0, 0, 1.0, 5, 3.0)}
    assert values_of(is_wanted, windows, Aggregate.SUM, bins) == [None, 4.0, None]


numbered = st.dictionaries(st.integers(0, 30), st.lists(st.integers(-9, 9), min_size=1, max_size=3), max_size=12)


@given(numbered, st.sampled_from(Aggregate), st.integers(1, 7), st.integers(1, 3))
def test_a_value_is_that_of_all_bins_of_its_window_put_together(
    told_: dict[int, list[int]], aggregate: Aggregate, length: int, step: int
) -> None:
    windows = windows_of(leaf(f"sum_over_time(flow[{length}ms])"), Steps(length, 10, step))
    bins = {
        place: found
        for place, (low, high) in enumerate(pairwise(windows.edges))
        if (numbers := [(at, number) for at in range(low, high) for number in told_.get(at, [])])
        and (found := bin_of(*zip(*numbers, strict=True))) is not None
    }
    expected: list[object] = []
    for first, behind in windows.spans:
        whole = combined([bins[place] for place in range(first, behind) if place in bins])
        expected.append(None if whole is None else aggregate_of(whole, aggregate))
    assert values_of(is_wanted, windows, aggregate, bins) == expected


@pytest.mark.timeout(5)
def test_the_newest_of_windows_that_overlap_often_is_found_quickly() -> None:
    windows = windows_of(leaf("last_over_time(flow[5000s])"), Steps(0, 11_000, 1_000))
    held = Bin(1, 1.0, 1.0, 1.0, 0.0, 0, 1.0, 0, 1.0)
    for _ in range(2):
        assert values_of(is_wanted, windows, Aggregate.LAST, {0: held})[:2] == [1.0, None]
        everywhere = dict.fromkeys(range(len(windows.edges) - 1), held)
        assert set(values_of(is_wanted, windows, Aggregate.LAST, everywhere)) == {1.0}


def test_work_that_nobody_wants_any_more_ends_at_once() -> None:
    class UnwantedError(Exception):
        pass

    def ended() -> None:
        raise UnwantedError

    windows = windows_of(leaf("flow"), STEPS)
    with pytest.raises(UnwantedError):
        values_of(ended, windows, Aggregate.LAST, {})
    for query in ("flow", "sum(flow)", "flow + 1", "1"):
        with pytest.raises(UnwantedError):
            result_of(ended, parsed(query), [NORTH])


def test_what_is_made_of_series_keeps_the_labels_that_prometheus_keeps() -> None:
    assert told("flow", NORTH) == [NORTH]
    assert told("last_over_time(flow[1h])", NORTH) == [NORTH]
    assert told("avg_over_time(flow[1h])", NORTH) == [Series({"zone": "north", "device_id": "a"}, NORTH.values)]
    assert told("sum(flow)", NORTH, SOUTH) == [Series({}, [11.0, None, 3.0])]
    assert told("avg by (zone, kind) (flow)", NORTH) == [Series({"zone": "north"}, NORTH.values)]
    assert told("count without (device_id) (flow)", NORTH, SOUTH) == [
        Series({"zone": "north"}, [1.0, None, 1.0]),
        Series({"zone": "south"}, [1.0, None, None]),
    ]
    assert told("2 - flow", NORTH) == [Series({"zone": "north", "device_id": "a"}, [1.0, None, -1.0])]
    assert told("max(flow) * 2", NORTH, SOUTH) == [Series({}, [20.0, None, 6.0])]
    assert told("1 + 1") == Scalar(2.0)
    assert [leaf(f"sum(flow) {sign} 1") for sign in "+-"] == [leaf("flow")] * 2
    assert leaf("1 - -flow") == leaf("flow")
    assert leaf_of(parsed("1 + 1")) is None


@given(st.sampled_from(Sign), st.floats(), st.floats())
def test_no_two_numbers_raise_anything(sign: Sign, left: float, right: float) -> None:
    assert isinstance(calculated(sign, left, right), float)


@pytest.mark.parametrize(
    ("sign", "left", "right", "expected"),
    [
        (Sign.DIVIDE, 1, 0.0, inf),
        (Sign.DIVIDE, -1, 0.0, -inf),
        (Sign.DIVIDE, 1, -0.0, -inf),
        (Sign.DIVIDE, 0, 0.0, nan),
        (Sign.DIVIDE, nan, 0.0, nan),
        (Sign.MODULO, 5, 0, nan),
        (Sign.MODULO, -7, 3, -1),
        (Sign.POWER, -8, 1 / 3, nan),
        (Sign.POWER, 10, 400, inf),
        (Sign.POWER, -10, 401, -inf),
        (Sign.POWER, 0, -1, inf),
    ],
)
def test_numbers_without_a_result_are_as_floating_point_has_them(
    sign: Sign, left: float, right: float, expected: float
) -> None:
    found = calculated(sign, left, right)
    assert found == expected or (isnan(found) and isnan(expected))
