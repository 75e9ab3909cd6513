"""Revocation of many certificates at once: in the database first, then in memory; then connections by them end.

A CA that is revoked is one row: from its commit on nothing that it has issued opens anything. What it has issued is
marked afterwards, slice by slice, for the pages and the list of revoked certificates.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Protocol

from appliance.audit.model import Entry
from appliance.audit.service import Audit
from appliance.errors import InvalidInputError
from appliance.instant import Clock
from appliance.registry.authorities.service import Authorities
from appliance.registry.keys import Tended
from appliance.registry.model import DEFAULT_TENANT, Device, IssuedCertificate
from appliance.registry.pki import Pki
from appliance.registry.revocation import issuers, queries
from appliance.registry.revocation.issuers import Issuer, RevokedIssuer, RevokedKeys, Succession, UnknownIssuerError
from appliance.store.database import Database

log = logging.getLogger(__name__)

DEVICES_LIMIT = 10_000
"""Whose certificates are revoked at once."""

SLICE_COUNT = 1_000
"""How many certificates are looked at, and marked, at a time."""


class Devices(Protocol):
    """The devices in memory."""

    audit: Audit
    authorities: Authorities
    rights_changed: Callable[[int, str], None]

    def device(self, tenant_id: int, device_id: str) -> Device:
        """One device. Raises `UnknownDeviceError`."""

    def take_in(self, tenant_id: int, devices: Sequence[Device], kept: Sequence[IssuedCertificate] = ()) -> None:
        """Have in memory what was committed of devices and certificates."""


class Revocation:
    """Revokes the certificates of whole devices, and of whole CAs."""

    def __init__(self, database: Database, registry: Devices, clock: Clock) -> None:
        self._database = database
        self._registry = registry
        self._clock = clock
        self._keys = RevokedKeys()
        self._revoked: dict[str, RevokedIssuer] = {}
        self._revoking = asyncio.Lock()
        self.judge_everybody: Callable[[], Awaitable[None]] = _nobody_judged
        """Ends the connections of whoever would not be let in any more; it is done when it returns."""

    async def open(self) -> None:
        """Know the CAs that were revoked, and finish what a crash left undone; the registry has its devices."""
        for one in await self._database.read(queries.select_issuers()):
            self._know(one)
            if one.finished_at is None:
                await self._mark(one)

    def issuer_refusal(self, certificate: bytes) -> str | None:
        """Why a certificate, DER, opens nothing because its CA was revoked; None when that is no reason."""
        return self._keys.refusal(certificate)

    async def issuers(self, tenant_id: int) -> list[Issuer]:
        """The CAs that issue, or have issued, to devices, the one in use first; they are the first tenant's."""
        if tenant_id != DEFAULT_TENANT:
            return []
        return await asyncio.to_thread(issuers.known, self._registry.authorities.pki, list(self._revoked.values()))

    async def issuer(self, tenant_id: int, fingerprint: str) -> Issuer:
        """One of them. Raises `UnknownIssuerError`."""
        found = [one for one in await self.issuers(tenant_id) if one.fingerprint == fingerprint.lower()]
        if not found:
            raise UnknownIssuerError(f"no CA with the fingerprint {fingerprint[:64]!r} has issued to devices here")
        return found[0]

    async def revoke_issuer(self, tenant_id: int, fingerprint: str) -> Succession:
        """Let nothing that a CA has issued open anything any more; one that issues now is followed by a new one.

        There is no way back. Raises `UnknownIssuerError`, and `RootKeyError` when the CA issues now and the root's
        key, which makes another one, is away: then nothing was changed.
        """
        async with self._revoking:
            issuer = await self.issuer(tenant_id, fingerprint)
            authorities = self._registry.authorities
            # First the new one: a crash between the two leaves a gateway that works, and a person who asks again.
            is_followed = issuer.is_in_use and issuer.revoked_at is None
            successor: Issuer | None = None
            if is_followed:
                work: Callable[[Pki], Tended[Issuer]] = partial(issuers.succeed, now=self._clock())
                successor = await authorities.tend(work)
            one = await self._registry.audit.recorded(
                tenant_id,
                [Entry("issuer.revoke", issuer.name, {"fingerprint": issuer.fingerprint})],
                *(queries.insert_issuer, tenant_id, issuer, self._clock()),
            )
            self._know(one)
            # Before anything else is done, for a thread beside it would slow it down.
            await self.judge_everybody()
            log.warning("CA revoked fingerprint=%s name=%s", one.fingerprint, one.name)
            count = await self._mark(one)
        revoked = await self.issuer(tenant_id, fingerprint)
        return Succession(revoked, count, successor)

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

    def _know(self, one: RevokedIssuer) -> None:
        if one.fingerprint not in self._revoked:
            self._keys.add(one)
        self._revoked[one.fingerprint] = one

    async def _mark(self, one: RevokedIssuer) -> int:
        """Mark what a revoked CA has issued as revoked; gives how many certificates were not before."""
        count, after = 0, 0
        while held := await self._database.read(queries.select_pems(after, SLICE_COUNT)):
            after = held[-1].number
            found = await asyncio.to_thread(issuers.issued_by, one, held)
            marked = await self._database.write(queries.revoke_held, found, one.revoked_at) if found else []
            for each, certificate in marked:
                kept = IssuedCertificate(each.device_id, certificate, "")
                self._registry.take_in(each.tenant_id, [], [kept])
            count += len(marked)
        await self._database.write(queries.update_finished, DEFAULT_TENANT, one.fingerprint, self._clock())
        log.info("certificates of a revoked CA marked fingerprint=%s count=%s", one.fingerprint, count)
        return count


async def _nobody_judged() -> None:
    """Stand in while nobody keeps connections."""
