from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.ingestion.mapping.paths import NOTHING, found, steps_of, without

names = st.sampled_from(["a", "b", "0", "1"])
items = st.recursive(
    st.none() | st.booleans() | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=12,
)
objects = st.dictionaries(names, items, max_size=4)
paths = st.lists(names, min_size=1, max_size=4)

ITEM: Mapping[str, Any] = {"a": {"b": [10, {"c": 20}], "0": 30}, "d": None}


@pytest.mark.parametrize(
    ("path", "value"),
    [("a.b.0", 10), ("a.b.1.c", 20), ("a.0", 30), ("d", None), ("a.b", [10, {"c": 20}])],
)
def test_a_path_leads_from_the_outside_in(path: str, value: object) -> None:
    assert found(ITEM, steps_of(path)) == value


@pytest.mark.parametrize("path", ["b", "a.c", "a.b.2", "a.b.-1", "a.b.c", "a.b.²", "d.a", "a.b.0.c"])
def test_where_nothing_is_nothing_is_found(path: str) -> None:
    assert found(ITEM, steps_of(path)) is NOTHING


@given(objects, paths)
def test_what_is_left_lacks_what_was_found_and_nothing_else(item: dict[str, Any], path: list[str]) -> None:
    before = repr(item)
    left = without(item, path)
    assert repr(item) == before
    if found(item, path) is NOTHING:
        assert left == item
    # Out of an array nothing is taken: the others would change places.
    assert (found(left, path) is NOTHING) or any(isinstance(found(item, path[:end]), list) for end in range(1, 4))


def test_an_object_that_held_nothing_else_is_left_out_too() -> None:
    assert without({"meta": {"device": {"id": 7}}, "x": 1}, ("meta", "device", "id")) == {"x": 1}
    assert without({"meta": {"device": {"id": 7}, "y": 2}}, ("meta", "device", "id")) == {"meta": {"y": 2}}
