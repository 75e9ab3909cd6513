"""What is for devices, which show a certificate, and what is for people and scripts, who show none."""

from collections.abc import Mapping
from typing import Any

from litestar.enums import ScopeType
from litestar.exceptions import NotFoundException, PermissionDeniedException
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send

from appliance.gateway import Gateway
from appliance.registry.model import BoundCertificate
from broker.ports import Credentials, Denied
from web.auth import OPEN

CERTIFICATE = "client_certificate"
"""Under this key the state of a request's scope holds the verified certificate of the connection, DER."""
REQUESTS = "request_count"
"""Under this key the same state counts the requests of such a connection."""
_IS_FOR_DEVICES = "is_for_devices"
_IS_FOR_EVERYBODY = "is_for_everybody"

FOR_DEVICES: Mapping[str, Any] = {**OPEN, _IS_FOR_DEVICES: True}
"""The option of a handler that answers devices alone."""
FOR_EVERYBODY: Mapping[str, Any] = {**OPEN, _IS_FOR_EVERYBODY: True}
"""The option of a handler that answers devices, with or without a certificate, and everybody else."""


class DevicesOnly(ASGIMiddleware):
    """Keeps devices to what is for them, and everybody else away from it."""

    scopes = (ScopeType.HTTP, ScopeType.WEBSOCKET)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Go on, or raise `NotFoundException` or `PermissionDeniedException`."""
        has_certificate = CERTIFICATE in scope["state"]
        options = scope["route_handler"].opt
        is_for_devices = bool(options.get(_IS_FOR_DEVICES))
        if has_certificate and not is_for_devices and not options.get(_IS_FOR_EVERYBODY):
            raise NotFoundException
        if is_for_devices and not has_certificate:
            raise PermissionDeniedException("This is for devices, which show their certificate on the shared port.")
        await next_app(scope, receive, send)


def device_of(scope: Scope, gateway: Gateway) -> BoundCertificate:
    """The device that asks, by the certificate of its connection. Raises `PermissionDeniedException`."""
    shown = shown_by(scope, gateway)
    bound = gateway.registry.bearer(shown.certificate or b"")
    # The same judgement as at the broker's door: bound, not revoked, not expired, of an active device.
    answer = gateway.registry.authenticate(shown)
    if bound is None or isinstance(answer, Denied):
        raise PermissionDeniedException(answer.reason if isinstance(answer, Denied) else "")
    return bound


def shown_by(scope: Scope, gateway: Gateway) -> Credentials:
    """What a client shows of itself that has a certificate: its client identifier is the device's it is bound to."""
    certificate: bytes = scope["state"][CERTIFICATE]
    bound = gateway.registry.bearer(certificate)
    client = scope.get("client")
    address = f"{client[0]}:{client[1]}" if client else ""
    return Credentials(bound.device_id if bound is not None else "", None, None, certificate, address, "https")
