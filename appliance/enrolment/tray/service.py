"""The pending tray at work: who knocks waits, a person decides, and the next knock is answered.

Rules: what a stranger costs is bounded. Every knock counts against its address, one with a new key or
nonsense against a lower limit too, and a knock that repeats itself is written down twice a minute at most.
"""

import logging

from appliance.enrolment.tray import queries
from appliance.enrolment.tray.model import (
    NOTE_MS,
    Acceptance,
    DecidedKnockError,
    Knock,
    KnockState,
    NewKnock,
    NotTakenError,
    RefusedKnockError,
    UnknownKnockError,
)
from appliance.enrolment.turnstile import Turnstile
from appliance.instant import Clock
from appliance.registry import signing_request
from appliance.registry.model import DeviceExistsError, DeviceState
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
        if not self._is_open:
            raise NotTakenError("devices without an enrolment code are not taken here: ask for a code")
        now = self._clock()
        self._knocks.check(address, now)
        self._turnstile.check(address, now)
        # Before it is known whose key it is: to read a request and to look for its key is work already.
        self._knocks.count(address, now)
        try:
            wanted = signing_request.read(request)
        except Exception:
            self._turnstile.count(address, now)
            raise
        found = await self._database.read(queries.select_knock_of_key(tenant_id, wanted.key_fingerprint))
        knock = found[0] if found else None
        if knock is None or now - knock.last_at >= NOTE_MS:
            if knock is None:
                self._turnstile.count(address, now)
            new = NewKnock(
                wanted.key_fingerprint,
                wanted.key_kind,
                wanted.subject,
                wanted.common_name,
                wanted.serial_number,
                label[:LABEL_LENGTH],
                address,
                wanted.der,
            )
            knock = await self._database.write(queries.insert_knock, tenant_id, new, now)
        if not found:
            log.info("somebody knocked address=%s key_fingerprint=%s", address, wanted.key_fingerprint)
        if knock.state is KnockState.REFUSED:
            raise RefusedKnockError("this device was refused at this gateway")
        return knock

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
        granted = await self._registry.grant_certificate(tenant_id, device_id, knock.request)
        try:
            await self._database.write(
                queries.update_accepted, knock, device_id, granted.certificate_pem, self._clock()
            )
        except (DecidedKnockError, UnknownKnockError):
            # Somebody else was faster: nobody will ever come for this one.
            await self._registry.revoke_certificate(tenant_id, device_id, granted.fingerprint)
            raise
        log.info("knock accepted device_id=%s key_fingerprint=%s", device_id, knock.key_fingerprint)

    async def refuse(self, tenant_id: int, knock_number: int) -> None:
        """Let somebody who knocked know that they will not be let in. Raises as `accept` does."""
        await self._database.write(queries.update_refused, tenant_id, knock_number, self._clock())
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
