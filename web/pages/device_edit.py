"""What is known of one device, to be changed, and where it goes in its life."""

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, URLEncodedBody
from litestar.response import Template

from appliance.accounts.model import Role
from appliance.errors import ApplianceError, InvalidInputError
from appliance.gateway import Gateway
from appliance.registry.catalogue.lifecycle import MOVES
from appliance.registry.catalogue.model import DeviceChange
from appliance.registry.catalogue.table import split_groups
from appliance.registry.model import GROUP_SEPARATOR, Device, DeviceState
from web import roles
from web.errors import status_of
from web.pages.device_types import lines_of, pairs_in
from web.shell import Frame

MOVE_WORDS = {
    (DeviceState.PENDING, DeviceState.ACTIVE): "Accept",
    (DeviceState.ACTIVE, DeviceState.SUSPENDED): "Suspend",
    (DeviceState.SUSPENDED, DeviceState.ACTIVE): "Make active again",
}


class DeviceEditForm(msgspec.Struct, frozen=True):
    """What is known of a device, as it is written into the form."""

    name: str = ""
    type: str = ""
    zone: str = ""
    serial_number: str = ""
    groups: str = ""
    attributes: str = ""
    notes: str = ""


class MoveForm(msgspec.Struct, frozen=True):
    """Where the device is to go."""

    state: str = ""
    sure: str = ""
    erase: str = ""
    """`yes` erases what a device has sent that is retired. Only owners may."""


class EraseForm(msgspec.Struct, frozen=True):
    """That somebody is sure."""

    sure: str = ""


@get("/devices/{device_id:str}/edit", include_in_schema=False)
async def show_edit(
    device_id: FromPath[str], gateway: NamedDependency[Gateway], frame: NamedDependency[Frame]
) -> Template:
    """The page."""
    device = gateway.registry.device(frame.user.tenant_id, device_id)
    return _page(frame, device, _form(device), "")


@post("/devices/{device_id:str}/edit", include_in_schema=False, status_code=303)
async def change_device(
    device_id: FromPath[str],
    gateway: NamedDependency[Gateway],
    frame: NamedDependency[Frame],
    data: URLEncodedBody[DeviceEditForm],
) -> Response[None] | Template:
    """Have what was written kept; or the form again, with what was wrong."""
    device = gateway.registry.device(frame.user.tenant_id, device_id)
    try:
        await gateway.catalogue.change_device(frame.user.tenant_id, device_id, _change(data, device))
    except ApplianceError as error:
        page = _page(frame, device, data, str(error))
        page.status_code = status_of(error)
        return page
    return Response(None, headers={"location": f"/devices/{device_id}"})


@post("/devices/{device_id:str}/state", include_in_schema=False, status_code=303)
async def set_state(
    device_id: FromPath[str],
    gateway: NamedDependency[Gateway],
    frame: NamedDependency[Frame],
    data: URLEncodedBody[MoveForm],
) -> Response[None] | Template:
    """Move the device on in its life; to retire it, somebody must have said that they are sure."""
    device = gateway.registry.device(frame.user.tenant_id, device_id)
    try:
        state = _state(data)
        is_erased = data.erase == "yes" and state is DeviceState.RETIRED
        if is_erased:
            roles.require_owner(frame.user.role)
        await gateway.registry.set_state(frame.user.tenant_id, device_id, state)
        if is_erased:
            await gateway.room.keeping.erase(device.tenant_id, [device.device_id])
    except ApplianceError as error:
        page = _page(frame, device, _form(device), str(error))
        page.status_code = status_of(error)
        return page
    return Response(None, headers={"location": f"/devices/{device_id}"})


@post("/devices/{device_id:str}/telemetry/erase", include_in_schema=False, status_code=303)
async def erase_readings(
    device_id: FromPath[str],
    gateway: NamedDependency[Gateway],
    frame: NamedDependency[Frame],
    data: URLEncodedBody[EraseForm],
) -> Response[None] | Template:
    """Erase everything that was received of the device up to now; somebody must have said that they are sure."""
    device = gateway.registry.device(frame.user.tenant_id, device_id)
    if data.sure != "yes":
        page = _page(frame, device, _form(device), "what is erased never comes back: say that you are sure")
        page.status_code = 400
        return page
    await gateway.room.keeping.erase(device.tenant_id, [device.device_id])
    return Response(None, headers={"location": f"/devices/{device_id}"})


def _state(told: MoveForm) -> DeviceState:
    if told.state not in list(DeviceState):
        raise InvalidInputError(f"{told.state[:40]!r} is no state of a device")
    state = DeviceState(told.state)
    if state is DeviceState.RETIRED and told.sure != "yes":
        raise InvalidInputError("a retired device never comes back: say that you are sure")
    return state


def _change(told: DeviceEditForm, device: Device) -> DeviceChange:
    attributes = pairs_in(told.attributes)
    return DeviceChange(
        name=told.name.strip(),
        type=told.type.strip(),
        zone=told.zone.strip(),
        serial_number=told.serial_number.strip(),
        groups=split_groups(told.groups),
        attributes={**dict.fromkeys(device.attributes), **attributes},
        notes=told.notes.replace("\r\n", "\n"),
    )


def _form(device: Device) -> DeviceEditForm:
    return DeviceEditForm(
        name=device.name,
        type=device.type,
        zone=device.zone,
        serial_number=device.serial_number,
        groups=f" {GROUP_SEPARATOR} ".join(device.groups),
        attributes=lines_of(device.attributes),
        notes=device.notes,
    )


def _page(frame: Frame, device: Device, form: DeviceEditForm, complaint: str) -> Template:
    moves = [(state.value, words) for (before, state), words in MOVE_WORDS.items() if before is device.state]
    context = {
        "frame": frame,
        "now": frame.now,
        "device": device,
        "form": form,
        "moves": moves,
        "may_erase": roles.is_enough(frame.user.role, Role.OWNER),
        "may_retire": DeviceState.RETIRED in MOVES[device.state],
        "complaint": complaint,
    }
    return Template("pages/device_edit.html", context=context)


HANDLERS = (show_edit, change_device, set_state, erase_readings)
