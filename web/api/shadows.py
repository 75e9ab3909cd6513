"""`/v1/devices/{device_id}/shadow`: what is desired of a device and what it reports, now and at any moment."""

from typing import Annotated, Any

import msgspec
from litestar import Request, delete, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

from appliance.accounts.model import User
from appliance.errors import InvalidInputError, NotFoundError
from appliance.gateway import Gateway
from appliance.instant import from_text, to_text
from appliance.shadows.model import Shadow, ShadowChange, ShadowSummary
from web import shadows
from web.auth import Caller
from web.parameters import FURTHEST

HIGHEST_LIMIT = 100

AnyRequest = Request[User, Caller, State]
Limit = Annotated[int, QueryParameter(ge=1, le=HIGHEST_LIMIT)]
Before = Annotated[int, QueryParameter(ge=1, le=FURTHEST)]


class ShadowSummaryOut(msgspec.Struct, frozen=True):
    """A shadow in a list; the classic one has an empty name."""

    name: str
    version: int
    updated_at: str
    has_delta: bool


class ShadowsOut(msgspec.Struct, frozen=True):
    """The shadows of a device, by name. `next_cursor` asks for the page after this one; it is null on the last."""

    shadows: list[ShadowSummaryOut]
    next_cursor: str | None


class ShadowOut(msgspec.Struct, frozen=True):
    """A shadow. A section that has nothing is null.

    `metadata` mirrors `desired` and `reported`: each leaf has, as `timestamp` in seconds since 1970, its last change.
    """

    device_id: str
    name: str
    version: int
    updated_at: str
    desired: dict[str, Any] | None
    reported: dict[str, Any] | None
    delta: dict[str, Any] | None
    """What is desired and not reported so."""
    metadata: dict[str, Any]


class ShadowChangeIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be merged into a shadow: objects merge, null removes, anything else replaces.

    With `version` it is refused when the shadow has another. `client_token` is told to whoever follows the shadow.
    """

    state: dict[str, Any] | None
    version: int | None = None
    client_token: str | None = None


class ShadowChangedOut(msgspec.Struct, frozen=True):
    """The version that came of a change, and when; of a deletion, the one that was deleted."""

    device_id: str
    name: str
    version: int
    at: str
    client_token: str | None = None


class PastChangeOut(msgspec.Struct, frozen=True):
    """One change of a shadow. `kind` is `updated` or `deleted`; `desired` and `reported` are those after it."""

    version: int
    at: str
    author: str
    kind: str
    patch: dict[str, Any]
    desired: dict[str, Any] | None
    reported: dict[str, Any] | None


class HistoryOut(msgspec.Struct, frozen=True):
    """Changes, the newest first. `next_before` asks for the page after this one; it is null on the last."""

    changes: list[PastChangeOut]
    next_before: int | None


@get("/v1/devices/{device_id:str}/shadows", tags=["shadows"], summary="The shadows of a device")
async def list_shadows(
    device_id: FromPath[str],
    request: AnyRequest,
    gateway: NamedDependency[Gateway],
    cursor: FromQuery[str] = "",
    limit: Limit = HIGHEST_LIMIT,
) -> ShadowsOut:
    """The shadows with a name, `limit` at a time, those after `cursor`; the first page begins with the classic one."""
    tenant_id = request.user.tenant_id
    gateway.registry.device(tenant_id, device_id)
    named = await gateway.shadows.names(tenant_id, device_id, cursor, limit + 1)
    classic = None if cursor else await gateway.shadows.shadow(tenant_id, device_id, "")
    listed = [_listed(one) for one in named[:limit]]
    if classic is not None:
        listed.insert(0, _listed(classic))
    return ShadowsOut(listed, named[limit - 1].name if len(named) > limit else None)


@get("/v1/devices/{device_id:str}/shadow", tags=["shadows"], summary="A shadow, now or at a moment")
async def get_shadow(
    device_id: FromPath[str],
    request: AnyRequest,
    gateway: NamedDependency[Gateway],
    name: FromQuery[str] = "",
    at: FromQuery[str] = "",
) -> ShadowOut:
    """The shadow `name`, or the classic one without it; with `at`, an ISO 8601 moment, as it was then."""
    tenant_id = request.user.tenant_id
    gateway.registry.device(tenant_id, device_id)
    shadows.check_name(name)
    if at:
        shadow = await gateway.shadows.as_of(tenant_id, device_id, name, _moment(at))
    else:
        shadow = await gateway.shadows.shadow(tenant_id, device_id, name)
    if shadow is None:
        raise NotFoundError(f"{device_id} has no shadow {name!r}{' at that moment' if at else ''}")
    return _out(shadow)


@post("/v1/devices/{device_id:str}/shadow", tags=["shadows"], summary="Change a shadow", status_code=200)
async def change_shadow(
    device_id: FromPath[str],
    data: JSONBody[ShadowChangeIn],
    request: AnyRequest,
    gateway: NamedDependency[Gateway],
    name: FromQuery[str] = "",
) -> ShadowChangedOut:
    """Merge into the shadow what the body says; it is made if there is none. The device is told at once.

    Who may have asked already, and sends the `version` that was seen then, changes nothing twice.
    """
    wish = shadows.Wish(device_id, name, data.state, data.version, data.client_token)
    accepted = await shadows.change(gateway, request.user, wish)
    return ShadowChangedOut(device_id, name, accepted.version, to_text(accepted.at), data.client_token)


@delete("/v1/devices/{device_id:str}/shadow", tags=["shadows"], summary="Delete a shadow", status_code=200)
async def delete_shadow(
    device_id: FromPath[str], request: AnyRequest, gateway: NamedDependency[Gateway], name: FromQuery[str] = ""
) -> ShadowChangedOut:
    """Delete the shadow; one that is made later goes on counting its versions."""
    accepted = await shadows.remove(gateway, request.user, device_id, name)
    return ShadowChangedOut(device_id, name, accepted.version, to_text(accepted.at))


@get("/v1/devices/{device_id:str}/shadow/history", tags=["shadows"], summary="What became of a shadow")
async def list_shadow_history(
    device_id: FromPath[str],
    request: AnyRequest,
    gateway: NamedDependency[Gateway],
    name: FromQuery[str] = "",
    before: Before = FURTHEST,
    limit: Limit = 20,
) -> HistoryOut:
    """The changes that are kept, the newest first: `limit` at a time, those to a version below `before`."""
    tenant_id = request.user.tenant_id
    gateway.registry.device(tenant_id, device_id)
    shadows.check_name(name)
    found = await gateway.shadows.history(tenant_id, device_id, name, before, limit + 1)
    page = [_past(one) for one in found[:limit]]
    return HistoryOut(page, page[-1].version if len(found) > limit else None)


def _moment(text: str) -> int:
    try:
        return from_text(text)
    except ValueError as error:
        raise InvalidInputError(f"{text[:40]!r} is no moment: expected ISO 8601") from error


def _listed(one: Shadow | ShadowSummary) -> ShadowSummaryOut:
    has_delta = one.has_delta if isinstance(one, ShadowSummary) else one.delta is not None
    return ShadowSummaryOut(one.name, one.version, to_text(one.updated_at), has_delta)


def _out(shadow: Shadow) -> ShadowOut:
    return ShadowOut(
        shadow.device_id,
        shadow.name,
        shadow.version,
        to_text(shadow.updated_at),
        shadow.desired,
        shadow.reported,
        shadow.delta,
        shadow.metadata,
    )


def _past(one: ShadowChange) -> PastChangeOut:
    return PastChangeOut(one.version, to_text(one.at), one.author, one.kind, one.patch, one.desired, one.reported)


HANDLERS = (list_shadows, get_shadow, change_shadow, delete_shadow, list_shadow_history)
