import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from appliance.shadows.merge import merged, mirrored
from tests.appliance.shadows.documents import DOCUMENTS, KEYS, VALUES

PATCHES = st.dictionaries(KEYS, st.none() | VALUES | st.dictionaries(KEYS, st.none() | VALUES, max_size=3), max_size=4)


def patched(section: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    state, metadata = merged({"desired": section}, {"desired": mirrored(section, {})}, {"desired": patch}, 5)
    assert state.keys() == metadata.keys()
    section_then: dict[str, Any] = state.get("desired", {})
    return section_then


@given(DOCUMENTS, PATCHES)
def test_merging_a_patch_twice_is_merging_it_once(document: dict[str, Any], patch: dict[str, Any]) -> None:
    once = patched(document, patch)
    assert patched(once, patch) == once


@given(DOCUMENTS, PATCHES)
def test_what_is_given_is_not_changed(document: dict[str, Any], patch: dict[str, Any]) -> None:
    told = copy.deepcopy((document, patch))
    patched(document, patch)
    assert (document, patch) == told


@given(DOCUMENTS, PATCHES)
def test_metadata_has_the_shape_of_the_state(document: dict[str, Any], patch: dict[str, Any]) -> None:
    kept = {"desired": document} if document else {}
    state, metadata = merged(kept, mirrored(kept, {"timestamp": 5}), {"desired": patch}, 5)
    assert metadata == mirrored(state, {"timestamp": 5})


def test_objects_are_merged_and_anything_else_is_replaced() -> None:
    before = {"a": {"b": 1, "c": [1, 2]}, "d": {"x": 1}, "e": 3, "f": 4}
    patch = {"a": {"c": [3]}, "d": 5, "e": {}, "f": {"g": {"h": 1}}}
    assert patched(before, patch) == {"a": {"b": 1, "c": [3]}, "d": 5, "e": {}, "f": {"g": {"h": 1}}}


def test_null_removes_a_key_at_any_depth_and_leaves_the_object_around_it() -> None:
    assert patched({"a": {"b": {"c": 1}}, "d": 1}, {"a": {"b": {"c": None}}, "x": None}) == {"a": {"b": {}}, "d": 1}
    assert patched({}, {"a": {"b": None}}) == {"a": {}}


def test_a_section_without_keys_is_gone() -> None:
    times = {"timestamp": 1}
    kept, metadata = {"desired": {"a": 1}, "reported": {"b": 1}}, {"desired": {"a": times}, "reported": {"b": times}}
    assert merged(kept, metadata, {"desired": {"a": None}}, 2) == ({"reported": {"b": 1}}, {"reported": {"b": times}})
    assert merged(kept, metadata, {"desired": None, "reported": None}, 2) == ({}, {})
    assert merged({}, {}, {"desired": {}}, 2) == ({}, {})


def test_each_leaf_has_the_second_of_its_last_change() -> None:
    state, metadata = merged({}, {}, {"reported": {"a": 1, "b": {"c": [1, {"d": 2}], "e": {}}}}, 10)
    assert metadata == {
        "reported": {"a": {"timestamp": 10}, "b": {"c": [{"timestamp": 10}, {"d": {"timestamp": 10}}], "e": {}}}
    }
    _, later = merged(state, metadata, {"reported": {"a": 1, "b": {"c": 3}}}, 20)
    assert later == {"reported": {"a": {"timestamp": 20}, "b": {"c": {"timestamp": 20}, "e": {}}}}
