"""`/v1/openapi.json`: what the API offers, for machines."""

from typing import Any

from litestar import Request, get
from litestar.datastructures import State

from appliance.accounts.model import User
from web.auth import Caller


@get("/v1/openapi.json", include_in_schema=False)
async def get_description(request: Request[User, Caller, State]) -> dict[str, Any]:
    """The OpenAPI document."""
    return request.app.openapi_schema.to_schema()


HANDLERS = (get_description,)
