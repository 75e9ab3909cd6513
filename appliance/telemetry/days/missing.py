"""Days of which something was found to be lost or unreadable: an answer about them may lack readings, and says so.

It is known from the first look at the damage on, which is at the latest that of the answer which would have needed it.
"""

from collections.abc import Collection

from appliance.instant import DAY_MS

Device = tuple[int, str]
"""Tenant and device."""


class Missing:
    """What is missing, by day. It may be noted in whatever thread."""

    def __init__(self) -> None:
        self._days: set[int] = set()
        self._device_days: set[tuple[int, Device]] = set()

    def note(self, day: int, device: Device | None = None) -> None:
        """Say that something of a day is missing: of one device, or of whoever."""
        if device is None:
            self._days.add(day)
        else:
            self._device_days.add((day, device))

    def forget(self, day: int, device: Device) -> None:
        """Say that what was missing of a device is there again."""
        self._device_days.discard((day, device))

    def between(self, tenant_id: int, device_ids: Collection[str], start: int, end: int) -> list[int]:
        """The days, counted since 1970, of a range (`start <= at < end`) of which something of devices is missing."""
        if not self._days and not self._device_days:
            return []
        # Copied in one step, for threads go on noting.
        asked = set(device_ids)
        found = set(self._days.copy())
        found.update(
            day for day, (tenant, device) in self._device_days.copy() if tenant == tenant_id and device in asked
        )
        return sorted(day for day in found if day * DAY_MS < end and (day + 1) * DAY_MS > start)
