"""`/v1/devices/…/certificates`: what a device has been issued, its bundle, and revocation."""

import msgspec
from litestar import Request, Response, delete, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import FromPath

from appliance.accounts.model import User
from appliance.errors import InvalidInputError
from appliance.gateway import Gateway
from appliance.instant import to_text
from appliance.registry import bundle
from appliance.registry.model import Certificate
from web.auth import Caller
from web.shell import moment


class CertificateOut(msgspec.Struct, frozen=True):
    """A certificate of a device. Moments are ISO 8601, UTC."""

    fingerprint: str
    serial: str
    issued_at: str
    expires_at: str
    revoked_at: str | None


class CertificatesOut(msgspec.Struct, frozen=True):
    """Every certificate that the device was ever issued, newest first."""

    certificates: list[CertificateOut]


class GrantedOut(msgspec.Struct, frozen=True):
    """A certificate for a key that only the device has."""

    device_id: str
    certificate_pem: str
    chain_pem: str
    root_pem: str
    fingerprint: str
    expires_at: str


class RequestIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A certificate signing request as text."""

    certificate_request: str


@get("/v1/devices/{device_id:str}/certificates", tags=["certificates"], summary="The certificates of a device")
async def list_certificates(
    device_id: FromPath[str], request: Request[User, Caller, State], gateway: NamedDependency[Gateway]
) -> CertificatesOut:
    """Those that are good, expired and revoked."""
    known = await gateway.registry.certificates(request.user.tenant_id, device_id)
    return CertificatesOut([_out(certificate) for certificate in known])


@post(
    "/v1/devices/{device_id:str}/certificate-requests",
    tags=["certificates"],
    summary="Issue a certificate for a signing request",
)
async def grant_certificate(
    device_id: FromPath[str], request: Request[User, Caller, State], gateway: NamedDependency[Gateway]
) -> GrantedOut:
    """Issue a certificate for a key that the device made itself.

    The body is the request (PKCS #10) itself, PEM or DER, or `{"certificate_request": "…"}` with its PEM.
    """
    body = await request.body()
    if request.content_type[0] == "application/json":
        try:
            body = msgspec.json.decode(body, type=RequestIn).certificate_request.encode()
        except msgspec.MsgspecError as error:
            raise InvalidInputError(f"the body is not as expected: {error}") from error
    granted = await gateway.registry.grant_certificate(request.user.tenant_id, device_id, body)
    return GrantedOut(
        device_id=granted.device_id,
        certificate_pem=granted.certificate_pem,
        chain_pem=granted.chain_pem,
        root_pem=granted.root_pem,
        fingerprint=granted.fingerprint,
        expires_at=to_text(granted.expires_at),
    )


@post("/v1/devices/{device_id:str}/bundle", tags=["certificates"], summary="Issue a certificate, as a zip")
async def issue_bundle(
    device_id: FromPath[str], request: Request[User, Caller, State], gateway: NamedDependency[Gateway]
) -> Response[bytes]:
    """A new key and certificate with programs that use them. The key is in this answer alone."""
    issued = await gateway.registry.issue_certificate(request.user.tenant_id, device_id)
    name = bundle.folder_name(device_id)
    return Response(
        bundle.zipped(bundle.with_programs(issued, gateway.registry.address), name, moment()),
        media_type="application/zip",
        headers={"content-disposition": f'attachment; filename="{name}.zip"'},
    )


@delete(
    "/v1/devices/{device_id:str}/certificates/{fingerprint:str}",
    status_code=200,
    tags=["certificates"],
    summary="Revoke a certificate",
)
async def revoke_certificate(
    device_id: FromPath[str],
    fingerprint: FromPath[str],
    request: Request[User, Caller, State],
    gateway: NamedDependency[Gateway],
) -> CertificateOut:
    """Let a certificate open nothing any more; live connections that came by it end within a second."""
    return _out(await gateway.renewal.revoke(request.user.tenant_id, device_id, fingerprint.lower()))


def _out(certificate: Certificate) -> CertificateOut:
    return CertificateOut(
        certificate.fingerprint,
        certificate.serial,
        to_text(certificate.issued_at),
        to_text(certificate.expires_at),
        None if certificate.revoked_at is None else to_text(certificate.revoked_at),
    )


HANDLERS = (list_certificates, grant_certificate, issue_bundle, revoke_certificate)
