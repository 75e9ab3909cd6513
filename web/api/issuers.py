"""`/v1/issuers`: the CAs that issue, or have issued, the certificates of devices, and the end of one."""

import msgspec
from litestar import Request, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import FromPath

from appliance.accounts.model import User
from appliance.gateway import Gateway
from appliance.instant import to_text
from appliance.registry.revocation.issuers import Issuer
from web.auth import Caller


class IssuerOut(msgspec.Struct, frozen=True):
    """A CA. Its fingerprint is SHA-256, moments are ISO 8601, UTC."""

    fingerprint: str
    name: str
    expires_at: str | None
    is_in_use: bool
    revoked_at: str | None


class IssuersOut(msgspec.Struct, frozen=True):
    """Every CA that issues or has issued, the one in use first."""

    issuers: list[IssuerOut]


class RevokedIssuerOut(msgspec.Struct, frozen=True):
    """What came of a revocation."""

    issuer: IssuerOut
    certificate_count: int
    """How many certificates were good until then."""
    successor: IssuerOut | None
    """The CA that was made because the revoked one issued; null when another one issued already."""


@get("/v1/issuers", tags=["certificates"], summary="The CAs that issue, or have issued, to devices")
async def list_issuers(request: Request[User, Caller, State], gateway: NamedDependency[Gateway]) -> IssuersOut:
    """They belong to the gateway: other tenants than the first see none."""
    known = await gateway.registry.revocation.issuers(request.user.tenant_id)
    return IssuersOut([_out(issuer) for issuer in known])


@post(
    "/v1/issuers/{fingerprint:str}/revoke",
    status_code=200,
    tags=["certificates"],
    summary="Revoke a CA with everything it has issued",
)
async def revoke_issuer(
    fingerprint: FromPath[str], request: Request[User, Caller, State], gateway: NamedDependency[Gateway]
) -> RevokedIssuerOut:
    """Let nothing that the CA has issued open anything any more; live connections by it end. There is no way back.

    If it issues now, the gateway makes a new one under the root first, and refuses while the root's key is away.
    """
    done = await gateway.registry.revocation.revoke_issuer(request.user.tenant_id, fingerprint)
    successor = None if done.successor is None else _out(done.successor)
    return RevokedIssuerOut(_out(done.issuer), done.certificate_count, successor)


def _out(issuer: Issuer) -> IssuerOut:
    return IssuerOut(
        issuer.fingerprint,
        issuer.name,
        to_text(issuer.expires_at) if issuer.expires_at else None,
        issuer.is_in_use,
        None if issuer.revoked_at is None else to_text(issuer.revoked_at),
    )


HANDLERS = (list_issuers, revoke_issuer)
