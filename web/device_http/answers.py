"""What devices are answered over HTTPS: JSON, and of what is refused the kind in a header, as AWS IoT does it."""

import logging
import uuid
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from litestar import MediaType, Request, Response
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from litestar.types import ExceptionHandlersMap

from appliance.errors import ApplianceError, NotFoundError, UnavailableError
from web.errors import route_of, status_of, when_again

log = logging.getLogger(__name__)

AnyRequest = Request[Any, Any, State]
Answer = Response[bytes]

KINDS: Mapping[HTTPStatus, str] = {
    HTTPStatus.BAD_REQUEST: "InvalidRequestException",
    HTTPStatus.UNAUTHORIZED: "UnauthorizedException",
    HTTPStatus.FORBIDDEN: "ForbiddenException",
    HTTPStatus.NOT_FOUND: "ResourceNotFoundException",
    HTTPStatus.METHOD_NOT_ALLOWED: "MethodNotAllowedException",
    HTTPStatus.CONFLICT: "ConflictException",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "RequestEntityTooLargeException",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "UnsupportedDocumentEncodingException",
    HTTPStatus.TOO_MANY_REQUESTS: "ThrottlingException",
    HTTPStatus.INTERNAL_SERVER_ERROR: "InternalFailureException",
    HTTPStatus.SERVICE_UNAVAILABLE: "ServiceUnavailableException",
    HTTPStatus.GATEWAY_TIMEOUT: "GatewayTimeoutException",
}
"""What AWS calls each status."""


class RefusedError(Exception):
    """A device does not get what it asked for."""

    def __init__(
        self, status: HTTPStatus, message: str, kind: str = "", further: Mapping[str, Any] | None = None
    ) -> None:
        """`kind` is AWS's word where the status has several; `further` stands in the answer besides the message."""
        super().__init__(message)
        self.status = status
        self.kind = kind or KINDS.get(status, "InvalidRequestException")
        self.further = further or {}


def document(content: bytes) -> Answer:
    """JSON as it is."""
    return Response(content, media_type=MediaType.JSON)


def told(fields: Mapping[str, Any]) -> Answer:
    """JSON of these fields; None is left out."""
    return document(msgspec.json.encode({name: value for name, value in fields.items() if value is not None}))


def done() -> Answer:
    """It was done, and there is nothing to say about it."""
    return told({"message": "OK", "traceId": trace_id()})


def trace_id() -> str:
    """The name of one request."""
    return str(uuid.uuid4())


def on_refusal(_: AnyRequest, error: RefusedError) -> Answer:
    """What the interface itself refuses."""
    return _refusal(error.status, error.kind, str(error), further=error.further)


def on_appliance_error(_: AnyRequest, error: ApplianceError) -> Answer:
    """What a service has refused."""
    known = isinstance(error, NotFoundError | UnavailableError)
    status = status_of(error)
    kind = KINDS.get(status, KINDS[HTTPStatus.BAD_REQUEST])
    return _refusal(status if known or status in KINDS else HTTPStatus.BAD_REQUEST, kind, str(error), when_again(error))


def on_http_error(request: AnyRequest, error: HTTPException) -> Answer:
    """What the framework or a check before it has refused."""
    status = HTTPStatus(error.status_code)
    message = error.detail or status.phrase
    headers: Mapping[str, str] = {}
    if status == HTTPStatus.NOT_FOUND:
        message = f"there is nothing at {request.scope['path'][:256]!r}: docs/reference/device-https.md lists what is"
    elif status == HTTPStatus.METHOD_NOT_ALLOWED:
        headers = {"allow": (error.headers or {}).get("allow", "")}
    return _refusal(status, KINDS.get(status, KINDS[HTTPStatus.BAD_REQUEST]), message, headers)


def on_defect(request: AnyRequest, error: Exception) -> Answer:
    """What should not happen. The cause goes to the log, and never to the caller."""
    log.error("a request failed method=%s path=%s", request.method, route_of(request), exc_info=error)
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    return _refusal(status, KINDS[status], "the gateway made a mistake: its log has the cause")


def _refusal(
    status: HTTPStatus,
    kind: str,
    message: str,
    headers: Mapping[str, str] | None = None,
    further: Mapping[str, Any] | None = None,
) -> Answer:
    trace = trace_id()
    shown = {"x-amzn-errortype": kind, "x-amzn-requestid": trace, **(headers or {})}
    if status is HTTPStatus.UNAUTHORIZED:
        # Who it is hangs on the connection: another one may be somebody else.
        shown["connection"] = "close"
    elif status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        shown.setdefault("retry-after", "1")
    body = msgspec.json.encode({"message": message, "traceId": trace, **(further or {})})
    return Response(body, status_code=status, media_type=MediaType.JSON, headers=shown)


HANDLERS: ExceptionHandlersMap = {
    RefusedError: on_refusal,
    ApplianceError: on_appliance_error,
    HTTPException: on_http_error,
    Exception: on_defect,
}
