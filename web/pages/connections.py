"""When a device was connected, when it was refused, and why."""

import msgspec
from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery
from litestar.response import Template

from appliance.gateway import Gateway
from appliance.registry.clock.trust import is_flagged
from appliance.registry.model import Device, Presence
from appliance.registry.presence_log.model import EVENTS_LIMIT, ConnectionEvent
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
    )
    return Template("pages/connections.html", context={"frame": frame, "now": frame.now, "view": view})


async def _clock_warning(gateway: Gateway, device: Device) -> str:
    clock = gateway.registry.time.reading()
    certificates = await gateway.registry.certificates(device.tenant_id, device.device_id)
    tokens = gateway.registry.tokens.tokens(device.tenant_id, device.device_id)
    ends = [each.expires_at for each in certificates if each.revoked_at is None]
    ends += [each.expires_at for each in tokens if each.revoked_at is None]
    is_any_flagged = any(is_flagged(end, clock) for end in ends)
    return clock.told() if is_any_flagged else ""


HANDLERS = (show_connections,)
