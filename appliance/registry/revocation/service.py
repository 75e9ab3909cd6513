"""Revocation of many certificates at once: in the database first, then in memory; then connections by them end."""

import logging
from collections.abc import Callable, Sequence
from typing import Protocol

from appliance.audit.model import Entry
from appliance.audit.service import Audit
from appliance.errors import InvalidInputError
from appliance.instant import Clock
from appliance.registry.model import Device, IssuedCertificate
from appliance.registry.revocation import queries

log = logging.getLogger(__name__)

DEVICES_LIMIT = 10_000
"""Whose certificates are revoked at once."""


class Devices(Protocol):
    """The devices in memory."""

    audit: Audit
    rights_changed: Callable[[int, str], None]

    def device(self, tenant_id: int, device_id: str) -> Device:
        """One device. Raises `UnknownDeviceError`."""

    def take_in(self, tenant_id: int, devices: Sequence[Device], kept: Sequence[IssuedCertificate] = ()) -> None:
        """Have in memory what was committed of devices and certificates."""


class Revocation:
    """Revokes the certificates of whole devices."""

    def __init__(self, registry: Devices, clock: Clock) -> None:
        self._registry = registry
        self._clock = clock

    async def revoke_devices(self, tenant_id: int, device_ids: Sequence[str]) -> int:
        """Let no certificate that these devices have open anything any more; gives how many that were.

        It is one transaction. Raises `UnknownDeviceError`, and `InvalidInputError` for too many devices.
        """
        wanted = list(dict.fromkeys(device_ids))
        if len(wanted) > DEVICES_LIMIT:
            raise InvalidInputError(f"certificates of at most {DEVICES_LIMIT:,} devices are revoked at once")
        for device_id in wanted:
            self._registry.device(tenant_id, device_id)
        entries = [Entry("certificate.revoke", device_id, {"fingerprint": "all"}) for device_id in wanted]
        revoked = await self._registry.audit.recorded(
            tenant_id, entries, queries.revoke_all_of, tenant_id, wanted, self._clock()
        )
        self._registry.take_in(tenant_id, [], [IssuedCertificate(name, known, "") for name, known in revoked])
        for device_id in wanted:
            self._registry.rights_changed(tenant_id, device_id)
        log.info("certificates revoked tenant_id=%s device_count=%s count=%s", tenant_id, len(wanted), len(revoked))
        return len(revoked)
