"""Which device asks, and whether it may."""

import asyncio
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from urllib.parse import unquote

from litestar.exceptions import PermissionDeniedException

from appliance.gateway import Gateway
from broker.ports import Denied, Principal
from web.device_http.answers import AnyRequest, RefusedError
from web.device_http.budget import Budget
from web.devices_only import CERTIFICATE, device_of, shown_by
from web.protection import SAFE_METHODS, check_origin

Told = Callable[[Denied | None], None]
"""Hears why somebody may not do something, or None."""
BUDGET = "budget_of_devices"
"""Under this key the application keeps what devices have asked for."""
Judge = Callable[[Principal, str, Told], None]
"""Tells why somebody may not do something with a topic, or None; now or later."""


async def caller(request: AnyRequest, gateway: Gateway) -> Principal:
    """The device whose certificate the connection shows, as long as it is good. Raises `RefusedError`."""
    if CERTIFICATE not in request.scope["state"]:
        raise RefusedError(
            HTTPStatus.UNAUTHORIZED,
            "no certificate was shown: this is for devices, on the shared port, by the ALPN x-amzn-http-ca or the name"
            " for devices",
        )
    try:
        if request.method not in SAFE_METHODS:
            # A browser that has a device's certificate must not use it for the page of somebody else.
            check_origin(request.headers, must_say=False)
        bound = device_of(request.scope, gateway)
    except PermissionDeniedException as error:
        raise RefusedError(HTTPStatus.UNAUTHORIZED, error.detail) from error
    principal = Principal(bound.tenant_id, bound.device_id)
    _charge(request, gateway, principal, await _byte_count(request))
    # Plugins have a say in who is let in, too.
    denied = await _heard(partial(gateway.broker.proxy.admit, shown_by(request.scope, gateway)))
    if denied is not None:
        raise RefusedError(HTTPStatus.UNAUTHORIZED, denied.reason)
    return principal


async def _byte_count(request: AnyRequest) -> int:
    """How large a request says it is; one that comes in chunks says nothing true, and is read as far as it may be."""
    length = request.headers.get("content-length")
    if length is None or "transfer-encoding" in request.headers:
        return len(await request.body())
    return int(length)


def _charge(request: AnyRequest, gateway: Gateway, principal: Principal, byte_count: int) -> None:
    """Count a request, and raise `RefusedError` for what is too much."""
    budget: Budget = request.app.state[BUDGET]
    who, now = (principal.tenant_id, principal.name), asyncio.get_running_loop().time()
    if budget.charge(who, byte_count, now):
        if budget.is_to_be_noted(who, now):
            gateway.broker.proxy.note_refused(principal, "message_rate_too_high", budget.reason)
        raise RefusedError(HTTPStatus.TOO_MANY_REQUESTS, budget.reason)


async def require_publish(gateway: Gateway, principal: Principal, topic: str) -> None:
    """Go on if a device may publish there. Raises `RefusedError`."""
    proxy = gateway.broker.proxy
    await _require(gateway, proxy.may_publish, principal, topic, "publish_denied")


async def require_answer(gateway: Gateway, principal: Principal, topic: str) -> None:
    """Go on if a device may be sent what is published there. Raises `RefusedError`."""
    proxy = gateway.broker.proxy
    await _require(gateway, proxy.may_be_sent, principal, topic, "subscribe_not_authorized")


async def require_hearing(gateway: Gateway, principal: Principal, topic: str) -> None:
    """Go on if a device may subscribe to this topic and be sent it. Raises `RefusedError`."""
    proxy = gateway.broker.proxy
    await _require(gateway, proxy.may_hear, principal, topic, "subscribe_not_authorized")


async def _require(gateway: Gateway, judge: Judge, principal: Principal, topic: str, kind: str) -> None:
    """What is denied shows on the page of the device, in the words of what it may not do over MQTT."""
    denied = await judged(judge, principal, topic)
    if denied is not None:
        gateway.broker.proxy.note_refused(principal, kind, f"{topic}: {denied.reason}")
        raise RefusedError(HTTPStatus.FORBIDDEN, denied.reason)


async def judged(judge: Judge, principal: Principal, topic: str) -> Denied | None:
    """Why a device may not, or None."""
    return await _heard(partial(judge, principal, topic))


async def _heard(ask: Callable[[Told], None]) -> Denied | None:
    answer: asyncio.Future[Denied | None] = asyncio.get_running_loop().create_future()

    def hear(denied: Denied | None) -> None:
        if not answer.done():
            answer.set_result(denied)

    ask(hear)
    return await answer


def rest_of_path(request: AnyRequest, before: str) -> str:
    """What follows in the path, exactly as it was meant: `/` and `%2F` are the same. Raises `RefusedError`."""
    # The framework takes empty levels and a last slash for nothing, and both can be part of a topic.
    raw = request.scope["raw_path"].partition(before.encode())[2]
    try:
        return unquote(raw.decode("ascii"), errors="strict")
    except UnicodeDecodeError as error:
        raise RefusedError(HTTPStatus.BAD_REQUEST, "the topic is not UTF-8") from error


def number(request: AnyRequest, name: str, least: int, greatest: int, otherwise: int) -> int:
    """A number of the query. Raises `RefusedError`."""
    text = request.query_params.get(name)
    if text is None:
        return otherwise
    found = int(text) if text.isascii() and text.isdigit() and len(text) < 12 else -1  # noqa: PLR2004  any is too large
    if not least <= found <= greatest:
        raise RefusedError(HTTPStatus.BAD_REQUEST, f"{name} is {text[:64]!r}, expected {least} to {greatest}")
    return found


def yes_or_no(request: AnyRequest, name: str) -> bool:
    """A `true` or `false` of the query; what is missing is false. Raises `RefusedError`."""
    text = request.query_params.get(name, "false").lower()
    if text not in ("true", "false"):
        raise RefusedError(HTTPStatus.BAD_REQUEST, f"{name} is {text[:64]!r}, expected true or false")
    return text == "true"
