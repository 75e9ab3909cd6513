"""`/v1/own-authorities`: CAs that a tenant brings along, and the certificates of theirs that wait for a person."""

from typing import Annotated

import msgspec
from litestar import Request, delete, get, post, put
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import JSONBody

from appliance.accounts.model import User
from appliance.gateway import Gateway
from appliance.instant import to_text
from appliance.registry.own_authorities.model import (
    CODE_LIFE_MS,
    DAILY_LIMIT,
    DAILY_MOST,
    Acceptance,
    Mode,
    OwnAuthority,
    OwnCertificate,
    Settings,
)
from web.auth import Caller
from web.parameters import RowNumber
from web.shell import moment

SignedInRequest = Request[User, Caller, State]
DailyLimit = Annotated[int, msgspec.Meta(ge=0, le=DAILY_MOST)]


class OwnAuthorityOut(msgspec.Struct, frozen=True):
    """A CA. `mode` is `inactive`, `register` or `provision`. Moments are ISO 8601, UTC."""

    authority_number: int
    subject: str
    fingerprint: str
    mode: str
    template: str
    daily_limit: int
    device_count: int
    registered_at: str
    expires_at: str


class OwnAuthoritiesOut(msgspec.Struct, frozen=True):
    """The CAs in the order in which they were registered."""

    own_authorities: list[OwnAuthorityOut]


class RegistrationCodeOut(msgspec.Struct, frozen=True):
    """What the CA is to sign as a common name, once and until then."""

    code: str
    expires_at: str


class SettingsIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What becomes of the certificates of a CA. Without `template`, the common name is the device id."""

    mode: Mode = Mode.REGISTER
    template: str = ""
    daily_limit: DailyLimit = DAILY_LIMIT


class NewOwnAuthorityIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A CA, and a certificate that it has issued to a registration code; both PEM."""

    certificate_pem: str
    proof_pem: str
    mode: Mode = Mode.REGISTER
    template: str = ""
    daily_limit: DailyLimit = DAILY_LIMIT


class RemovedOut(msgspec.Struct, frozen=True):
    """How many certificates of the CA were good until now."""

    revoked_count: int


class OwnCertificateOut(msgspec.Struct, frozen=True):
    """A certificate that waits. `device_id` is what its bearer would be called, or is, where `is_registered`."""

    certificate_number: int
    authority_number: int
    subject: str
    fingerprint: str
    serial: str
    device_id: str
    is_registered: bool
    address: str
    seen_at: str
    expires_at: str


class OwnCertificatesOut(msgspec.Struct, frozen=True):
    """All that wait, and all that were refused, the newest first."""

    certificates: list[OwnCertificateOut]
    refused: list[OwnCertificateOut]


class OwnAcceptanceIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The device that the bearer of a certificate becomes; `is_registered` when it is one already."""

    device_id: str
    type: str = ""
    zone: str = ""
    is_registered: bool = False


@get("/v1/own-authorities", tags=["enrolment"], summary="CAs of your own")
async def list_authorities(request: SignedInRequest, gateway: NamedDependency[Gateway]) -> OwnAuthoritiesOut:
    """Every CA that was registered and not removed."""
    own = gateway.registry.own_authorities
    return OwnAuthoritiesOut([_out(gateway, each) for each in own.authorities(request.user.tenant_id)])


@post("/v1/own-authorities/codes", tags=["enrolment"], summary="Make a registration code")
async def make_code(request: SignedInRequest, gateway: NamedDependency[Gateway]) -> RegistrationCodeOut:
    """A code whose signature by a CA proves that its key is at hand."""
    code = await gateway.registry.own_authorities.make_code(request.user.tenant_id)
    return RegistrationCodeOut(code, to_text(moment() + CODE_LIFE_MS))


@post("/v1/own-authorities", tags=["enrolment"], summary="Register a CA")
async def register(
    data: JSONBody[NewOwnAuthorityIn], request: SignedInRequest, gateway: NamedDependency[Gateway]
) -> OwnAuthorityOut:
    """Take a CA whose devices get in at their first connections."""
    settings = Settings(data.mode, data.template, data.daily_limit)
    registered = await gateway.registry.own_authorities.register(
        request.user.tenant_id, data.certificate_pem.encode(), data.proof_pem.encode(), settings
    )
    return _out(gateway, registered)


@put("/v1/own-authorities/{authority_number:int}", tags=["enrolment"], summary="Change or switch off a CA")
async def change(
    authority_number: RowNumber,
    data: JSONBody[SettingsIn],
    request: SignedInRequest,
    gateway: NamedDependency[Gateway],
) -> OwnAuthorityOut:
    """Decide what becomes of certificates; `inactive` ends the connections of all of the CA's devices."""
    settings = Settings(data.mode, data.template, data.daily_limit)
    changed = await gateway.registry.own_authorities.change(request.user.tenant_id, authority_number, settings)
    return _out(gateway, changed)


@delete(
    "/v1/own-authorities/{authority_number:int}", tags=["enrolment"], summary="Remove a CA for good", status_code=200
)
async def remove(
    authority_number: RowNumber, request: SignedInRequest, gateway: NamedDependency[Gateway]
) -> RemovedOut:
    """Revoke every certificate of a CA, and trust it no more."""
    return RemovedOut(await gateway.registry.own_authorities.remove(request.user.tenant_id, authority_number))


@get("/v1/enrolment/certificates", tags=["enrolment"], summary="Certificates of your CAs that wait")
async def list_certificates(request: SignedInRequest, gateway: NamedDependency[Gateway]) -> OwnCertificatesOut:
    """What connected with a certificate of a CA of yours, and waits to be accepted."""
    own, tenant_id = gateway.registry.own_authorities, request.user.tenant_id
    waiting, refused = own.undecided(tenant_id), own.refused(tenant_id)
    return OwnCertificatesOut(
        [_certificate(gateway, each) for each in waiting], [_certificate(gateway, each) for each in refused]
    )


@post(
    "/v1/enrolment/certificates/{certificate_number:int}/accept",
    tags=["enrolment"],
    summary="Accept a certificate",
    status_code=204,
)
async def accept_certificate(
    certificate_number: RowNumber,
    data: JSONBody[OwnAcceptanceIn],
    request: SignedInRequest,
    gateway: NamedDependency[Gateway],
) -> None:
    """Make a device of the bearer; it gets in when it connects again."""
    acceptance = Acceptance(data.device_id, data.type, data.zone, data.is_registered)
    await gateway.registry.own_authorities.accept(request.user.tenant_id, certificate_number, acceptance)


@post(
    "/v1/enrolment/certificates/{certificate_number:int}/refuse",
    tags=["enrolment"],
    summary="Refuse a certificate",
    status_code=204,
)
async def refuse_certificate(
    certificate_number: RowNumber, request: SignedInRequest, gateway: NamedDependency[Gateway]
) -> None:
    """Let nobody in by it, until an operator lets it wait again."""
    await gateway.registry.own_authorities.refuse(request.user.tenant_id, certificate_number)


@post(
    "/v1/enrolment/certificates/{certificate_number:int}/reconsider",
    tags=["enrolment"],
    summary="Let a refused certificate wait again",
    status_code=204,
)
async def reconsider_certificate(
    certificate_number: RowNumber, request: SignedInRequest, gateway: NamedDependency[Gateway]
) -> None:
    """Turn a refusal round: the certificate waits, and may be accepted."""
    await gateway.registry.own_authorities.reconsider(request.user.tenant_id, certificate_number)


def _out(gateway: Gateway, authority: OwnAuthority) -> OwnAuthorityOut:
    return OwnAuthorityOut(
        authority_number=authority.authority_number,
        subject=authority.subject,
        fingerprint=authority.fingerprint,
        mode=authority.settings.mode.value,
        template=authority.settings.template,
        daily_limit=authority.settings.daily_limit,
        device_count=gateway.registry.own_authorities.device_count(authority.authority_number),
        registered_at=to_text(authority.registered_at),
        expires_at=to_text(authority.expires_at),
    )


def _certificate(gateway: Gateway, certificate: OwnCertificate) -> OwnCertificateOut:
    return OwnCertificateOut(
        certificate_number=certificate.certificate_number,
        authority_number=certificate.authority_number,
        subject=certificate.subject,
        fingerprint=certificate.fingerprint,
        serial=certificate.serial,
        device_id=certificate.device_id,
        is_registered=gateway.registry.has_device(certificate.tenant_id, certificate.device_id),
        address=certificate.address,
        seen_at=to_text(certificate.seen_at),
        expires_at=to_text(certificate.expires_at),
    )


HANDLERS = (
    list_authorities,
    make_code,
    register,
    change,
    remove,
    list_certificates,
    accept_certificate,
    refuse_certificate,
    reconsider_certificate,
)
