"""What devices are answered, in the exact JSON of AWS: moments are epoch seconds."""

from collections.abc import Sequence
from typing import Any

import msgspec

from appliance.commands.jobs.model import Execution, Fault, JobAnswer, RejectedError
from appliance.commands.jobs.ruling import left_ms
from appliance.instant import SECOND_MS

Fields = dict[str, Any]


class Document(msgspec.Struct, frozen=True):
    """A job document on its way out."""

    text: bytes
    is_quoted: bool = False
    """As a string, as over HTTPS; as JSON within the JSON over MQTT."""

    @property
    def value(self) -> msgspec.Raw | str:
        """What stands in the answer."""
        return self.text.decode() if self.is_quoted else msgspec.Raw(self.text)


def listed(pending: Sequence[Execution], now: int, token: str | None) -> bytes:
    """The answer to `get`."""
    by_state = summaries(pending)
    lists: Fields = {
        "inProgressJobs": by_state.get("IN_PROGRESS", []),
        "queuedJobs": by_state.get("QUEUED", []),
    }
    return _written(lists, now, token)


def described(
    execution: Execution | None, document: Document | None, running_ms: int, now: int, token: str | None
) -> bytes:
    """The answer to `start-next` and `{job}/get`; of nothing where nothing is pending."""
    fields = {} if execution is None else {"execution": whole(execution, document, running_ms)}
    return _written(fields, now, token)


def reported(execution: Execution | None, document: Document | None, now: int, token: str | None) -> bytes:
    """The answer to `{job}/update`, with what was asked for of the state and the document."""
    fields: Fields = {} if execution is None else {"executionState": _state(execution)}
    if document is not None:
        fields["jobDocument"] = document.value
    return _written(fields, now, token)


def rejected(error: RejectedError, now: int, token: str | None) -> bytes:
    """The answer that refuses."""
    fields: Fields = {"code": error.fault.value, "message": str(error)}
    if error.execution is not None:
        fields["executionState"] = _state(error.execution)
    return _written(fields, now, token)


def unforeseen(now: int, token: str | None) -> JobAnswer:
    """The answer where the gateway itself has failed."""
    failed = RejectedError(Fault.INTERNAL, "the gateway could not do this")
    return JobAnswer(failed.fault.value, rejected(failed, now, token))


def throttled(now: int, token: str | None, limit: int) -> JobAnswer:
    """The answer to who asks too often at once."""
    refused = RejectedError(Fault.THROTTLED, f"more than {limit} requests at once: ask again")
    return JobAnswer(refused.fault.value, rejected(refused, now, token))


def summaries(pending: Sequence[Execution]) -> dict[str, list[Fields]]:
    """Executions in short, by AWS's word for their state."""
    found: dict[str, list[Fields]] = {}
    for one in pending:
        found.setdefault(one.state.aws, []).append(_summary(one))
    return found


def whole(execution: Execution, document: Document | None, running_ms: int) -> Fields:
    """All that a device is told of an execution."""
    fields: Fields = {
        "jobId": execution.job_id,
        "thingName": execution.device_id,
        "status": execution.state.aws,
        "statusDetails": execution.details,
        **_moments(execution),
        "versionNumber": execution.version,
        "executionNumber": execution.try_number,
    }
    left = left_ms(execution, running_ms)
    if left is not None:
        fields["approximateSecondsBeforeTimedOut"] = left // SECOND_MS
    if document is not None:
        fields["jobDocument"] = document.value
    return fields


def _summary(execution: Execution) -> Fields:
    return {
        "jobId": execution.job_id,
        **_moments(execution),
        "versionNumber": execution.version,
        "executionNumber": execution.try_number,
    }


def _moments(execution: Execution) -> Fields:
    moments = {"queuedAt": _seconds(execution.queued_at), "lastUpdatedAt": _seconds(execution.updated_at)}
    if execution.started_at is not None:
        moments["startedAt"] = _seconds(execution.started_at)
    return moments


def _state(execution: Execution) -> Fields:
    return {
        "status": execution.state.aws,
        "statusDetails": execution.details,
        "versionNumber": execution.version,
    }


def _written(fields: Fields, now: int, token: str | None) -> bytes:
    fields["timestamp"] = _seconds(now)
    if token is not None:
        fields["clientToken"] = token
    return msgspec.json.encode(fields)


def _seconds(at: int) -> int:
    return at // SECOND_MS
