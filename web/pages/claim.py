"""The page that makes the first owner. The secret stands behind `#` in the link, which browsers keep to themselves."""

import msgspec
from litestar import Request, Response, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import URLEncodedBody
from litestar.response import Redirect, Template

from appliance.errors import ApplianceError
from appliance.gateway import Gateway
from appliance.registry.model import DEFAULT_TENANT
from web.auth import OPEN, SESSION_COOKIE, VISIT_COOKIE, ended_cookie, form_secret, form_token, host_cookie, new_visit
from web.errors import status_of, when_again


class ClaimForm(msgspec.Struct, frozen=True):
    """What the page asks for."""

    code: str = ""
    email: str = ""
    password: str = ""


@get("/claim", opt={**OPEN}, include_in_schema=False)
async def show_claim(request: Request[None, None, State], gateway: NamedDependency[Gateway]) -> Template | Redirect:
    """The form; on a gateway that has an owner, the way to the sign-in page."""
    if await gateway.accounts.has_owner(DEFAULT_TENANT):
        return Redirect("/sign-in", status_code=303)
    return claim_page(form_secret(request) or new_visit(), ClaimForm(), "", 200)


@post("/claim", opt={**OPEN}, include_in_schema=False, status_code=200)
async def claim(
    request: Request[None, None, State],
    gateway: NamedDependency[Gateway],
    data: URLEncodedBody[ClaimForm],
) -> Response[None] | Template:
    """Make the owner and sign them in; or the form again, with what was wrong."""
    try:
        secret = await gateway.accounts.claim(data.code.strip(), data.email, data.password)
    except ApplianceError as error:
        page = claim_page(form_secret(request), data, str(error), status_of(error))
        page.headers.update(when_again(error))
        return page
    return Response(
        None,
        status_code=303,
        headers={"location": "/"},
        cookies=[host_cookie(SESSION_COOKIE, secret), ended_cookie(VISIT_COOKIE)],
    )


def claim_page(visit: str, form: ClaimForm, complaint: str, status_code: int) -> Template:
    """The form, filled with what was entered. The password is never given back."""
    context = {"form": form, "complaint": complaint, "form_token": form_token(visit)}
    return Template(
        "pages/claim.html", context=context, status_code=status_code, cookies=[host_cookie(VISIT_COOKIE, visit)]
    )


HANDLERS = (show_claim, claim)
