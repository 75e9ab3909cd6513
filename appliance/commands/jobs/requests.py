"""What a device asks for, read and checked before anything is looked up."""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from appliance.commands.jobs.model import ExecutionState, Fault, RejectedError
from appliance.commands.jobs.topics import NEXT, Api, JobAddress, is_job_id
from appliance.plane_settings import PAYLOAD_BYTES

TOKEN_BYTES = 64
DETAIL_CHARACTERS = 1_024
DETAILS_BYTES = 32_768
STEP_MINUTES = 10_080
NO_STEP = -1
"""In the place of minutes: no timer for this step."""

_DETAIL = re.compile(r"[a-zA-Z0-9:_-]{1,128}")
_DIGITS = re.compile(r"[0-9]{1,18}")
_STATES = {state.aws: state for state in ExecutionState}


class Request(msgspec.Struct, frozen=True):
    """A request of any kind; what is None was not said."""

    client_token: str | None = None
    state: ExecutionState | None = None
    details: Mapping[str, str] | None = None
    expected_version: int | None = None
    try_number: int | None = None
    step_minutes: int | None = None
    with_document: bool | None = None
    with_state: bool = False


def body(payload: bytes) -> dict[str, Any]:
    """The JSON object of a request; nothing at all counts as an empty one. Raises `RejectedError`."""
    if not payload.strip():
        return {}
    if len(payload) > PAYLOAD_BYTES:
        raise RejectedError(Fault.INVALID_REQUEST, f"the request has more than {PAYLOAD_BYTES} bytes")
    try:
        said = msgspec.json.decode(payload)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise RejectedError(Fault.INVALID_JSON, f"the request is no JSON: {error}") from error
    if not isinstance(said, dict):
        raise RejectedError(Fault.INVALID_REQUEST, "the request is no JSON object")
    return said


def token_of(said: Mapping[str, Any]) -> str | None:
    """What to send back, so that whoever asked knows its answer; None where it is none."""
    token = said.get("clientToken")
    return token if isinstance(token, str) and _is_short(token) else None


def token_in(payload: bytes) -> str | None:
    """The same of a request that may be none."""
    try:
        return token_of(body(payload))
    except RejectedError:
        return None


def check_address(address: JobAddress) -> None:
    """Raise `RejectedError` when the topic names what cannot be a job.

    An update must say which job it is of: sent again after its answer was lost, it would else end the next one.
    """
    if address.api in (Api.GET, Api.START_NEXT) or is_job_id(address.job_id):
        return
    if address.job_id != NEXT:
        raise RejectedError(Fault.INVALID_TOPIC, "a job id has 1 to 64 letters, digits, '_' and '-'")
    if address.api is Api.UPDATE:
        raise RejectedError(Fault.INVALID_TOPIC, f"an update names its job: {NEXT} can be described only")


def read(address: JobAddress, said: Mapping[str, Any]) -> Request:
    """Check what is said in a request. Raises `RejectedError`."""
    check_address(address)
    state = _state(said.get("status"))
    if address.api is Api.UPDATE and state is None:
        raise RejectedError(Fault.INVALID_REQUEST, "status is missing")
    return Request(
        client_token=_token(said.get("clientToken")),
        state=state,
        details=_details(said.get("statusDetails")),
        expected_version=_number("expectedVersion", said.get("expectedVersion")),
        try_number=_number("executionNumber", said.get("executionNumber")),
        step_minutes=_step(said.get("stepTimeoutInMinutes")),
        with_document=_answer("includeJobDocument", said.get("includeJobDocument")),
        with_state=_answer("includeJobExecutionState", said.get("includeJobExecutionState")) or False,
    )


def _token(said: Any) -> str | None:
    if said is None:
        return None
    if not isinstance(said, str) or not _is_short(said):
        raise RejectedError(Fault.INVALID_REQUEST, f"clientToken is a string of at most {TOKEN_BYTES} bytes")
    return said


def _is_short(token: str) -> bool:
    return len(token.encode(errors="replace")) <= TOKEN_BYTES


def _state(said: Any) -> ExecutionState | None:
    if said is None:
        return None
    state = _STATES.get(said) if isinstance(said, str) else None
    if state is None:
        raise RejectedError(Fault.INVALID_REQUEST, "status is none of IN_PROGRESS, SUCCEEDED, FAILED and REJECTED")
    return state


def _details(said: Any) -> Mapping[str, str] | None:
    if said is None:
        return None
    if not isinstance(said, dict):
        raise RejectedError(Fault.INVALID_REQUEST, "statusDetails is an object of strings")
    size = 0
    for key, value in said.items():
        if not _DETAIL.fullmatch(key):
            reason = "a key of statusDetails has 1 to 128 letters, digits, ':', '_' and '-'"
            raise RejectedError(Fault.INVALID_REQUEST, reason)
        if not isinstance(value, str) or len(value) > DETAIL_CHARACTERS:
            reason = f"a value of statusDetails is a string of at most {DETAIL_CHARACTERS} characters"
            raise RejectedError(Fault.INVALID_REQUEST, reason)
        size += len(key) + len(value.encode(errors="replace"))
    if size > DETAILS_BYTES:
        raise RejectedError(Fault.INVALID_REQUEST, f"statusDetails has more than {DETAILS_BYTES} bytes")
    return said


def _number(key: str, said: Any) -> int | None:
    """The C library of AWS writes numbers as strings."""
    if said is None:
        return None
    if isinstance(said, str) and _DIGITS.fullmatch(said):
        return int(said)
    if isinstance(said, int) and not isinstance(said, bool) and 0 <= said < 1 << 63:
        return said
    raise RejectedError(Fault.INVALID_REQUEST, f"{key} is a whole number")


def _step(said: Any) -> int | None:
    if said is None:
        return None
    if isinstance(said, int) and not isinstance(said, bool) and (said == NO_STEP or 1 <= said <= STEP_MINUTES):
        return said
    raise RejectedError(Fault.INVALID_REQUEST, f"stepTimeoutInMinutes is {NO_STEP} or 1 to {STEP_MINUTES}")


def _answer(key: str, said: Any) -> bool | None:
    if said is None or isinstance(said, bool):
        return said
    raise RejectedError(Fault.INVALID_REQUEST, f"{key} is true or false")
