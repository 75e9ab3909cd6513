"""The MQTT sessions of a device as people look at them, and end them."""

import msgspec

from appliance.audit.model import Entry
from appliance.errors import NotFoundError
from appliance.gateway import Gateway
from broker.packets import V5
from broker.server import Broker
from broker.session import Session

SESSIONS_SHOWN = 8
FILTERS_SHOWN = 20
ENDED_BY_HAND = "its session was ended by hand"
"""What the client is told."""

_VERSIONS = {V5: "5"}
_OLD_VERSION = "3.1.1"


class UnknownSessionError(NotFoundError):
    """The device has no session of that client identifier."""

    code = "unknown_session"


class SessionView(msgspec.Struct, frozen=True):
    """One session."""

    client_id: str
    is_connected: bool
    version: str
    """Of MQTT; empty while it is not connected."""
    in_flight_count: int
    """Messages that were sent to the device and that it has not answered for."""
    waiting_count: int
    """Messages that wait for their turn, or for the device to come back."""
    dropped_count: int
    topic_filters: tuple[str, ...]
    """The first of them."""
    subscription_count: int
    expiry_s: int
    """How long it outlives its connection."""
    ends_at: int | None
    """When it ends unless the device comes back, UTC milliseconds; None while it is connected."""


def sessions_of(broker: Broker, tenant_id: int, device_id: str) -> tuple[SessionView, ...]:
    """The sessions of a device, under whatever client identifiers; those with a connection first."""
    own = _own(broker, tenant_id, device_id)
    own.sort(key=lambda session: (session.client is None, session.client_id))
    return tuple(_view(session) for session in own[:SESSIONS_SHOWN])


async def end_sessions(gateway: Gateway, tenant_id: int, device_id: str, client_id: str | None = None) -> None:
    """End the session of this client identifier, or all of a device, and their connections.

    Raises `UnknownDeviceError`, `UnknownSessionError`.
    """
    gateway.registry.device(tenant_id, device_id)
    own = _own(gateway.broker, tenant_id, device_id)
    ending = [session for session in own if client_id in (None, session.client_id)]
    if client_id is not None and not ending:
        raise UnknownSessionError(f"{device_id} has no session of the client identifier {client_id[:128]!r}")
    for session in ending:
        # While the last one was written down this one may have ended, and its identifier be somebody else's now.
        if session in _own(gateway.broker, tenant_id, device_id):
            gateway.broker.end_session(tenant_id, session.client_id, ENDED_BY_HAND)
            entry = Entry("session.end", device_id, {"client_id": session.client_id})
            await gateway.registry.audit.surely(tenant_id, entry)


def _own(broker: Broker, tenant_id: int, device_id: str) -> list[Session]:
    return [session for session in broker.sessions(tenant_id, device_id) if not session.principal.is_operator]


def _view(session: Session) -> SessionView:
    # What was sent keeps its packet identifier until the device has answered for it.
    in_flight_count = sum(delivery.packet_id > 0 for delivery in session.deliveries)
    client = session.client
    return SessionView(
        client_id=session.client_id,
        is_connected=client is not None,
        version="" if client is None else _VERSIONS.get(client.level, _OLD_VERSION),
        in_flight_count=in_flight_count,
        waiting_count=len(session.deliveries) - in_flight_count,
        dropped_count=session.dropped_count,
        topic_filters=tuple(sorted(session.subscriptions)[:FILTERS_SHOWN]),
        subscription_count=len(session.subscriptions),
        expiry_s=session.expiry_s,
        ends_at=None if client is not None else session.left_at + session.expiry_s * 1_000,
    )
