"""The policies of a provisioning template: what is attached, what has to be kept first, what is refused."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.enrolment import attachment
from appliance.enrolment.expression import Reference, Scope, Text
from appliance.enrolment.model import InvalidTemplateError
from appliance.policies import document
from appliance.policies.model import Policy
from tests.appliance.enrolment.examples import FLEET_POLICY

SAID = document.read(FLEET_POLICY)
NATIVE = {"statements": [{"effect": "allow", "actions": ["publish"], "resources": ["lab/{device_id}/#"]}]}
NAMES = frozenset({"Line"})
SCOPE = Scope({"Line": "north"}, {})


def read(**properties: Any) -> attachment.Attachment:
    return attachment.read("policy", properties, NAMES)


def test_a_document_is_read_as_json_and_as_the_text_that_aws_asks_for() -> None:
    for told in (FLEET_POLICY, json.dumps(FLEET_POLICY)):
        assert read(PolicyName="fleet", PolicyDocument=told) == attachment.Attachment(Text("fleet"), SAID)
    assert read(PolicyDocument=NATIVE).document == document.read(NATIVE)


def test_a_document_without_a_name_has_always_the_same_one() -> None:
    first, again = read(PolicyDocument=FLEET_POLICY).name, read(PolicyDocument=dict(FLEET_POLICY)).name
    assert isinstance(first, Text)
    assert (first == again, first.text[:9], len(first.text)) == (True, "template-", 25)
    assert read(PolicyDocument=NATIVE).name != first


def test_a_parameter_may_choose_among_policies_that_are_kept() -> None:
    chosen = read(PolicyName={"Ref": "Line"})
    assert chosen == attachment.Attachment(Reference("Line"), None)
    assert attachment.to_keep([chosen], {}) == []
    assert attachment.attached([chosen, read(PolicyName="north"), read(PolicyName="x")], SCOPE) == ("north", "x")


@pytest.mark.parametrize(
    ("properties", "why"),
    [
        ({}, "neither PolicyName nor PolicyDocument"),
        ({"PolicyName": "a", "Tags": []}, "'Tags'"),
        ({"PolicyDocument": "{"}, "no JSON"),
        ({"PolicyDocument": 7}, "cannot be kept"),
        ({"PolicyDocument": {"statements": []}}, "holds no statement"),
        ({"PolicyName": "no blanks", "PolicyDocument": NATIVE}, "cannot be a policy's name"),
        ({"PolicyName": "default", "PolicyDocument": NATIVE}, "cannot be a policy's name"),
        ({"PolicyName": {"Ref": "Line"}, "PolicyDocument": NATIVE}, "has to be a text"),
        ({"PolicyName": {"Ref": "Nothing"}}, "Nothing"),
    ],
)
def test_what_is_no_policy_is_refused_in_words(properties: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidTemplateError, match=why):
        read(**properties)


def test_only_so_many_policies_are_attached() -> None:
    one = read(PolicyName="a")
    assert len(attachment.check_count([one] * attachment.ATTACHED_LIMIT)) == attachment.ATTACHED_LIMIT
    with pytest.raises(InvalidTemplateError, match="at most 10"):
        attachment.check_count([one] * (attachment.ATTACHED_LIMIT + 1))


def test_what_is_written_is_kept_and_what_is_only_named_must_be_there() -> None:
    written, named = read(PolicyName="fleet", PolicyDocument=FLEET_POLICY), read(PolicyName="fleet")
    assert attachment.to_keep([named, written], {}) == [Policy("fleet", SAID)]
    assert attachment.to_keep([written, named], {"fleet": SAID}) == []
    with pytest.raises(InvalidTemplateError, match="there is no policy 'fleet'"):
        attachment.to_keep([named], {})
    with pytest.raises(InvalidTemplateError, match="says something else"):
        attachment.to_keep([written], {"fleet": document.read(NATIVE)})


names = st.sampled_from(["a", "b", "c"])
documents = st.sampled_from([None, FLEET_POLICY, NATIVE])


@given(st.lists(st.tuples(names, documents), max_size=5), st.dictionaries(names, st.just(SAID)))
def test_after_keeping_every_policy_that_is_attached_is_there_and_none_was_changed(
    told: list[tuple[str, Any]], known: dict[str, Any]
) -> None:
    given_ = [read(PolicyName=name, **({"PolicyDocument": said} if said else {})) for name, said in told]
    try:
        new = attachment.to_keep(given_, known)
    except InvalidTemplateError:
        return
    assert not {policy.name for policy in new} & known.keys()
    kept = known | {policy.name: policy.document for policy in new}
    assert set(attachment.attached(given_, SCOPE)) <= kept.keys()
    assert all(one.document in (None, kept[name]) for one, (name, _) in zip(given_, told, strict=True))
