"""The audit log as a page: what was done with identities, newest first."""

from typing import Annotated

import msgspec
from litestar import get
from litestar.di import NamedDependency
from litestar.params import QueryParameter
from litestar.response import Template

from appliance.gateway import Gateway
from web.shell import Frame

PAGE_LIMIT = 100
FIRST_PAGE = 2**63 - 1
"""Before it are all entries."""

ACTION_WORDS = {
    "certificate.issue": "Certificate issued",
    "certificate.revoke": "Certificate revoked",
    "device.state": "State changed",
    "root.export": "Root key exported",
    "root.export_confirm": "Root export read back",
    "root.remove": "Root key removed",
    "root.restore": "Root key put back",
    "issuer.use": "Issuer changed",
}


class Line(msgspec.Struct, frozen=True):
    """One entry as it is shown."""

    position: int
    recorded_at: int
    actor: str
    address: str
    action: str
    subject: str
    result: str
    details: dict[str, str]


@get("/audit", include_in_schema=False)
async def show_audit(
    gateway: NamedDependency[Gateway],
    frame: NamedDependency[Frame],
    before: Annotated[int, QueryParameter(ge=1, le=FIRST_PAGE)] = FIRST_PAGE,
) -> Template:
    """The page."""
    audit = gateway.registry.audit
    found = await audit.entries(frame.user.tenant_id, before=before, limit=PAGE_LIMIT)
    lines = [
        Line(
            one.position,
            one.recorded_at,
            one.actor,
            one.address,
            ACTION_WORDS.get(one.action, one.action),
            one.subject,
            one.result,
            msgspec.json.decode(one.details, type=dict[str, str]),
        )
        for one in found
    ]
    context = {
        "frame": frame,
        "now": frame.now,
        "lines": lines,
        "next_before": found[-1].position if found and found[-1].position > 1 else None,
        "is_first": before == FIRST_PAGE,
    }
    return Template("pages/audit.html", context=context)


HANDLERS = (show_audit,)
