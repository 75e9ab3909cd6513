"""`POST /command-executions`: refused to devices, which carry commands out and send none to others."""

from http import HTTPStatus

from litestar import post
from litestar.di import NamedDependency

from appliance.gateway import Gateway
from web.device_http.answers import Answer, AnyRequest, RefusedError
from web.device_http.caller import caller

KIND = "AccessDeniedException"
"""What AWS IoT answers to whoever has no right to start commands: here that is everybody with a certificate."""


@post("/command-executions", status_code=200)
async def start_execution(request: AnyRequest, gateway: NamedDependency[Gateway]) -> Answer:
    """Say who may send commands, and where."""
    await caller(request, gateway)
    raise RefusedError(
        HTTPStatus.FORBIDDEN,
        "a device carries out commands and sends none: people and scripts do, by POST /v1/devices/{device_id}/commands",
        KIND,
    )


HANDLERS = (start_execution,)
