"""The tokens of one device: which there are, when they were used last, a new one, and the end of one."""

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, URLEncodedBody
from litestar.response import Template

from appliance.errors import ApplianceError, NotFoundError
from appliance.gateway import Gateway
from appliance.registry.tokens.model import LONGEST_LIFETIME_DAYS, NAME_LENGTH
from web.errors import status_of
from web.parameters import RowNumber
from web.shell import Frame

USUAL_LIFETIME_DAYS = "365"


class DeviceTokenForm(msgspec.Struct, frozen=True):
    """A token as it is asked for."""

    name: str = ""
    lifetime_days: str = USUAL_LIFETIME_DAYS


@get("/devices/{device_id:str}/tokens", include_in_schema=False)
async def show_device_tokens(
    device_id: FromPath[str], gateway: NamedDependency[Gateway], frame: NamedDependency[Frame]
) -> Template:
    """The page."""
    return _page(gateway, frame, device_id)


@post("/devices/{device_id:str}/tokens", include_in_schema=False, status_code=200)
async def add_device_token(
    device_id: FromPath[str],
    gateway: NamedDependency[Gateway],
    frame: NamedDependency[Frame],
    data: URLEncodedBody[DeviceTokenForm],
) -> Template:
    """Make a token. This answer is the one time that it is shown."""
    try:
        tokens = gateway.registry.tokens
        issued = await tokens.issue(frame.user.tenant_id, device_id, data.name, _whole(data.lifetime_days))
    except NotFoundError:
        raise
    except ApplianceError as error:
        page = _page(gateway, frame, device_id, complaint=str(error))
        page.status_code = status_of(error)
        return page
    return _page(gateway, frame, device_id, new_token=issued.text)


@post("/devices/{device_id:str}/tokens/{token_number:int}/revoke", include_in_schema=False, status_code=303)
async def end_device_token(
    device_id: FromPath[str], token_number: RowNumber, gateway: NamedDependency[Gateway], frame: NamedDependency[Frame]
) -> Response[None]:
    """Let a token open nothing any more."""
    await gateway.registry.tokens.revoke(frame.user.tenant_id, device_id, token_number)
    return Response(None, headers={"location": f"/devices/{device_id}/tokens"})


def _page(gateway: Gateway, frame: Frame, device_id: str, *, new_token: str = "", complaint: str = "") -> Template:
    context = {
        "frame": frame,
        "now": frame.now,
        "device": gateway.registry.device(frame.user.tenant_id, device_id),
        "tokens": gateway.registry.tokens.tokens(frame.user.tenant_id, device_id),
        "new_token": new_token,
        "complaint": complaint,
        "name_length": NAME_LENGTH,
        "usual_lifetime_days": USUAL_LIFETIME_DAYS,
        "longest_lifetime_days": LONGEST_LIFETIME_DAYS,
    }
    return Template("pages/device_tokens.html", context=context)


def _whole(text: str) -> int:
    """A number of days; 0, which is none, for what is no number."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < len("100000") else 0


HANDLERS = (show_device_tokens, add_device_token, end_device_token)
