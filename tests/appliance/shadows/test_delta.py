import copy
from typing import Any

import pytest
from hypothesis import given

from appliance.shadows.delta import delta_of, times_of
from appliance.shadows.merge import merged, mirrored
from tests.appliance.shadows.documents import DOCUMENTS


@given(DOCUMENTS)
def test_equal_documents_have_no_delta(document: dict[str, Any]) -> None:
    assert delta_of(document, copy.deepcopy(document)) is None


@given(DOCUMENTS, DOCUMENTS)
def test_who_reports_the_delta_leaves_none(desired: dict[str, Any], reported: dict[str, Any]) -> None:
    delta = delta_of(desired, reported)
    state, *_ = merged({"reported": reported}, {"reported": mirrored(reported, {})}, {"reported": delta or {}}, 1)
    assert delta_of(desired, state.get("reported")) is None or not desired


@given(DOCUMENTS, DOCUMENTS)
def test_each_leaf_of_a_delta_has_its_moment(desired: dict[str, Any], reported: dict[str, Any]) -> None:
    delta = delta_of(desired, reported)
    if delta is not None:
        assert times_of(delta, mirrored(desired, {"timestamp": 7})) == mirrored(delta, {"timestamp": 7})


@pytest.mark.parametrize(
    ("desired", "reported", "delta"),
    [
        (None, {"a": 1}, None),
        ({"a": 1}, None, {"a": 1}),
        ({"a": 1}, {"b": 1}, {"a": 1}),
        ({"a": 1}, {"a": 1.0}, None),
        ({"a": 1}, {"a": True}, {"a": 1}),
        ({"a": [1, {"b": True}]}, {"a": [1.0, {"b": 1}]}, {"a": [1, {"b": True}]}),
        ({"a": 0.0}, {"a": -0.0}, None),
        ({"a": 10**30}, {"a": 10**30 + 1}, {"a": 10**30}),
        ({"a": [1, 2]}, {"a": [2, 1]}, {"a": [1, 2]}),
        ({"c": {}}, {"c": 3}, {"c": {}}),
        ({"c": {}}, {"c": {"x": 1}}, None),
        ({"c": {"x": 1, "y": 2}}, {"c": {"x": 1}}, {"c": {"y": 2}}),
        ({"c": {"x": 1}}, {"c": [1]}, {"c": {"x": 1}}),
        ({"c": 3}, {"c": {"x": 1}}, {"c": 3}),
    ],
)
def test_what_is_desired_and_not_reported_so(
    desired: dict[str, Any] | None, reported: dict[str, Any] | None, delta: dict[str, Any] | None
) -> None:
    assert delta_of(desired, reported) == delta
