"""What the device CA offers to everybody: the list of what it has revoked (RFC 5280 §5)."""

from litestar import Response, get
from litestar.di import NamedDependency

from appliance.gateway import Gateway
from web.devices_only import FOR_EVERYBODY

CRL_TYPE = "application/pkix-crl"
"""RFC 2585 §4.2."""


@get("/pki/crl", opt=FOR_EVERYBODY, include_in_schema=False)
async def give_revocation_list(gateway: NamedDependency[Gateway]) -> Response[bytes]:
    """The list, DER, good for a week."""
    return Response(
        await gateway.registry.revocation_list(),
        media_type=CRL_TYPE,
        headers={"cache-control": "public, max-age=60", "content-disposition": 'inline; filename="device-ca.crl"'},
    )


HANDLERS = (give_revocation_list,)
