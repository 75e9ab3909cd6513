import copy
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from appliance.shadows.merge import merged, mirrored
from appliance.shadows.undoing import gone_back
from tests.appliance.shadows.documents import DOCUMENTS, KEYS, VALUES

PATCHES = st.dictionaries(KEYS, st.none() | VALUES | st.dictionaries(KEYS, st.none() | VALUES, max_size=3), max_size=4)


def written(value: Any) -> str:
    """As JSON: 1, 1.0 and true are written apart."""
    return json.dumps(value, sort_keys=True)


def patched(section: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    state, metadata, *_ = merged({"desired": section}, {"desired": mirrored(section, {})}, {"desired": patch}, 5)
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
    state, metadata, *_ = merged(kept, mirrored(kept, {"timestamp": 5}), {"desired": patch}, 5)
    assert metadata == mirrored(state, {"timestamp": 5})


@given(DOCUMENTS, DOCUMENTS, PATCHES, PATCHES | st.none())
def test_what_leads_back_leads_to_exactly_what_was(
    desired: dict[str, Any], reported: dict[str, Any], patch: dict[str, Any], other: dict[str, Any] | None
) -> None:
    state = {name: section for name, section in (("desired", desired), ("reported", reported)) if section}
    metadata = mirrored(state, {"timestamp": 4})
    for second in (4, 5):
        made = merged(state, metadata, {"desired": patch, "reported": other}, second)
        assert written(gone_back(made.state, made.state_back)) == written(state)
        assert written(gone_back(made.metadata, made.metadata_back)) == written(metadata)


def test_the_way_back_is_exact_where_an_equal_value_or_another_shape_came() -> None:
    section = {"a": -0.0, "b": [1], "c": 1, "d": {"x": 1}, "e": [{"y": 1}], "f": {}, "timestamp": 1}
    patch = {"a": 0.0, "b": [1.0], "c": {"z": 2}, "d": 5, "e": {"y": 2}, "f": 1, "timestamp": {"timestamp": 2}}
    metadata = mirrored({"desired": section}, {"timestamp": 4})
    made = merged({"desired": section}, metadata, {"desired": patch}, 5)
    assert written(gone_back(made.state, made.state_back)) == written({"desired": section})
    assert gone_back(made.metadata, made.metadata_back) == metadata
    back = merged(made.state, made.metadata, {"desired": section}, 6)
    assert written(gone_back(back.state, back.state_back)) == written(made.state)
    assert gone_back(back.metadata, back.metadata_back) == made.metadata


@given(DOCUMENTS, PATCHES)
def test_the_moments_of_a_patch_have_its_shape(document: dict[str, Any], patch: dict[str, Any]) -> None:
    kept = {"desired": document}
    made = merged(kept, mirrored(kept, {"timestamp": 4}), {"desired": patch, "reported": None}, 5)
    assert made.times == mirrored({"desired": patch, "reported": None}, {"timestamp": 5})


def test_the_way_back_names_only_what_became_another() -> None:
    before, same = {"desired": {"a": 1, "b": {"c": 2, "d": 3}, "e": "x"}}, {"desired": {"a": 1, "b": {"d": 3}}}
    times = mirrored(before, {"timestamp": 4})
    made = merged(before, times, same, 4)
    assert (made.state_back, made.metadata_back) == ({}, {})
    made = merged(before, times, {"desired": {"b": {"d": 4}, "f": 1}}, 5)
    assert made.state_back == {"desired": {"b": {"d": 3}, "f": None}}
    assert made.metadata_back == {"desired": {"b": {"d": {"timestamp": 4}}, "f": None}}


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
    left = {"reported": {"b": 1}}, {"reported": {"b": times}}
    assert merged(kept, metadata, {"desired": {"a": None}}, 2)[:2] == left
    assert merged(kept, metadata, {"desired": None, "reported": None}, 2)[:2] == ({}, {})
    assert merged({}, {}, {"desired": {}}, 2)[:2] == ({}, {})


def test_each_leaf_has_the_second_of_its_last_change() -> None:
    state, metadata, *_ = merged({}, {}, {"reported": {"a": 1, "b": {"c": [1, {"d": 2}], "e": {}}}}, 10)
    assert metadata == {
        "reported": {"a": {"timestamp": 10}, "b": {"c": [{"timestamp": 10}, {"d": {"timestamp": 10}}], "e": {}}}
    }
    _, later, *_ = merged(state, metadata, {"reported": {"a": 1, "b": {"c": 3}}}, 20)
    assert later == {"reported": {"a": {"timestamp": 20}, "b": {"c": {"timestamp": 20}, "e": {}}}}
