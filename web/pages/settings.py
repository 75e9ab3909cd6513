"""Settings: the account, tokens for scripts, the web CA, and how each part of the gateway is."""

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import URLEncodedBody
from litestar.response import Template

from appliance.accounts.model import Role
from appliance.config import HttpConfig
from appliance.errors import ApplianceError
from appliance.gateway import Gateway
from web.errors import status_of
from web.parameters import RowNumber
from web.shell import Frame


class TokenForm(msgspec.Struct, frozen=True):
    """A token as it is asked for."""

    name: str = ""
    role: Role = Role.OPERATOR


@get("/settings", include_in_schema=False)
async def show_settings(
    gateway: NamedDependency[Gateway], frame: NamedDependency[Frame], http: NamedDependency[HttpConfig]
) -> Template:
    """The page."""
    return await _page(gateway, frame, http, new_token="", complaint="")


@post("/tokens", include_in_schema=False, status_code=200)
async def add_token(
    gateway: NamedDependency[Gateway],
    frame: NamedDependency[Frame],
    http: NamedDependency[HttpConfig],
    data: URLEncodedBody[TokenForm],
) -> Template:
    """Make a token. This answer is the one time that it is shown."""
    try:
        token = await gateway.accounts.add_token(frame.user.tenant_id, data.name, data.role)
    except ApplianceError as error:
        page = await _page(gateway, frame, http, new_token="", complaint=str(error))
        page.status_code = status_of(error)
        return page
    return await _page(gateway, frame, http, new_token=token, complaint="")


@post("/tokens/{token_id:int}/revoke", include_in_schema=False, status_code=303)
async def revoke_token(
    token_id: RowNumber, gateway: NamedDependency[Gateway], frame: NamedDependency[Frame]
) -> Response[None]:
    """Let a token open nothing any more."""
    await gateway.accounts.revoke_token(frame.user.tenant_id, token_id)
    return Response(None, headers={"location": "/settings"})


@post("/settings/clock", include_in_schema=False, status_code=303)
async def reset_clock(
    gateway: NamedDependency[Gateway], frame: NamedDependency[Frame], http: NamedDependency[HttpConfig]
) -> Response[None] | Template:
    """Take what the clock shows for what has passed, and go back."""
    try:
        await gateway.registry.time.reset()
    except ApplianceError as error:
        page = await _page(gateway, frame, http, new_token="", complaint="", clock_complaint=str(error))
        page.status_code = status_of(error)
        return page
    return Response(None, headers={"location": "/settings"})


async def _page(
    gateway: Gateway, frame: Frame, http: HttpConfig, *, new_token: str, complaint: str, clock_complaint: str = ""
) -> Template:
    context = {
        "frame": frame,
        "now": frame.now,
        "tokens": await gateway.accounts.tokens(frame.user.tenant_id),
        "new_token": new_token,
        "roles": [Role.OPERATOR, Role.VIEWER, Role.INSTALLER, Role.OWNER],
        "complaint": complaint,
        "clock_complaint": clock_complaint,
        "web_ca_fingerprint": gateway.registry.web_ca_fingerprint,
        "clock": gateway.registry.time.report(),
        "statuses": gateway.health.statuses(),
        "data_folder": str(gateway.data_folder),
        "trust_port": http.trust_port,
        "has_mailbox": gateway.mailbox is not None,
    }
    return Template("pages/settings.html", context=context)


HANDLERS = (show_settings, add_token, revoke_token, reset_clock)
