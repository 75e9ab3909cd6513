"""The CAs that issue, or have issued, the certificates of devices, and the question before one is revoked."""

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, URLEncodedBody
from litestar.response import Template

from appliance.errors import ApplianceError, InvalidInputError, NotFoundError
from appliance.gateway import Gateway
from web.errors import status_of
from web.shell import Frame


class RevocationForm(msgspec.Struct, frozen=True):
    """The name of the CA, typed by whoever means it."""

    name: str = ""


@get("/issuers", include_in_schema=False)
async def show_issuers(gateway: NamedDependency[Gateway], frame: NamedDependency[Frame]) -> Template:
    """The page."""
    known = await gateway.registry.revocation.issuers(frame.user.tenant_id)
    return Template("pages/issuers.html", context={"frame": frame, "now": frame.now, "issuers": known})


@get("/issuers/{fingerprint:str}/revoke", include_in_schema=False)
async def ask_revocation(
    fingerprint: FromPath[str], gateway: NamedDependency[Gateway], frame: NamedDependency[Frame]
) -> Template:
    """The question before a CA is revoked, for there is no way back."""
    return await _question(gateway, frame, fingerprint, "")


@post("/issuers/{fingerprint:str}/revoke", include_in_schema=False, status_code=303)
async def revoke_issuer(
    fingerprint: FromPath[str],
    gateway: NamedDependency[Gateway],
    frame: NamedDependency[Frame],
    data: URLEncodedBody[RevocationForm],
) -> Response[None] | Template:
    """Let nothing that the CA has issued open anything any more, and go back."""
    tenant_id = frame.user.tenant_id
    try:
        issuer = await gateway.registry.revocation.issuer(tenant_id, fingerprint)
        if data.name.strip() != issuer.name:
            raise InvalidInputError(f"nothing was revoked: the name typed is not {issuer.name}")
        await gateway.registry.revocation.revoke_issuer(tenant_id, fingerprint)
    except NotFoundError:
        raise
    except ApplianceError as error:
        page = await _question(gateway, frame, fingerprint, str(error))
        page.status_code = status_of(error)
        return page
    return Response(None, headers={"location": "/issuers"})


async def _question(gateway: Gateway, frame: Frame, fingerprint: str, complaint: str) -> Template:
    issuer = await gateway.registry.revocation.issuer(frame.user.tenant_id, fingerprint)
    has_root_key = gateway.registry.authorities.status().root_key != "removed"
    context = {
        "frame": frame,
        "now": frame.now,
        "issuer": issuer,
        "has_root_key": has_root_key,
        "complaint": complaint,
    }
    return Template("pages/issuer_revoke.html", context=context)


HANDLERS = (show_issuers, ask_revocation, revoke_issuer)
