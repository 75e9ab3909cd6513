"""Enrolment over Secure Transport (RFC 7030): certificates for devices, by code, by certificate or by knocking.

Served under `/.well-known/est/`, with or without a label behind it, which is a hint of the device's type. What is
answered is base64 on one line, for there are clients that read no more than one. What is refused is a plain sentence.
"""

import base64
import logging
from http import HTTPStatus
from typing import Any, NamedTuple

from litestar import Litestar, MediaType, Request, Response, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency, Provide
from litestar.exceptions import HTTPException
from litestar.types import ExceptionHandlersMap

from appliance.audit.acting import acting_as, device_name
from appliance.config import HttpConfig
from appliance.enrolment.codes.model import SpentCodeError, UnknownCodeError, WrongDeviceError
from appliance.enrolment.renewal.model import WrongSubjectError
from appliance.enrolment.tray import waiting
from appliance.enrolment.tray.model import KnockState, NotTakenError, RefusedKnockError
from appliance.errors import ApplianceError, InvalidInputError
from appliance.gateway import Gateway
from appliance.registry import pkcs7
from appliance.registry.model import DEFAULT_TENANT
from appliance.registry.signing_request import REQUEST_BYTES
from web.devices_only import CERTIFICATE, FOR_EVERYBODY, device_of
from web.errors import route_of, status_of
from web.framework import Framework
from web.protection import CHECKS_ORIGIN, BodyLimit, add_headers, check_origin
from web.shell import moment

log = logging.getLogger(__name__)

AnyRequest = Request[Any, Any, State]

BODY_BYTES = 2 * REQUEST_BYTES
"""The most that a request may have in base64 and lines."""
ATTRIBUTES = bytes.fromhex("3021301506072a8648ce3d0201310a06082a8648ce3d03010706082a8648ce3d040302")
"""What is asked of a signing request: a key on P-256, signed with ECDSA and SHA-256 (RFC 7030 4.5.2)."""
REALM = 'Basic realm="Headworks enrolment: device id and enrolment code"'

_PKCS10 = "application/pkcs10"
_STATUS: dict[type[ApplianceError], HTTPStatus] = {
    UnknownCodeError: HTTPStatus.UNAUTHORIZED,
    SpentCodeError: HTTPStatus.UNAUTHORIZED,
    NotTakenError: HTTPStatus.UNAUTHORIZED,
    WrongDeviceError: HTTPStatus.FORBIDDEN,
    WrongSubjectError: HTTPStatus.FORBIDDEN,
    RefusedKnockError: HTTPStatus.FORBIDDEN,
}
_OPEN = {**FOR_EVERYBODY, CHECKS_ORIGIN: True}


class Asked(NamedTuple):
    """Who asks for a certificate, as they say it themselves."""

    device_id: str
    code: str


def on_refusal(_: AnyRequest, error: ApplianceError) -> Response[str]:
    """What a service has refused, in one sentence."""
    status = next((found for kind, found in _STATUS.items() if isinstance(error, kind)), status_of(error))
    return _sentence(status, str(error))


def on_defect(request: AnyRequest, error: Exception) -> Response[str]:
    """What should not happen. The cause goes to the log, and never to the caller."""
    log.error("a request failed method=%s path=%s", request.method, route_of(request), exc_info=error)
    return _sentence(HTTPStatus.INTERNAL_SERVER_ERROR, "the gateway made a mistake: its log has the cause")


def on_http_error(_: AnyRequest, error: HTTPException) -> Response[str]:
    """What the framework or a check before it has refused."""
    return _sentence(HTTPStatus(error.status_code), error.detail)


_HANDLERS: ExceptionHandlersMap = {ApplianceError: on_refusal, HTTPException: on_http_error}


@get(
    ["/.well-known/est/cacerts", "/.well-known/est/{label:str}/cacerts"],
    opt=_OPEN,
    exception_handlers=_HANDLERS,
    include_in_schema=False,
)
async def get_authorities(gateway: NamedDependency[Gateway]) -> Response[str]:
    """The CAs that vouch for devices and for the gateway towards them (RFC 7030 4.1)."""
    return _certificates(gateway.registry.authorities_pem)


@get(
    ["/.well-known/est/csrattrs", "/.well-known/est/{label:str}/csrattrs"],
    opt=_OPEN,
    exception_handlers=_HANDLERS,
    include_in_schema=False,
)
async def get_attributes() -> Response[str]:
    """What a signing request should have (RFC 7030 4.5)."""
    return _encoded(ATTRIBUTES, "application/csrattrs")


@post(
    ["/.well-known/est/simpleenroll", "/.well-known/est/{label:str}/simpleenroll"],
    opt=_OPEN,
    exception_handlers=_HANDLERS,
    include_in_schema=False,
    status_code=200,
)
async def enrol(request: AnyRequest, gateway: NamedDependency[Gateway]) -> Response[str]:
    """A certificate for who has a code or a certificate; who has neither waits for a person (RFC 7030 4.2.1)."""
    signing_request = await _signing_request(request)
    if CERTIFICATE in request.scope["state"]:
        return await _renewed(request, gateway, signing_request)
    asked = _asked(request)
    if asked is not None:
        granted = await gateway.codes.enrol(asked.code, asked.device_id, signing_request, _address(request))
        return _certificates(granted.certificate_pem)
    label = str(request.path_params.get("label", ""))
    knock = await gateway.tray.knock(DEFAULT_TENANT, signing_request, label, _address(request))
    if knock.state is KnockState.ACCEPTED:
        return _certificates(knock.certificate)
    wait_s = waiting.retry_after_s(knock.first_at, moment())
    answer = _sentence(HTTPStatus.ACCEPTED, f"a person has to let this device in: ask again in {wait_s} seconds")
    answer.headers["retry-after"] = str(wait_s)
    return answer


@post(
    ["/.well-known/est/simplereenroll", "/.well-known/est/{label:str}/simplereenroll"],
    opt=_OPEN,
    exception_handlers=_HANDLERS,
    include_in_schema=False,
    status_code=200,
)
async def renew(request: AnyRequest, gateway: NamedDependency[Gateway]) -> Response[str]:
    """One more certificate for the device whose certificate this connection shows (RFC 7030 4.2.2)."""
    if CERTIFICATE not in request.scope["state"]:
        raise HTTPException(
            status_code=HTTPStatus.FORBIDDEN,
            detail="a certificate is renewed with the present one: call on the shared port, by the name for devices",
        )
    return await _renewed(request, gateway, await _signing_request(request))


async def _renewed(request: AnyRequest, gateway: Gateway, signing_request: bytes) -> Response[str]:
    bound = device_of(request.scope, gateway)
    with acting_as(device_name(bound.device_id)):
        granted = await gateway.renewal.renew(bound, signing_request)
    return _certificates(granted.certificate_pem)


async def _signing_request(request: AnyRequest) -> bytes:
    """The signing request in the body, DER or PEM."""
    check_origin(request.headers, must_say=False)
    if request.content_type[0] != _PKCS10:
        # No page of another site can send this type without asking first.
        raise HTTPException(
            status_code=HTTPStatus.UNSUPPORTED_MEDIA_TYPE, detail=f"expected the content type {_PKCS10}"
        )
    body = await request.body()
    if len(body) > BODY_BYTES:
        raise HTTPException(
            status_code=HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            detail=f"the request has {len(body)} bytes; at most {BODY_BYTES} are taken",
        )
    if body.lstrip().startswith(b"-----BEGIN"):
        return body
    try:
        return base64.b64decode(b"".join(body.split()), validate=True)
    except ValueError as error:
        raise InvalidInputError("the body is not base64") from error


def _asked(request: AnyRequest) -> Asked | None:
    """Who asks by the header `Authorization`; None when it is missing."""
    header = request.headers.get("authorization")
    if header is None:
        return None
    scheme, _, told = header.partition(" ")
    if scheme.lower() != "basic":
        raise UnknownCodeError("expected a device id and an enrolment code, as HTTP Basic sends them")
    try:
        device_id, _, code = base64.b64decode(told.strip(), validate=True).decode().partition(":")
    except ValueError as error:
        raise UnknownCodeError("the header Authorization cannot be read") from error
    return Asked(device_id, code)


def _address(request: AnyRequest) -> str:
    client = request.scope.get("client")
    return client[0] if client else ""


def _certificates(pem: str) -> Response[str]:
    return _encoded(pkcs7.certs_only(pem), "application/pkcs7-mime; smime-type=certs-only")


def _encoded(content: bytes, media_type: str) -> Response[str]:
    return Response(
        base64.b64encode(content).decode() + "\n",
        media_type=media_type,
        headers={"content-transfer-encoding": "base64"},
    )


def _sentence(status: HTTPStatus, text: str) -> Response[str]:
    headers = {"www-authenticate": REALM} if status == HTTPStatus.UNAUTHORIZED else {}
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        headers["retry-after"] = "60"
    return Response(text[:1].upper() + text[1:] + ".\n", status_code=status, media_type=MediaType.TEXT, headers=headers)


def create_enrolment_app(gateway: Gateway, config: HttpConfig) -> Litestar:
    """The application of the enrolment port: EST, and nothing else."""

    def provide_gateway() -> Gateway:
        return gateway

    return Framework(
        route_handlers=HANDLERS,
        dependencies={"gateway": Provide(provide_gateway, sync_to_thread=False)},
        middleware=[BodyLimit(config.body_limit_bytes)],
        exception_handlers={**_HANDLERS, Exception: on_defect},
        before_send=[add_headers],
        request_max_body_size=config.body_limit_bytes,
        openapi_config=None,
        logging_config=None,
    )


HANDLERS = (get_authorities, get_attributes, enrol, renew)
