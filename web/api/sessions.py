"""`/v1/devices/{device_id}/sessions`: what the gateway keeps for a device, connected or away."""

import msgspec
from litestar import Request, delete, get
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery

from appliance.accounts.model import User
from appliance.gateway import Gateway
from appliance.instant import to_text
from web.auth import Caller
from web.sessions import SessionView, end_sessions, sessions_of


class SessionOut(msgspec.Struct, frozen=True):
    """One session. `ends_at` is when it ends unless the device comes back; null while it is connected."""

    client_id: str
    connected: bool
    version: str
    in_flight_count: int
    waiting_count: int
    dropped_count: int
    subscription_count: int
    topic_filters: list[str]
    expiry_s: int
    ends_at: str | None


class SessionsOut(msgspec.Struct, frozen=True):
    """The sessions of a device, those with a connection first; eight at most."""

    sessions: list[SessionOut]


AnyRequest = Request[User, Caller, State]


@get("/v1/devices/{device_id:str}/sessions", tags=["devices"], summary="The MQTT sessions of a device")
async def list_sessions(
    device_id: FromPath[str], request: AnyRequest, gateway: NamedDependency[Gateway]
) -> SessionsOut:
    """What is kept for it under which client identifiers."""
    device = gateway.registry.device(request.user.tenant_id, device_id)
    return SessionsOut([_out(view) for view in sessions_of(gateway.broker, device.tenant_id, device.device_id)])


@delete("/v1/devices/{device_id:str}/sessions", tags=["devices"], summary="End MQTT sessions of a device")
async def end_device_sessions(
    device_id: FromPath[str],
    request: AnyRequest,
    gateway: NamedDependency[Gateway],
    client_id: FromQuery[str | None] = None,
) -> None:
    """End all of them, or that of one client identifier: subscriptions and waiting messages are gone."""
    await end_sessions(gateway, request.user.tenant_id, device_id, client_id)


def _out(view: SessionView) -> SessionOut:
    return SessionOut(
        client_id=view.client_id,
        connected=view.is_connected,
        version=view.version,
        in_flight_count=view.in_flight_count,
        waiting_count=view.waiting_count,
        dropped_count=view.dropped_count,
        subscription_count=view.subscription_count,
        topic_filters=list(view.topic_filters),
        expiry_s=view.expiry_s,
        ends_at=None if view.ends_at is None else to_text(view.ends_at),
    )


HANDLERS = (list_sessions, end_device_sessions)
