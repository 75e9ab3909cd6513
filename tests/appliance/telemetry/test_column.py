"""A column gives back exactly what was put into it, whatever it was."""

import contextlib
from array import array
from math import inf, nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.telemetry import column
from appliance.telemetry.column import MISSING, Cell
from appliance.telemetry.model import TimeSource
from appliance.telemetry.packing import INTEGER_LIMIT, ChunkError, Reader
from tests.appliance.telemetry.reports import values

cells = values | st.just(MISSING)
columns = st.one_of(
    st.lists(cells, max_size=40),
    st.lists(st.floats(), max_size=40),
    st.lists(st.floats(-1e4, 1e4).map(lambda number: round(number, 3)), max_size=40),
    st.lists(st.integers(), max_size=40),
    st.lists(st.sampled_from(["on", "off", ""]), max_size=40),
    st.lists(st.booleans(), max_size=40),
)


def packed(cells: Any) -> bytes:
    out = bytearray()
    column.put_column(out, cells)
    return bytes(out)


def exact(cells: Any) -> list[tuple[type, str]]:
    return [(type(cell), repr(cell)) for cell in cells]


@given(columns)
def test_every_column_comes_back(cells: list[Cell]) -> None:
    reader = Reader(packed(cells))
    assert exact(column.take_column(reader, len(cells))) == exact(cells)
    reader.end()
    reader.position = 0
    assert exact(column.take_packed(reader, len(cells))) == exact(cells)
    reader.end()


@pytest.mark.parametrize(("cells", "code"), [([1, 2**60], "q"), ([0.1, 2.5], "d"), ([0.1, 1 / 3], "d")])
def test_numbers_of_one_kind_are_taken_as_an_array(cells: list[Cell], code: str) -> None:
    found = column.take_packed(Reader(packed(cells)), len(cells))
    assert isinstance(found, array)
    assert (found.typecode, list(found)) == (code, cells)


@given(st.lists(st.text(max_size=3) | st.sampled_from(["on", "off", ""]), max_size=9))
def test_names_are_told_once(names: list[str]) -> None:
    reader = Reader(packed(names))
    different, places = column.take_names(reader, len(names))
    assert [different[place].decode("utf-8", "surrogatepass") for place in places] == names
    assert len(set(different)) == len(different)
    reader.end()


@pytest.mark.parametrize("cells", [[1], ["a", None], [None, None]])
def test_names_are_texts_and_nothing_else(cells: list[Cell]) -> None:
    with pytest.raises(ChunkError, match="another kind"):
        column.take_names(Reader(packed(cells)), len(cells))


@given(st.lists(st.floats(), max_size=40))
def test_an_array_is_packed_like_a_list(numbers: list[float]) -> None:
    assert packed(array("d", numbers)) == packed(numbers)


@given(st.binary(max_size=200), st.integers(0, 60))
def test_no_bytes_raise_anything_but_a_chunk_error(source: bytes, count: int) -> None:
    with contextlib.suppress(ChunkError):
        column.take_column(Reader(source), count)
    for take in (column.take_packed, column.take_names):
        with contextlib.suppress(ChunkError):
            take(Reader(source), count)


@given(columns.filter(len), st.data())
def test_a_changed_column_raises_nothing_but_a_chunk_error(cells: list[Cell], data: st.DataObject) -> None:
    source = bytearray(packed(cells))
    source[data.draw(st.integers(0, len(source) - 1))] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(ChunkError):
        column.take_column(Reader(bytes(source)), len(cells))


@pytest.mark.parametrize(
    "cells",
    [
        [0.0, -0.0, 0.0],
        [nan, 1.5, inf, -inf],
        [1, 1.0, True],
        [2**53 + 1, -(2**53) - 1],
        [2**61, -(2**61), 2**61 - 1, 2**200],
        [None, MISSING, None],
        ["a", "\ud800", "a"],
        [5e-324, 1.7976931348623157e308],
        [0.1, 9007199254740993.0],
        [1e15, 0.1],
        [*[0.5] * 8, 0.123, 1.5],
        [*[0.5] * 8, 0.1 + 0.2, 1.5],
    ],
)
def test_the_hard_ones_come_back(cells: list[Cell]) -> None:
    assert exact(column.take_column(Reader(packed(cells)), len(cells))) == exact(cells)


def test_one_odd_value_does_not_make_the_others_cost_eight_bytes() -> None:
    steady = [20.0 + step % 7 / 10 for step in range(500)]
    rounded = [round(number, 1) for number in steady]
    assert len(packed([*rounded, nan])) < 2.2 * len(rounded)


def test_tenths_cost_one_byte_each() -> None:
    assert len(packed([round(20 + step % 7 / 10, 1) for step in range(1000)])) < 1020


def test_an_unknown_form_is_damage() -> None:
    with pytest.raises(ChunkError, match="form 99"):
        column.take_column(Reader(b"\x63"), 1)


def test_unknown_decimal_places_are_damage() -> None:
    with pytest.raises(ChunkError, match="decimal places"):
        column.take_column(Reader(b"\x02\x20"), 1)


def test_a_text_that_is_not_there_is_damage() -> None:
    source = packed(["a"])[:-1] + b"\x04"
    with pytest.raises(ChunkError, match="not there"):
        column.take_column(Reader(source), 1)


def test_a_column_of_another_kind_is_damage() -> None:
    with pytest.raises(ChunkError, match="another kind"):
        column.take_texts(Reader(packed([1])), 1)
    with pytest.raises(ChunkError, match="another kind"):
        column.take_numbers(Reader(packed(["a"])), 1)
    with pytest.raises(ChunkError, match="another kind"):
        column.take_optional_numbers(Reader(packed([1.0])), 1)
    with pytest.raises(ChunkError, match="time source"):
        column.take_time_sources(Reader(packed([9])), 1)


def test_time_sources_come_back() -> None:
    sources = list(TimeSource)
    assert column.take_time_sources(Reader(packed([int(source) for source in sources])), len(sources)) == sources


@given(st.lists(st.integers(-(1 << 70), 1 << 70) | st.just(5), max_size=3), st.integers(1, 3))
def test_one_number_over_and_over_is_read_at_once_and_nothing_else(cells: list[int], times: int) -> None:
    cells *= times
    reader = Reader(packed(cells))
    found = column.take_constant(reader, len(cells))
    if found is None:
        assert len(set(cells)) != 1 or abs(cells[0]) >= INTEGER_LIMIT
        assert exact(column.take_column(reader, len(cells))) == exact(cells)
    else:
        assert set(cells) == {found}
    reader.end()


@pytest.mark.parametrize("cells", [[True, True], [1.0, 1.0], [None], ["a"]])
def test_what_is_no_number_is_no_constant(cells: list[column.Cell]) -> None:
    assert column.take_constant(Reader(packed(cells)), len(cells)) is None
