"""The policies: which there are, whom they concern, and the form that writes one."""

from typing import Any

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, URLEncodedBody
from litestar.response import Template

from appliance.errors import ApplianceError
from appliance.gateway import Gateway
from appliance.policies import document
from appliance.policies.default import TABLE
from appliance.policies.model import Effect, Policy
from web.errors import status_of
from web.shell import Frame
from web.statements import as_text, effect_count

EXAMPLE = """{
  "statements": [
    {"effect": "allow", "actions": ["publish"], "resources": ["lab/{device_id}/#"]}
  ]
}"""


class PolicyForm(msgspec.Struct, frozen=True):
    """A policy as it is typed in."""

    name: str = ""
    types: str = ""
    devices: str = ""
    document: str = EXAMPLE


class PolicyLine(msgspec.Struct, frozen=True):
    """One policy of the list."""

    name: str
    types: tuple[str, ...]
    devices: tuple[str, ...]
    allow_count: int
    deny_count: int
    replaces_default: bool
    changed_at: int


@get("/policies", include_in_schema=False)
async def show_policies(gateway: NamedDependency[Gateway], frame: NamedDependency[Frame]) -> Template:
    """The list, and an empty form."""
    return _page(gateway, frame, PolicyForm())


@get("/policies/{name:str}", include_in_schema=False)
async def show_policy(
    name: FromPath[str], gateway: NamedDependency[Gateway], frame: NamedDependency[Frame]
) -> Template:
    """The list, and one policy in the form."""
    policy = gateway.registry.policies.book.policy(frame.user.tenant_id, name).policy
    form = PolicyForm(policy.name, ", ".join(policy.types), ", ".join(policy.devices), as_text(policy.document))
    return _page(gateway, frame, form, edited=name)


@post("/policies", include_in_schema=False, status_code=303)
async def keep_policy(
    gateway: NamedDependency[Gateway], frame: NamedDependency[Frame], data: URLEncodedBody[PolicyForm]
) -> Response[None] | Template:
    """Have a policy in force; or the page again, with what is wrong with it."""
    try:
        said = document.parse(data.document)
        policy = Policy(data.name.strip(), said, _several(data.types), _several(data.devices))
        await gateway.registry.policies.put(frame.user.tenant_id, policy)
    except ApplianceError as error:
        page = _page(gateway, frame, data, complaint=str(error))
        page.status_code = status_of(error)
        return page
    return Response(None, headers={"location": "/policies"})


@post("/policies/{name:str}/remove", include_in_schema=False, status_code=303)
async def end_policy(
    name: FromPath[str], gateway: NamedDependency[Gateway], frame: NamedDependency[Frame]
) -> Response[None]:
    """Have a policy no longer in force."""
    await gateway.registry.policies.remove(frame.user.tenant_id, name)
    return Response(None, headers={"location": "/policies"})


def _page(gateway: Gateway, frame: Frame, form: PolicyForm, *, edited: str = "", complaint: str = "") -> Template:
    tenant_id = frame.user.tenant_id
    kept = gateway.registry.policies.book.policies(tenant_id)
    context: dict[str, Any] = {
        "frame": frame,
        "now": frame.now,
        "policies": [
            PolicyLine(
                each.policy.name,
                each.policy.types,
                each.policy.devices,
                effect_count(each.policy.document, Effect.ALLOW),
                effect_count(each.policy.document, Effect.DENY),
                each.policy.document.replaces_default,
                each.changed_at,
            )
            for each in kept
        ],
        "types": sorted({device.type for device in gateway.registry.devices(tenant_id) if device.type}),
        "table": [(", ".join(actions), resource) for actions, resource in TABLE],
        "form": form,
        "edited": edited,
        "complaint": complaint,
    }
    return Template("pages/policies.html", context=context)


def _several(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.replace("\n", ",").split(",") if part.strip())


HANDLERS = (show_policies, show_policy, keep_policy, end_policy)
