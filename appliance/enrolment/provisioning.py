"""The requests of fleet provisioning by claim (AWS's MQTT API), and their answers, in JSON and in CBOR."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import TypeVar

import msgspec

from appliance.enrolment.claims import FORMATS
from appliance.enrolment.model import Claim, Enrolled, Fault, PendingCertificate, RejectedError, Setting
from appliance.errors import InvalidInputError
from appliance.ingestion import cbor
from appliance.registry.clock.trust import Reading, is_over
from appliance.registry.model import Certificate, Device, DeviceState, IssuedCertificate, NewDevice
from appliance.registry.tokens.model import DeviceToken

PAYLOAD_LIMIT = 32_768
"""The most bytes of a request: a signing request for a large key has 2,000, all parameters together 40,000 at worst."""

_STATUS_CODES = {
    Fault.ACCESS_DENIED: 403,
    Fault.THROTTLED: 429,
    Fault.CONFLICT: 409,
    Fault.INTERNAL: 500,
}
_PREFIX = "$aws/"

_T = TypeVar("_T")
_R = TypeVar("_R")


class Wish(StrEnum):
    """What is asked for, by the topic's own words."""

    CREATE = "certificates/create"
    CREATE_FROM_CSR = "certificates/create-from-csr"
    PROVISION = "provision"


class Address(msgspec.Struct, frozen=True):
    """What the topic name of a request says."""

    topic: str
    wish: Wish
    template: str
    """Empty where the request names none."""
    form: str
    """`json` or `cbor`."""

    @property
    def accepted(self) -> str:
        """Where a request is answered that was granted."""
        return f"{self.topic}/accepted"

    @property
    def rejected(self) -> str:
        """Where a request is answered that was not."""
        return f"{self.topic}/rejected"


class CsrRequest(msgspec.Struct, frozen=True, rename="camel"):
    """A certificate for a key of the device's own."""

    certificate_signing_request: str


class ProvisionRequest(msgspec.Struct, frozen=True, rename="camel"):
    """A certificate that was issued is to become a device's."""

    certificate_ownership_token: str
    parameters: dict[str, str] = {}


def address(topic: str) -> Address | None:
    """What a topic name asks for; None when it is none of these requests."""
    base, _, form = topic.removeprefix(_PREFIX).rpartition("/")
    if form not in FORMATS or not topic.startswith(_PREFIX):
        return None
    for wish in (Wish.CREATE, Wish.CREATE_FROM_CSR):
        if base == wish:
            return Address(topic, wish, "", form)
    match base.split("/"):
        case ["provisioning-templates", template, "provision"] if template:
            return Address(topic, Wish.PROVISION, template, form)
    return None


def check_size(payload: bytes) -> None:
    """Raise `RejectedError` when no request is as large."""
    if len(payload) > PAYLOAD_LIMIT:
        raise RejectedError(Fault.INVALID_REQUEST, f"the request has more than {PAYLOAD_LIMIT} bytes")


def csr_request(payload: bytes, form: str) -> CsrRequest:
    """Read a request. Raises `RejectedError`."""
    return _read(payload, form, CsrRequest)


def provision_request(payload: bytes, form: str) -> ProvisionRequest:
    """Read a request. Raises `RejectedError`."""
    return _read(payload, form, ProvisionRequest)


def created(pending: PendingCertificate, token: str, key_pem: str, form: str) -> bytes:
    """The answer with a certificate; without a key where the device made it itself."""
    answer: dict[str, cbor.Value] = {"certificateId": pending.fingerprint, "certificatePem": pending.pem}
    if key_pem:
        answer["privateKey"] = key_pem
    return _written(answer | {"certificateOwnershipToken": token}, form)


def provisioned(device_id: str, configuration: Mapping[str, str], form: str) -> bytes:
    """The answer to a device that may now connect under its own name."""
    told: dict[str, cbor.Value] = dict(configuration)
    return _written({"deviceConfiguration": told, "thingName": device_id}, form)


def rejected(fault: Fault, reason: str, form: str) -> bytes:
    """The answer that refuses."""
    return _written(
        {"statusCode": _STATUS_CODES.get(fault, 400), "errorCode": fault.value, "errorMessage": reason}, form
    )


def ownership_refusal(pending: PendingCertificate | None, claim: Claim, client_id: str) -> str | None:
    """None when a token is this claim's and this client's, else why it is refused.

    The reason is the same for what does not exist and for what is another's: a token cannot be sounded out.
    """
    if pending is not None and (pending.claim_number, pending.client_id) == (claim.claim_number, client_id):
        return None
    return "the ownership token is not known, was used, is older than an hour, or is another client's"


def identity_refusal(
    device: Device, certificates: Iterable[Certificate], tokens: Iterable[DeviceToken], clock: Reading
) -> str | None:
    """None when a claim's bearer may become this device, else why not.

    Who has a good certificate or a good token already cannot be replaced by whoever has a claim. What may still open
    something is good: a clock that is not trusted calls nothing over.
    """
    if device.state in (DeviceState.SUSPENDED, DeviceState.RETIRED):
        return f"the device {device.device_id} is {device.state}"
    if any(one.revoked_at is None and not is_over(one.expires_at, clock) for one in certificates):
        return f"the device {device.device_id} has a good certificate already: revoke it first"
    if any(one.revoked_at is None and not is_over(one.expires_at, clock) for one in tokens):
        return f"the device {device.device_id} has a good token already: revoke it first"
    return None


def merged(device: Device, enrolled: Enrolled) -> NewDevice:
    """What a device that is registered already becomes. Raises `RejectedError` where its template says so.

    Whoever was accepted keeps the state, the type and the zone that it has: a claim is no way around its operator.
    """
    new, settings = enrolled.new, enrolled.settings
    is_pending = device.state is DeviceState.PENDING
    type_ = _settled("ThingTypeName", device.type, new.type, settings)
    groups = _settled("ThingGroups", device.groups, new.groups, settings)
    if settings.get("ThingGroups") is Setting.MERGE:
        groups = tuple(sorted({*device.groups, *new.groups}))
    attributes = _settled("AttributePayload", device.attributes, new.attributes, settings)
    if settings.get("AttributePayload") is Setting.MERGE:
        attributes = {**device.attributes, **new.attributes}
    replaces = settings.get("AttributePayload") in (Setting.REPLACE, Setting.MERGE)
    return NewDevice(
        device.device_id,
        name=(replaces and new.name) or device.name,
        type=type_ if is_pending else device.type or type_,
        zone=(replaces and (is_pending or not device.zone) and new.zone) or device.zone,
        serial_number=device.serial_number or new.serial_number,
        groups=groups,
        attributes=attributes,
        notes=device.notes,
        state=new.state if is_pending else device.state,
    )


def bound(pending: PendingCertificate, device_id: str) -> IssuedCertificate:
    """The certificate that waited, as that of a device."""
    known = Certificate(pending.fingerprint, pending.serial, pending.issued_at, pending.expires_at)
    return IssuedCertificate(device_id, known, pending.pem)


def _settled(key: str, old: _T, new: _T, settings: Mapping[str, Setting]) -> _T:
    setting = settings.get(key, Setting.DO_NOTHING)
    if setting is Setting.FAIL and old and new and old != new:
        raise RejectedError(Fault.CONFLICT, f"the device is registered with another {key}")
    return new if setting is Setting.REPLACE or not old else old


def _read(payload: bytes, form: str, into: type[_R]) -> _R:
    check_size(payload)
    try:
        value = cbor.decode(payload) if form == "cbor" else msgspec.json.decode(payload)
        return msgspec.convert(value, into)
    except (msgspec.MsgspecError, InvalidInputError, RecursionError, UnicodeDecodeError) as error:
        raise RejectedError(Fault.INVALID_REQUEST, f"the request cannot be read: {error}") from error


def _written(answer: dict[str, cbor.Value], form: str) -> bytes:
    return cbor.encode(answer) if form == "cbor" else msgspec.json.encode(answer)
