"""When a device was connected, when it was refused, and why; and its sessions, with the form that ends one."""

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, URLEncodedBody
from litestar.response import Template

from appliance.gateway import Gateway
from appliance.registry.clock.trust import is_flagged
from appliance.registry.model import Device, Presence
from appliance.registry.presence_log.model import EVENTS_LIMIT, ConnectionEvent
from web.sessions import SessionView, end_sessions, sessions_of
from web.shell import Frame


class History(msgspec.Struct, frozen=True):
    """What the page shows."""

    device: Device
    presence: Presence
    seen_at: int | None
    expected_interval_ms: int
    is_silent: bool
    clock_warning: str
    """What is wrong with the clock, where a certificate or token seems to be over and is accepted; else empty."""
    events: tuple[ConnectionEvent, ...]
    older_address: str
    """Where older events are; empty when these are all."""
    sessions: tuple[SessionView, ...]


class SessionForm(msgspec.Struct, frozen=True):
    """Which session is to end: its client identifier."""

    name: str


@get("/devices/{device_id:str}/connections", include_in_schema=False)
async def show_connections(
    device_id: FromPath[str],
    gateway: NamedDependency[Gateway],
    frame: NamedDependency[Frame],
    before: FromQuery[int | None] = None,
) -> Template:
    """The page."""
    tenant_id = frame.user.tenant_id
    device = gateway.registry.device(tenant_id, device_id)
    told = {} if before is None else {"before": before}
    events = await gateway.presence.events(tenant_id, device_id, **told)
    seen_at = gateway.telemetry.last_seen(tenant_id, device_id)
    view = History(
        device=device,
        presence=gateway.registry.presence(tenant_id, device_id),
        seen_at=seen_at,
        expected_interval_ms=gateway.presence.expected_interval_ms(tenant_id, device_id),
        is_silent=gateway.presence.is_silent(tenant_id, device_id, seen_at, frame.now),
        clock_warning=await _clock_warning(gateway, device),
        events=tuple(events),
        older_address=f"/devices/{device_id}/connections?before={events[-1].event_number}"
        if len(events) == EVENTS_LIMIT
        else "",
        sessions=sessions_of(gateway.broker, tenant_id, device_id),
    )
    return Template("pages/connections.html", context={"frame": frame, "now": frame.now, "view": view})


@post("/devices/{device_id:str}/sessions/end", include_in_schema=False, status_code=303)
async def end_session(
    device_id: FromPath[str],
    gateway: NamedDependency[Gateway],
    frame: NamedDependency[Frame],
    data: URLEncodedBody[SessionForm],
) -> Response[None]:
    """End a session, and go back."""
    await end_sessions(gateway, frame.user.tenant_id, device_id, data.name)
    return Response(None, headers={"location": f"/devices/{device_id}/connections"})


async def _clock_warning(gateway: Gateway, device: Device) -> str:
    clock = gateway.registry.time.reading()
    certificates = await gateway.registry.certificates(device.tenant_id, device.device_id)
    tokens = gateway.registry.tokens.tokens(device.tenant_id, device.device_id)
    ends = [each.expires_at for each in certificates if each.revoked_at is None]
    ends += [each.expires_at for each in tokens if each.revoked_at is None]
    is_any_flagged = any(is_flagged(end, clock) for end in ends)
    return clock.told() if is_any_flagged else ""


HANDLERS = (show_connections, end_session)
