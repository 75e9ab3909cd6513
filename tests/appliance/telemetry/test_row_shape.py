"""Reports of one shape may lie side by side, packed."""

import struct
from types import NoneType

import pytest

from appliance.telemetry.row_shape import NAMES_LIMIT, Shape, shape_of
from tests.appliance.telemetry.reports import NOON, report


def shape(names: tuple[str, ...], *kinds: type) -> Shape:
    found = shape_of(names, kinds)
    assert found is not None
    return found


def test_devices_that_are_alike_share_a_shape() -> None:
    one = shape(("a", "b"), int, float, float)
    assert one is shape(("a", "b"), int, float, float)
    assert one is not shape(("b", "a"), int, float, float)
    assert one is not shape(("a", "b"), int, float, bool)
    assert (one.names, one.kinds) == (("a", "b"), [int, float, float])


def test_what_takes_no_eight_bytes_lies_nowhere_side_by_side() -> None:
    for kinds in ((int, str), (int, NoneType)):
        assert shape_of(("a",), kinds) is None
    assert shape_of((), (int,)) is None
    names = tuple(f"m{number}" for number in range(NAMES_LIMIT + 1))
    assert shape_of(names, (int, *[float] * len(names))) is None
    assert shape(names[:-1], int, *[float] * NAMES_LIMIT).width == NAMES_LIMIT + 3


def test_a_sequence_number_may_be_lacking() -> None:
    assert shape(("a",), int, float).is_numbered
    assert not shape(("a",), NoneType, float).is_numbered


def test_a_row_comes_back_and_what_has_more_than_64_bits_is_refused() -> None:
    one = shape(("a", "b", "c"), int, float, int, bool)
    row = one.pack(1, 2, 3, -0.0, -(2**63), True)
    assert [*map(repr, one.unpack_from(row))] == ["1", "2", "3", "-0.0", str(-(2**63)), "1"]
    assert repr(one.unpacked(row)) == f"(1, 2, 3, {{'a': -0.0, 'b': {-(2**63)}, 'c': True}})"
    assert one.unpacked(row + row, len(row)) == one.unpacked(row)
    with pytest.raises(struct.error):
        one.pack(1, 2, 3, 0.0, 2**63, True)


def test_a_report_is_packed_unless_it_has_more_than_64_bits() -> None:
    one = shape(("a", "b"), NoneType, float, bool)
    row = one.packed(report(values={"a": 0.5, "b": True}))
    assert row is not None
    assert repr(one.unpacked(row)) == repr((NOON, NOON + 20, None, {"a": 0.5, "b": True}))
    assert shape(("a",), int, int).packed(report(values={"a": 1}, sequence=2**63)) is None
