"""Reports of one shape may lie side by side."""

from array import array
from types import NoneType

from appliance.telemetry.row_shape import shape_of


def test_devices_that_are_alike_share_a_shape() -> None:
    shape = shape_of(("a", "b"), (int, float, float))
    assert shape is shape_of(("a", "b"), (int, float, float))
    assert shape is not shape_of(("b", "a"), (int, float, float))
    assert shape is not shape_of(("a", "b"), (int, float, bool))
    assert (shape.names, shape.kinds) == (("a", "b"), [int, float, float])


def test_only_fractions_lie_in_an_array() -> None:
    assert shape_of(("a", "b"), (int, float, float)).cells() == array("d")
    for kinds in ((int, float, int), (int, int, int), (int, float, NoneType), (int, bool, bool)):
        assert shape_of(("a", "b"), kinds).cells() == []


def test_a_sequence_number_may_be_lacking() -> None:
    assert shape_of(("a",), (int, float)).is_numbered
    assert not shape_of(("a",), (NoneType, float)).is_numbered
