"""Asking at work: who connects with a certificate that is due is told so, and may renew it over the same connection.

Rules: what is done for a device that connects does not grow with the others. An answer goes to the client that asked
and to nobody else. What was asked outlives a restart.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from typing import Protocol, Self

import msgspec

from appliance.audit.acting import acting_as, device_name
from appliance.enrolment.renewal import due, queries, request
from appliance.enrolment.renewal.model import (
    Asked,
    DueCertificate,
    NoCertificateError,
    Standing,
    Succession,
    TooManyRenewalsError,
    WrongSubjectError,
)
from appliance.errors import ApplianceError
from appliance.registry.model import BoundCertificate, DeviceState, Granted
from appliance.registry.service import Registry
from appliance.store.database import Database, UnwritableError
from broker.message import Message
from broker.ports import Connected, Disconnected, Evidence, Refused, Subscribed

log = logging.getLogger(__name__)

WAITING_LIMIT = 1_000
"""Requests that wait; beyond, they are rejected at once."""
SLICE = 100
PAUSE_S = 1.0
"""Between slices: a fleet that was made on one day is due on one day."""

_Client = tuple[int, str]
"""A tenant, and one of its client identifiers."""


class Clients(Protocol):
    """The broker, as far as it is needed to speak to one client."""

    def answer(self, message: Message, client_id: str, evidence: Evidence | None = None) -> object:
        """Publish to one client alone, as far as it has subscribed."""


class Renewals(Protocol):
    """Gives certificates in the place of others."""

    async def renew(self, bound: BoundCertificate, request: bytes) -> Granted:
        """One more certificate for the device that shows `bound`."""

    def successions(self, tenant_id: int, device_id: str) -> Collection[Succession]:
        """The renewed certificates of a device that it has not used."""


class _Here(msgspec.Struct, frozen=True, gc=False):
    """A device that is connected."""

    device_id: str
    connection: str
    address: str
    bound: BoundCertificate | None
    """By which certificate; None for one with a token."""


class _Taken:
    """Whether somebody took a message."""

    def __init__(self) -> None:
        self.is_taken = True

    def written(self, client_id: str) -> None:
        """It was on its way, which is all that counts."""

    def unanswerable(self, client_id: str) -> None:
        """The device will not say that it has it."""

    def acknowledged(self, client_id: str) -> None:
        """The device has it."""

    def untaken(self) -> None:
        """Nobody is subscribed."""
        self.is_taken = False


class Reminder:
    """Tells devices that their certificates are to be renewed, and takes what they ask for then."""

    def __init__(self, renewals: Renewals, database: Database, registry: Registry) -> None:
        self._renewals = renewals
        self._database = database
        self._registry = registry
        self.note: Callable[[Refused], None] = lambda _: None
        """Told of what a person should know."""
        self.est_url: Callable[[], str | None] = lambda: None
        """Where devices renew by EST; None where they cannot."""
        self._clients: Clients | None = None
        self._here: dict[_Client, _Here] = {}
        self._asked_at: dict[_Client, int] = {}
        """By tenant and device id."""
        self._deaf: set[_Client] = set()
        """Devices, by tenant and device id, that were to be asked and had not subscribed."""
        self._to_ask: dict[_Client, None] = {}
        self._has_to_ask = asyncio.Event()
        self._waiting: asyncio.Queue[Message] = asyncio.Queue(WAITING_LIMIT)
        self._in_hand: set[_Client] = set()
        """Devices, by tenant and device id, one of whose requests waits."""

    @contextlib.asynccontextmanager
    async def running(self, clients: Clients) -> AsyncIterator[Self]:
        """Ask and answer while the block lasts; it begins with a look at every certificate."""
        for asked in await self._database.read(queries.select_asked()):
            self._asked_at[asked.tenant_id, asked.device_id] = asked.asked_at
        self._clients = clients
        async with asyncio.TaskGroup() as tasks:
            started = [
                tasks.create_task(self._ask_for_ever(), name="asking for renewal"),
                tasks.create_task(self._serve(), name="renewal over MQTT"),
                tasks.create_task(self.look_after(), name="certificates that are due"),
            ]
            try:
                yield self
            finally:
                for task in started:
                    task.cancel()

    # What the broker and ingestion call.

    def heard(self, event: Connected | Disconnected | Refused) -> None:
        """Hear what happened to a client."""
        match event:
            case Connected():
                if self._registry.has_device(event.tenant_id, event.principal):
                    bound = None if event.certificate is None else self._registry.bearer(event.certificate)
                    here = _Here(event.principal, event.connection, event.address, bound)
                    self._here[event.tenant_id, event.client_id] = here
                    self._consider((event.tenant_id, event.client_id))
            case Disconnected():
                here_now = self._here.get((event.tenant_id, event.client_id))
                if here_now is not None and here_now.connection == event.connection:
                    del self._here[event.tenant_id, event.client_id]
            case Refused():
                pass

    def heard_subscribed(self, event: Subscribed) -> None:
        """Hear what a client has subscribed to: perhaps it can be asked now."""
        if not event.is_over:
            self._consider((event.tenant_id, event.client_id))

    def requested(self, messages: Sequence[Message]) -> None:
        """Take requests; those that are not for renewal are left alone."""
        for message in messages:
            if request.device_named(message.topic) is None:
                continue
            device = (message.tenant_id, message.principal)
            if device in self._in_hand:
                self._reject(message, TooManyRenewalsError("another request of this device is not answered yet"))
            elif self._waiting.full():
                self._reject(message, TooManyRenewalsError(f"{WAITING_LIMIT} requests wait already: try again soon"))
            else:
                self._in_hand.add(device)
                self._waiting.put_nowait(message)

    # What the clock, pages and scripts call.

    async def look_after(self) -> None:
        """Find the certificates that are due: whoever is connected by one is asked, and what is urgent is noted."""
        now = self._now()
        found = await self._database.read(queries.select_due(now))
        shown = {
            here.bound.certificate.fingerprint: client for client, here in self._here.items() if here.bound is not None
        }
        for index, one in enumerate(found, 1):
            client = shown.get(one.fingerprint)
            if client is not None:
                self._consider(client)
            if (client is not None or one.is_latest) and due.is_ending(one.issued_at, one.expires_at, now):
                self._note_ending(one, now)
            if index % SLICE == 0:
                await asyncio.sleep(PAUSE_S)
        log.info("certificates looked after due_count=%s", len(found))

    async def standing(self, tenant_id: int, device_id: str) -> Standing | None:
        """How it stands with the renewal of a device; None while nothing is due. Raises `UnknownDeviceError`."""
        known = await self._registry.certificates(tenant_id, device_id)
        here = self._here.get((tenant_id, device_id))
        shown = here.bound.certificate.fingerprint if here is not None and here.bound is not None else ""
        successions = self._renewals.successions(tenant_id, device_id)
        present = due.present(known, shown, successions, self._registry.time.reading())
        if present is None or self._now() < due.due_at(present.issued_at, present.expires_at):
            return None
        device = (tenant_id, device_id)
        asked_at = self._asked_at.get(device)
        due_at = due.due_at(present.issued_at, present.expires_at)
        obstacle = "" if here is not None else due.NOT_CONNECTED
        if here is not None and device in self._deaf:
            obstacle = due.not_subscribed(request.reminder_topic(device_id))
        return Standing(
            fingerprint=present.fingerprint,
            due_at=due_at,
            expires_at=present.expires_at,
            # What was asked about a certificate before this one says nothing.
            asked_at=asked_at if asked_at is not None and asked_at >= due_at else None,
            renewed_at=max((one.made_at for one in successions if one.replaced == present.fingerprint), default=None),
            obstacle=obstacle,
        )

    # Asking.

    def _now(self) -> int:
        """The moment that the life of certificates counts by."""
        return self._registry.time.issuing_at

    def _consider(self, client: _Client) -> None:
        """Have a client asked if it is time to: called for every connection, so it is quick for those not due."""
        here = self._here.get(client)
        if here is not None and here.bound is not None and self._is_to_be_asked(client[0], here.bound):
            self._to_ask[client] = None
            self._has_to_ask.set()

    def _is_to_be_asked(self, tenant_id: int, bound: BoundCertificate) -> bool:
        now = self._now()
        if now < due.due_at(bound.certificate.issued_at, bound.certificate.expires_at):
            return False
        successions = self._renewals.successions(tenant_id, bound.device_id)
        asked_at = self._asked_at.get((tenant_id, bound.device_id))
        return due.is_to_be_asked(bound.certificate, successions, asked_at, now)

    async def _ask_for_ever(self) -> None:
        while True:
            await self._has_to_ask.wait()
            slice_ = list(self._to_ask)[:SLICE]
            for client in slice_:
                del self._to_ask[client]
            asked = [told for told in map(self._ask, slice_) if told is not None]
            if asked:
                # While the disk is full it is forgotten at the next start, and then asked once more.
                with contextlib.suppress(UnwritableError):
                    await self._database.write(queries.save_asked, asked)
            if not self._to_ask:
                self._has_to_ask.clear()
            elif len(slice_) == SLICE:
                await asyncio.sleep(PAUSE_S)

    def _ask(self, client: _Client) -> Asked | None:
        """Ask a client now; None when there is no need to any more, or it would not hear."""
        here = self._here.get(client)
        tenant_id = client[0]
        if here is None or here.bound is None or not self._is_to_be_asked(tenant_id, here.bound):
            return None
        expires_at = here.bound.certificate.expires_at
        payload = request.reminder(here.device_id, expires_at, self.est_url())
        if not self._say(client, request.reminder_topic(here.device_id), payload):
            self._deaf.add((tenant_id, here.device_id))
            return None
        asked = Asked(tenant_id, here.device_id, self._now())
        self._asked_at[tenant_id, here.device_id] = asked.asked_at
        self._deaf.discard((tenant_id, here.device_id))
        log.info("device asked to renew device_id=%s", here.device_id)
        return asked

    def _note_ending(self, one: DueCertificate, now: int) -> None:
        asked_at = self._asked_at.get((one.tenant_id, one.device_id))
        if asked_at is not None and asked_at < due.due_at(one.issued_at, one.expires_at):
            asked_at = None
        reason = due.ending(one.fingerprint, one.expires_at, asked_at)
        who = (one.tenant_id, one.device_id, one.device_id, "the gateway itself")
        self.note(Refused(*who, "certificate_ending", reason, now))

    # Requests.

    async def _serve(self) -> None:
        while True:
            message = await self._waiting.get()
            try:
                await self._answer(message)
            except ApplianceError as error:
                self._reject(message, error)
            except Exception as error:  # one bad request stops nobody
                log.exception("renewal not answered device_id=%s", message.principal)
                self._reject(message, ApplianceError(f"the gateway made a mistake ({type(error).__name__})"))
            finally:
                self._in_hand.discard((message.tenant_id, message.principal))

    async def _answer(self, message: Message) -> None:
        here = self._here.get((message.tenant_id, message.client_id))
        if here is None or here.device_id != message.principal:
            return  # It has gone: it would not hear, and may ask again.
        if request.device_named(message.topic) != here.device_id:
            raise WrongSubjectError(f"{here.device_id} renews its own certificate alone: publish to its own topic")
        if here.bound is None:
            raise NoCertificateError(f"{here.device_id} is connected without a certificate, so there is none to renew")
        if self._registry.device(message.tenant_id, here.device_id).state is not DeviceState.ACTIVE:
            raise NoCertificateError(f"{here.device_id} is not active")
        with acting_as(device_name(here.device_id), here.address):
            granted = await self._renewals.renew(here.bound, request.signing_request(message.payload))
        topic = request.accepted_topic(message.topic)
        if not self._say_to(message, topic, request.granted(granted)):
            reason = f"its certificate was renewed, but the answer did not reach it: it has not subscribed to {topic}"
            self._note_refused(message, reason)

    def _reject(self, message: Message, error: ApplianceError) -> None:
        self._note_refused(message, str(error))
        self._say_to(message, request.rejected_topic(message.topic), request.rejected(error.code, str(error)))

    def _note_refused(self, message: Message, reason: str) -> None:
        here = self._here.get((message.tenant_id, message.client_id))
        who = (message.tenant_id, message.principal, message.client_id, here.address if here else "a device that left")
        self.note(Refused(*who, "renewal_refused", reason, self._now()))

    def _say_to(self, message: Message, topic: str, payload: bytes) -> bool:
        """Answer the client that asked, and nobody who has taken its client identifier since."""
        client = (message.tenant_id, message.client_id)
        here = self._here.get(client)
        return here is not None and here.device_id == message.principal and self._say(client, topic, payload)

    def _say(self, client: _Client, topic: str, payload: bytes) -> bool:
        """Send one client a message; whether it has subscribed to it."""
        evidence = _Taken()
        tenant_id, client_id = client
        message = Message(tenant_id, "", "", topic, payload, 1, False, self._now())
        sent = self._clients.answer(message, client_id, evidence) if self._clients is not None else None
        return sent is not None and evidence.is_taken
