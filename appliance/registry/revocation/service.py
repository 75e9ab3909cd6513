"""Revocation of many certificates at once: in the database first, then in memory; then connections by them end.

A CA that is revoked is one row: from its commit on nothing that it has issued opens anything. What it has issued is
marked afterwards, slice by slice, for the pages and the list of revoked certificates. With each certificate goes what
was renewed with it and not used yet. While the disk takes no writes, all this is so in memory, and written later.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from functools import partial
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

from appliance.audit.model import Entry
from appliance.audit.service import Audit
from appliance.errors import InvalidInputError
from appliance.instant import Clock
from appliance.registry import record
from appliance.registry.authorities.service import Authorities
from appliance.registry.keys import Tended
from appliance.registry.model import DEFAULT_TENANT, BoundCertificate, Certificate, Device, IssuedCertificate
from appliance.registry.pki import Pki
from appliance.registry.revocation import issuers, queries
from appliance.registry.revocation.issuers import (
    Held,
    Issuer,
    RevokedIssuer,
    RevokedKeys,
    Succession,
    UnknownIssuerError,
)
from appliance.store.database import Database, UnwritableError

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

    def is_revoked(self, fingerprint: str) -> bool:
        """Whether a certificate was taken back."""

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
        self._unfinished: dict[str, RevokedIssuer] = {}
        """Those whose certificates are not all marked."""
        self._in_memory: set[str] = set()
        """Those of them, by fingerprint, whose certificates are revoked in memory, for the disk took no writes."""
        self._leaving: CertificatePublicKeyTypes | None = None
        """The key of the CA that is being revoked just now: it is not put back meanwhile."""
        self._revoking = asyncio.Lock()
        self.judge_everybody: Callable[[], Awaitable[None]] = _nobody_judged
        """Ends the connections of whoever would not be let in any more; it is done when it returns."""

    async def open(self) -> None:
        """Know the CAs that were revoked, and finish what a crash left undone; the registry has its devices."""
        for one in await self._database.read(queries.select_issuers()):
            self._know(one)
            if one.finished_at is None:
                self._unfinished[one.fingerprint] = one
        await self.look_after()

    async def look_after(self) -> None:
        """Finish what was begun: the marks of revoked CAs, and lineages of which a part was left good."""
        async with self._revoking:
            for tenant_id, fingerprint in await self._database.read(queries.select_left_good()):
                await self._end_lineage(tenant_id, fingerprint)
            for one in list(self._unfinished.values()):
                await self._mark(one)

    @contextlib.asynccontextmanager
    async def settled(self) -> AsyncIterator[None]:
        """Have no CA revoked while the block lasts, and none whose certificates are still to be marked.

        What was renewed with these goes, too: it must not take over before. Raises `UnwritableError`.
        """
        async with self._revoking:
            if self._unfinished:
                raise UnwritableError("certificates of a revoked CA could not be marked yet")
            yield

    def key_refusal(self, key: CertificatePublicKeyTypes) -> str | None:
        """Why a CA with this public key does not issue here any more; None when that is no reason."""
        if self._leaving == key:
            return "the CA of this key is being revoked: let another one issue"
        return self._keys.key_refusal(key)

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
            self._leaving = issuers.public_key(issuer)
            try:
                # First the new one: a crash between the two leaves a gateway that works, and a person who asks again.
                successor = await self._followed(self._leaving)
                one = self._revoked.get(issuer.fingerprint) or await self._written(tenant_id, issuer)
            finally:
                self._leaving = None
            count = await self._mark(one)
        revoked = await self.issuer(tenant_id, fingerprint)
        return Succession(revoked, count, successor)

    async def revoke_certificate(self, tenant_id: int, device_id: str, fingerprint: str) -> Certificate:
        """Let a certificate, and what was renewed with it and not used yet, open nothing any more, in one transaction.

        Whoever stole it may hold that. Raises `UnknownCertificateError`.
        """
        ended = await self._registry.audit.told(
            tenant_id,
            lambda found: [entry for one in found for entry in record.revoked(device_id, one.certificate.fingerprint)],
            *(queries.revoke_certificate, tenant_id, device_id, fingerprint, self._clock()),
        )
        self._take_in(ended)
        for one in ended:
            log.info("certificate revoked device_id=%s fingerprint=%s", device_id, one.certificate.fingerprint)
        return ended[0].certificate

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

    async def _followed(self, key: CertificatePublicKeyTypes) -> Issuer | None:
        """Have another CA issue from now on, where one of this key issues by now; None where none does."""
        if not await self._registry.authorities.is_issuing(key):
            return None
        work: Callable[[Pki], Tended[Issuer]] = partial(issuers.succeed, now=self._clock())
        return await self._registry.authorities.tend(work)

    async def _written(self, tenant_id: int, issuer: Issuer) -> RevokedIssuer:
        """Revoke a CA; every connection by what it has issued is over when this returns."""
        entry = Entry("issuer.revoke", issuer.name, {"fingerprint": issuer.fingerprint})
        one = await self._registry.audit.recorded(
            tenant_id, [entry], queries.insert_issuer, tenant_id, issuer, self._clock()
        )
        self._know(one)
        # Before anything else is done, for a thread beside it would slow it down.
        await self.judge_everybody()
        log.warning("CA revoked fingerprint=%s name=%s", one.fingerprint, one.name)
        return one

    def _know(self, one: RevokedIssuer) -> None:
        if one.fingerprint not in self._revoked:
            self._keys.add(one)
        self._revoked[one.fingerprint] = one

    async def _mark(self, one: RevokedIssuer) -> int:
        """Mark what a revoked CA has issued as revoked; gives how many certificates were not before."""
        self._unfinished[one.fingerprint] = one
        count, after, fault = 0, 0, ""
        while held := await self._database.read(queries.select_pems(after, SLICE_COUNT)):
            after = held[-1].number
            found = await asyncio.to_thread(issuers.issued_by, one, held)
            try:
                marked = await self._database.write(queries.revoke_held, found, one.revoked_at) if found else []
            except UnwritableError as error:
                if one.fingerprint in self._in_memory:
                    return count
                fault, marked = str(error), await self._would_be_marked(found, one.revoked_at)
            self._take_in(marked, but={each.fingerprint for each in found})
            count += len(marked)
        await self._finish(one, count, fault)
        return count

    async def _would_be_marked(self, found: Sequence[Held], revoked_at: int) -> list[BoundCertificate]:
        ended: list[BoundCertificate] = []
        for tenant_id in {each.tenant_id for each in found}:
            fingerprints = [each.fingerprint for each in found if each.tenant_id == tenant_id]
            ended += await self._database.read(queries.select_lineages(tenant_id, fingerprints, revoked_at))
        return ended

    async def _finish(self, one: RevokedIssuer, count: int, fault: str) -> None:
        """Note that everything is marked, or for later that it is not."""
        with contextlib.suppress(UnwritableError):
            if not fault:
                await self._database.write(queries.update_finished, DEFAULT_TENANT, one.fingerprint, self._clock())
                del self._unfinished[one.fingerprint]
                self._in_memory.discard(one.fingerprint)
                log.info("certificates of a revoked CA marked fingerprint=%s count=%s", one.fingerprint, count)
                return
        if one.fingerprint not in self._in_memory:
            self._in_memory.add(one.fingerprint)
            log.warning("certificates of a revoked CA are not marked on disk yet fingerprint=%s", one.fingerprint)

    async def _end_lineage(self, tenant_id: int, fingerprint: str) -> None:
        """Revoke what is left good of the lineage of a certificate that was revoked."""
        now = self._clock()
        ended = await self._database.read(queries.select_lineages(tenant_id, [fingerprint], now))
        # It opens nothing from here on, whether the disk takes it or not.
        for each in self._take_in(ended):
            log.warning("successor of a revoked certificate revoked fingerprint=%s", each.certificate.fingerprint)
        entries = [entry for each in ended for entry in record.revoked(each.device_id, each.certificate.fingerprint)]
        with contextlib.suppress(UnwritableError):
            await self._registry.audit.recorded(
                tenant_id, entries, queries.revoke_lineages, tenant_id, [fingerprint], now
            )

    def _take_in(self, ended: Sequence[BoundCertificate], but: Collection[str] = ()) -> list[BoundCertificate]:
        """Have in memory what was revoked, and its connections judged unless it is in `but`; gives what was good."""
        good = [each for each in ended if not self._registry.is_revoked(each.certificate.fingerprint)]
        for each in ended:
            self._registry.take_in(each.tenant_id, [], [IssuedCertificate(each.device_id, each.certificate, "")])
        for each in good:
            if each.certificate.fingerprint not in but:
                self._registry.rights_changed(each.tenant_id, each.device_id)
        return good


async def _nobody_judged() -> None:
    """Stand in while nobody keeps connections."""
