import json
from typing import Any

import pytest
from hypothesis import given

from appliance.policies.document import TEXT_BYTES, check_policy, parse, read, written
from appliance.policies.model import Action, Document, InvalidPolicyError, Kind, Policy
from tests.appliance.policies.examples import documents


def native(**changed: Any) -> dict[str, Any]:
    return {"statements": [{"effect": "allow", "actions": ["publish"], "resources": ["a/#"], **changed}]}


@given(document=documents)
def test_a_document_is_written_in_the_form_it_is_read_from(document: Document) -> None:
    assert parse(json.dumps(written(document))) == document


def test_the_default_table_may_be_replaced_by_nothing() -> None:
    assert read({"statements": [], "replaces_default": True}) == Document((), replaces_default=True)


def test_connect_is_about_client_ids_and_the_others_about_filters() -> None:
    document = read(
        {
            "statements": [
                *native()["statements"],
                {"effect": "deny", "actions": ["connect"], "resources": ["{device_id}"]},
            ]
        }
    )
    assert [each.resources[0].kind for each in document.statements] == [Kind.FILTER, Kind.CLIENT_ID]
    assert document.statements[1].actions == (Action.CONNECT,)


@pytest.mark.parametrize(
    ("told", "complaint"),
    [
        ({"statements": []}, "holds no statement"),
        ({}, "not of a form that is known"),
        ({"statement": []}, "not of a form that is known"),
        (native(resource="x"), "unknown field"),
        (native(effect="maybe"), "Invalid enum value 'maybe'"),
        (native(actions=["fly"]), "Invalid enum value 'fly'"),
        (native(actions=[]), "statement 1 needs at least one action"),
        (native(resources=[]), "needs at least one action and one resource"),
        (native(actions=["connect", "publish"]), "write two statements"),
        (native(actions=["connect"], resources=["a/b"]), "a client id holds none of"),
        (native(resources=["a/#/b"]), "is no topic filter"),
        (native(resources=["a+/b"]), "is no topic filter"),
        (native(resources=[""]), "is empty"),
        (native(resources=["{name}"]), "the variable 'name' cannot be filled in"),
        (native(resources=["a" * 513]), "longer than 512"),
        (native(resources=["a"] * 1001), "at most 1,000 resources"),
        ({"statements": native()["statements"] * 201}, "at most 200 statements"),
    ],
)
def test_a_document_that_cannot_be_kept_is_refused_with_a_sentence(told: Any, complaint: str) -> None:
    with pytest.raises(InvalidPolicyError) as refused:
        read(told)
    assert complaint in str(refused.value)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, " " * (TEXT_BYTES + 1), b"\xff"])
def test_what_is_no_json_is_refused(text: str | bytes) -> None:
    with pytest.raises(InvalidPolicyError):
        parse(text)


@pytest.mark.parametrize("name", ["", "a b", "a/b", "default", "gateway", "x" * 129, "ä"])
def test_a_name_that_cannot_stand_in_an_address_is_refused(name: str) -> None:
    with pytest.raises(InvalidPolicyError, match="cannot be a policy's name"):
        check_policy(Policy(name, read(native())))


def test_targets_are_kept_once_and_within_bounds() -> None:
    policy = Policy("a", read(native()), ("pump", "pump"), ("a", "b", "a"))
    assert check_policy(policy) == Policy("a", policy.document, ("pump",), ("a", "b"))
    with pytest.raises(InvalidPolicyError, match="1 to 512 characters"):
        check_policy(Policy("a", policy.document, ("",)))
    with pytest.raises(InvalidPolicyError, match="at most 10,000"):
        check_policy(Policy("a", policy.document, (), tuple(map(str, range(10_001)))))
