"""What happens to clients as messages on `$aws/events/…`, in the form that AWS IoT gives them.

Moments are UTC milliseconds. Nothing is told of a client whose identifier would be a wildcard in the topic.
"""

import uuid
from typing import Any

import msgspec

from appliance.registry.presence_log.reasons import AwsReason, connect_failure_reason, disconnect_reason
from broker.message import Message
from broker.ports import Connected, Disconnected, Refused, Subscribed

CONNECTIONS = uuid.UUID("6f0a5fd5-53d1-5d0c-8f0e-0b2a3b6a6f10")
"""The namespace of session identifiers."""


class Bearing(msgspec.Struct, frozen=True):
    """What an event tells of its client besides what the broker says."""

    tenant_id: int
    principal_identifier: str
    """The fingerprint of its certificate, which is the certificate's id; else the name of who it is."""
    thing_name: str = ""
    """Empty when it is no device."""
    version: int = 0


def connected(event: Connected, bearing: Bearing) -> Message | None:
    """A client has connected."""
    told = {
        "sessionIdentifier": session_identifier(event.connection),
        "principalIdentifier": bearing.principal_identifier,
        "ipAddress": host_of(event.address),
        "versionNumber": bearing.version,
    }
    return _message("presence/connected", event.client_id, event.at, bearing, told)


def disconnected(event: Disconnected, bearing: Bearing) -> Message | None:
    """A client's connection has ended."""
    reason = disconnect_reason(event.code)
    told = {
        "sessionIdentifier": session_identifier(event.connection),
        "principalIdentifier": bearing.principal_identifier,
        "clientInitiatedDisconnect": reason is AwsReason.CLIENT_INITIATED_DISCONNECT,
        "disconnectReason": reason.value,
        "versionNumber": bearing.version,
    }
    return _message("presence/disconnected", event.client_id, event.at, bearing, told)


def connect_failed(event: Refused, bearing: Bearing) -> Message | None:
    """A client was not let in."""
    told = {
        "sessionIdentifier": session_identifier(f"{event.client_id} {event.address} {event.at}"),
        "principalIdentifier": bearing.principal_identifier,
        "connectFailureReason": connect_failure_reason(event.kind).value,
        "ipAddress": host_of(event.address),
    }
    return _message("presence/connect_failed", event.client_id, event.at, bearing, told)


def subscribed(event: Subscribed, bearing: Bearing) -> Message | None:
    """A client has subscribed to something, or given it up."""
    told = {
        "sessionIdentifier": session_identifier(event.connection),
        "principalIdentifier": bearing.principal_identifier,
        "topics": list(event.topic_filters),
    }
    kind = "subscriptions/unsubscribed" if event.is_over else "subscriptions/subscribed"
    return _message(kind, event.client_id, event.at, bearing, told)


def session_identifier(connection: str) -> str:
    """The name of a connection as a UUID."""
    return str(uuid.uuid5(CONNECTIONS, connection))


def host_of(address: str) -> str:
    """The address without its port, and an IPv6 address without its brackets."""
    return (address.rpartition(":")[0] or address).strip("[]")


def _message(kind: str, client_id: str, at: int, bearing: Bearing, told: dict[str, Any]) -> Message | None:
    if not client_id or "+" in client_id or "#" in client_id or "\0" in client_id:
        return None
    thing = {"thingName": bearing.thing_name} if bearing.thing_name else {}
    body = {"clientId": client_id, "timestamp": at, "eventType": kind.partition("/")[2], **thing, **told}
    topic = f"$aws/events/{kind}/{client_id}"
    return Message(bearing.tenant_id, "", "", topic, msgspec.json.encode(body), 1, retain=False, arrived_at=at)
