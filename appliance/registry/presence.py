"""Whether devices are connected, told from what the broker says of its clients."""

from appliance.registry.model import Presence


class PresenceBook:
    """Who is connected. A device counts as connected while it has at least one connection.

    When a client takes over its own session, the end of its old connection may be heard before or
    after the beginning of the new one; counting makes both orders come to the same.
    """

    def __init__(self, opened_at: int) -> None:
        self._not_seen = Presence(
            connected=False, since=opened_at, address="", reason="not seen since the gateway started"
        )
        self._presences: dict[tuple[int, str], Presence] = {}
        self._connections: dict[tuple[int, str], int] = {}
        self._connected_counts: dict[int, int] = {}

    def presence(self, tenant_id: int, device_id: str) -> Presence:
        """How it stands with a device; one that was never heard of is not connected."""
        return self._presences.get((tenant_id, device_id), self._not_seen)

    def connected_count(self, tenant_id: int) -> int:
        """How many devices of the tenant are connected."""
        return self._connected_counts.get(tenant_id, 0)

    def recall(self, tenant_id: int, device_id: str, presence: Presence) -> None:
        """Know how it stood with a device before this start; nothing where it was heard of since."""
        self._presences.setdefault((tenant_id, device_id), presence)

    def note_connected(self, tenant_id: int, device_id: str, address: str, at: int) -> None:
        """A device has one more connection."""
        key = (tenant_id, device_id)
        count = self._connections.get(key, 0)
        self._connections[key] = count + 1
        if count == 0:
            self._connected_counts[tenant_id] = self.connected_count(tenant_id) + 1
        self._presences[key] = Presence(connected=True, since=at, address=address, reason="")

    def note_disconnected(self, tenant_id: int, device_id: str, reason: str, at: int) -> None:
        """A device has one connection less; one that has none is left as it is."""
        key = (tenant_id, device_id)
        count = self._connections.get(key, 0)
        if count == 0:
            return
        self._connections[key] = count - 1
        if count == 1:
            del self._connections[key]
            self._connected_counts[tenant_id] -= 1
            self._presences[key] = Presence(connected=False, since=at, address="", reason=reason)
