"""The nouns of presence: what happened to the connections of a device."""

from enum import StrEnum

import msgspec

HISTORY_LENGTH = 1_000
"""So many events of each device are kept."""
EVENTS_LIMIT = 200
"""The most that are given at once."""


class EventKind(StrEnum):
    """What happened."""

    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    REFUSED = "refused"


class NewEvent(msgspec.Struct, frozen=True):
    """Something that happened to a connection of a device, before it is on disk."""

    tenant_id: int
    device_number: int
    kind: EventKind
    at: int
    client_id: str
    address: str
    reason: str
    version: int
    """Counts the connections of the client identifier; a connection and its end have the same."""


class ConnectionEvent(msgspec.Struct, frozen=True):
    """The same on disk. A refusal that came again and again is one event with a count."""

    event_number: int
    kind: EventKind
    at: int
    last_at: int
    """When it happened last; `at` unless it happened more than once."""
    occurrence_count: int
    client_id: str
    address: str
    reason: str


class LastEvent(msgspec.Struct, frozen=True):
    """How it stood with a device when the gateway stopped."""

    tenant_id: int
    device_id: str
    kind: EventKind
    at: int
    client_id: str
    reason: str
    version: int
