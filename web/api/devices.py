"""`/v1/devices`: the registry."""

from collections.abc import Mapping

import msgspec
from litestar import Request, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from appliance.accounts.model import User
from appliance.gateway import Gateway
from appliance.instant import to_text
from appliance.registry.model import Device
from web.auth import Caller


class DeviceOut(msgspec.Struct, frozen=True):
    """A device. Moments are ISO 8601, UTC."""

    device_id: str
    name: str
    type: str
    zone: str
    serial_number: str
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


class DeviceWithProblemsOut(msgspec.Struct, frozen=True):
    """A device, and what of it was refused or not understood, the newest first."""

    device_id: str
    name: str
    type: str
    zone: str
    serial_number: str
    state: str
    created_at: str
    connected: bool
    connection_changed_at: str
    last_seen_at: str | None
    problems: list[ProblemOut]


class NewDeviceIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A device to be registered. `device_id`: 1 to 128 of letters, digits, `:`, `_`, `-`."""

    device_id: str
    name: str = ""
    type: str = ""
    zone: str = ""
    serial_number: str = ""


class DevicesOut(msgspec.Struct, frozen=True):
    """All devices, sorted by device id."""

    devices: list[DeviceOut]


class BundleOut(msgspec.Struct, frozen=True):
    """What a device needs to connect. The key is in this answer alone: the gateway keeps none."""

    device_id: str
    certificate_pem: str
    chain_pem: str
    key_pem: str
    root_pem: str
    fingerprint: str
    expires_at: str


@get("/v1/devices", tags=["devices"], summary="All devices")
async def list_devices(request: Request[User, Caller, State], gateway: NamedDependency[Gateway]) -> DevicesOut:
    """Every device of the tenant and whether it is connected."""
    tenant_id = request.user.tenant_id
    return DevicesOut([_out(gateway, device) for device in gateway.registry.devices(tenant_id)])


@post("/v1/devices", tags=["devices"], summary="Register a device")
async def add_device(
    data: JSONBody[NewDeviceIn], request: Request[User, Caller, State], gateway: NamedDependency[Gateway]
) -> DeviceOut:
    """Register a device; a certificate is issued separately."""
    told: Mapping[str, str] = {
        "name": data.name,
        "type": data.type,
        "zone": data.zone,
        "serial_number": data.serial_number,
    }
    return _out(gateway, await gateway.registry.add_device(request.user.tenant_id, data.device_id, **told))


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
    return DeviceWithProblemsOut(**msgspec.structs.asdict(device), problems=problems)


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


def _out(gateway: Gateway, device: Device) -> DeviceOut:
    presence = gateway.registry.presence(device.tenant_id, device.device_id)
    seen_at = gateway.telemetry.last_seen(device.tenant_id, device.device_id)
    return DeviceOut(
        device_id=device.device_id,
        name=device.name,
        type=device.type,
        zone=device.zone,
        serial_number=device.serial_number,
        state=device.state,
        created_at=to_text(device.created_at),
        connected=presence.connected,
        connection_changed_at=to_text(presence.since),
        last_seen_at=None if seen_at is None else to_text(seen_at),
    )


HANDLERS = (list_devices, add_device, get_device, issue_certificate)
