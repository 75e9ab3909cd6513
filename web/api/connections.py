"""When a device was connected, and why not; and the end of all connections of devices that are not to be trusted."""

import msgspec
from litestar import Request, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody

from appliance.accounts.model import User
from appliance.gateway import Gateway
from appliance.instant import to_text
from appliance.registry.presence_log.model import EVENTS_LIMIT, ConnectionEvent
from web.auth import Caller
from web.shell import moment


class ConnectionEventOut(msgspec.Struct, frozen=True):
    """Something that happened. `kind`: `connected`, `disconnected` or `refused`; the last may have come repeatedly."""

    number: int
    kind: str
    at: str
    last_at: str
    occurrence_count: int
    client_id: str
    address: str
    reason: str


class ConnectionsOut(msgspec.Struct, frozen=True):
    """How it stands with the connections of a device, and what happened to them, the newest first."""

    connected: bool
    connection_changed_at: str
    address: str
    reason: str
    """Why it is not connected; empty while it is."""
    last_seen_at: str | None
    expected_interval_ms: int
    """How often it should say something; 0 where nothing is expected."""
    silent: bool
    """Whether three of these have passed since it said something."""
    events: list[ConnectionEventOut]


class RevocationIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Devices none of whose certificates is to open anything any more; at most 10,000."""

    device_ids: list[str]


class RevocationOut(msgspec.Struct, frozen=True):
    """How many certificates were revoked by it."""

    revoked_count: int


@get("/v1/devices/{device_id:str}/connections", tags=["devices"], summary="The connections of a device")
async def list_connections(
    device_id: FromPath[str],
    request: Request[User, Caller, State],
    gateway: NamedDependency[Gateway],
    before: FromQuery[int | None] = None,
    limit: FromQuery[int] = EVENTS_LIMIT,
) -> ConnectionsOut:
    """What happened to its connections, those with a number below `before`; 200 at once, 1,000 in all, for 90 days."""
    tenant_id = request.user.tenant_id
    told = {} if before is None else {"before": before}
    events = await gateway.presence.events(tenant_id, device_id, limit=limit, **told)
    presence = gateway.registry.presence(tenant_id, device_id)
    seen_at = gateway.telemetry.last_seen(tenant_id, device_id)
    return ConnectionsOut(
        connected=presence.connected,
        connection_changed_at=to_text(presence.since),
        address=presence.address,
        reason=presence.reason,
        last_seen_at=None if seen_at is None else to_text(seen_at),
        expected_interval_ms=gateway.presence.expected_interval_ms(tenant_id, device_id),
        silent=gateway.presence.is_silent(tenant_id, device_id, seen_at, moment()),
        events=[_out(event) for event in events],
    )


@post("/v1/revocations", tags=["certificates"], summary="Revoke all certificates of devices")
async def revoke_devices(
    data: JSONBody[RevocationIn], request: Request[User, Caller, State], gateway: NamedDependency[Gateway]
) -> RevocationOut:
    """Let no certificate of these devices open anything any more; their live connections end within a second."""
    return RevocationOut(await gateway.registry.revocation.revoke_devices(request.user.tenant_id, data.device_ids))


def _out(event: ConnectionEvent) -> ConnectionEventOut:
    return ConnectionEventOut(
        number=event.event_number,
        kind=event.kind.value,
        at=to_text(event.at),
        last_at=to_text(event.last_at),
        occurrence_count=event.occurrence_count,
        client_id=event.client_id,
        address=event.address,
        reason=event.reason,
    )


HANDLERS = (list_connections, revoke_devices)
