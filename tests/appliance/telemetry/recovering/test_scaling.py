"""Columns of decimal fractions are read as they were written, whatever was read of their metric before."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.telemetry.column import put_column
from appliance.telemetry.packing import ChunkError, Reader
from appliance.telemetry.recovering.scaling import WINDOWS_LIMIT, Scaling
from appliance.telemetry.scaled import Scaled

wholes = st.integers(-40_000, 40_000) | st.integers(190, 230) | st.integers(-(1 << 54), 1 << 54)
columns = st.builds(
    lambda numbers, times, scale: [number / scale for number in numbers] * times,
    st.lists(wholes, min_size=1, max_size=9),
    st.integers(1, 40),
    st.sampled_from([1.0, 10.0, 100.0, 1e9]),
) | st.lists(st.floats(allow_nan=False) | st.sampled_from([1, None, "x"]), max_size=4)


def packed(column: list[float]) -> bytes:
    out = bytearray()
    put_column(out, column)
    return bytes(out)


def taken(scaling: Scaling, column: list[float], metric: str = "v") -> Scaled | None:
    """What was taken is as it must be; if nothing was, nothing was read."""
    source = packed(column)
    reader = Reader(source)
    found = scaling.take(metric, reader, len(column))
    assert reader.position == (0 if found is None else len(source))
    if found is not None:
        assert list(map(repr, found)) == list(map(repr, column))
    return found


def windows_of(*given_columns: list[float]) -> list[object]:
    scaling = Scaling()
    return [found and found.window for found in (taken(scaling, column) for column in given_columns)]


@given(st.lists(columns, max_size=8))
def test_a_column_is_what_was_written_or_is_left_to_others(some: list[list[float]]) -> None:
    scaling = Scaling()
    for column in some:
        taken(scaling, column)


STEPS = [20 + (row * 7 % 5) / 10 for row in range(200)]
SLOW = [20 + abs(row % 90 - 45) / 10 for row in range(200)]
LEVEL = [21.5] * 200
WIDE = [20 + row * 7919 % 3_000 / 10 for row in range(200)]
JUMPS = [20 + (row % 2) * 90.1 for row in range(200)]


@pytest.mark.parametrize("column", [STEPS, LEVEL, WIDE, JUMPS, STEPS[:3], [20.5], [19.0, 20.0], [-3_000.1, 3_200.2]])
def test_what_is_near_stays_in_one_window(column: list[float]) -> None:
    one, other, again = windows_of([20.5, 21.0], column, [20.5])
    assert one is other is again is not None


def test_a_window_is_moved_a_few_times_only() -> None:
    found = windows_of(*([10_000.0 * number + 0.5] for number in range(WINDOWS_LIMIT + 1)), [0.5])
    assert len(set(found[:WINDOWS_LIMIT])) == WINDOWS_LIMIT
    assert found[WINDOWS_LIMIT:] == [None, None]


def test_finer_fractions_move_it_and_coarser_ones_do_not() -> None:
    one, other, again, whole = windows_of([20.5], [20.25], [20.5], [3.0])
    assert one != other
    assert other is again is whole is not None


def test_what_is_too_wide_ends_it_at_once() -> None:
    assert windows_of([0.5], [0.5, 7_000.5], [0.5])[1:] == [None, None]
    assert windows_of([float(1 << 53)]) == [None]


def test_metrics_have_windows_of_their_own() -> None:
    scaling = Scaling()
    for metric, value in (("a", 0.5), ("b", 90_000.5)) * 9:
        assert taken(scaling, [value], metric) is not None


@pytest.mark.parametrize("column", [STEPS, LEVEL, WIDE, JUMPS])
def test_a_column_that_ends_too_early_is_damage(column: list[float]) -> None:
    source = packed(column)
    for kept in range(1, len(source)):
        scaling = Scaling()
        scaling.take("v", Reader(packed([20.5])), 1)
        with pytest.raises(ChunkError):
            scaling.take("v", Reader(source[:kept]), len(column))


def test_no_values_are_left_to_others() -> None:
    assert taken(Scaling(), []) is None
    assert Scaling().take("v", Reader(b""), 0) is None
