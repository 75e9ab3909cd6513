"""The units that devices declare for their metrics, as they declared them last.

Remembered of so many devices at most; of more, those are forgotten that were first heard of, of the tenant that has
the most. They hardly ever change, so nearly always nothing is made of what a report declares.
"""

from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from types import MappingProxyType
from typing import NamedTuple

DEVICES_LIMIT = 200_000
UNITS_LIMIT = 64
"""Of the metrics of a device, so many have their declared unit remembered."""

NO_UNITS: Mapping[str, str] = MappingProxyType({})

Key = tuple[int, str]
"""Tenant and device."""


class Declared(NamedTuple):
    """The units of one device, by metric."""

    tenant_id: int
    device_id: str
    units: Mapping[str, str]


class DeclaredUnits:
    """The declared units of every device that was heard of."""

    def __init__(self, devices_limit: int = DEVICES_LIMIT) -> None:
        self._units: dict[int, dict[str, Mapping[str, str]]] = {}
        """By tenant and device. What stands here is never changed: another one takes its place."""
        self._count = 0
        self._devices_limit = devices_limit
        self.change_count = 0
        """Goes up whenever a device declares another unit: what was made of them may be old."""
        self.changed: Callable[[], None] = lambda: None
        """Called at once then."""
        self._news: dict[Key, None] = {}
        """Devices whose units are not kept yet as they are."""

    def of(self, tenant_id: int, device_id: str) -> Mapping[str, str]:
        """The units of a device by metric."""
        devices = self._units.get(tenant_id)
        return devices.get(device_id, NO_UNITS) if devices else NO_UNITS

    def hear(self, tenant_id: int, device_id: str, units: Mapping[str, str]) -> None:
        """Take what a report declares."""
        known = self.of(tenant_id, device_id)
        if units.items() <= known.items():
            return
        changed = _with(known, units.items())
        if changed == known:
            return
        self._put((tenant_id, device_id), changed)
        self._news[tenant_id, device_id] = None
        self.changed()

    def news(self, count: int) -> list[Declared]:
        """So many at most of the devices whose units are not kept yet as they are."""
        return [Declared(*key, self.of(*key)) for key in islice(self._news, count)]

    def kept(self, told: Iterable[Declared]) -> None:
        """Hear that this is kept; what was declared meanwhile is not."""
        for tenant_id, device_id, units in told:
            if self.of(tenant_id, device_id) is units:
                self._news.pop((tenant_id, device_id), None)

    def restore(self, told: Iterable[Declared]) -> None:
        """Take what was kept before a restart, before anything is heard."""
        for tenant_id, device_id, units in told:
            self._put((tenant_id, device_id), units)

    def forget(self, tenant_id: int, device_id: str) -> None:
        """Know no unit of a device until it declares one."""
        self._news.pop((tenant_id, device_id), None)
        if self._units.get(tenant_id, {}).pop(device_id, None):
            self._count -= 1
            self.change_count += 1

    def _put(self, key: Key, units: Mapping[str, str]) -> None:
        self.change_count += 1
        tenant_id, device_id = key
        devices = self._units.setdefault(tenant_id, {})
        if device_id not in devices:
            if self._count == self._devices_limit:
                self._forget_one(tenant_id)
            self._count += 1
        devices[device_id] = units

    def _forget_one(self, for_tenant: int) -> None:
        tenant_id, devices = max(self._units.items(), key=lambda item: (len(item[1]), item[0] == for_tenant))
        self.forget(tenant_id, next(iter(devices)))


def _with(known: Mapping[str, str], more: Iterable[tuple[str, str]]) -> Mapping[str, str]:
    """The same and more, as far as there is room; what cannot be printed is left out."""
    changed = dict(known)
    for metric, unit in more:
        is_text = metric.isprintable() and unit.isprintable()
        if is_text and (metric in changed or len(changed) < UNITS_LIMIT):
            changed[metric] = unit
    return changed
