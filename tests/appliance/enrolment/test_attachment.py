"""The policies of a provisioning template: what is attached, kept first, refused; and devices that enrol by it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.enrolment import attachment
from appliance.enrolment.expression import Reference, Scope, Text
from appliance.enrolment.model import InvalidTemplateError, TemplateExistsError
from appliance.policies import document
from appliance.policies.model import Action, Policy, UnknownPolicyError
from appliance.registry.service import Registry
from appliance.store.database import Database
from tests.appliance.enrolment.bearer import Desk
from tests.appliance.enrolment.conftest import started
from tests.appliance.enrolment.examples import DEVICE_TEMPLATE, FLEET_POLICY, body
from tests.appliance.registry.examples import FakeClock

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


OTHER = document.read({"statements": [{"effect": "deny", "actions": ["publish"], "resources": ["a"]}]})


def named(**policy: Any) -> str:
    resources = {**DEVICE_TEMPLATE["Resources"], "policy": {"Type": "AWS::IoT::Policy", "Properties": policy}}
    return json.dumps(DEVICE_TEMPLATE | {"Resources": resources})


async def enrolled(desk: Desk, template: str, serial_number: str) -> tuple[str, dict[str, Any]]:
    claim = await desk.claim(template=template)
    token = (await desk.create(claim))["certificateOwnershipToken"]
    return await desk.provision(claim, token, SerialNumber=serial_number)


async def test_the_policy_of_a_template_counts_for_the_devices_that_enrol_by_it(
    database: Database, registry: Registry, clock: FakeClock
) -> None:
    def refusal(device_id: str, topic: str) -> str | None:
        return registry.policies.book.refusal(registry.device(1, device_id), Action.PUBLISH, topic)

    async with started(database, registry, clock) as desk:
        await desk.enrolment.add_template(1, "pumps", body())
        assert registry.policies.book.policy(1, "fleet").policy == Policy("fleet", document.read(FLEET_POLICY))
        await registry.add_device(1, "pump-8")
        assert (await enrolled(desk, "pumps", "7"))[0] == "accepted"
        assert registry.policies.book.policy(1, "fleet").policy.devices == ("pump-7",)
        assert refusal("pump-7", "fleet/pump-7") is None
        assert refusal("pump-7", "fleet/pump-8") is not None
        assert refusal("pump-8", "fleet/pump-8") is not None
        # A device that was known before gets it too.
        assert (await enrolled(desk, "pumps", "8"))[0] == "accepted"
        assert refusal("pump-8", "fleet/pump-8") is None
    await registry.policies.open()
    assert registry.policies.book.policy(1, "fleet").policy.devices == ("pump-7", "pump-8")


async def test_a_template_with_a_policy_that_is_not_there_is_refused(desk: Desk, registry: Registry) -> None:
    with pytest.raises(InvalidTemplateError, match="there is no policy 'shop'"):
        await desk.enrolment.add_template(1, "pumps", named(PolicyName="shop"))
    await registry.policies.put(1, Policy("fleet", OTHER))
    with pytest.raises(InvalidTemplateError, match="says something else"):
        await desk.enrolment.add_template(1, "pumps", body())
    assert [kept.name for kept in desk.enrolment.templates(1)] == ["device"]
    await registry.policies.put(1, Policy("shop", OTHER))
    await desk.enrolment.add_template(1, "pumps", named(PolicyName="shop"))
    with pytest.raises(TemplateExistsError):
        await desk.enrolment.add_template(1, "pumps", named(PolicyName="new", PolicyDocument=FLEET_POLICY))
    with pytest.raises(UnknownPolicyError):
        registry.policies.book.policy(1, "new")


async def test_another_tenant_s_policy_is_not_attached(desk: Desk, registry: Registry, database: Database) -> None:
    await database.write(
        lambda connection: connection.execute("INSERT INTO tenant (tenant_id, name, created_at) VALUES (2, 'b', 0)")
    )
    await registry.policies.put(2, Policy("shop", OTHER))
    with pytest.raises(InvalidTemplateError, match="there is no policy 'shop'"):
        await desk.enrolment.add_template(1, "pumps", named(PolicyName="shop"))


async def test_nobody_enrols_without_a_policy_that_was_removed_since(desk: Desk, registry: Registry) -> None:
    await desk.enrolment.add_template(1, "pumps", body())
    await registry.policies.remove(1, "fleet")
    end, answer = await enrolled(desk, "pumps", "7")
    assert (end, answer["errorCode"]) == ("rejected", "InvalidParameters")
    assert "there is no policy 'fleet'" in answer["errorMessage"]
    assert not registry.has_device(1, "pump-7")
