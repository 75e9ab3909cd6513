"""`/v1/claims` and `/v1/provisioning-templates`: how devices enrol themselves."""

import msgspec
from litestar import Request, delete, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from appliance.accounts.model import User
from appliance.enrolment.model import DEFAULT_TEMPLATE, Claim, InvalidClaimError, NewClaim, StoredTemplate
from appliance.gateway import Gateway
from appliance.instant import from_text, to_text
from web.auth import Caller
from web.parameters import RowNumber


class ClaimOut(msgspec.Struct, frozen=True):
    """A claim: a certificate whose bearers may enrol. Moments are ISO 8601, UTC."""

    claim_number: int
    name: str
    template: str
    serial_pattern: str
    serial_count: int
    use_limit: int
    use_count: int
    fingerprint: str
    created_at: str
    expires_at: str
    revoked_at: str | None


class ClaimsOut(msgspec.Struct, frozen=True):
    """All claims, newest first."""

    claims: list[ClaimOut]


class NewClaimIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A claim to be made. `serial_pattern` knows `*`, `?` and `[…]`; with `serials`, these and no others enrol."""

    name: str
    expires_at: str
    use_limit: int
    template: str = DEFAULT_TEMPLATE
    serial_pattern: str = ""
    serials: list[str] = []


class MadeClaimOut(msgspec.Struct, frozen=True):
    """A claim, with what its bearers show. The key is in this answer alone: the gateway keeps none."""

    claim: ClaimOut
    certificate_pem: str
    chain_pem: str
    key_pem: str
    root_pem: str


class TemplateOut(msgspec.Struct, frozen=True):
    """A provisioning template, in AWS's JSON. The one named `device` is always there."""

    name: str
    body: str


class TemplatesOut(msgspec.Struct, frozen=True):
    """All provisioning templates."""

    provisioning_templates: list[TemplateOut]


class MadeTemplateOut(msgspec.Struct, frozen=True):
    """A template that was added, and sentences on what of it is left out."""

    name: str
    left_out: list[str]


@get("/v1/claims", tags=["enrolment"], summary="All claims")
async def list_claims(request: Request[User, Caller, State], gateway: NamedDependency[Gateway]) -> ClaimsOut:
    """Every claim of the tenant, spent, expired and revoked ones too."""
    return ClaimsOut([_out(claim) for claim in gateway.enrolment.claims(request.user.tenant_id)])


@post("/v1/claims", tags=["enrolment"], summary="Make a claim")
async def add_claim(
    data: JSONBody[NewClaimIn], request: Request[User, Caller, State], gateway: NamedDependency[Gateway]
) -> MadeClaimOut:
    """Make a claim; this answer is the one time that its private key is told."""
    try:
        expires_at = from_text(data.expires_at)
    except ValueError as error:
        raise InvalidClaimError(f"expires_at is {data.expires_at[:40]!r}, expected a moment in ISO 8601") from error
    new = NewClaim(
        data.name, data.template, expires_at, data.use_limit, data.serial_pattern, tuple(dict.fromkeys(data.serials))
    )
    claim, bundle = await gateway.enrolment.add_claim(request.user.tenant_id, new)
    return MadeClaimOut(_out(claim), bundle.certificate_pem, bundle.chain_pem, bundle.key_pem, bundle.root_pem)


@post("/v1/claims/{claim_number:int}/revoke", tags=["enrolment"], summary="Revoke a claim", status_code=200)
async def revoke_claim(
    claim_number: RowNumber, request: Request[User, Caller, State], gateway: NamedDependency[Gateway]
) -> ClaimOut:
    """Let a claim open nothing any more. Devices that enrolled by it stay."""
    return _out(await gateway.enrolment.revoke_claim(request.user.tenant_id, claim_number))


@get("/v1/provisioning-templates", tags=["enrolment"], summary="All provisioning templates")
async def list_templates(request: Request[User, Caller, State], gateway: NamedDependency[Gateway]) -> TemplatesOut:
    """Every template of the tenant."""
    return TemplatesOut([_template_out(stored) for stored in gateway.enrolment.templates(request.user.tenant_id)])


@post("/v1/provisioning-templates", tags=["enrolment"], summary="Add a provisioning template")
async def add_template(
    data: JSONBody[TemplateOut], request: Request[User, Caller, State], gateway: NamedDependency[Gateway]
) -> MadeTemplateOut:
    """Keep a template. It never changes: another one has another name."""
    left_out = await gateway.enrolment.add_template(request.user.tenant_id, data.name, data.body)
    return MadeTemplateOut(data.name, list(left_out))


@delete("/v1/provisioning-templates/{name:str}", tags=["enrolment"], summary="Remove a provisioning template")
async def remove_template(
    name: FromPath[str], request: Request[User, Caller, State], gateway: NamedDependency[Gateway]
) -> None:
    """Remove a template that no good claim names."""
    await gateway.enrolment.remove_template(request.user.tenant_id, name)


def _out(claim: Claim) -> ClaimOut:
    return ClaimOut(
        claim_number=claim.claim_number,
        name=claim.name,
        template=claim.template,
        serial_pattern=claim.serial_pattern,
        serial_count=claim.serial_count,
        use_limit=claim.use_limit,
        use_count=claim.use_count,
        fingerprint=claim.fingerprint,
        created_at=to_text(claim.created_at),
        expires_at=to_text(claim.expires_at),
        revoked_at=None if claim.revoked_at is None else to_text(claim.revoked_at),
    )


def _template_out(stored: StoredTemplate) -> TemplateOut:
    return TemplateOut(stored.name, stored.body)


HANDLERS = (list_claims, add_claim, revoke_claim, list_templates, add_template, remove_template)
