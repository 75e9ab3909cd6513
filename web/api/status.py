"""`/v1/status` for who may know, and `/healthz` and `/readyz` for everybody, in one word."""

from collections.abc import Mapping

import msgspec
from litestar import MediaType, Request, Response, get
from litestar.datastructures import State
from litestar.di import NamedDependency

from appliance.accounts.model import User
from appliance.gateway import Gateway
from appliance.instant import to_text
from web.auth import OPEN, Caller


class PartOut(msgspec.Struct, frozen=True):
    """How one part of the gateway is."""

    ok: bool
    summary: str
    details: Mapping[str, int | float | str]


class StatusOut(msgspec.Struct, frozen=True):
    """How the gateway is."""

    ok: bool
    version: str
    started_at: str
    device_count: int
    connected_count: int
    firing_count: int
    messages_per_second: float
    lag_ms: int
    lag_p95_ms: int
    parts: dict[str, PartOut]


@get("/v1/status", tags=["status"], summary="How the gateway is")
async def get_status(request: Request[User, Caller, State], gateway: NamedDependency[Gateway]) -> StatusOut:
    """Each part's own word, and the numbers of the dashboard."""
    tenant_id = request.user.tenant_id
    statuses = gateway.health.statuses()
    rates = gateway.ingestion.rates()
    return StatusOut(
        ok=all(status.ok for status in statuses.values()),
        version=gateway.version,
        started_at=to_text(gateway.started_at),
        device_count=len(gateway.registry.devices(tenant_id)),
        connected_count=gateway.registry.connected_count(tenant_id),
        firing_count=gateway.alerts.firing_count(tenant_id),
        messages_per_second=round(rates.messages_per_second, 1),
        lag_ms=rates.lag_ms,
        lag_p95_ms=rates.lag_p95_ms,
        parts={name: PartOut(status.ok, status.summary, status.details) for name, status in statuses.items()},
    )


@get("/healthz", opt={**OPEN}, include_in_schema=False)
async def get_health(gateway: NamedDependency[Gateway]) -> Response[str]:
    """Whether every part says that it is well, or at least does its work."""
    troubled = [status for status in gateway.health.statuses().values() if not status.ok]
    if troubled and all(status.is_serving for status in troubled):
        # Whoever restarts what is not well would mend nothing: a wrong clock would still be wrong.
        return Response("degraded\n", media_type=MediaType.TEXT)
    return _word(is_good=not troubled)


@get("/readyz", opt={**OPEN}, include_in_schema=False)
async def get_readiness(gateway: NamedDependency[Gateway]) -> Response[str]:
    """Whether the gateway has started and takes in devices."""
    return _word(is_good=gateway.health.ready)


def _word(*, is_good: bool) -> Response[str]:
    return Response("ok\n" if is_good else "not ok\n", status_code=200 if is_good else 503, media_type=MediaType.TEXT)


HANDLERS = (get_status, get_health, get_readiness)
