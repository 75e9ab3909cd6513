"""`/v1/devices/{device_id}/tokens`: what a device that cannot do certificates shows instead."""

from typing import Annotated

import msgspec
from litestar import Request, delete, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from appliance.accounts.model import User
from appliance.gateway import Gateway
from appliance.instant import to_text
from appliance.registry.tokens.model import LONGEST_LIFETIME_DAYS, NAME_LENGTH, DeviceToken
from web.auth import Caller
from web.parameters import RowNumber

USUAL_LIFETIME_DAYS = 365


class DeviceTokenOut(msgspec.Struct, frozen=True):
    """A token of a device. Moments are ISO 8601, UTC."""

    token_number: int
    name: str
    created_at: str
    expires_at: str
    used_at: str | None
    used_from: str
    revoked_at: str | None


class DeviceTokensOut(msgspec.Struct, frozen=True):
    """The tokens of a device, newest first, revoked ones too."""

    tokens: list[DeviceTokenOut]


class IssuedDeviceTokenOut(msgspec.Struct, frozen=True):
    """A new token. `token` is in this answer alone: the gateway does not keep it."""

    device_id: str
    token_number: int
    token: str
    expires_at: str


class NewDeviceTokenIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A token as it is asked for."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=NAME_LENGTH)]
    lifetime_days: Annotated[int, msgspec.Meta(ge=1, le=LONGEST_LIFETIME_DAYS)] = USUAL_LIFETIME_DAYS


AnyRequest = Request[User, Caller, State]


@get("/v1/devices/{device_id:str}/tokens", tags=["devices"], summary="The tokens of a device")
async def list_device_tokens(
    device_id: FromPath[str], request: AnyRequest, gateway: NamedDependency[Gateway]
) -> DeviceTokensOut:
    """Every token of the device, and when it was used last."""
    tokens = gateway.registry.tokens.tokens(request.user.tenant_id, device_id)
    return DeviceTokensOut([_out(token) for token in tokens])


@post("/v1/devices/{device_id:str}/tokens", tags=["devices"], summary="Make a token for a device")
async def issue_device_token(
    device_id: FromPath[str],
    data: JSONBody[NewDeviceTokenIn],
    request: AnyRequest,
    gateway: NamedDependency[Gateway],
) -> IssuedDeviceTokenOut:
    """Make one more token, for a device that cannot do certificates. The device shows it as its MQTT password."""
    tokens = gateway.registry.tokens
    issued = await tokens.issue(request.user.tenant_id, device_id, data.name, data.lifetime_days)
    return IssuedDeviceTokenOut(device_id, issued.token.token_number, issued.text, to_text(issued.token.expires_at))


@delete("/v1/devices/{device_id:str}/tokens/{token_number:int}", tags=["devices"], summary="Revoke a token of a device")
async def revoke_device_token(
    device_id: FromPath[str], token_number: RowNumber, request: AnyRequest, gateway: NamedDependency[Gateway]
) -> None:
    """Let the token open nothing any more; who came in with it is sent away."""
    await gateway.registry.tokens.revoke(request.user.tenant_id, device_id, token_number)


def _out(token: DeviceToken) -> DeviceTokenOut:
    return DeviceTokenOut(
        token_number=token.token_number,
        name=token.name,
        created_at=to_text(token.created_at),
        expires_at=to_text(token.expires_at),
        used_at=None if token.used_at is None else to_text(token.used_at),
        used_from=token.used_from,
        revoked_at=None if token.revoked_at is None else to_text(token.revoked_at),
    )


HANDLERS = (list_device_tokens, issue_device_token, revoke_device_token)
