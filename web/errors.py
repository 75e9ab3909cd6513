"""Errors become a page, a problem document (RFC 9457) or a way to the sign-in page; nowhere else."""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, cast
from urllib.parse import quote

from litestar import MediaType, Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.response import Redirect, Template
from litestar.types import ExceptionHandlersMap

from appliance.errors import (
    ApplianceError,
    ConflictError,
    InvalidInputError,
    NotFoundError,
    NotSignedInError,
    TooLargeError,
    TooManyAttemptsError,
    UnavailableError,
)

log = logging.getLogger(__name__)

STATUS: dict[type[ApplianceError], HTTPStatus] = {
    InvalidInputError: HTTPStatus.BAD_REQUEST,
    NotSignedInError: HTTPStatus.UNAUTHORIZED,
    NotFoundError: HTTPStatus.NOT_FOUND,
    ConflictError: HTTPStatus.CONFLICT,
    TooLargeError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    TooManyAttemptsError: HTTPStatus.TOO_MANY_REQUESTS,
    UnavailableError: HTTPStatus.SERVICE_UNAVAILABLE,
}

AnyRequest = Request[Any, Any, Any]
AnyResponse = Response[Any]


def status_of(error: ApplianceError) -> HTTPStatus:
    """The HTTP status that tells of this outcome."""
    for kind, status in STATUS.items():
        if isinstance(error, kind):
            return status
    return HTTPStatus.BAD_REQUEST


def when_again(error: ApplianceError) -> dict[str, str]:
    """The header that says when it is worth trying again (RFC 9110, 10.2.3), where there is such a moment."""
    return {"retry-after": str(error.wait_s)} if isinstance(error, TooManyAttemptsError) else {}


def on_refusal(request: AnyRequest, error: ApplianceError) -> AnyResponse:
    """What a service has refused."""
    if isinstance(error, NotSignedInError) and not _wants_problem(request):
        return to_sign_in(request)
    return _answer(request, status_of(error), error.code, str(error), when_again(error))


def on_http_error(request: AnyRequest, error: HTTPException) -> AnyResponse:
    """What the framework has refused: no such page, wrong method, a body of the wrong form."""
    status = HTTPStatus(error.status_code)
    detail = error.detail or status.phrase
    if isinstance(error, ValidationException):
        detail = "; ".join(_complaints(error)) or detail
    elif status == HTTPStatus.NOT_FOUND:
        detail = "There is nothing at this address."
    headers = {"allow": _allowed(error.headers or {})} if status == HTTPStatus.METHOD_NOT_ALLOWED else {}
    return _answer(request, status, status.phrase.lower().replace(" ", "_"), detail, headers)


def on_defect(request: AnyRequest, error: Exception) -> AnyResponse:
    """What should not happen. The cause goes to the log, and never to the caller."""
    log.error("a request failed method=%s path=%s", request.method, route_of(request), exc_info=error)
    message = "The gateway made a mistake. Its log has the cause."
    return _answer(request, HTTPStatus.INTERNAL_SERVER_ERROR, "defect", message, {})


def route_of(request: AnyRequest) -> str:
    """The path as its route declares it, for the log: what stands in its place may be a secret, such as a code."""
    # Without a route there is no template.
    return request.scope.get("path_template", "unknown")


def to_sign_in(request: AnyRequest) -> AnyResponse:
    """Send a person to the sign-in page, and back to where they wanted to go afterwards."""
    address = "/sign-in"
    # From the scope: an address is also made of `Host`, and a stranger can write anything there.
    path, query = request.scope["path"], request.scope["query_string"].decode("latin-1")
    if request.method == "GET" and path != "/":
        wanted = f"{path}?{query}" if query else path
        address = f"/sign-in?next={quote(wanted, safe='')}"
    if "hx-request" in request.headers:
        # A fragment would be put into the page: htmx is told to leave the page instead.
        return Response(None, status_code=HTTPStatus.UNAUTHORIZED, headers={"hx-redirect": address})
    return cast("AnyResponse", Redirect(address, status_code=303))


def problem(
    status: HTTPStatus, code: str, detail: str, headers: Mapping[str, str] | None = None
) -> Response[dict[str, str | int]]:
    """A problem document. `code` is stable, `detail` is for people."""
    return Response(
        {"type": "about:blank", "title": status.phrase, "status": status.value, "code": code, "detail": detail},
        status_code=status,
        media_type="application/problem+json",
        headers={"www-authenticate": "Bearer"} if status == HTTPStatus.UNAUTHORIZED else headers,
    )


def _answer(request: AnyRequest, status: HTTPStatus, code: str, detail: str, headers: Mapping[str, str]) -> AnyResponse:
    if _wants_problem(request):
        return problem(status, code, detail, headers)
    return cast(
        "AnyResponse",
        Template(
            "pages/error.html",
            context={"status": status, "detail": detail},
            status_code=status,
            media_type=MediaType.HTML,
            headers=dict(headers),
        ),
    )


def _allowed(headers: Mapping[str, str]) -> str:
    """The methods that an address has, as the framework tells them, and HEAD wherever GET is."""
    told = {method.strip().upper() for method in headers.get("allow", "").split(",")} - {""}
    return ", ".join(sorted(told | {"HEAD"} if "GET" in told else told))


def _wants_problem(request: AnyRequest) -> bool:
    return request.scope["path"].startswith("/v1") or "application/json" in request.headers.get("accept", "")


def _complaints(error: ValidationException) -> list[str]:
    extra = error.extra if isinstance(error.extra, list) else []
    return [f"{item.get('key', '')}: {item.get('message', '')}".removeprefix(": ") for item in extra]


HANDLERS: ExceptionHandlersMap = {
    ApplianceError: on_refusal,
    HTTPException: on_http_error,
    Exception: on_defect,
}
