"""Mishaps counted before they are written down.

However many there are of one device and kind, they are one row: nobody fills memory or a commit with them.
"""

import msgspec

from appliance.ingestion.model import Mishap


class Tally:
    """Mishaps by tenant, device and kind, in the order in which each was first noted."""

    def __init__(self) -> None:
        self._mishaps: dict[tuple[int, str, str], Mishap] = {}

    def __len__(self) -> int:
        """Count what would be rows."""
        return len(self._mishaps)

    def note(self, mishap: Mishap) -> None:
        """Count a mishap; its reason and its moment become those that are told."""
        key = (mishap.tenant_id, mishap.device_id, mishap.kind)
        before = self._mishaps.get(key)
        if before is not None:
            lasted_ms = mishap.at - (before.at - before.lasted_ms)
            mishap = msgspec.structs.replace(mishap, count=before.count + mishap.count, lasted_ms=lasted_ms)
        self._mishaps[key] = mishap

    def mishaps(self) -> tuple[Mishap, ...]:
        """Those noted so far."""
        return tuple(self._mishaps.values())
