"""The commands of a device type: described in a form, and shown as operators will see them."""

from typing import Any
from urllib.parse import urlencode

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromQuery, URLEncodedBody
from litestar.response import Redirect, Template

from appliance.accounts.model import Role
from appliance.commands.catalogue import check
from appliance.commands.catalogue.model import CommandType
from appliance.errors import ApplianceError, ConflictError
from appliance.gateway import Gateway
from web import command_form, composing, roles, type_command_form
from web.errors import status_of
from web.shell import Frame

Typed = dict[str, str]

KEEP = "keep"
PREVIEW = "preview"
ADD_ROW = "add-row"
REMOVE_ROW = "remove-row-"


class CommandForm(msgspec.Struct, frozen=True):
    """Which command of which type."""

    type: str = ""
    name: str = ""


@get("/device-types/commands", include_in_schema=False)
async def show_type_commands(
    gateway: NamedDependency[Gateway],
    frame: NamedDependency[Frame],
    type: FromQuery[str] = "",  # noqa: A002  the word of the address
    command: FromQuery[str] = "",
) -> Template | Redirect:
    """The page; with a command the form holds that one. Without a type, all types."""
    if not type:
        return Redirect("/device-types", status_code=303)
    _known(gateway, frame.user.tenant_id, type)
    found = gateway.commands.catalogue.find(frame.user.tenant_id, type, command)
    typed = {"name": command} if found is None else {**type_command_form.typed_of(found), "was": found.name}
    return _page(gateway, frame, type, typed, {})


@post("/device-types/commands", include_in_schema=False, status_code=303)
async def keep_type_command(
    gateway: NamedDependency[Gateway], frame: NamedDependency[Frame], data: URLEncodedBody[Typed]
) -> Response[None] | Template:
    """Keep the description; or the form again: with a parameter more or less, with how it looks, or what is wrong."""
    tenant_id, type_name, step = frame.user.tenant_id, data.get("type", ""), data.get("step", KEEP)
    _known(gateway, tenant_id, type_name)
    data = _stepped(data, step)
    told = type_command_form.told(data)
    complaints, status = dict(told.complaints), 400 if step == KEEP else 200
    if step == KEEP and not complaints:
        try:
            _is_meant(gateway, tenant_id, type_name, told.command, data.get("was", ""))
            await gateway.commands.catalogue.put(tenant_id, type_name, told.command)
            return Response(None, headers={"location": address(type_name, told.command.name)})
        except ApplianceError as error:
            complaints, status = {"form": str(error)}, status_of(error)
    page = _page(gateway, frame, type_name, data, complaints if step in (KEEP, PREVIEW) else {})
    page.status_code = status
    return page


@post("/device-types/commands/remove", include_in_schema=False, status_code=303)
async def remove_type_command(
    gateway: NamedDependency[Gateway], frame: NamedDependency[Frame], data: URLEncodedBody[CommandForm]
) -> Response[None]:
    """Forget a description; what was sent stays in the ledger."""
    await gateway.commands.catalogue.remove(frame.user.tenant_id, data.type, data.name)
    is_known = data.type in _types(gateway, frame.user.tenant_id)
    return Response(None, headers={"location": address(data.type) if is_known else "/device-types"})


def address(type_name: str, command: str = "") -> str:
    """Where the commands of a type are; with a command, that one in the form."""
    asked = {"type": type_name, "command": command}
    return "/device-types/commands?" + urlencode({key: text for key, text in asked.items() if text})


class _NameTakenError(ConflictError):
    """Another command has this name, and would be lost."""

    code = "type_command_exists"


def _is_meant(gateway: Gateway, tenant_id: int, type_name: str, told: CommandType, was: str) -> None:
    """Raise where a new command would take the place of another by its name."""
    if told.name != was and gateway.commands.catalogue.find(tenant_id, type_name, told.name) is not None:
        raise _NameTakenError(f"devices of the type {type_name} have a command {told.name} already: edit that one")


def _stepped(data: Typed, step: str) -> Typed:
    if step == ADD_ROW:
        return type_command_form.with_row(data)
    number = step.removeprefix(REMOVE_ROW)
    if step.startswith(REMOVE_ROW) and number.isascii() and number.isdecimal() and len(number) < len("1000"):
        return type_command_form.without_row(data, int(number))
    return data


def _types(gateway: Gateway, tenant_id: int) -> set[str]:
    described = {kind.name for kind in gateway.catalogue.types(tenant_id)}
    return described | {device.type for device in gateway.registry.devices(tenant_id)} - {""}


def _known(gateway: Gateway, tenant_id: int, type_name: str) -> None:
    """Raise `UnknownTypeError` when nothing at all is known of a type."""
    if not gateway.commands.catalogue.commands(tenant_id, type_name) and type_name not in _types(gateway, tenant_id):
        gateway.catalogue.type(tenant_id, type_name)


def _page(gateway: Gateway, frame: Frame, type_name: str, typed: Typed, complaints: dict[str, str]) -> Template:
    told = type_command_form.told(typed).command
    rows = type_command_form.rows_of(typed)
    context: dict[str, Any] = {
        "frame": frame,
        "now": frame.now,
        "type_name": type_name,
        "commands": gateway.commands.catalogue.commands(frame.user.tenant_id, type_name),
        "count": sum(device.type == type_name for device in gateway.registry.devices(frame.user.tenant_id)),
        "may_act": roles.is_enough(frame.user.role, Role.OPERATOR),
        "typed": typed,
        "rows": rows,
        "begun": len(rows) if typed.get("step") == ADD_ROW else 0,
        "rows_limit": check.PARAMETERS_LIMIT,
        "kinds": type_command_form.KINDS,
        "dialects": command_form.DIALECTS,
        "complaints": complaints,
        "composer": composing.composer([told], told.name),
        "base": address(type_name),
    }
    return Template("pages/type_commands.html", context=context)


HANDLERS = (show_type_commands, keep_type_command, remove_type_command)
