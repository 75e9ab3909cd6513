"""The commands of one device: a form for the next one, the ledger of all, and the jobs it takes part in."""

import re
from collections.abc import Mapping
from typing import Annotated
from urllib.parse import urlencode

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, QueryParameter, URLEncodedBody
from litestar.response import Template

from appliance.accounts.model import Role
from appliance.commands.catalogue.model import CommandType
from appliance.errors import ApplianceError
from appliance.gateway import Gateway
from appliance.registry.model import Device, DeviceState, Presence
from web import composing, executions, orders, roles
from web.composing import CHOSEN, Composer
from web.errors import status_of
from web.executions import ExecutionEntry
from web.orders import Ledger
from web.painting import Painting, Part, Stage
from web.shell import Frame

JOBS_LIMIT = 10
_OWN_ADDRESS = re.compile(r"/(?:commands|devices/)[A-Za-z0-9/?&=%.:_+-]*")

Typed = dict[str, str]


class Sight(msgspec.Struct, frozen=True):
    """What of the page is live."""

    device: Device
    presence: Presence
    ledger: Ledger
    jobs: tuple[ExecutionEntry, ...]


class BackForm(msgspec.Struct, frozen=True):
    """Where to go back to."""

    back: str = ""


@get("/devices/{device_id:str}/commands", include_in_schema=False)
async def show_commands(
    device_id: FromPath[str],
    gateway: NamedDependency[Gateway],
    frame: NamedDependency[Frame],
    command: FromQuery[str] = "",
    tab: Annotated[str, QueryParameter(name="state")] = "",
    before: FromQuery[str] = "",
) -> Template:
    """The page."""
    device = gateway.registry.device(frame.user.tenant_id, device_id)
    composer = composing.composer(_understood(gateway, device), command)
    return await _page(gateway, frame, device, composer, {"state": tab, "before": before})


@post("/devices/{device_id:str}/commands", include_in_schema=False, status_code=303)
async def send_command(
    device_id: FromPath[str],
    gateway: NamedDependency[Gateway],
    frame: NamedDependency[Frame],
    data: URLEncodedBody[Typed],
) -> Response[None] | Template:
    """Send what was typed in; or the form again, with what was wrong."""
    device = gateway.registry.device(frame.user.tenant_id, device_id)
    understood = _understood(gateway, device)
    composed = composing.composed(understood, data)
    complaints, status = composed.complaints, 400
    if not complaints:
        try:
            sent = await gateway.commands.send(frame.user.tenant_id, device_id, composed.new)
            return Response(None, headers={"location": f"/devices/{device_id}/commands#command-{sent.execution_id}"})
        except ApplianceError as error:
            complaints, status = {"form": str(error)}, status_of(error)
    composer = composing.composer(understood, data.get(CHOSEN, ""), data, complaints)
    page = await _page(gateway, frame, device, composer, {})
    page.status_code = status
    return page


@post("/devices/{device_id:str}/commands/{execution_id:str}/cancel", include_in_schema=False, status_code=303)
async def cancel_command(
    device_id: FromPath[str],
    execution_id: FromPath[str],
    gateway: NamedDependency[Gateway],
    frame: NamedDependency[Frame],
    data: URLEncodedBody[BackForm],
) -> Response[None] | Template:
    """Call off a command of which nothing was sent; or the page, with why it cannot be."""
    device = gateway.registry.device(frame.user.tenant_id, device_id)
    try:
        await gateway.commands.cancel(frame.user.tenant_id, execution_id)
    except ApplianceError as error:
        composer = composing.composer(_understood(gateway, device), "")
        page = await _page(gateway, frame, device, composer, {}, complaint=str(error))
        page.status_code = status_of(error)
        return page
    back = data.back if _OWN_ADDRESS.fullmatch(data.back) else f"/devices/{device_id}/commands"
    return Response(None, headers={"location": back})


async def paint(stage: Stage) -> Painting:
    """The live pieces of the page."""
    sight = await _look(stage)
    ledger = orders.painting(sight.ledger)
    others = {
        "command-presence": Part("fragments/command_presence.html", sight.presence),
        "device-jobs": Part("fragments/device_jobs.html", sight.jobs),
    }
    return Painting((*ledger.whole, *others.values()), {**ledger.parts, **others}, ledger.shape)


async def _page(
    gateway: Gateway,
    frame: Frame,
    device: Device,
    composer: Composer,
    parameters: Mapping[str, str],
    *,
    complaint: str = "",
) -> Template:
    may_act = roles.is_enough(frame.user.role, Role.OPERATOR)
    asked = {"device_id": device.device_id, **parameters, "acts": "yes" if may_act else ""}
    asked = {key: text for key, text in asked.items() if text}
    sight = await _look(Stage(gateway, frame.user.tenant_id, asked, frame.now))
    base = f"/devices/{device.device_id}/commands"
    context = {
        "frame": frame,
        "now": frame.now,
        "device": device,
        "view": sight,
        "composer": composer,
        "base": base,
        "back": orders.address(base, orders.wanted_of(parameters, device_id=device.device_id).asked),
        "may_act": may_act,
        "is_in_service": device.state in (DeviceState.ACTIVE, DeviceState.PENDING),
        "complaint": complaint,
        "live_address": "/live?" + urlencode({"view": "device-commands", **asked}),
    }
    return Template("pages/device_commands.html", context=context)


async def _look(stage: Stage) -> Sight:
    gateway, tenant_id = stage.gateway, stage.tenant_id
    device = gateway.registry.device(tenant_id, stage.parameters.get("device_id", ""))
    presence = gateway.registry.presence(tenant_id, device.device_id)
    wanted = orders.wanted_of(stage.parameters, device_id=device.device_id)
    base = f"/devices/{device.device_id}/commands"
    ledger = await orders.look(gateway, tenant_id, wanted, base, device_id=device.device_id)
    if not stage.parameters.get("acts"):
        ledger = orders.without_buttons(ledger)
    found = await gateway.jobs.executions_of_device(tenant_id, device.device_id, limit=JOBS_LIMIT)
    title = device.name or device.device_id
    jobs = [executions.entry(one, title, presence, gateway.jobs.left_ms(one)) for one in found]
    return Sight(device, presence, ledger, tuple(jobs))


def _understood(gateway: Gateway, device: Device) -> list[CommandType]:
    return gateway.commands.catalogue.commands(device.tenant_id, device.type) if device.type else []


HANDLERS = (show_commands, send_command, cancel_command)
