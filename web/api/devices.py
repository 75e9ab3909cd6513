"""`/v1/devices`: the registry, and what is known of its devices."""

from typing import Annotated

import msgspec
from litestar import Request, get, patch, post, put
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

from appliance.accounts.model import User
from appliance.enrolment.renewal.model import Standing
from appliance.errors import InvalidInputError
from appliance.gateway import Gateway
from appliance.instant import to_text
from appliance.registry.catalogue.model import DeviceChange
from appliance.registry.model import Device, DeviceState, NewDevice
from web.auth import Caller
from web.roles import require_owner

HIGHEST_LIMIT = 1_000


class DeviceOut(msgspec.Struct, frozen=True):
    """A device. Moments are ISO 8601, UTC."""

    device_id: str
    name: str
    type: str
    zone: str
    serial_number: str
    groups: list[str]
    attributes: dict[str, str]
    notes: str
    state: str
    created_at: str
    connected: bool
    connection_changed_at: str
    last_seen_at: str | None


class ProblemOut(msgspec.Struct, frozen=True):
    """Something of the device that was refused or not understood."""

    kind: str
    reason: str
    occurrence_count: int
    first_at: str
    last_at: str


class RenewalOut(msgspec.Struct, frozen=True):
    """How it stands with the renewal of a certificate that has less than a third of its life left."""

    fingerprint: str
    due_at: str
    expires_at: str
    asked_at: str | None
    renewed_at: str | None
    """When it was issued a new one that it has not used yet."""
    obstacle: str
    """Why it cannot be asked now; empty when it can."""


class DeviceWithProblemsOut(DeviceOut, frozen=True):
    """A device, what of it was refused or not understood, the newest first, and the renewal that is due, if any."""

    problems: list[ProblemOut]
    renewal: RenewalOut | None


class NewDeviceIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A device to be registered. `device_id`: 1 to 128 of letters, digits, `:`, `_`, `-`.

    `state`: `active`, which it is at once, or `pending`, until somebody accepts it.
    """

    device_id: str
    name: str = ""
    type: str = ""
    zone: str = ""
    serial_number: str = ""
    groups: list[str] = []
    attributes: dict[str, str] = {}
    notes: str = ""
    state: str = DeviceState.ACTIVE


class DeviceChangeIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to change of a device; what is left out stays.

    `groups` are all that it is to be in. `attributes` are those that change; null takes one away.
    """

    name: str | None = None
    type: str | None = None
    zone: str | None = None
    serial_number: str | None = None
    groups: list[str] | None = None
    attributes: dict[str, str | None] = {}
    notes: str | None = None


class StateIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a device is to go in its life: `active`, `suspended` or `retired`.

    `erase_readings` erases what a device has sent that is retired. Only owners may.
    """

    state: str
    erase_readings: bool = False


class DevicesOut(msgspec.Struct, frozen=True):
    """Devices, sorted by device id, and where the list goes on; null when it does not."""

    devices: list[DeviceOut]
    next_cursor: str | None
    count: int
    """How many devices there are in all pages together."""


class GroupOut(msgspec.Struct, frozen=True):
    """A group, and how many devices are in it."""

    name: str
    device_count: int


class GroupsOut(msgspec.Struct, frozen=True):
    """All groups, sorted by name."""

    device_groups: list[GroupOut]


class BundleOut(msgspec.Struct, frozen=True):
    """What a device needs to connect. The key is in this answer alone: the gateway keeps none."""

    device_id: str
    certificate_pem: str
    chain_pem: str
    key_pem: str
    root_pem: str
    fingerprint: str
    expires_at: str


@get("/v1/devices", tags=["devices"], summary="Devices, all or those that a search finds")
async def list_devices(
    request: Request[User, Caller, State],
    gateway: NamedDependency[Gateway],
    q: FromQuery[str] = "",
    filter_name: Annotated[str, QueryParameter(name="filter")] = "",
    cursor: FromQuery[str] = "",
    limit: Annotated[int, QueryParameter(ge=1, le=HIGHEST_LIMIT)] = 100,
) -> DevicesOut:
    """The devices that `q` finds and the saved `filter` finds, `limit` at a time, those after `cursor`."""
    tenant_id = request.user.tenant_id
    kept = gateway.catalogue.filter(tenant_id, filter_name).query if filter_name else ""
    found = gateway.catalogue.find(tenant_id, f"{kept} {q}".strip())
    rest = [device for device in found if device.device_id > cursor] if cursor else found
    page = rest[:limit]
    return DevicesOut(
        [_out(gateway, device) for device in page],
        next_cursor=page[-1].device_id if len(rest) > limit else None,
        count=len(found),
    )


@post("/v1/devices", tags=["devices"], summary="Register a device")
async def add_device(
    data: JSONBody[NewDeviceIn], request: Request[User, Caller, State], gateway: NamedDependency[Gateway]
) -> DeviceOut:
    """Register a device; a certificate is issued separately."""
    new = NewDevice(
        device_id=data.device_id,
        name=data.name,
        type=data.type,
        zone=data.zone,
        serial_number=data.serial_number,
        groups=tuple(data.groups),
        attributes=data.attributes,
        notes=data.notes,
        state=_state(data.state),
    )
    return _out(gateway, await gateway.catalogue.add_device(request.user.tenant_id, new))


@get("/v1/devices/{device_id:str}", tags=["devices"], summary="One device")
async def get_device(
    device_id: FromPath[str], request: Request[User, Caller, State], gateway: NamedDependency[Gateway]
) -> DeviceWithProblemsOut:
    """One device, whether it is connected, and what went wrong with it."""
    tenant_id = request.user.tenant_id
    device = _out(gateway, gateway.registry.device(tenant_id, device_id))
    problems = [
        ProblemOut(
            problem.kind,
            problem.reason,
            problem.occurrence_count,
            to_text(problem.first_at),
            to_text(problem.last_at),
        )
        for problem in await gateway.ingestion.problems(tenant_id, device_id)
    ]
    standing = await gateway.renewal.reminder.standing(tenant_id, device_id)
    renewal = None if standing is None else _renewal_out(standing)
    return DeviceWithProblemsOut(**msgspec.structs.asdict(device), problems=problems, renewal=renewal)


@patch("/v1/devices/{device_id:str}", tags=["devices"], summary="Change what is known of a device")
async def change_device(
    device_id: FromPath[str],
    data: JSONBody[DeviceChangeIn],
    request: Request[User, Caller, State],
    gateway: NamedDependency[Gateway],
) -> DeviceOut:
    """Change what is named; the rest stays."""
    change = DeviceChange(
        name=data.name,
        type=data.type,
        zone=data.zone,
        serial_number=data.serial_number,
        groups=None if data.groups is None else tuple(data.groups),
        attributes=data.attributes,
        notes=data.notes,
    )
    return _out(gateway, await gateway.catalogue.change_device(request.user.tenant_id, device_id, change))


@put("/v1/devices/{device_id:str}/state", tags=["devices"], summary="Move a device on in its life")
async def set_state(
    device_id: FromPath[str],
    data: JSONBody[StateIn],
    request: Request[User, Caller, State],
    gateway: NamedDependency[Gateway],
) -> DeviceOut:
    """Accept, suspend or retire a device. One that is not active is cut off at once; a retired one stays so."""
    state = _state(data.state)
    if data.erase_readings:
        require_owner(request.user.role)
        if state is not DeviceState.RETIRED:
            raise InvalidInputError("erase_readings goes with the state retired only")
    device = await gateway.registry.set_state(request.user.tenant_id, device_id, state)
    if data.erase_readings:
        await gateway.room.keeping.erase(device.tenant_id, [device.device_id])
    return _out(gateway, device)


@get("/v1/device-groups", tags=["devices"], summary="All groups of devices")
async def list_groups(request: Request[User, Caller, State], gateway: NamedDependency[Gateway]) -> GroupsOut:
    """Every group that a device is in."""
    groups = gateway.catalogue.groups(request.user.tenant_id)
    return GroupsOut([GroupOut(name, count) for name, count in groups.items()])


@post("/v1/devices/{device_id:str}/certificates", tags=["devices"], summary="Issue a certificate")
async def issue_certificate(
    device_id: FromPath[str], request: Request[User, Caller, State], gateway: NamedDependency[Gateway]
) -> BundleOut:
    """Issue one more certificate to a device; those it has stay good."""
    bundle = await gateway.registry.issue_certificate(request.user.tenant_id, device_id)
    return BundleOut(
        device_id=bundle.device_id,
        certificate_pem=bundle.certificate_pem,
        chain_pem=bundle.chain_pem,
        key_pem=bundle.key_pem,
        root_pem=bundle.root_pem,
        fingerprint=bundle.fingerprint,
        expires_at=to_text(bundle.expires_at),
    )


def _state(told: str) -> DeviceState:
    if told not in list(DeviceState):
        raise InvalidInputError(f"{told[:40]!r} is no state: it is one of {', '.join(DeviceState)}")
    return DeviceState(told)


def _renewal_out(standing: Standing) -> RenewalOut:
    return RenewalOut(
        standing.fingerprint,
        to_text(standing.due_at),
        to_text(standing.expires_at),
        None if standing.asked_at is None else to_text(standing.asked_at),
        None if standing.renewed_at is None else to_text(standing.renewed_at),
        standing.obstacle,
    )


def _out(gateway: Gateway, device: Device) -> DeviceOut:
    presence = gateway.registry.presence(device.tenant_id, device.device_id)
    seen_at = gateway.telemetry.last_seen(device.tenant_id, device.device_id)
    return DeviceOut(
        device_id=device.device_id,
        name=device.name,
        type=device.type,
        zone=device.zone,
        serial_number=device.serial_number,
        groups=list(device.groups),
        attributes=dict(device.attributes),
        notes=device.notes,
        state=device.state,
        created_at=to_text(device.created_at),
        connected=presence.connected,
        connection_changed_at=to_text(presence.since),
        last_seen_at=None if seen_at is None else to_text(seen_at),
    )


HANDLERS = (list_devices, add_device, get_device, change_device, set_state, list_groups, issue_certificate)
