"""One-time codes at work: made once, shown once, good once.

Rules: of a code only its SHA-256 is kept. A code is used up in the same transaction that finds it open,
before anything is issued; what was asked for is looked at before that, so that a mistake costs no code.
A pattern is for devices that have nothing yet: it gives no second certificate to one that has a good one.
"""

import asyncio
import base64
import contextlib
import hashlib
import logging
import secrets
from collections.abc import AsyncIterator

from appliance.audit.acting import acting_as, code_name
from appliance.audit.model import Entry
from appliance.enrolment.codes import fitness, queries
from appliance.enrolment.codes.model import (
    Code,
    DeviceSuspendedError,
    MadeCode,
    NewCode,
    SpentCodeError,
    UnknownCodeError,
    Use,
    WrongDeviceError,
)
from appliance.enrolment.turnstile import Turnstile
from appliance.errors import ApplianceError
from appliance.instant import Clock, to_text
from appliance.registry import signing_request
from appliance.registry.model import (
    Bundle,
    Device,
    DeviceExistsError,
    DeviceRetiredError,
    DeviceState,
    Granted,
    check_device_id,
)
from appliance.registry.service import Registry
from appliance.store.database import Database

log = logging.getLogger(__name__)

SECRET_BYTES = 20


class Codes:
    """The enrolment codes of this gateway."""

    def __init__(self, database: Database, registry: Registry, clock: Clock) -> None:
        self._database = database
        self._registry = registry
        self._clock = clock
        self._turnstile = Turnstile()
        # One after the other: who uses a pattern sees the certificate that the one before got.
        self._turn = asyncio.Lock()

    # For people.

    async def add(self, tenant_id: int, new: NewCode) -> MadeCode:
        """A new code; this is the one time that it is told. Raises `InvalidInputError`, `TooManyCodesError`."""
        fitness.checked(new)
        secret = base64.b32encode(secrets.token_bytes(SECRET_BYTES)).decode()
        known = await self._registry.audit.told(
            tenant_id, lambda one: [_made(one)], queries.insert_code, tenant_id, new, _hashed(secret), self._clock()
        )
        log.info("enrolment code made code_number=%s target=%s", known.code_number, new.target)
        return MadeCode(fitness.written(secret), known)

    async def codes(self, tenant_id: int) -> list[Code]:
        """The codes of a tenant, newest first, spent ones too."""
        return await self._database.read(queries.select_codes(tenant_id))

    async def revoke(self, tenant_id: int, code_number: int) -> None:
        """Let a code open nothing from now on. Raises `UnknownCodeError`."""
        entry = Entry("enrolment_code.revoke", _named(code_number))
        await self._registry.audit.recorded(
            tenant_id, [entry], queries.update_revoked, tenant_id, code_number, self._clock()
        )
        log.info("enrolment code revoked code_number=%s", code_number)

    # For whoever has a code.

    async def opened(self, secret: str, address: str) -> Code:
        """The open code with this secret, which an address shows.

        Raises `UnknownCodeError`, `SpentCodeError`, and `TooManyAttemptsError` for an address that guesses.
        """
        code = await self._known(secret, address)
        reason = fitness.refusal(code, self._clock())
        if reason:
            self._turnstile.count(address, self._clock())
            raise SpentCodeError(reason)
        return code

    async def enrol(self, secret: str, device_id: str, request: bytes, address: str) -> Granted:
        """Enrol a device by a code and its certificate signing request, PEM or DER.

        Without a device id the request's common name is taken. Asked again with the same key within ten
        minutes, as after a lost answer, it answers again. Raises what `opened` raises, `WrongDeviceError`,
        `InvalidDeviceIdError`, `InvalidRequestError`, `DeviceRetiredError`, `DeviceSuspendedError`.
        """
        code = await self._known(secret, address)
        wanted = signing_request.read(request)
        use = Use(device_id or wanted.common_name, wanted.key_fingerprint, address, self._clock())
        async with self._turn, _using(code, address):
            if fitness.is_repetition(code, use):
                await self._repeat(code, use)
            else:
                await self._use(code, use, wanted.serial_number)
            return await self._registry.grant_certificate(code.tenant_id, use.device_id, wanted.der)

    async def bundle(self, secret: str, device_id: str, address: str) -> Bundle:
        """Enrol a device by a code, with a key that the gateway makes and keeps no copy of.

        Raises as `enrol` does.
        """
        code = await self._known(secret, address)
        use = Use(device_id or ("" if code.is_pattern else code.target), "", address, self._clock())
        async with self._turn, _using(code, address):
            await self._use(code, use, "")
            return await self._registry.issue_certificate(code.tenant_id, use.device_id)

    async def _known(self, secret: str, address: str) -> Code:
        now = self._clock()
        self._turnstile.check(address, now)
        canonical = fitness.canonical(secret)
        found = await self._database.read(queries.select_code(_hashed(canonical))) if canonical else []
        if not found:
            self._turnstile.count(address, now)
            raise UnknownCodeError("this enrolment code is not known")
        return found[0]

    async def _use(self, code: Code, use: Use, serial_number: str) -> None:
        try:
            self._check(code, use, serial_number)
            await self._registry.audit.recorded(
                code.tenant_id, [_used(code, use)], queries.update_used, code.tenant_id, code.code_number, use
            )
        except ApplianceError:
            self._turnstile.count(use.address, use.at)
            raise
        await self._admit(code, use.device_id, serial_number)
        log.info("device enrolled by a code device_id=%s code_number=%s", use.device_id, code.code_number)

    async def _repeat(self, code: Code, use: Use) -> None:
        try:
            self._refuse_barred(self._known_device(code, use))
            entry = _used(code, use)
            await self._registry.audit.recorded(
                code.tenant_id, [entry], queries.update_repeated, code.tenant_id, code.code_number, use
            )
        except ApplianceError:
            self._turnstile.count(use.address, use.at)
            raise
        log.info("device asked again device_id=%s code_number=%s", use.device_id, code.code_number)

    def _check(self, code: Code, use: Use, serial_number: str) -> None:
        reason = fitness.refusal(code, use.at)
        if reason:
            raise SpentCodeError(reason)
        check_device_id(use.device_id)
        device = self._known_device(code, use)
        reason = fitness.misfit(code, use.device_id, serial_number, device)
        if reason:
            raise WrongDeviceError(reason)
        self._refuse_barred(device)

    def _known_device(self, code: Code, use: Use) -> Device | None:
        is_known = self._registry.has_device(code.tenant_id, use.device_id)
        return self._registry.device(code.tenant_id, use.device_id) if is_known else None

    def _refuse_barred(self, device: Device | None) -> None:
        if device is not None and device.state is DeviceState.RETIRED:
            raise DeviceRetiredError(f"{device.device_id} is retired")
        if device is not None and device.state is DeviceState.SUSPENDED:
            raise DeviceSuspendedError(f"{device.device_id} is suspended: let it take part again first")

    async def _admit(self, code: Code, device_id: str, serial_number: str) -> None:
        try:
            await self._registry.add_device(
                code.tenant_id, device_id, type=code.type, zone=code.zone, serial_number=serial_number
            )
        except DeviceExistsError:
            if self._registry.device(code.tenant_id, device_id).state is DeviceState.PENDING:
                await self._registry.set_state(code.tenant_id, device_id, DeviceState.ACTIVE)


def _named(code_number: int) -> str:
    return f"code {code_number}"


def _made(code: Code) -> Entry:
    details = {"target": code.target, "type": code.type, "zone": code.zone, "expires_at": to_text(code.expires_at)}
    return Entry("enrolment_code.add", _named(code.code_number), {name: text for name, text in details.items() if text})


def _used(code: Code, use: Use) -> Entry:
    details = {"code_number": str(code.code_number), "key": use.key_fingerprint or "made here"}
    return Entry("enrolment_code.use", use.device_id, details)


@contextlib.asynccontextmanager
async def _using(code: Code, address: str) -> AsyncIterator[None]:
    """What is done meanwhile is done by whoever has the code."""
    with acting_as(code_name(code.code_number), address):
        yield


def _hashed(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
