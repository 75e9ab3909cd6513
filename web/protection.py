"""What every request passes and every answer carries: size, origin, form token, security headers."""

import hmac
from typing import Any
from urllib.parse import urlsplit

from litestar import Request
from litestar.datastructures import Headers, MutableScopeHeaders, State
from litestar.enums import RequestEncodingType, ScopeType
from litestar.exceptions import ClientException, PermissionDeniedException
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from web.auth import Caller, form_secret, form_token

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    # Not no-referrer: with it browsers send `Origin: null` with our own forms. Nothing leaves this origin.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
FORM_TYPES = {RequestEncodingType.URL_ENCODED, RequestEncodingType.MULTI_PART}
SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
TOKEN_HEADER = "x-form-token"  # noqa: S105  the name of a header
TOKEN_FIELD = "form_token"  # noqa: S105  the name of a form's field

BODY_LIMIT = "body_limit_bytes"
"""The option of a handler that takes bodies of another size than all others."""

CHECKS_ORIGIN = "checks_origin"
"""The option of a handler that looks itself at where requests come from."""

DRAIN_LIMIT_BYTES = 32 * 1024 * 1024


class BodyTooLargeError(ClientException):
    """The body of a request is larger than `http.body_limit_bytes`."""

    status_code = 413


class BodyLimit(ASGIMiddleware):
    """Refuses bodies that say they are too large, in a way that the sender gets to read.

    A sender that is cut off while it still sends sees a broken connection and no answer: what
    comes is read and thrown away, up to a limit. Bodies that do not say their size are cut off by Litestar.
    """

    scopes = (ScopeType.HTTP,)

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Go on if the body is small enough. Raises `BodyTooLargeError`."""
        length = Headers.from_scope(scope).get("content-length", "0")
        limit_bytes = max(self._limit_bytes, scope["route_handler"].opt.get(BODY_LIMIT, 0))
        # A server that speaks HTTP correctly has already refused what is not a number.
        if int(length) > limit_bytes:
            read = 0
            while read < DRAIN_LIMIT_BYTES:
                message = await receive()
                if message["type"] != "http.request" or not message["more_body"]:
                    break
                read += len(message["body"])
            raise BodyTooLargeError(f"The request has {length} bytes; at most {limit_bytes} are taken.")
        await next_app(scope, receive, send)


class NoForgery(ASGIMiddleware):
    """Lets nothing be changed from a page of somebody else.

    An unsafe request must come from our own origin, as far as the browser says where it comes from,
    and carry the form token of its session. Tokens of scripts are not sent by browsers: they are exempt.
    """

    scopes = (ScopeType.HTTP, ScopeType.WEBSOCKET)
    exclude_opt_key = CHECKS_ORIGIN

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Go on, or raise `PermissionDeniedException`."""
        request = Request[Any, Any, State](scope, receive)
        is_socket = scope["type"] == ScopeType.WEBSOCKET
        if is_socket or request.method not in SAFE_METHODS:
            caller = scope.get("auth")
            if not isinstance(caller, Caller) or caller.session_secret:
                check_origin(request.headers, must_say=is_socket)
                if not is_socket:
                    await self._check_token(request)
        await next_app(scope, receive, send)

    async def _check_token(self, request: Request[Any, Any, State]) -> None:
        shown = request.headers.get(TOKEN_HEADER, "")
        if not shown and request.content_type[0] in FORM_TYPES:
            shown = str((await request.form()).get(TOKEN_FIELD, ""))
        secret = form_secret(request)
        if not secret or not hmac.compare_digest(shown.encode(), form_token(secret).encode()):
            if request.content_type[0] == RequestEncodingType.MULTI_PART:
                # Nobody else will close the files that came with it.
                await (await request.form()).close()
            raise PermissionDeniedException("This form is out of date. Go back, reload the page and send it again.")


def check_origin(headers: Headers, *, must_say: bool) -> None:
    """Raise `PermissionDeniedException` when a browser says that the request comes from another site."""
    site = headers.get("sec-fetch-site", "none")
    origin = headers.get("origin")
    foreign = origin is not None and _netloc(origin) != headers.get("host", "").lower()
    if foreign or site not in ("same-origin", "none") or (must_say and origin is None):
        raise PermissionDeniedException("This request comes from another site.")


async def add_headers(message: Message, _: Scope) -> None:
    """Put the security headers onto every answer; what changes is not to be kept by anyone."""
    if message["type"] != "http.response.start":
        return
    headers = MutableScopeHeaders.from_message(message)
    for name, value in HEADERS.items():
        headers[name] = value
    if "cache-control" not in headers:
        headers["cache-control"] = "no-store"


def _netloc(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None
