"""`/things/…/jobs`: what a device has to do, as over MQTT."""

from http import HTTPStatus
from typing import Any

import msgspec
from litestar import get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath

from appliance.commands.jobs.model import Fault
from appliance.commands.jobs.topics import NEXT, Api, JobAddress, is_job_id
from appliance.gateway import Gateway
from appliance.shadows.model import DEVICE_ID
from web.device_http.answers import Answer, AnyRequest, RefusedError, document
from web.device_http.caller import caller, number, require_answer, require_publish, yes_or_no

LARGEST_NUMBER = 2**31 - 1

_REFUSALS: dict[str, tuple[HTTPStatus, str]] = {
    Fault.INVALID_STATE_TRANSITION: (HTTPStatus.CONFLICT, "InvalidStateTransitionException"),
    Fault.VERSION_MISMATCH: (HTTPStatus.CONFLICT, "VersionMismatchException"),
    Fault.NOT_FOUND: (HTTPStatus.NOT_FOUND, ""),
    Fault.THROTTLED: (HTTPStatus.TOO_MANY_REQUESTS, ""),
    Fault.TERMINAL_STATE: (HTTPStatus.GONE, "TerminalStateException"),
    Fault.INTERNAL: (HTTPStatus.INTERNAL_SERVER_ERROR, ""),
}
"""What the words of jobs are over HTTP; all others are bad requests."""


@get("/things/{thing:str}/jobs")
async def list_pending(request: AnyRequest, thing: FromPath[str], gateway: NamedDependency[Gateway]) -> Answer:
    """What is to be done."""
    return await _asked(request, gateway, JobAddress(thing, Api.GET), b"{}")


@put("/things/{thing:str}/jobs/$next", status_code=200)
async def start_next(request: AnyRequest, thing: FromPath[str], gateway: NamedDependency[Gateway]) -> Answer:
    """Begin with the first that is pending."""
    return await _asked(request, gateway, JobAddress(thing, Api.START_NEXT), await request.body() or b"{}")


@get(["/things/{thing:str}/jobs/$next", "/things/{thing:str}/jobs/{job_id:str}"])
async def describe(
    request: AnyRequest, gateway: NamedDependency[Gateway], thing: FromPath[str], job_id: FromPath[str] = NEXT
) -> Answer:
    """One execution, with its document unless that is not wanted."""
    asked: dict[str, Any] = {}
    if "includeJobDocument" in request.query_params:
        asked["includeJobDocument"] = yes_or_no(request, "includeJobDocument")
    if "executionNumber" in request.query_params:
        asked["executionNumber"] = number(request, "executionNumber", 1, LARGEST_NUMBER, 1)
    return await _asked(request, gateway, JobAddress(thing, Api.DESCRIBE, job_id), msgspec.json.encode(asked))


@post(["/things/{thing:str}/jobs/$next", "/things/{thing:str}/jobs/{job_id:str}"], status_code=200)
async def update(
    request: AnyRequest, gateway: NamedDependency[Gateway], thing: FromPath[str], job_id: FromPath[str] = NEXT
) -> Answer:
    """Tell how far an execution has come."""
    return await _asked(request, gateway, JobAddress(thing, Api.UPDATE, job_id), await request.body())


async def _asked(request: AnyRequest, gateway: Gateway, address: JobAddress, payload: bytes) -> Answer:
    """Ask for it. A device may do here what it may ask for over MQTT, if it may be sent the answer there."""
    principal = await caller(request, gateway)
    if DEVICE_ID.fullmatch(address.device_id) is None:
        raise RefusedError(HTTPStatus.BAD_REQUEST, f"{address.device_id[:128]!r} is no name of a device")
    if address.job_id not in ("", NEXT) and not is_job_id(address.job_id):
        raise RefusedError(HTTPStatus.BAD_REQUEST, f"{address.job_id[:64]!r} is no name of a job")
    await require_publish(gateway, principal, address.topic)
    await require_answer(gateway, principal, address.answered(is_accepted=True))
    answer = await gateway.jobs.ask(principal.tenant_id, address, payload)
    if answer.error is None:
        return document(answer.payload)
    said: dict[str, Any] = msgspec.json.decode(answer.payload)
    status, kind = _REFUSALS.get(answer.error, (HTTPStatus.BAD_REQUEST, ""))
    further: dict[str, Any] = {name: said[name] for name in ("code", "executionState", "clientToken") if name in said}
    raise RefusedError(status, str(said.get("message", answer.error)), kind, further)


HANDLERS = (list_pending, start_next, describe, update)
