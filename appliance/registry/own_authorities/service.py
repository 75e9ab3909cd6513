"""CAs of a tenant's own at work: registered with a proof, asked at first connections, switched off and removed.

Rules: a certificate that was never seen is refused, and taken in meanwhile; the next connection is let in. Who names
a device that is registered already waits until a person has said that it is that device. What opens a door is a
certificate's fingerprint, as with our own; nothing follows from its serial number but that it was seen before.
"""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Protocol, Self

from cryptography import x509

from appliance.audit.service import Audit
from appliance.errors import ApplianceError, InvalidInputError
from appliance.instant import Clock
from appliance.registry.authorities.service import Authorities
from appliance.registry.model import Device, IssuedCertificate, NewDevice, check_new_device
from appliance.registry.own_authorities import event, queries, reading, record
from appliance.registry.own_authorities.book import Book, suggested_id
from appliance.registry.own_authorities.model import (
    CODE_BYTES,
    DAILY_MOST,
    REFUSED_SHOWN,
    REMEMBERED_MS,
    Acceptance,
    CertificateState,
    InvalidAuthorityError,
    Leaf,
    Mode,
    OwnAuthority,
    OwnCertificate,
    OwnCertificateRefusedError,
    Settings,
    UnknownAuthorityError,
    UnknownOwnCertificateError,
)
from appliance.registry.own_authorities.neighbours import Templates, Watch
from appliance.registry.own_authorities.queries import Seen, TakenIn
from appliance.store.database import Database
from broker.message import Message
from broker.ports import Credentials, Denied, Principal

log = logging.getLogger(__name__)

QUEUE_LIMIT = 1_000
"""Certificates that wait to be looked at; beyond, the next connection asks again."""
REFUSALS_LIMIT = 1_000
"""Certificates of which it is remembered why they were not taken in."""


class Devices(Protocol):
    """The devices in memory."""

    audit: Audit
    authorities: Authorities
    rights_changed: Callable[[int, str], None]

    @property
    def time(self) -> Watch:
        """Knows what the clock is worth."""

    def has_device(self, tenant_id: int, device_id: str) -> bool:
        """Whether a device of this id is registered."""

    def take_in(self, tenant_id: int, devices: Sequence[Device], kept: Sequence[IssuedCertificate] = ()) -> None:
        """Have in memory what was committed of devices and certificates."""


class OwnAuthorities:
    """The CAs that tenants have brought along."""

    def __init__(self, database: Database, clock: Clock, registry: Devices) -> None:
        self._database = database
        self._clock = clock
        self._registry = registry
        self._book = Book()
        self._issuers: dict[int, x509.Certificate] = {}
        self._waiting: asyncio.Queue[Seen] = asyncio.Queue(QUEUE_LIMIT)
        self._under_way: set[str] = set()
        self._refusals: dict[str, tuple[str, int]] = {}
        """By fingerprint: why it was not taken in, and when."""
        self.publish: Callable[[Message], object] = lambda _message: None
        """Tells programs of a certificate that was seen for the first time."""
        self.templates: Templates | None = None
        """Where devices are made of certificates by a template; without it by their common name alone."""

    async def open(self) -> None:
        """Have CAs and certificates in memory."""
        for authority in await self._database.read(queries.select_authorities()):
            self._know(authority)
        self._book.note(await self._database.read(queries.select_certificates()))

    @property
    def issuers(self) -> tuple[x509.Certificate, ...]:
        """The CAs, also those that are switched off: their devices are to be told why they are refused."""
        return tuple(self._issuers.values())

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Take in what is seen for the first time, while the block lasts."""
        try:
            async with asyncio.TaskGroup() as tasks:
                task = tasks.create_task(self._serve(), name="first connections")
                try:
                    yield self
                finally:
                    task.cancel()
        except BaseExceptionGroup as group:
            # A mistake within the block stays what it is: the command line says it in a sentence.
            if len(group.exceptions) > 1:
                raise
            raise group.exceptions[0] from None

    async def caught_up(self) -> None:
        """Wait until everything was looked at that was seen so far."""
        await self._waiting.join()

    # For the directory.

    def refusal(self, fingerprint: str) -> str | None:
        """None where the CA of a device's certificate lets it in, or it is of no such CA; else why not."""
        return self._book.refusal(fingerprint)

    def is_own(self, fingerprint: str) -> bool:
        """Whether a certificate is of a CA of a tenant's own, and so not of ours."""
        return fingerprint in self._book.certificates

    def first_seen(self, credentials: Credentials) -> Denied | None:
        """Why a certificate that is no device's opens nothing yet; None when it is of no CA that is registered.

        It is taken in meanwhile, if its CA says so.
        """
        certificate = None if credentials.certificate is None else reading.parsed(credentials.certificate)
        if certificate is None:
            return None
        known = self._book.certificates.get(reading.fingerprint(certificate))
        if known is not None:
            is_registered = self._registry.has_device(known.tenant_id, known.device_id)
            reason = self._book.standing(known, names_registered=is_registered)
            return Denied(reason, of=self._device(known.tenant_id, known.device_id))
        number = reading.issuer_of(certificate, self._issuers)
        if number is None:
            return None
        return self._looked_at(self._book.authorities[number], self._issuers[number], certificate, credentials.address)

    # For people.

    def authorities(self, tenant_id: int) -> list[OwnAuthority]:
        """The CAs of a tenant, in the order in which they were registered."""
        return [each for each in self._book.authorities.values() if each.tenant_id == tenant_id]

    def authority(self, tenant_id: int, authority_number: int) -> OwnAuthority:
        """One CA. Raises `UnknownAuthorityError`."""
        found = self._book.authorities.get(authority_number)
        if found is None or found.tenant_id != tenant_id:
            raise UnknownAuthorityError(f"there is no CA {authority_number}")
        return found

    def device_count(self, authority_number: int) -> int:
        """How many devices have a certificate of a CA."""
        return len(self._book.devices_of(authority_number))

    def undecided(self, tenant_id: int) -> list[OwnCertificate]:
        """The certificates that wait for a person, the newest first."""
        return self._book.certificates_of(tenant_id, CertificateState.WAITING)

    def refused(self, tenant_id: int) -> list[OwnCertificate]:
        """The newest certificates that a person has refused, the newest first."""
        return self._book.certificates_of(tenant_id, CertificateState.REFUSED)[:REFUSED_SHOWN]

    def certificate(self, tenant_id: int, certificate_number: int) -> OwnCertificate:
        """One certificate, whatever became of it. Raises `UnknownOwnCertificateError`."""
        for each in self._book.certificates.values():
            if (each.tenant_id, each.certificate_number) == (tenant_id, certificate_number):
                return each
        raise UnknownOwnCertificateError("no certificate of that number was seen here")

    async def make_code(self, tenant_id: int) -> str:
        """A registration code, good for one CA and for an hour: 64 hexadecimal digits, as a common name may have."""
        code = secrets.token_hex(CODE_BYTES)
        await self._database.write(queries.insert_code, tenant_id, reading.hashed(code), self._clock())
        return code

    async def register(self, tenant_id: int, certificate: bytes, proof: bytes, settings: Settings) -> OwnAuthority:
        """Register a CA by its certificate and one that it has issued to a registration code, both PEM.

        Raises `InvalidAuthorityError`, `AuthorityExistsError`, `UnknownTemplateError`, `InvalidInputError`.
        """
        self._check(tenant_id, settings)
        authority = reading.read(certificate, "the certificate of the CA")
        new = reading.checked(authority, self._registry.authorities.pki.ours, self._registry.time.reading())
        code = reading.proven_code(reading.read(proof, "the proof"), authority)
        if not code:
            raise InvalidAuthorityError("the proof has no common name: it has to be the registration code")
        registered = await self._registry.audit.recorded(
            tenant_id,
            record.registered(new, settings),
            *(queries.insert_authority, tenant_id, new, settings, reading.hashed(code), self._clock()),
        )
        self._know(registered)
        await self._trust()
        log.info("CA registered authority_number=%s fingerprint=%s", registered.authority_number, new.fingerprint)
        return registered

    async def change(self, tenant_id: int, authority_number: int, settings: Settings) -> OwnAuthority:
        """Decide what becomes of the certificates of a CA; switched off, it lets none of its devices in.

        Raises `UnknownAuthorityError`, `UnknownTemplateError`, `InvalidInputError`.
        """
        self._check(tenant_id, settings)
        before = self.authority(tenant_id, authority_number)
        entries = record.changed(before, settings)
        changed = await self._registry.audit.recorded(
            tenant_id, entries, queries.update_settings, tenant_id, authority_number, settings
        )
        self._know(changed)
        self._refusals.clear()
        if settings.mode is Mode.INACTIVE:
            self._tell(tenant_id, self._book.devices_of(authority_number))
        log.info("CA changed authority_number=%s mode=%s", authority_number, settings.mode)
        return changed

    async def remove(self, tenant_id: int, authority_number: int) -> int:
        """Remove a CA and revoke all of its certificates for good; gives how many were good until now.

        Raises `UnknownAuthorityError`.
        """
        entries = record.removed(self.authority(tenant_id, authority_number))
        revoked = await self._registry.audit.recorded(
            tenant_id, entries, queries.remove_authority, tenant_id, authority_number, self._clock()
        )
        del self._book.authorities[authority_number], self._issuers[authority_number]
        self._registry.take_in(tenant_id, [], [IssuedCertificate(name, known, "") for name, known in revoked])
        self._tell(tenant_id, self._book.devices_of(authority_number))
        await self._trust()
        log.info("CA removed authority_number=%s certificate_count=%s", authority_number, len(revoked))
        return len(revoked)

    async def accept(self, tenant_id: int, certificate_number: int, acceptance: Acceptance) -> None:
        """Let the bearer of a certificate that waits be a device; its next connection is let in.

        Raises `UnknownOwnCertificateError`, `OwnCertificateRefusedError`, `DeviceExistsError`, `UnknownDeviceError`,
        `InvalidDeviceIdError`, `InvalidInputError`.
        """
        known, now = self.certificate(tenant_id, certificate_number), self._clock()
        new = NewDevice(
            acceptance.device_id, type=acceptance.type, zone=acceptance.zone, serial_number=known.serial_number
        )
        check_new_device(new)
        entries = record.accepted(known, new.device_id)
        accept = queries.accept_for if acceptance.is_registered else queries.accept
        taken = await self._registry.audit.recorded(tenant_id, entries, accept, known, new, now)
        self._keep(taken)
        if acceptance.is_registered:
            self._registry.rights_changed(tenant_id, new.device_id)
        log.info("certificate accepted device_id=%s fingerprint=%s", new.device_id, known.fingerprint)

    async def refuse(self, tenant_id: int, certificate_number: int) -> None:
        """Let nobody in by a certificate that waits. Raises `UnknownOwnCertificateError`."""
        known = self.certificate(tenant_id, certificate_number)
        refused = await self._registry.audit.recorded(
            tenant_id,
            record.refused(known),
            *(queries.update_refused, tenant_id, certificate_number, self._clock()),
        )
        self._book.note([refused])
        log.info("certificate refused fingerprint=%s", known.fingerprint)

    async def reconsider(self, tenant_id: int, certificate_number: int) -> None:
        """Let a certificate wait again that a person has refused.

        Raises `UnknownOwnCertificateError`, `OwnCertificateRefusedError`.
        """
        known = self.certificate(tenant_id, certificate_number)
        waiting = await self._registry.audit.recorded(
            tenant_id, record.reconsidered(known), queries.update_reconsidered, tenant_id, certificate_number
        )
        self._book.note([waiting])
        log.info("certificate waits again fingerprint=%s", known.fingerprint)

    # Private.

    def _check(self, tenant_id: int, settings: Settings) -> None:
        if not 0 <= settings.daily_limit <= DAILY_MOST:
            raise InvalidInputError(f"a CA may be set to bring 0 to {DAILY_MOST:,} certificates a day")
        if settings.template and self.templates is not None:
            self.templates.check_template(tenant_id, settings.template)

    def _know(self, authority: OwnAuthority) -> None:
        self._book.remember(authority)
        self._issuers[authority.authority_number] = reading.read(authority.pem.encode(), "the certificate of the CA")

    async def _trust(self) -> None:
        """Let listeners know the CAs."""
        await self._registry.authorities.trust_also(self.issuers)

    def _tell(self, tenant_id: int, device_ids: Sequence[str]) -> None:
        for device_id in device_ids:
            self._registry.rights_changed(tenant_id, device_id)

    def _looked_at(
        self, authority: OwnAuthority, issuer: x509.Certificate, certificate: x509.Certificate, address: str
    ) -> Denied:
        """What is said to a certificate that names this CA and was never seen."""
        if authority.settings.mode is Mode.INACTIVE:
            return Denied(f"the CA {authority.subject} is switched off at this gateway")
        now, fingerprint = self._clock(), reading.fingerprint(certificate)
        reason = self._remembered(fingerprint, now)
        if not reason and fingerprint not in self._under_way:
            try:
                leaf = reading.leaf(certificate, issuer, self._registry.time.reading())
                self._queue(issuer, Seen(authority, leaf, address, now))
            except OwnCertificateRefusedError as error:
                reason = str(error)
                self._remember_refusal(fingerprint, reason, now)
        if reason:
            told = f"the certificate of the CA {authority.subject} is not taken in: {reason}"
            return Denied(told, of=self._device(authority.tenant_id, reading.common_name(certificate)))
        return Denied(f"the device is being registered by its certificate of {authority.subject}: connect again")

    def _queue(self, issuer: x509.Certificate, seen: Seen) -> None:
        if reading.key_of(issuer) in map(reading.key_of, self._registry.authorities.pki.ours):
            raise OwnCertificateRefusedError("its CA issues for this gateway itself")
        try:
            self._waiting.put_nowait(seen)
        except asyncio.QueueFull:
            raise OwnCertificateRefusedError(f"{QUEUE_LIMIT} others wait to be looked at: connect again") from None
        self._under_way.add(seen.leaf.fingerprint)

    async def _serve(self) -> None:
        while True:
            seen = await self._waiting.get()
            fingerprint = seen.leaf.fingerprint
            try:
                await self._take_in(seen)
            except ApplianceError as error:
                self._remember_refusal(fingerprint, str(error), self._clock())
            except Exception as error:  # one certificate stops nobody
                self._remember_refusal(
                    fingerprint, f"the gateway made a mistake ({type(error).__name__})", self._clock()
                )
                log.exception("certificate not looked at fingerprint=%s", fingerprint)
            finally:
                self._under_way.discard(fingerprint)
                self._waiting.task_done()

    async def _take_in(self, seen: Seen) -> None:
        authority = seen.authority
        new = check_new_device(self._wanted(authority, seen.leaf))
        now = self._registry.time.reading().issuing_at
        taken = await self._registry.audit.told(
            authority.tenant_id,
            lambda it: record.taken_in([it.kept], authority) if it.kept else [],
            *(queries.take_in, seen, new, now),
        )
        self._keep(taken)
        self.publish(event.registered(taken.certificate, authority.fingerprint, self._clock()))
        log.info("certificate of a CA seen state=%s fingerprint=%s", taken.certificate.state, seen.leaf.fingerprint)

    def _wanted(self, authority: OwnAuthority, leaf: Leaf) -> NewDevice:
        settings = authority.settings
        if settings.mode is Mode.REGISTER:
            return NewDevice(suggested_id(leaf))
        if settings.template and self.templates is not None:
            told = {**dict(leaf.attributes), "SerialNumber": leaf.serial_number}
            return self.templates.made_of(authority.tenant_id, settings.template, told, leaf.fingerprint)
        return NewDevice(leaf.common_name, serial_number=leaf.serial_number)

    def _keep(self, taken: TakenIn) -> None:
        if taken.device is not None and taken.kept is not None:
            self._registry.take_in(taken.device.tenant_id, [taken.device], [taken.kept])
        self._book.note([taken.certificate])

    def _device(self, tenant_id: int, device_id: str) -> Principal | None:
        """Whose page a refusal belongs on."""
        return Principal(tenant_id, device_id) if self._registry.has_device(tenant_id, device_id) else None

    def _remembered(self, fingerprint: str, now: int) -> str:
        reason, at = self._refusals.get(fingerprint, ("", now))
        return reason if 0 <= now - at < REMEMBERED_MS else ""

    def _remember_refusal(self, fingerprint: str, reason: str, now: int) -> None:
        self._refusals.pop(fingerprint, None)
        self._refusals[fingerprint] = (reason, now)
        while len(self._refusals) > REFUSALS_LIMIT:
            del self._refusals[next(iter(self._refusals))]
        log.info("certificate not taken in fingerprint=%s reason=%s", fingerprint, reason)
