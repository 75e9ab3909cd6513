"""Signing in and out."""

import msgspec
from litestar import Request, Response, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import FromQuery, URLEncodedBody
from litestar.response import Redirect, Template

from appliance.accounts.model import User
from appliance.errors import ApplianceError, NotSignedInError
from appliance.gateway import Gateway
from appliance.registry.model import DEFAULT_TENANT
from web.auth import (
    OPEN,
    SESSION_COOKIE,
    VISIT_COOKIE,
    Caller,
    ended_cookie,
    form_secret,
    form_token,
    host_cookie,
    new_visit,
)
from web.errors import status_of, when_again
from web.live import Hub
from web.mqtt import Quay


class SignInForm(msgspec.Struct, frozen=True):
    """What the page asks for."""

    email: str = ""
    password: str = ""
    next: str = "/"


@get("/sign-in", opt={**OPEN}, include_in_schema=False)
async def show_sign_in(
    request: Request[None, None, State],
    gateway: NamedDependency[Gateway],
    next: FromQuery[str] = "/",  # noqa: A002  the word in the address
) -> Template | Redirect:
    """The form; for who is signed in already, the page they wanted."""
    secret = request.cookies.get(SESSION_COOKIE, "")
    if secret and await _is_session(gateway, secret):
        return Redirect(local_address(next), status_code=303)
    has_owner = await gateway.accounts.has_owner(DEFAULT_TENANT)
    # A session that is over must not stay the secret of this form: its token would die with the cookie.
    visit = request.cookies.get(VISIT_COOKIE) or new_visit()
    page = sign_in_page(visit, SignInForm(next=local_address(next)), "", 200, has_owner=has_owner)
    if secret:
        page.set_cookie(ended_cookie(SESSION_COOKIE))
    return page


@post("/sign-in", opt={**OPEN}, include_in_schema=False, status_code=200)
async def sign_in(
    request: Request[None, None, State],
    gateway: NamedDependency[Gateway],
    data: URLEncodedBody[SignInForm],
) -> Response[None] | Template:
    """Open a new session; or the form again, with what was wrong."""
    address = request.client.host if request.client else ""
    try:
        secret = await gateway.accounts.sign_in(data.email, data.password, address)
    except ApplianceError as error:
        page = sign_in_page(form_secret(request), data, str(error), status_of(error), has_owner=True)
        page.headers.update(when_again(error))
        return page
    return Response(
        None,
        status_code=303,
        headers={"location": local_address(data.next)},
        cookies=[host_cookie(SESSION_COOKIE, secret), ended_cookie(VISIT_COOKIE)],
    )


@post("/sign-out", include_in_schema=False, status_code=303)
async def sign_out(
    request: Request[User, Caller, State],
    gateway: NamedDependency[Gateway],
    hub: NamedDependency[Hub],
    quay: NamedDependency[Quay],
) -> Response[None]:
    """End the session and every live page and MQTT connection it opened."""
    await gateway.accounts.sign_out(request.auth.session_secret)
    hub.end_session(request.auth.session_secret)
    quay.end_session(request.auth.session_secret)
    return Response(None, headers={"location": "/sign-in"}, cookies=[ended_cookie(SESSION_COOKIE)])


def sign_in_page(visit: str, form: SignInForm, complaint: str, status_code: int, *, has_owner: bool) -> Template:
    """The form, filled with what was entered. The password is never given back."""
    context = {"form": form, "complaint": complaint, "form_token": form_token(visit), "has_owner": has_owner}
    return Template(
        "pages/sign_in.html", context=context, status_code=status_code, cookies=[host_cookie(VISIT_COOKIE, visit)]
    )


def local_address(wanted: str) -> str:
    """The wanted address if it is one of ours, else the first page: nobody is led elsewhere from here."""
    is_local = wanted.startswith("/") and not wanted.startswith("//") and "\\" not in wanted and wanted.isprintable()
    return wanted if is_local else "/"


async def _is_session(gateway: Gateway, secret: str) -> bool:
    try:
        await gateway.accounts.user_of_session(secret)
    except NotSignedInError:
        return False
    return True


HANDLERS = (show_sign_in, sign_in, sign_out)
