"""A device that enrols by a template with policies has them, at once and after a restart."""

import json
from typing import Any

import pytest

from appliance.enrolment.model import InvalidTemplateError, TemplateExistsError
from appliance.policies.document import read
from appliance.policies.model import Action, Policy, UnknownPolicyError
from appliance.registry.service import Registry
from appliance.store.database import Database
from tests.appliance.enrolment.bearer import Desk
from tests.appliance.enrolment.conftest import started
from tests.appliance.enrolment.examples import DEVICE_TEMPLATE, FLEET_POLICY, body
from tests.appliance.registry.examples import FakeClock

OTHER = read({"statements": [{"effect": "deny", "actions": ["publish"], "resources": ["a"]}]})


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
        assert registry.policies.book.policy(1, "fleet").policy == Policy("fleet", read(FLEET_POLICY))
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
