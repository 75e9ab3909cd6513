"""What one device may do: its statements, and the answer to "may this device …?" with the one that decides."""

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery
from litestar.response import Template

from appliance.errors import ApplianceError
from appliance.gateway import Gateway
from appliance.policies.model import GATEWAY_NAME, Action
from web.shell import Frame
from web.statements import VerdictView, asked_action, statement_view, verdict_view

RESOURCE_LENGTH = 1_024


@get("/devices/{device_id:str}/policy", include_in_schema=False)
async def show_device_policy(
    device_id: FromPath[str],
    gateway: NamedDependency[Gateway],
    frame: NamedDependency[Frame],
    action: FromQuery[str] = "",
    resource: FromQuery[str] = "",
) -> Template:
    """The page; with a question, also its answer."""
    device = gateway.registry.device(frame.user.tenant_id, device_id)
    book = gateway.registry.policies.book
    verdict: VerdictView | None = None
    complaint = ""
    if action:
        try:
            verdict = verdict_view(book.explain(device, asked_action(action), resource[:RESOURCE_LENGTH]))
        except ApplianceError as error:
            complaint = str(error)
    context = {
        "frame": frame,
        "now": frame.now,
        "device": device,
        "statements": [statement_view(each) for each in book.rights(device).statements()],
        "actions": list(Action),
        "action": action or Action.PUBLISH,
        "resource": resource[:RESOURCE_LENGTH],
        "resource_length": RESOURCE_LENGTH,
        "verdict": verdict,
        "is_reserved": verdict is not None and verdict.policy == GATEWAY_NAME,
        "complaint": complaint,
    }
    return Template("pages/device_policy.html", context=context)


HANDLERS = (show_device_policy,)
