"""The application for devices: which routes there are, what every request passes, and who gets here at all."""

import asyncio
from itertools import count
from typing import Any

from litestar import Litestar
from litestar.datastructures import MutableScopeHeaders, State
from litestar.di import Provide
from litestar.types import Message, Scope

from appliance.gateway import Gateway
from web.device_http import commands, connections, jobs, messages, publishing, retained, shadows
from web.device_http.answers import HANDLERS
from web.device_http.budget import Budget
from web.device_http.caller import BUDGET
from web.devices_only import CERTIFICATE, REQUESTS
from web.heads import Application
from web.protection import BodyLimit, add_headers

REQUESTS_LIMIT = 1_000
"""So many requests one connection may bring; then a device opens another one, and shows who it is once more."""

NOUNS = (publishing, shadows, jobs, retained, connections, messages, commands)
OWN = ("/topics/", "/things/", "/retainedMessage", "/connections/", "/api/things/", "/command-executions")
"""What paths begin with that are for devices alone."""
SHARED = ("/.well-known/est/", "/v1/device/", "/pki/")
"""What devices share with others, who may show a certificate there or need not."""


class Fork:
    """Two applications on one socket: what devices ask for, and everything else."""

    def __init__(self, people: Any, devices: Any) -> None:
        self._people = people
        self._devices = devices

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Have a request answered by the one it is for."""
        chosen = self._devices if scope["type"] == "http" and _is_for_devices(scope) else self._people
        await chosen(scope, receive, send)


def _is_for_devices(scope: Any) -> bool:
    path: str = scope["path"]
    return path.startswith(OWN) or (CERTIFICATE in scope["state"] and not path.startswith(SHARED))


def create_device_app(gateway: Gateway) -> Litestar:
    """The application over these services."""
    # Nothing that a device says is larger than a packet of MQTT, and a thousand of them may speak at once.
    limit_bytes = gateway.broker.limits.packet_bytes

    def provide_gateway() -> Gateway:
        return gateway

    return Application(
        route_handlers=[handler for module in NOUNS for handler in module.HANDLERS],
        dependencies={"gateway": Provide(provide_gateway, sync_to_thread=False)},
        middleware=[BodyLimit(limit_bytes)],
        exception_handlers=HANDLERS,
        before_send=[add_headers, end_in_time],
        request_max_body_size=limit_bytes,
        state=State({retained.LOOKING: asyncio.Lock(), BUDGET: Budget(gateway.broker.limits)}),
        openapi_config=None,
        logging_config=None,
    )


async def end_in_time(message: Message, scope: Scope) -> None:
    """Let no connection last for ever."""
    if message["type"] != "http.response.start":
        return
    counter: count[int] | None = scope["state"].get(REQUESTS)
    if counter is not None and next(counter) >= REQUESTS_LIMIT:
        MutableScopeHeaders.from_message(message)["connection"] = "close"
