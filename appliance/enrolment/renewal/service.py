"""Renewal at work: a device gets a new certificate by its present one, and changes over in its own time.

Rules: both certificates are good until a client was let in with the new one; then the old one is revoked, in the
database first, with all else that was renewed in its place. What is under way outlives a restart.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Self

from appliance.enrolment.renewal import queries, succession
from appliance.enrolment.renewal.model import EndedCertificateError, Succession, WrongSubjectError
from appliance.enrolment.renewal.reminding.service import Clients, Reminder
from appliance.enrolment.renewal.succession import SuccessionBook
from appliance.registry import issue, record, signing_request
from appliance.registry import queries as registry_queries
from appliance.registry.model import (
    BoundCertificate,
    Certificate,
    DeviceRetiredError,
    DeviceState,
    Granted,
    IssuedCertificate,
)
from appliance.registry.service import Registry
from appliance.store.database import Database, UnwritableError

log = logging.getLogger(__name__)

_NAME_LENGTH = 64
"""The most characters of a common name: of a longer device id a certificate holds the beginning."""


class Renewal:
    """The certificates that are about to take the place of others."""

    def __init__(self, database: Database, registry: Registry, renewals_a_day: int) -> None:
        """`renewals_a_day` is how many certificates one device may renew on one day."""
        self._database = database
        self._registry = registry
        self._renewals_a_day = renewals_a_day
        self._book = SuccessionBook()
        self._used: asyncio.Queue[Succession] = asyncio.Queue()
        self.reminder = Reminder(self, database, registry)
        """Asks devices whose certificates are due."""

    @contextlib.asynccontextmanager
    async def running(self, clients: Clients) -> AsyncIterator[Self]:
        """Hear which certificates are used while the block lasts, revoke those before them, and ask who is due."""
        for each in await self._database.read(queries.select_successions()):
            self._book.add(each)
        async with self.reminder.running(clients), asyncio.TaskGroup() as tasks:
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
        `EndedCertificateError`, `DeviceRetiredError`, `TooManyRenewalsError`.
        """
        tenant_id, device_id = bound.tenant_id, bound.device_id
        presented = bound.certificate.fingerprint
        if self._registry.own_authorities.is_own(presented):
            raise EndedCertificateError(
                f"the certificate of {device_id} is of a CA of your own, which issues the next one, too: what we issued"
                " would outlive it when that CA is switched off or removed"
            )
        wanted = signing_request.read(request)
        reason = succession.subject_refusal(device_id, wanted.common_name, device_id[:_NAME_LENGTH])
        if reason:
            raise WrongSubjectError(reason)
        if self._registry.device(tenant_id, device_id).state is DeviceState.RETIRED:
            raise DeviceRetiredError(f"{device_id} is retired")
        now = self._registry.time.issuing_at
        authorities = self._registry.authorities
        kept, granted = await authorities.sign(issue.grant, authorities.pki, device_id, wanted.der, now)
        made = Succession(tenant_id, granted.fingerprint, presented, device_id, now)
        bind = partial(registry_queries.insert_certificates, tenant_id=tenant_id, issued=[kept])
        await self._registry.audit.recorded(
            tenant_id,
            record.issued([kept], key=record.MADE_BY_THE_DEVICE),
            *(queries.insert_renewal, made, self._renewals_a_day, bind),
        )
        self._registry.take_in(tenant_id, [], [kept])
        self._book.add(made)
        log.info("certificate renewed device_id=%s fingerprint=%s", device_id, granted.fingerprint)
        return granted

    async def revoke(self, tenant_id: int, device_id: str, fingerprint: str) -> Certificate:
        """Revoke a certificate, and whatever was renewed with it and not used yet: whoever stole it may hold that.

        Raises `UnknownCertificateError`.
        """
        revoked = await self._registry.revoke_certificate(tenant_id, device_id, fingerprint)
        # After the commit: nothing is renewed with it from here on.
        ended = succession.renewed_with(self._book.of(tenant_id, device_id), fingerprint)
        self._book.remove(tenant_id, device_id, ended | {fingerprint})
        return revoked

    def successions(self, tenant_id: int, device_id: str) -> Sequence[Succession]:
        """The renewed certificates of a device that it has not used, and may use."""
        own = self._book.of(tenant_id, device_id)
        return tuple(each for each in own if not self._registry.is_revoked(each.fingerprint))

    def _note_used(self, bound: BoundCertificate) -> None:
        """Hear that a client was let in by a certificate: called for each, so it is quick for those not renewed."""
        used = self._book.find(bound.tenant_id, bound.device_id, bound.certificate.fingerprint)
        if used is not None:
            self._used.put_nowait(used)

    async def _work(self) -> None:
        while True:
            used = await self._used.get()
            # It may have been used several times before it was its turn.
            if self._book.find(used.tenant_id, used.device_id, used.fingerprint) is not None:
                # While the disk is full the old certificate goes on; the next use of the new one tries again.
                with contextlib.suppress(UnwritableError):
                    await self._take_over(used)

    async def _take_over(self, used: Succession) -> None:
        """Revoke, in one transaction, what a certificate that was used takes the place of. Raises `UnwritableError`."""
        tenant_id, device_id = used.tenant_id, used.device_id
        now = self._registry.time.issuing_at
        async with self._registry.revocation.settled():
            ended = await self._registry.audit.told(
                tenant_id,
                lambda found: [it for one in found for it in record.revoked(device_id, one.certificate.fingerprint)],
                *(queries.take_over, tenant_id, device_id, used.fingerprint, now),
            )
        self._registry.take_in(tenant_id, [], [IssuedCertificate(device_id, one.certificate, "") for one in ended])
        self._registry.rights_changed(tenant_id, device_id)
        gone = succession.ended_by(self._book.of(tenant_id, device_id), used.fingerprint)
        self._book.remove(tenant_id, device_id, gone | {used.fingerprint})
        log.info("renewed certificate took over device_id=%s fingerprint=%s", device_id, used.fingerprint)
