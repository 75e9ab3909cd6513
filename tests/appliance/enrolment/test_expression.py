"""The functions of templates, one by one."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.enrolment.expression import TEXT_LIMIT, Raw, Scope, evaluate, parse
from appliance.enrolment.model import InvalidTemplateError

SCOPE = Scope({"A": "one:two", "B": "b"}, {"M": {"k": {"x": "found"}}})
NAMES = frozenset((*SCOPE.parameters, "Missing"))


def value(raw: Raw) -> str:
    return evaluate(parse(raw, NAMES, "here"), SCOPE, "here")


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("plain", "plain"),
        ({"Ref": "B"}, "b"),
        ({"Fn::Join": ["-", ["a", {"Ref": "B"}]]}, "a-b"),
        ({"Fn::Join": ["", {"Fn::Split": [":", {"Ref": "A"}]}]}, "onetwo"),
        ({"Fn::Select": [1, {"Fn::Split": [":", {"Ref": "A"}]}]}, "two"),
        ({"Fn::Select": ["0", ["x", "y"]]}, "x"),
        ({"Fn::FindInMap": ["M", "k", "x"]}, "found"),
        ({"Fn::Sub": "${A}/${B}/${!B}/$B"}, "one:two/b/${B}/$B"),
        ({"Fn::Sub": ["${own}-${B}", {"own": {"Ref": "A"}}]}, "one:two-b"),
        ({"Fn::Sub": ["${B}", {"B": "hidden"}]}, "hidden"),
    ],
)
def test_a_function_gives_a_text(raw: Any, text: str) -> None:
    assert value(raw) == text


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        ({"Ref": "Missing"}, "Missing is missing"),
        ({"Fn::Select": [2, ["x", "y"]]}, "selects number '2' of 2"),
        ({"Fn::Select": [-1, ["x", "y"]]}, "selects number"),
        ({"Fn::Select": ["²", ["x"]]}, "selects number"),
        ({"Fn::Select": ["9" * 5_000, ["x"]]}, "selects number"),
        ({"Fn::Select": [0, "text"]}, "list is expected"),
        ({"Fn::Split": [":", "a:b"]}, "comes to a list"),
        (["a"], "comes to a list"),
        ({"Fn::FindInMap": ["M", "k", "y"]}, "looks for M, k, y"),
        ({"Fn::Join": ["", ["x" * 2_000, "y" * 49]]}, "more than 2048"),
        ({"Fn::Join": ["d" * 100, ["x"] * 30]}, "more than 2048"),
    ],
)
def test_what_cannot_be_evaluated_is_refused_with_a_reason(raw: Any, why: str) -> None:
    with pytest.raises(InvalidTemplateError, match=why):
        value(raw)


@given(st.text(st.sampled_from("${}!AB "), max_size=60))
def test_a_substitution_is_bounded_and_leaves_no_variable_behind(text: str) -> None:
    try:
        found = value({"Fn::Sub": text})
    except InvalidTemplateError:
        return
    assert len(found) <= TEXT_LIMIT
    assert "${A}" not in found or "!" in text
