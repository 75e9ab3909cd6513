"""`/v1/openapi.json`: what the API offers, for machines."""

import msgspec
from litestar import MediaType, Request, Response, get
from litestar.datastructures import State

from appliance.accounts.model import User
from web.auth import Caller


@get("/v1/openapi.json", include_in_schema=False)
async def get_description(request: Request[User, Caller, State]) -> Response[bytes]:
    """The OpenAPI document."""
    kept = request.app.state
    if "description" not in kept:
        # It takes a second of work, in which nobody else is answered, and never changes.
        kept["description"] = msgspec.json.encode(request.app.openapi_schema.to_schema())
    return Response(kept["description"], media_type=MediaType.JSON)


HANDLERS = (get_description,)
