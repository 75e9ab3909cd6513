"""What the execution of its job tells of a command.

Rules: that a job is queued, or that a notice of it was acknowledged, is no evidence: only what the device has begun or
ended is. What has happened to the job of an earlier attempt, or after the end, changes nothing.
"""

import msgspec

from appliance.commands import ruling
from appliance.commands.dialects.dialect import REASON_CODE_LENGTH, REASON_LENGTH, RESULT_BYTES
from appliance.commands.jobs.model import Execution, ExecutionChange, ExecutionState
from appliance.commands.model import By, Command, State, read_wire_id
from appliance.commands.ruling import Refusal, Report

JOB_CANCELLED = "JOB_CANCELLED"
JOB_DELETED = "JOB_DELETED"

_BY_DEVICE = {
    ExecutionState.IN_PROGRESS: State.IN_PROGRESS,
    ExecutionState.SUCCEEDED: State.SUCCEEDED,
    ExecutionState.FAILED: State.FAILED,
    ExecutionState.REJECTED: State.REJECTED,
}


def job_id_of(change: ExecutionChange) -> str:
    """The job that a change is about, which is the execution id on the wire."""
    known = change.after or change.before
    return "" if known is None else known.job_id


def followed(command: Command, change: ExecutionChange, now: int) -> Command:
    """The command after a change of its execution; the same where that is no news of it."""
    _, attempt = read_wire_id(job_id_of(change))
    if command.is_over or attempt != command.attempt or not ruling.is_ordered(command):
        return command
    execution = change.after
    if execution is not None and execution.state in _BY_DEVICE:
        after = ruling.told(command, attempt, _report(execution, _BY_DEVICE[execution.state]), now)
        return command if isinstance(after, Refusal) else after
    end = _end(execution)
    return command if end is None else ruling.ended(command, end[0], end[1], now)


def _end(execution: Execution | None) -> tuple[Report, By] | None:
    """How an execution ended without its device; None where it did not."""
    if execution is None:
        return Report(State.CANCELLED, JOB_DELETED, "its job was deleted by hand"), By.OPERATOR
    match execution.state:
        case ExecutionState.TIMED_OUT:
            return Report(State.TIMED_OUT, ruling.NOT_FINISHED, execution.reason, _result(execution)), By.GATEWAY
        case ExecutionState.CANCELLED:
            reason = execution.reason or "its job was cancelled by hand"
            return Report(State.CANCELLED, JOB_CANCELLED, reason), By.OPERATOR
        case ExecutionState.REMOVED:
            return Report(State.CANCELLED, ruling.DEVICE_GONE, execution.reason), By.GATEWAY
        case _:
            return None


def _report(execution: Execution, state: State) -> Report:
    code, reason = execution.details.get("reason_code", ""), execution.details.get("reason", "")
    return Report(state, code[:REASON_CODE_LENGTH], reason[:REASON_LENGTH], _result(execution))


def _result(execution: Execution) -> str | None:
    """All that the device said besides, as JSON; None where it said nothing, or more than the ledger takes."""
    if not execution.details:
        return None
    written = msgspec.json.encode(execution.details)
    return written.decode() if len(written) <= RESULT_BYTES else None
