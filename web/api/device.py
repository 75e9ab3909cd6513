"""`/v1/device`: what a device may ask for itself, with its certificate."""

from typing import Any

import msgspec
from litestar import Request, get
from litestar.datastructures import State
from litestar.di import NamedDependency

from appliance.gateway import Gateway
from appliance.instant import to_text
from web.devices_only import FOR_DEVICES, device_of


class IdentityOut(msgspec.Struct, frozen=True):
    """Who the gateway takes the caller for. Moments are ISO 8601, UTC."""

    device_id: str
    fingerprint: str
    expires_at: str


@get("/v1/device/identity", tags=["device"], summary="Who the gateway takes a device for", opt={**FOR_DEVICES})
async def get_identity(request: Request[Any, Any, State], gateway: NamedDependency[Gateway]) -> IdentityOut:
    """The device that the certificate of this connection was issued to, and that certificate."""
    bound = device_of(request.scope, gateway)
    certificate = bound.certificate
    return IdentityOut(bound.device_id, certificate.fingerprint, to_text(certificate.expires_at))


HANDLERS = (get_identity,)
