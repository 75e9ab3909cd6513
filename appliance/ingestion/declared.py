"""The units that devices declare for their metrics, as they declared them last.

Remembered of so many devices at most; of more, those are forgotten that were first heard of. They hardly ever change,
so nearly always nothing is made of what a report declares.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

DEVICES_LIMIT = 200_000
UNITS_LIMIT = 64
"""Of the metrics of a device, so many have their declared unit remembered."""

NO_UNITS: Mapping[str, str] = MappingProxyType({})

Key = tuple[int, str]
"""Tenant and device."""


class DeclaredUnits:
    """The declared units of every device that was heard of."""

    def __init__(self, devices_limit: int = DEVICES_LIMIT) -> None:
        self._units: dict[Key, Mapping[str, str]] = {}
        """What stands here is never changed: another one takes its place."""
        self._devices_limit = devices_limit
        self.change_count = 0
        """Goes up whenever a device declares another unit: what was made of them may be old."""

    def of(self, tenant_id: int, device_id: str) -> Mapping[str, str]:
        """The units of a device by metric."""
        return self._units.get((tenant_id, device_id), NO_UNITS)

    def hear(self, tenant_id: int, device_id: str, units: Mapping[str, str]) -> None:
        """Take what a report declares."""
        known = self.of(tenant_id, device_id)
        if units.items() <= known.items():
            return
        changed = _with(known, units.items())
        if changed == known:
            return
        self.change_count += 1
        if (tenant_id, device_id) not in self._units and len(self._units) >= self._devices_limit:
            del self._units[next(iter(self._units))]
        self._units[tenant_id, device_id] = changed


def _with(known: Mapping[str, str], more: Iterable[tuple[str, str]]) -> Mapping[str, str]:
    """The same and more, as far as there is room; what cannot be printed is no unit."""
    changed = dict(known)
    for metric, unit in more:
        if unit.isprintable() and (metric in changed or len(changed) < UNITS_LIMIT):
            changed[metric] = unit
    return changed
