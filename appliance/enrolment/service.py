"""Enrolment by claim at work: claims and templates in memory, requests one after another, answers to one client alone.

Rules: a certificate is bound to its device, its claim is counted and its token is used up in one transaction.
An answer with a private key is sent at QoS 0, so that it never lies in a queue or on the disk.
"""

import asyncio
import contextlib
import hashlib
import logging
import secrets
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Protocol, Self

from appliance.audit.acting import acting_as, claim_name
from appliance.audit.model import Entry
from appliance.enrolment import attachment, claims, provisioning, queries, record, template
from appliance.enrolment.claims import Minute
from appliance.enrolment.model import (
    CLAIM,
    DEFAULT_TEMPLATE,
    REQUESTS_PER_MINUTE,
    Claim,
    Fault,
    NewClaim,
    PendingCertificate,
    RejectedError,
    StoredTemplate,
    TemplateExistsError,
    UnknownClaimError,
    UnknownTemplateError,
)
from appliance.enrolment.provisioning import Address, Wish
from appliance.errors import ApplianceError, UnavailableError
from appliance.instant import Clock
from appliance.registry import issue
from appliance.registry.model import Bundle, InvalidRequestError, IssuedCertificate, NewDevice
from appliance.registry.service import Registry
from appliance.store.database import Database
from broker.message import Message
from broker.ports import Credentials, Denied, Principal, Refused

log = logging.getLogger(__name__)

WAITING_LIMIT = 1_000
"""Requests that wait; beyond, they are rejected at once."""
SUBJECT = "Headworks device certificate"
"""The name in a certificate that is no device's yet. It only informs: the fingerprint identifies."""
OVERDUE_INTERVAL_S = 60.0
NO_TENANT_CLAIM = "the claim is not known any more"


class Session(Protocol):
    """A client of the broker."""

    client_id: str


class Answers(Protocol):
    """The broker, as far as answers need it."""

    def answer(self, message: Message, client_id: str) -> object:
        """Publish to one client alone."""

    def sessions(self, tenant_id: int, name: str | None = None) -> Iterable[Session]:
        """The sessions of one principal."""


class Enrolment:
    """The claims of this gateway, and whoever comes with one. Judges them for the registry."""

    def __init__(self, database: Database, registry: Registry, clock: Clock) -> None:
        self._database = database
        self._registry = registry
        self._clock = clock
        self._claims: dict[str, Claim] = {}
        """By principal name: numbers are never given twice, whatever the tenant."""
        self._by_fingerprint: dict[str, str] = {}
        self._templates: dict[tuple[int, str], StoredTemplate] = {}
        self._minutes: dict[str, Minute] = {}
        """By principal name."""
        self._waiting: asyncio.Queue[Message] = asyncio.Queue(WAITING_LIMIT)
        self._answers: Answers | None = None
        self.note: Callable[[Refused], None] = lambda _: None
        """Told of every request that is rejected."""

    @contextlib.asynccontextmanager
    async def running(self, answers: Answers) -> AsyncIterator[Self]:
        """Have claims and templates in memory and answer requests."""
        for stored in await self._database.read(queries.select_all_templates()):
            self._templates[stored.tenant_id, stored.name] = stored
        for claim in await self._database.read(queries.select_all_claims()):
            self._remember(claim)
        self._answers = answers
        async with asyncio.TaskGroup() as tasks:
            started = [
                tasks.create_task(self._serve(), name="provisioning"),
                tasks.create_task(self._forget_overdue(), name="certificates nobody provisioned"),
            ]
            try:
                yield self
            finally:
                for task in started:
                    task.cancel()

    # For people.

    def claims(self, tenant_id: int) -> list[Claim]:
        """The claims of a tenant, newest first, spent and revoked ones too."""
        return sorted(
            (claim for claim in self._claims.values() if claim.tenant_id == tenant_id),
            key=lambda claim: -claim.claim_number,
        )

    async def add_claim(self, tenant_id: int, new: NewClaim) -> tuple[Claim, Bundle]:
        """Make a claim; the bundle, with its private key, is given this once.

        Raises `InvalidClaimError`, `UnknownTemplateError`, `TooManyClaimsError`.
        """
        claims.check_new_claim(new, self._clock())
        [issued] = await self._registry.made_certificates([f"claim {new.name}"])
        fingerprint = issued.kept.certificate.fingerprint
        claim = await self._registry.audit.told(
            tenant_id,
            record.claim_added,
            *(queries.insert_claim, tenant_id, new, fingerprint, self._clock()),
        )
        self._remember(claim)
        log.info("claim added claim_number=%s fingerprint=%s", claim.claim_number, fingerprint)
        return claim, issued.bundle

    async def revoke_claim(self, tenant_id: int, claim_number: int) -> Claim:
        """Let a claim open nothing any more; its bearers' connections end. Raises `UnknownClaimError`."""
        known = self._claims.get(f"{CLAIM}{claim_number}")
        if known is None or known.tenant_id != tenant_id:
            raise UnknownClaimError(f"there is no claim {claim_number}")
        claim = await self._registry.audit.recorded(
            tenant_id,
            [Entry("claim.revoke", known.name, {"fingerprint": known.fingerprint})],
            *(queries.update_revoked, tenant_id, claim_number, self._clock()),
        )
        self._remember(claim)
        self._registry.rights_changed(tenant_id, claim.principal_name)
        log.info("claim revoked claim_number=%s", claim_number)
        return claim

    def templates(self, tenant_id: int) -> list[StoredTemplate]:
        """The tenant's provisioning templates by name, the one that is always there first."""
        own = [stored for (owner, _), stored in sorted(self._templates.items()) if owner == tenant_id]
        return [StoredTemplate(tenant_id, DEFAULT_TEMPLATE, template.DEFAULT_BODY, 0), *own]

    async def add_template(self, tenant_id: int, name: str, body: str) -> tuple[str, ...]:
        """Keep a template; gives sentences on what of it is left out.

        The policies that are written in it are kept under their names. Raises `InvalidClaimError`,
        `InvalidTemplateError`, `TemplateExistsError`, `TooManyClaimsError`.
        """
        read = template.read(body)
        claims.check_template_name(name)
        if any(kept.name == name for kept in self.templates(tenant_id)):
            raise TemplateExistsError(f"there is already a template {name!r}: templates do not change")
        policies = self._registry.policies
        known = {kept.policy.name: kept.policy.document for kept in policies.book.policies(tenant_id)}
        # First, for a policy that concerns no device yet changes nothing if the template is not kept after all.
        for policy in attachment.to_keep(read.policies, known):
            await policies.put(tenant_id, policy)
        stored = StoredTemplate(tenant_id, name, body, self._clock())
        await self._registry.audit.recorded(
            tenant_id, record.template_added(name, body), queries.insert_template, stored
        )
        self._templates[tenant_id, name] = stored
        log.info("provisioning template added name=%s", name)
        return read.left_out

    def check_template(self, tenant_id: int, name: str) -> None:
        """Raise `UnknownTemplateError` when the tenant has no provisioning template of that name."""
        self._stored(tenant_id, name)

    def made_of(self, tenant_id: int, name: str, told: Mapping[str, str], certificate_id: str) -> NewDevice:
        """What a template makes of what is told. Raises `UnknownTemplateError`, `InvalidTemplateError`."""
        return template.evaluate(template.read(self._stored(tenant_id, name).body), told, certificate_id).new

    async def remove_template(self, tenant_id: int, name: str) -> None:
        """Remove a template. Raises `UnknownTemplateError`, `TemplateInUseError`."""
        await self._registry.audit.recorded(
            tenant_id, record.template_removed(name), queries.delete_template, tenant_id, name, self._clock()
        )
        self._templates.pop((tenant_id, name), None)
        log.info("provisioning template removed name=%s", name)

    # For the registry: whoever is no device yet.

    def authenticate(self, credentials: Credentials) -> Principal | Denied | None:
        """Who shows the certificate of a claim; None when it is none."""
        if credentials.certificate is None:
            return None
        name = self._by_fingerprint.get(hashlib.sha256(credentials.certificate).hexdigest())
        if name is None:
            return None
        claim = self._claims[name]
        reason = claims.connect_refusal(claim, credentials.client_id, self._clock())
        # Whoever has just used the last of a claim's uses still waits for the answer.
        return Denied(reason) if reason else Principal(claim.tenant_id, name)

    def publish_refusal(self, principal: Principal, topic: str) -> str | None:
        """None when the bearer of a claim may publish there, else why not."""
        claim = self._claim_of(principal)
        return claims.publish_refusal(claim, topic) if claim else f"{principal.name} is not registered"

    def subscribe_refusal(self, principal: Principal, topic_filter: str) -> str | None:
        """None when the bearer of a claim may receive what the filter matches, else why not."""
        claim = self._claim_of(principal)
        return claims.subscribe_refusal(claim, topic_filter) if claim else f"{principal.name} is not registered"

    # For ingestion: what clients ask for.

    def requested(self, messages: Sequence[Message]) -> None:
        """Take requests; those that are not for enrolment by claim are left alone."""
        for message in messages:
            address = provisioning.address(message.topic)
            if address is None or not message.principal.startswith(CLAIM):
                continue
            minute = claims.counted(self._minutes.get(message.principal, Minute()), self._clock())
            self._minutes[message.principal] = minute
            if minute.is_told:
                continue
            try:
                self._admit(message, minute)
            except RejectedError as error:
                self._reject(message, address, error)

    # Private.

    def _admit(self, message: Message, minute: Minute) -> None:
        if minute.is_full:
            reason = f"this claim has made more than {REQUESTS_PER_MINUTE} requests in a minute: try again in the next"
            raise RejectedError(Fault.THROTTLED, reason)
        provisioning.check_size(message.payload)
        try:
            self._waiting.put_nowait(message)
        except asyncio.QueueFull:
            raise RejectedError(Fault.THROTTLED, f"{WAITING_LIMIT} requests wait already: try again soon") from None

    async def _serve(self) -> None:
        while True:
            message = await self._waiting.get()
            address = provisioning.address(message.topic)
            assert address is not None  # noqa: S101  for the type checker: nothing else is admitted
            try:
                await self._answer(message, address)
            except RejectedError as error:
                self._reject(message, address, error)
            except UnavailableError as error:
                self._reject(message, address, RejectedError(Fault.INTERNAL, str(error)))
            except ApplianceError as error:
                self._reject(message, address, RejectedError(Fault.INVALID_PARAMETERS, str(error)))
            except Exception as error:  # one bad request stops nobody
                log.exception("request not answered topic=%s", message.topic)
                reason = f"the gateway could not answer this request ({type(error).__name__})"
                self._reject(message, address, RejectedError(Fault.INTERNAL, reason))

    async def _answer(self, message: Message, address: Address) -> None:
        claim = self._good_claim(message)
        work = self._provision if address.wish is Wish.PROVISION else self._create
        with acting_as(claim_name(claim.name)):
            answer = await work(claim, message, address)
        self._say(message, address.accepted, answer, qos=0 if address.wish is Wish.CREATE else 1)

    async def _create(self, claim: Claim, message: Message, address: Address) -> bytes:
        if address.wish is Wish.CREATE:
            [issued] = await self._registry.made_certificates([SUBJECT])
            kept, key_pem = issued.kept, issued.bundle.key_pem
        else:
            kept, key_pem = await self._granted(message.payload, address.form), ""
        token = secrets.token_urlsafe(48)
        known = kept.certificate
        pending = PendingCertificate(
            fingerprint=known.fingerprint,
            claim_number=claim.claim_number,
            client_id=message.client_id,
            token_hash=_hashed(token),
            serial=known.serial,
            issued_at=self._clock(),
            expires_at=known.expires_at,
            pem=kept.pem,
        )
        entries = record.prepared(claim, known)
        await self._registry.audit.recorded(claim.tenant_id, entries, queries.insert_pending, claim.tenant_id, pending)
        log.info("certificate waits for its device claim=%s fingerprint=%s", claim.claim_number, known.fingerprint)
        return provisioning.created(pending, token, key_pem, address.form)

    async def _granted(self, payload: bytes, form: str) -> IssuedCertificate:
        request = provisioning.csr_request(payload, form).certificate_signing_request.encode()
        pki = self._registry.authorities.pki
        try:
            kept, _ = await self._registry.authorities.sign(issue.grant, pki, SUBJECT, request, self._clock())
        except InvalidRequestError as error:
            raise RejectedError(Fault.INVALID_CSR, str(error)) from error
        return kept

    async def _provision(self, claim: Claim, message: Message, address: Address) -> bytes:
        request = provisioning.provision_request(message.payload, address.form)
        wanted = template.read(self._template(claim, address.template).body)
        serial_number = request.parameters.get(template.SERIAL_NUMBER, "")
        token_hash = _hashed(request.certificate_ownership_token)

        def provision(connection: sqlite3.Connection) -> queries.Provisioned:
            """All of it or nothing."""
            known = queries.select_claim(connection, claim.tenant_id, claim.claim_number)
            listed = queries.select_listed(connection, known.tenant_id, known.claim_number, serial_number)
            reason = claims.refusal(known, now) or claims.serial_refusal(known, serial_number, listed)
            if reason:
                raise RejectedError(Fault.ACCESS_DENIED, reason)
            queries.delete_overdue(connection, now)
            pending = queries.select_pending(connection, known.tenant_id, token_hash)
            reason = provisioning.ownership_refusal(pending, known, message.client_id)
            if reason or pending is None:
                raise RejectedError(Fault.INVALID_TOKEN, reason or "")
            enrolled = template.evaluate(wanted, request.parameters, pending.fingerprint)
            queries.delete_pending(connection, known.tenant_id, pending.fingerprint)
            reason = claims.used_refusal(known, serial_number, listed, enrolled.new.device_id)
            if reason:
                raise RejectedError(Fault.ACCESS_DENIED, reason)
            device = enrolled.new.device_id
            queries.update_listed(connection, known.tenant_id, known.claim_number, serial_number, device)
            return queries.bind(connection, known, enrolled, pending, now, clock)

        now, clock = self._clock(), self._registry.time.reading()
        done = await self._registry.audit.told(
            claim.tenant_id, lambda it: record.enrolled(it.claim, it.before, it.device, it.kept), provision
        )
        self._take_in(done)
        log.info("device enrolled by a claim device_id=%s claim=%s", done.device.device_id, claim.claim_number)
        return provisioning.provisioned(done.device.device_id, done.enrolled.device_configuration, address.form)

    def _take_in(self, done: queries.Provisioned) -> None:
        tenant_id, device_id = done.claim.tenant_id, done.device.device_id
        self._registry.policies.attached(tenant_id, done.enrolled.policies, device_id)
        self._registry.take_in(tenant_id, [done.device], [done.kept])
        if done.before is not None:
            self._registry.rights_changed(tenant_id, device_id)
        self._remember(done.claim)

    def _template(self, claim: Claim, name: str) -> StoredTemplate:
        if name != claim.template:
            raise UnknownTemplateError(f"the claim {claim.name!r} is not for a template {name[:40]!r}")
        return self._stored(claim.tenant_id, name)

    def _stored(self, tenant_id: int, name: str) -> StoredTemplate:
        for stored in self.templates(tenant_id):
            if stored.name == name:
                return stored
        raise UnknownTemplateError(f"there is no provisioning template {name[:40]!r}")

    def _good_claim(self, message: Message) -> Claim:
        claim = self._claim_of(Principal(message.tenant_id, message.principal))
        if claim is None:
            raise RejectedError(Fault.ACCESS_DENIED, NO_TENANT_CLAIM)
        reason = claims.refusal(claim, self._clock())
        if reason:
            raise RejectedError(Fault.ACCESS_DENIED, reason)
        return claim

    def _claim_of(self, principal: Principal) -> Claim | None:
        claim = self._claims.get(principal.name)
        return claim if claim is not None and claim.tenant_id == principal.tenant_id else None

    def _remember(self, claim: Claim) -> None:
        self._claims[claim.principal_name] = claim
        self._by_fingerprint[claim.fingerprint] = claim.principal_name

    def _reject(self, message: Message, address: Address, error: RejectedError) -> None:
        claim = self._claim_of(Principal(message.tenant_id, message.principal))
        source = f"the claim {claim.name!r}" if claim else "a claim"
        who = (message.tenant_id, message.principal, message.client_id, source)
        self.note(Refused(*who, "enrolment_refused", str(error), self._clock()))
        self._say(message, address.rejected, provisioning.rejected(error.fault, str(error), address.form), qos=1)

    def _say(self, message: Message, topic: str, payload: bytes, *, qos: int) -> None:
        """Answer the client that asked, and nobody who has taken its client identifier since."""
        sessions = self._answers.sessions(message.tenant_id, message.principal) if self._answers else ()
        if self._answers and any(session.client_id == message.client_id for session in sessions):
            answer = Message(message.tenant_id, "", "", topic, payload, qos, False, self._clock())
            self._answers.answer(answer, message.client_id)

    async def _forget_overdue(self) -> None:
        while True:
            # A full disk is waited for: who is overdue is refused all the same.
            with contextlib.suppress(UnavailableError):
                count = await self._database.write(queries.delete_overdue, self._clock())
                log.debug("certificates forgotten that nobody provisioned in time count=%s", count)
            await asyncio.sleep(OVERDUE_INTERVAL_S)


def _hashed(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
