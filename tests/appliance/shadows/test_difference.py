import copy
from typing import Any

from hypothesis import given

from appliance.shadows.difference import Kind, PathChange, differences, is_same, leaves, written
from tests.appliance.shadows.documents import DOCUMENTS


def applied(document: dict[str, Any], found: tuple[PathChange, ...]) -> dict[str, Any]:
    """What becomes of a document when these changes are made by hand."""
    made = copy.deepcopy(document)
    for change in found:
        *way, last = change.path
        place = made
        for key in way:
            place = place.setdefault(key, {})
        if change.kind is Kind.REMOVED:
            del place[last]
        else:
            place[last] = copy.deepcopy(change.after)
    return made


def without_hollows(value: Any) -> Any:
    """The same without objects that hold nothing any more: taking leaves away one by one leaves such behind."""
    if not isinstance(value, dict):
        return value
    inner = {key: without_hollows(one) for key, one in value.items()}
    return {key: one for key, one in inner.items() if one != {} or not isinstance(value[key], dict)}


@given(DOCUMENTS)
def test_a_document_does_not_differ_from_itself(document: dict[str, Any]) -> None:
    assert differences(document, copy.deepcopy(document)) == ()
    assert is_same(document, copy.deepcopy(document))


@given(DOCUMENTS, DOCUMENTS)
def test_what_differs_makes_the_one_of_the_other(before: dict[str, Any], after: dict[str, Any]) -> None:
    found = differences(before, after)
    assert is_same(without_hollows(applied(before, found)), without_hollows(after))
    assert bool(found) is not is_same(before, after)


@given(DOCUMENTS, DOCUMENTS)
def test_looked_at_from_the_other_side_what_was_added_was_removed(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    turned = {Kind.ADDED: Kind.REMOVED, Kind.REMOVED: Kind.ADDED, Kind.CHANGED: Kind.CHANGED}
    there = {(one.path, one.kind, repr(one.before), repr(one.after)) for one in differences(before, after)}
    back = {(one.path, turned[one.kind], repr(one.after), repr(one.before)) for one in differences(after, before)}
    assert there == back


def test_what_was_added_removed_and_changed_is_told_by_its_path() -> None:
    before = {"config": {"interval": 60, "unit": "s"}, "mode": "auto"}
    after = {"config": {"interval": 30, "window": {"from": 8}}, "mode": "auto", "lamps": [1, 2]}
    assert differences(before, after) == (
        PathChange(("config", "interval"), Kind.CHANGED, 60, 30),
        PathChange(("config", "unit"), Kind.REMOVED, "s", None),
        PathChange(("config", "window", "from"), Kind.ADDED, None, 8),
        PathChange(("lamps",), Kind.ADDED, None, [1, 2]),
    )


def test_an_object_in_the_place_of_a_value_and_an_empty_one_are_told_whole() -> None:
    assert differences({"a": 3, "b": {"c": 1}}, {"a": {"x": 1}, "b": {}}) == (
        PathChange(("a",), Kind.CHANGED, 3, {"x": 1}),
        PathChange(("b",), Kind.CHANGED, {"c": 1}, {}),
    )
    assert differences(None, {"a": {}}) == (PathChange(("a",), Kind.ADDED, None, {}),)
    assert differences({"a": 1}, None) == (PathChange(("a",), Kind.REMOVED, 1, None),)


def test_a_number_is_its_value_and_true_is_no_number() -> None:
    assert differences({"a": 1, "b": [1, {"c": 2.0}]}, {"a": 1.0, "b": [1, {"c": 2}]}) == ()
    [change] = differences({"a": 1}, {"a": True})
    assert (change.before, change.after) == (1, True)
    assert not is_same([1], [True])
    assert not is_same({"a": 0}, {"a": False})


def test_every_leaf_has_its_path() -> None:
    assert list(leaves({"a": {"b": 1, "c": {}}, "d": [{"e": 1}]})) == [
        (("a", "b"), 1),
        (("a", "c"), {}),
        (("d",), [{"e": 1}]),
    ]
    assert list(leaves(None)) == []


def test_a_path_is_written_so_that_it_cannot_be_misread() -> None:
    assert written(("config", "interval-s")) == "config.interval-s"
    assert written(("a.b", "c", "")) == '["a.b"].c[""]'
    assert written(("config", 'say "x"')) == 'config["say \\"x\\""]'
