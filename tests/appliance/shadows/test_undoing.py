import json
from typing import Any

from hypothesis import given

from appliance.shadows.merge import merged, mirrored
from appliance.shadows.undoing import gone_back, way_back
from tests.appliance.shadows.documents import DOCUMENTS
from tests.appliance.shadows.test_merge import PATCHES


def written(value: Any) -> str:
    """As JSON: 1, 1.0 and true are written apart."""
    return json.dumps(value, sort_keys=True)


@given(DOCUMENTS, DOCUMENTS)
def test_the_way_back_leads_to_exactly_what_was(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert written(gone_back(after, way_back(after, before))) == written(before)


@given(DOCUMENTS, PATCHES)
def test_of_what_a_patch_did_not_touch_the_way_back_says_nothing(
    document: dict[str, Any], patch: dict[str, Any]
) -> None:
    before = {"desired": document}
    after, *_ = merged(before, mirrored(before, {}), {"desired": patch}, 1)
    back = way_back(after, before)
    assert set(back.get("desired", {})) <= set(patch) or "desired" not in after
    assert written(gone_back(after, back)) == written(before)


def test_a_number_comes_back_as_it_was_written() -> None:
    before = {"a": 1.0, "b": -0.0, "c": True, "d": [1.0]}
    after = {"a": 1, "b": 0.0, "c": 1, "d": [1]}
    assert written(gone_back(after, way_back(after, before))) == written(before)
    assert way_back({"a": 1, "b": "x"}, {"a": 1, "b": "x"}) == {}
