"""Renewal at work: a device gets a new certificate by its present one, and changes over in its own time.

Rules: both certificates are good until the new one was used once; then the old one is revoked, in the
database first. What is under way outlives a restart.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Self

from appliance.enrolment.renewal import queries, succession
from appliance.enrolment.renewal.model import (
    UNUSED_LIMIT,
    Succession,
    TooManyRenewalsError,
    WrongSubjectError,
)
from appliance.registry import signing_request
from appliance.registry.model import BoundCertificate, Certificate, Granted, UnknownCertificateError
from appliance.registry.service import Registry
from appliance.store.database import Database, UnwritableError

log = logging.getLogger(__name__)

_NAME_LENGTH = 64
"""The most characters of a common name: of a longer device id a certificate holds the beginning."""


class Renewal:
    """The certificates that are about to take the place of others."""

    def __init__(self, database: Database, registry: Registry) -> None:
        self._database = database
        self._registry = registry
        self._successions: dict[str, Succession] = {}
        self._used: asyncio.Queue[Succession] = asyncio.Queue()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Hear which certificates are used while the block lasts, and revoke those before them."""
        for each in await self._database.read(queries.select_successions()):
            self._successions[each.fingerprint] = each
        async with asyncio.TaskGroup() as tasks:
            work = tasks.create_task(self._work(), name="renewal")
            self._registry.certificate_used = self._note_used
            try:
                yield self
            finally:
                self._registry.certificate_used = lambda _bound: None
                work.cancel()

    async def renew(self, bound: BoundCertificate, request: bytes) -> Granted:
        """One more certificate for the device that shows `bound`, for the key of a request, PEM or DER.

        Raises `WrongSubjectError` for a request that names another device, `InvalidRequestError`,
        `DeviceRetiredError`, `TooManyRenewalsError`.
        """
        wanted = signing_request.read(request)
        device_id = bound.device_id
        reason = succession.subject_refusal(device_id, wanted.common_name, device_id[:_NAME_LENGTH])
        if reason:
            raise WrongSubjectError(reason)
        present = bound.certificate.fingerprint
        unused_count = sum(each.replaced == present for each in self._successions.values())
        if unused_count >= UNUSED_LIMIT:
            raise TooManyRenewalsError(f"{device_id} has {unused_count} renewed certificates: use one of them first")
        granted = await self._registry.grant_certificate(bound.tenant_id, device_id, wanted.der)
        made = Succession(bound.tenant_id, granted.fingerprint, present, device_id)
        await self._database.write(queries.insert_succession, made)
        self._successions[made.fingerprint] = made
        if self._registry.is_revoked(present):
            # It was taken back while the new one was made.
            await self._revoke_successors(bound.tenant_id, device_id, present)
        log.info("certificate renewed device_id=%s fingerprint=%s", device_id, granted.fingerprint)
        return granted

    async def revoke(self, tenant_id: int, device_id: str, fingerprint: str) -> Certificate:
        """Revoke a certificate, and whatever was renewed with it and not used yet: whoever stole it may hold that.

        Raises `UnknownCertificateError`.
        """
        revoked = await self._registry.revoke_certificate(tenant_id, device_id, fingerprint)
        await self._revoke_successors(tenant_id, device_id, fingerprint)
        return revoked

    async def _revoke_successors(self, tenant_id: int, device_id: str, fingerprint: str) -> None:
        ended = [fingerprint]
        for replaced in ended:
            ended += [
                each.fingerprint
                for each in self._successions.values()
                if (each.tenant_id, each.device_id, each.replaced) == (tenant_id, device_id, replaced)
            ]
        for successor in ended[1:]:
            with contextlib.suppress(UnknownCertificateError):
                await self._registry.revoke_certificate(tenant_id, device_id, successor)
        await self._database.write(queries.delete_successions, tenant_id, ended[1:])
        for successor in ended[1:]:
            self._successions.pop(successor, None)

    def _note_used(self, bound: BoundCertificate) -> None:
        """Hear that a certificate opened a door: called for every one, so it is quick for those not renewed."""
        used = self._successions.get(bound.certificate.fingerprint)
        if used is not None:
            self._used.put_nowait(used)

    async def _work(self) -> None:
        while True:
            used = await self._used.get()
            # It may have been used several times before it was its turn.
            if used.fingerprint in self._successions:
                # While the disk is full the old certificate goes on; the next use of the new one tries again.
                with contextlib.suppress(UnwritableError):
                    await self._take_over(used)

    async def _take_over(self, used: Succession) -> None:
        own = [
            each
            for each in self._successions.values()
            if (each.tenant_id, each.device_id) == (used.tenant_id, used.device_id)
        ]
        ended = succession.ended_by(own, used.fingerprint)
        for fingerprint in sorted(ended):
            # Its device may have been erased meanwhile, with all its certificates.
            with contextlib.suppress(UnknownCertificateError):
                await self._registry.revoke_certificate(used.tenant_id, used.device_id, fingerprint)
        done = [each.fingerprint for each in own if each.fingerprint in ended | {used.fingerprint}]
        await self._database.write(queries.delete_successions, used.tenant_id, done)
        for fingerprint in done:
            self._successions.pop(fingerprint, None)
        log.info("renewed certificate took over device_id=%s fingerprint=%s", used.device_id, used.fingerprint)
