"""The pending tray at work: who knocks waits, a person decides, and the next knock is answered.

Rules: what a stranger costs is bounded. Every knock counts against its address, one with a new key or
nonsense against a lower limit too, and a knock that repeats itself is written down twice a minute at most.
"""

import logging

from appliance.audit.acting import acting_as, device_name
from appliance.audit.change import bounded
from appliance.audit.model import Entry
from appliance.enrolment.tray import queries
from appliance.enrolment.tray.model import (
    FETCH_AGAIN_MS,
    NOTE_MS,
    Acceptance,
    DecidedKnockError,
    FetchedError,
    Knock,
    KnockState,
    KnockWay,
    KnownKeyError,
    NewKnock,
    NotTakenError,
    RefusedKnockError,
    Said,
    UnknownKnockError,
)
from appliance.enrolment.tray.room import origin_of
from appliance.enrolment.turnstile import Turnstile, network_of
from appliance.instant import Clock, to_text
from appliance.registry import signing_request
from appliance.registry.holders.service import Holders
from appliance.registry.model import DeviceExistsError, DeviceState
from appliance.registry.self_made import SelfMade
from appliance.registry.service import Registry
from appliance.store.database import Database

log = logging.getLogger(__name__)

LABEL_LENGTH = 64
KNOCKS_A_MINUTE = 300
"""How often an address may knock, by known keys too: two dozen devices behind it that ask every five seconds."""


class Tray:
    """Those who knocked."""

    def __init__(self, database: Database, registry: Registry, clock: Clock, *, is_open: bool) -> None:
        """Keep the arguments. Unless it is open, nobody may knock."""
        self._database = database
        self._registry = registry
        self._clock = clock
        self._is_open = is_open
        self._knocks = Turnstile(KNOCKS_A_MINUTE)
        self._turnstile = Turnstile()
        self._holders = Holders(database)

    @property
    def is_open(self) -> bool:
        """Whether anybody may knock."""
        return self._is_open

    # For those who knock.

    async def knock(self, tenant_id: int, request: bytes, label: str, address: str) -> Knock:
        """Hear somebody who has a certificate signing request, PEM or DER, and nothing else.

        Gives how it stands: waiting, or accepted with the certificate. Raises `NotTakenError`,
        `RefusedKnockError`, `InvalidRequestError`, `TooManyAttemptsError`.
        """
        now = self._let_try(address)
        try:
            wanted = signing_request.read(request)
        except Exception:
            self._turnstile.count(address, now)
            raise
        new = NewKnock(
            wanted.key_fingerprint,
            wanted.key_kind,
            wanted.subject,
            wanted.common_name,
            wanted.serial_number,
            label[:LABEL_LENGTH],
            address,
            wanted.der,
            network=network_of(address),
            origin=origin_of(address),
        )
        return await self._heard(tenant_id, new, now)

    async def knock_with_certificate(self, tenant_id: int, shown: SelfMade, said: Said, address: str) -> Knock:
        """Hear somebody who has shown, in a handshake of TLS, a certificate of their own making and its key.

        The key alone counts: whatever certificate is around it, and a signing request too, is the same knock. Gives
        how it stands, as `knock` does, but what was accepted is handed out only until an hour after it first was.
        Raises `NotTakenError`, `RefusedKnockError`, `KnownKeyError`, `FetchedError`, `TooManyAttemptsError`.
        """
        now = self._let_try(address)
        new = NewKnock(
            shown.key_fingerprint,
            shown.key_kind,
            shown.subject,
            shown.common_name,
            signing_request.visible(said.serial_number) or shown.serial_number,
            signing_request.visible(said.type)[:LABEL_LENGTH],
            address,
            shown.public_key,
            KnockWay.CERTIFICATE,
            network_of(address),
            origin_of(address),
            signing_request.visible(said.device_id),
            signing_request.visible(said.note),
        )
        knock = await self._heard(tenant_id, new, now)
        return knock if knock.state is KnockState.WAITING else await self._fetched(knock, now)

    async def _heard(self, tenant_id: int, new: NewKnock, now: int) -> Knock:
        found = await self._database.read(queries.select_knock_of_key(tenant_id, new.key_fingerprint))
        knock = found[0] if found else None
        if knock is None:
            self._turnstile.count(new.address, now)
            await self._refuse_known(tenant_id, new)
        if knock is None or now - knock.last_at >= NOTE_MS:
            knock = await self._database.write(queries.insert_knock, tenant_id, new, now)
        if not found:
            log.info("somebody knocked address=%s key_fingerprint=%s", new.address, new.key_fingerprint)
        if knock.state is KnockState.REFUSED:
            raise RefusedKnockError("this device was refused at this gateway")
        return knock

    async def _fetched(self, knock: Knock, now: int) -> Knock:
        """An accepted knock whose certificate is handed out now."""
        holder = await self._holders.holder(knock.tenant_id, knock.key_fingerprint)
        if holder is not None and holder.revoked_at is not None:
            raise KnownKeyError(_revoked(holder.device_id, holder.revoked_at))
        if knock.fetched_at is None:
            entries = [Entry("knock.fetch", knock.device_id, {"key_fingerprint": knock.key_fingerprint})]
            with acting_as(device_name(knock.device_id), knock.address):
                await self._registry.audit.recorded(knock.tenant_id, entries, queries.update_fetched, knock, now)
            log.info("certificate fetched device_id=%s key_fingerprint=%s", knock.device_id, knock.key_fingerprint)
        elif now - knock.fetched_at > FETCH_AGAIN_MS:
            raise FetchedError(
                f"this key is that of {knock.device_id}, whose certificate was fetched at {to_text(knock.fetched_at)}:"
                " a device that has lost it makes a new key"
            )
        return knock

    async def _refuse_known(self, tenant_id: int, new: NewKnock) -> None:
        holder = await self._holders.holder(tenant_id, new.key_fingerprint)
        if holder is None:
            return
        if holder.revoked_at is not None:
            raise KnownKeyError(_revoked(holder.device_id, holder.revoked_at))
        if new.way is not KnockWay.CERTIFICATE:
            return  # A request may come from whoever lost its certificate and kept its key.
        raise KnownKeyError(
            f"this key is that of {holder.device_id} already: it connects with its certificate; a device that has lost"
            " it makes a new key"
        )

    def _let_try(self, address: str) -> int:
        """Count one who knocks, and give the present moment. Raises `NotTakenError`, `TooManyAttemptsError`."""
        if not self._is_open:
            raise NotTakenError("devices without an enrolment code are not taken here: ask for a code")
        now = self._clock()
        self._knocks.check(address, now)
        self._turnstile.check(address, now)
        # Before it is known whose key it is: to read a request and to look for its key is work already.
        self._knocks.count(address, now)
        return now

    # For people.

    async def waiting(self, tenant_id: int) -> list[Knock]:
        """Everybody who waits, the newest first."""
        return await self._database.read(queries.select_waiting(tenant_id))

    async def one(self, tenant_id: int, knock_number: int) -> Knock:
        """One knock, whatever became of it. Raises `UnknownKnockError`."""
        found = await self._database.read(queries.select_knock(tenant_id, knock_number))
        if not found:
            raise UnknownKnockError("nobody of that number waits here")
        return found[0]

    async def accept(self, tenant_id: int, knock_number: int, acceptance: Acceptance) -> None:
        """Make somebody who knocked a device; the next knock gets the certificate.

        Raises `UnknownKnockError`, `DecidedKnockError`, `DeviceExistsError`, `UnknownDeviceError`,
        `DeviceRetiredError`, `InvalidDeviceIdError`, `InvalidInputError`.
        """
        knock = await self.one(tenant_id, knock_number)
        if knock.state is not KnockState.WAITING:
            raise DecidedKnockError("this was decided before: reload the page")
        device_id = acceptance.device_id
        await self._admit(knock, acceptance)
        grant = self._registry.grant_certificate if knock.way is KnockWay.REQUEST else self._registry.grant_key
        granted = await grant(tenant_id, device_id, knock.request)
        try:
            entry = Entry("knock.accept", device_id, _details(knock) | {"fingerprint": granted.fingerprint})
            await self._registry.audit.recorded(
                tenant_id,
                [entry],
                *(queries.update_accepted, knock, device_id, granted.certificate_pem, self._clock()),
            )
        except (DecidedKnockError, UnknownKnockError):
            # Somebody else was faster: nobody will ever come for this one.
            await self._registry.revoke_certificate(tenant_id, device_id, granted.fingerprint)
            raise
        log.info("knock accepted device_id=%s key_fingerprint=%s", device_id, knock.key_fingerprint)

    async def refuse(self, tenant_id: int, knock_number: int) -> None:
        """Let somebody who knocked know that they will not be let in. Raises as `accept` does."""
        knock = await self.one(tenant_id, knock_number)
        entry = Entry("knock.refuse", f"knock {knock_number}", _details(knock))
        await self._registry.audit.recorded(
            tenant_id, [entry], queries.update_refused, tenant_id, knock_number, self._clock()
        )
        log.info("knock refused knock_number=%s", knock_number)

    async def _admit(self, knock: Knock, acceptance: Acceptance) -> None:
        tenant_id, device_id = knock.tenant_id, acceptance.device_id
        if acceptance.is_registered:
            if self._registry.device(tenant_id, device_id).state is DeviceState.PENDING:
                await self._registry.set_state(tenant_id, device_id, DeviceState.ACTIVE)
            return
        if self._registry.has_device(tenant_id, device_id):
            # Whoever knocks can call itself anything: no click may give it another device's place unseen.
            raise DeviceExistsError(
                f"{device_id} is registered: choose another device id, or say that this is that device"
            )
        await self._registry.add_device(
            tenant_id, device_id, type=acceptance.type, zone=acceptance.zone, serial_number=knock.serial_number
        )


def _revoked(device_id: str, revoked_at: int) -> str:
    return (
        f"the certificate of this key, of {device_id}, was revoked at {to_text(revoked_at)}: nothing is given to this"
        " key any more"
    )


def _details(knock: Knock) -> dict[str, str]:
    """What an entry of the audit log tells of a knock; what it says of itself is bounded."""
    told = {"subject": knock.subject, "label": knock.label, "address": knock.address}
    shown = {name: bounded(text) for name, text in told.items() if text}
    return {"knock_number": str(knock.knock_number), "key_fingerprint": knock.key_fingerprint, **shown}
