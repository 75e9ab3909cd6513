import json
from typing import Any

import pytest
from hypothesis import given

from appliance.shadows.difference import is_same
from appliance.shadows.draft import InvalidDraftError, patch, read, written
from tests.appliance.shadows.documents import DOCUMENTS


def merged(current: dict[str, Any], given_patch: dict[str, Any]) -> dict[str, Any]:
    """The rule of the specification, written once more: null takes a key away, objects merge, all else replaces."""
    made = dict(current)
    for key, value in given_patch.items():
        if value is None:
            made.pop(key, None)
        elif isinstance(value, dict) and isinstance(made.get(key), dict):
            made[key] = merged(made[key], value)
        else:
            made[key] = value
    return made


@given(DOCUMENTS, DOCUMENTS)
def test_a_patch_leads_from_what_is_to_what_is_wanted(current: dict[str, Any], wanted: dict[str, Any]) -> None:
    made = patch(current, wanted)
    assert is_same({} if made is None else merged(current, made), wanted)


@given(DOCUMENTS)
def test_who_wants_what_is_there_changes_nothing(document: dict[str, Any]) -> None:
    assert patch(document, document) == {}
    assert patch(document or None, document) == {}


@given(DOCUMENTS)
def test_what_is_written_is_read_as_it_was(document: dict[str, Any]) -> None:
    assert read(written(document)) == document
    assert read(json.dumps(document)) == document


def test_a_key_that_is_not_wanted_any_more_becomes_null_and_only_what_differs_is_told() -> None:
    current = {"a": 1, "b": {"c": 2, "d": 3}, "e": [1]}
    assert patch(current, {"a": 1, "b": {"c": 2, "f": 4}, "e": [1, 2]}) == {"b": {"d": None, "f": 4}, "e": [1, 2]}
    assert patch(current, {}) is None
    assert patch(None, {}) == {}
    assert patch({"a": 3}, {"a": {}}) == {"a": {}}


def test_nothing_at_all_is_nothing_wanted() -> None:
    assert read(" \r\n") == {}
    assert written(None) == "{}"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('{\n  "a": 1\n  "b": 2\n}', "line 3, column 3: expecting ',' delimiter"),
        ('{"a": 01}', "line 1, column 8: expecting ',' delimiter"),
        ("{'a': 1}", "line 1, column 2: expecting property name enclosed in double quotes"),
        ("[1]", "expected an object in braces, got an array"),
        ("true", "expected an object in braces, got true or false"),
        ("7", "expected an object in braces, got a number"),
        ('"x"', "expected an object in braces, got a text"),
        ("null", "expected an object in braces, got null"),
        ('{"a": NaN}', "NaN is no value of JSON"),
        ('{"a": 1, "a": 2}', "the key 'a' stands twice in one object"),
        ('{"a": {"b": null}}', "a.b is null: leave out what is not wanted"),
        ('{"a": [1, null]}', "a is null: leave out what is not wanted"),
        ('{"a": ' + "9" * 5_000 + "}", "too many digits"),
        ('{"a":' * 40 + "1" + "}" * 40, "nested more than 32 levels deep"),
        ('{"a":' + "[" * 100_000, "nested too deeply"),
        ('{"a": ["\\ud800"]}', "half of a character"),
        ('{"\\udfff": 1}', "half of a character"),
    ],
)
def test_what_is_no_object_is_told_with_its_place(text: str, complaint: str) -> None:
    with pytest.raises(InvalidDraftError) as raised:
        read(text)
    assert complaint in str(raised.value)


@pytest.mark.parametrize("text", ['{"a": 1e400}', '{"a": [-1e400]}', '{"a": NaN}'])
def test_a_number_that_would_be_written_as_null_takes_nothing_away(text: str) -> None:
    with pytest.raises(InvalidDraftError):
        read(text)
