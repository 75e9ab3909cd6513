"""`/v1/policies`, and what they come to for one device."""

from typing import Any

import msgspec
from litestar import Request, delete, get, post, put
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from appliance.accounts.model import User
from appliance.gateway import Gateway
from appliance.instant import to_text
from appliance.policies import document
from appliance.policies.model import KeptPolicy, Policy
from web.auth import Caller
from web.statements import (
    StatementView,
    VerdictView,
    asked_action,
    in_words_of_aws,
    statement_view,
    verdict_view,
)

AnyRequest = Request[User, Caller, State]


class PolicyIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A policy to be kept. `document` is that of AWS IoT (`Version`, `Statement`) or our own (`statements`)."""

    document: dict[str, Any]
    types: list[str] = []
    devices: list[str] = []


class PolicyOut(msgspec.Struct, frozen=True):
    """A policy, whom it concerns, and how AWS IoT would say it; `aws` is null when it has no words for it."""

    name: str
    types: list[str]
    devices: list[str]
    document: dict[str, Any]
    aws: dict[str, Any] | None
    changed_at: str


class PoliciesOut(msgspec.Struct, frozen=True):
    """All policies, by name. The default table is not among them."""

    policies: list[PolicyOut]


class DevicePolicyOut(msgspec.Struct, frozen=True):
    """Every statement that counts for a device: the default table, those of its type, its own."""

    device_id: str
    statements: list[StatementView]


class QuestionIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`action`: connect, publish, retain-publish, subscribe, receive. `resource`: a client id, topic or filter."""

    action: str
    resource: str


@get("/v1/policies", tags=["policies"], summary="All policies")
async def list_policies(request: AnyRequest, gateway: NamedDependency[Gateway]) -> PoliciesOut:
    """Every policy of the tenant."""
    return PoliciesOut([_out(kept) for kept in gateway.registry.policies.book.policies(request.user.tenant_id)])


@get("/v1/policies/{name:str}", tags=["policies"], summary="One policy")
async def get_policy(name: FromPath[str], request: AnyRequest, gateway: NamedDependency[Gateway]) -> PolicyOut:
    """One policy, as it was written and as AWS IoT would say it."""
    return _out(gateway.registry.policies.book.policy(request.user.tenant_id, name))


@put("/v1/policies/{name:str}", tags=["policies"], summary="Keep a policy")
async def put_policy(
    name: FromPath[str], data: JSONBody[PolicyIn], request: AnyRequest, gateway: NamedDependency[Gateway]
) -> PolicyOut:
    """Have a policy in force, in place of the one of the same name; live sessions are judged again at once."""
    policy = Policy(name, document.read(data.document), tuple(data.types), tuple(data.devices))
    return _out(await gateway.registry.policies.put(request.user.tenant_id, policy))


@delete("/v1/policies/{name:str}", tags=["policies"], summary="Remove a policy")
async def remove_policy(name: FromPath[str], request: AnyRequest, gateway: NamedDependency[Gateway]) -> None:
    """Have a policy no longer in force; live sessions are judged again at once."""
    await gateway.registry.policies.remove(request.user.tenant_id, name)


@get("/v1/devices/{device_id:str}/policy", tags=["policies"], summary="What a device may do")
async def get_device_policy(
    device_id: FromPath[str], request: AnyRequest, gateway: NamedDependency[Gateway]
) -> DevicePolicyOut:
    """Every statement that counts for the device, with its values filled in."""
    device = gateway.registry.device(request.user.tenant_id, device_id)
    rights = gateway.registry.policies.book.rights(device)
    return DevicePolicyOut(device_id, [statement_view(each) for each in rights.statements()])


@post("/v1/devices/{device_id:str}/policy/test", tags=["policies"], summary="May this device …?", status_code=200)
async def test_device_policy(
    device_id: FromPath[str], data: JSONBody[QuestionIn], request: AnyRequest, gateway: NamedDependency[Gateway]
) -> VerdictView:
    """Whether the device's policy lets it do this, which statement decides, and why."""
    device = gateway.registry.device(request.user.tenant_id, device_id)
    book = gateway.registry.policies.book
    return verdict_view(book.explain(device, asked_action(data.action), data.resource))


def _out(kept: KeptPolicy) -> PolicyOut:
    policy = kept.policy
    return PolicyOut(
        policy.name,
        list(policy.types),
        list(policy.devices),
        document.written(policy.document),
        in_words_of_aws(policy.document),
        to_text(kept.changed_at),
    )


HANDLERS = (list_policies, get_policy, put_policy, remove_policy, get_device_policy, test_device_policy)
