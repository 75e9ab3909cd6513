"""Who is asking: the session cookie of a browser, or the token of a script.

A token opens `/v1` only. A handler is closed unless it says `opt={"is_open": True}`.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from typing import Any

import msgspec
from litestar.connection import ASGIConnection
from litestar.datastructures import Cookie
from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send

from appliance.accounts.model import User
from appliance.errors import NotSignedInError
from appliance.gateway import Gateway

SESSION_COOKIE = "__Host-session"
PROMETHEUS = "/v1/prometheus/"
"""What asks Prometheus knows users and passwords: there the token may be one."""
VISIT_COOKIE = "__Host-visit"
"""Stands in for the session cookie on the forms of those who are not signed in yet."""

OPEN: Mapping[str, Any] = {"is_open": True}
"""The option of a handler that answers everybody."""


class Caller(msgspec.Struct, frozen=True):
    """Who is asking, and by what they showed it."""

    user: User
    session_secret: str
    """Empty when a token was shown."""


class SignedIn(ASGIMiddleware):
    """Lets nobody through who is not signed in, and says who the others are."""

    scopes = (ScopeType.HTTP, ScopeType.WEBSOCKET)
    exclude_opt_key = "is_open"

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Find the user and go on. Raises `NotSignedInError`."""
        caller = await self._caller(ASGIConnection(scope))
        scope["user"] = caller.user
        scope["auth"] = caller
        await next_app(scope, receive, send)

    async def _caller(self, connection: ASGIConnection[Any, Any, Any, Any]) -> Caller:
        token = bearer_token(connection)
        if token is None and connection.scope["path"].startswith(PROMETHEUS):
            token = basic_token(connection)
        if connection.scope["path"].startswith("/v1/") and token is not None:
            return Caller(await self._gateway.accounts.user_of_token(token), "")
        secret = connection.cookies.get(SESSION_COOKIE, "")
        if not secret:
            raise NotSignedInError("Sign in, or send a token as `Authorization: Bearer hw_…`.")
        return Caller(await self._gateway.accounts.user_of_session(secret), secret)


def bearer_token(connection: ASGIConnection[Any, Any, Any, Any]) -> str | None:
    """The token in the header `Authorization`; None when there is none."""
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def basic_token(connection: ASGIConnection[Any, Any, Any, Any]) -> str | None:
    """The token as the password of RFC 7617, whatever the user is called; None when there is none."""
    scheme, _, told = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        return base64.b64decode(told, validate=True).decode().partition(":")[2] or None
    except ValueError:
        return None


def host_cookie(name: str, value: str) -> Cookie:
    """A cookie for this host alone, that no script can read and no other site can cause to be sent."""
    return Cookie(key=name, value=value, path="/", secure=True, httponly=True, samesite="strict")


def ended_cookie(name: str) -> Cookie:
    """The same cookie, taken back."""
    return Cookie(key=name, value="", path="/", secure=True, httponly=True, samesite="strict", max_age=0)


def form_secret(connection: ASGIConnection[Any, Any, Any, Any]) -> str:
    """What the tokens in this browser's forms hang on: its session, or its visit before it has one."""
    return connection.cookies.get(SESSION_COOKIE) or connection.cookies.get(VISIT_COOKIE, "")


def form_token(secret: str) -> str:
    """The token that a form must carry. It needs no memory and dies with the session."""
    return hmac.new(secret.encode(), b"headworks form", hashlib.sha256).hexdigest()


def new_visit() -> str:
    """A secret for a browser that is not signed in."""
    return secrets.token_urlsafe(32)
