from math import inf, isnan, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.instant import HOUR_MS, MINUTE_MS
from appliance.telemetry.asking.model import Aggregate
from appliance.telemetry.bins import Bin
from appliance.telemetry.promql.evaluate import calculated, edges_of, leaves, result_of, values_of, window_of
from appliance.telemetry.promql.model import Leaf, Scalar, Series, Sign, Steps
from appliance.telemetry.promql.parser import parsed

STEPS = Steps(0, 3, HOUR_MS)


def leaf_of(query: str) -> Leaf:
    [leaf] = leaves(parsed(query))
    return leaf


def told(query: str, *series: Series) -> object:
    return result_of(parsed(query), lambda _: list(series))


NORTH = Series({"__name__": "flow", "zone": "north", "device_id": "a"}, [1.0, None, 3.0])
SOUTH = Series({"__name__": "flow", "zone": "south", "device_id": "b"}, [10.0, None, None])


@given(st.integers(0, 10**12), st.integers(1, 50), st.integers(1, 10**8), st.integers(1, 10**8))
def test_every_window_is_cut_out_of_whole_bins(start: int, count: int, step_ms: int, window_ms: int) -> None:
    steps = Steps(start, count, step_ms)
    for query in (f"avg_over_time(flow[{window_ms}ms])", "flow", "flow offset 7m"):
        leaf = leaf_of(query)
        edges = edges_of(leaf, steps)
        length_ms, offset_ms, _ = window_of(leaf, steps)
        assert edges == sorted(set(edges))
        for at in steps.moments():
            assert {at - offset_ms, at - offset_ms - length_ms} <= set(edges)


def test_the_present_reading_is_the_newest_of_five_minutes_and_of_a_step() -> None:
    assert window_of(leaf_of("flow"), Steps(0, 1, 0)) == (5 * MINUTE_MS, 0, Aggregate.LAST)
    assert window_of(leaf_of("flow"), Steps(0, 9, HOUR_MS)) == (HOUR_MS, 0, Aggregate.LAST)
    assert window_of(leaf_of("flow offset 1h"), Steps(0, 9, 2 * MINUTE_MS)) == (6 * MINUTE_MS, HOUR_MS, Aggregate.LAST)


def test_a_window_has_what_lies_before_its_end() -> None:
    leaf = leaf_of("sum_over_time(flow[1h])")
    edges = edges_of(leaf, STEPS)
    assert edges == [-HOUR_MS, 0, HOUR_MS, 2 * HOUR_MS]
    bins = {1: Bin(2, 1.0, 3.0, 4.0, 2.0, 0, 1.0, 5, 3.0)}
    assert values_of(leaf, STEPS, edges, bins) == [None, 4.0, None]


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
    assert [leaf_of(f"sum(flow) {sign} 1") for sign in "+-"] == [leaf_of("flow")] * 2


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
