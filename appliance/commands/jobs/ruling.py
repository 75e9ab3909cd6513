"""What may become of an execution, and which one a device comes to next.

Rules: what has ended stays as it is. Every change makes the version one greater. The timer of a step never outlives
that of the whole. Both go by the running time of the gateway: a clock that is set ends nothing and spares nothing.
"""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from appliance.commands.jobs.model import (
    RETRIES_LIMIT,
    Execution,
    ExecutionState,
    ExecutionStateError,
    Fault,
    RejectedError,
    Window,
)
from appliance.commands.jobs.requests import NO_STEP, Request
from appliance.instant import MINUTE_MS

IsOpen = Callable[[tuple[Window, ...], int], bool]
"""Whether a job with these windows shows its queued executions at a moment."""

_BY_DEVICE = (
    ExecutionState.IN_PROGRESS,
    ExecutionState.SUCCEEDED,
    ExecutionState.FAILED,
    ExecutionState.REJECTED,
)


def pending(opened: Sequence[Execution], is_open: IsOpen, now: int) -> list[Execution]:
    """What a device is shown of what it has not ended: what is in progress first, each in the order of queueing."""
    begun = [one for one in opened if one.state is ExecutionState.IN_PROGRESS]
    queued = [one for one in opened if one.state is ExecutionState.QUEUED and _is_shown(one, is_open, now)]
    return begun + queued


def started(execution: Execution, request: Request, now: int, running_ms: int) -> Execution:
    """The same execution once its device has begun it."""
    return _begun(execution, request, now, running_ms)


def updated(execution: Execution, request: Request, now: int, running_ms: int) -> Execution:
    """The same execution after what its device reports. Raises `RejectedError`."""
    if request.expected_version is not None and request.expected_version != execution.version:
        reason = f"the execution has version {execution.version}, not {request.expected_version}"
        raise RejectedError(Fault.VERSION_MISMATCH, reason, execution)
    wanted = request.state
    if wanted is None or wanted not in _BY_DEVICE or not execution.state.is_open:
        word = "nothing" if wanted is None else wanted.aws
        reason = f"an execution cannot go from {execution.state.aws} to {word}"
        raise RejectedError(Fault.INVALID_STATE_TRANSITION, reason, execution)
    if wanted is ExecutionState.IN_PROGRESS:
        return _begun(execution, request, now, running_ms)
    details = execution.details if request.details is None else request.details
    return _ended(msgspec.structs.replace(execution, details=details), wanted, now)


def timed_out(execution: Execution, now: int) -> Execution:
    """The same execution once its time is over."""
    whole = execution.limit_ms is not None and execution.limit_ms == execution.due_ms
    reason = "the time for the job is over" if whole else "the device reported nothing in the time for this step"
    return _ended(execution, ExecutionState.TIMED_OUT, now, reason)


def cancelled(execution: Execution, reason: str, now: int, *, force: bool) -> Execution:
    """The same execution called back. Raises `ExecutionStateError`."""
    if not execution.state.is_open:
        raise ExecutionStateError(f"the execution has ended already: it is {execution.state}")
    if execution.state is ExecutionState.IN_PROGRESS and not force:
        raise ExecutionStateError("the execution is in progress: it is cancelled only with force")
    return _ended(execution, ExecutionState.CANCELLED, now, reason)


def removed(execution: Execution, reason: str, now: int) -> Execution:
    """The same execution once its device is none of the job's any more."""
    return _ended(execution, ExecutionState.REMOVED, now, reason)


def is_tried_again(ended: Execution, failures: Mapping[ExecutionState, int]) -> bool:
    """Whether another try follows one that has just ended; `failures` counts it too."""
    retries = ended.terms.retries
    failed = failures.get(ExecutionState.FAILED, 0)
    timed_out = failures.get(ExecutionState.TIMED_OUT, 0)
    if ended.try_number > RETRIES_LIMIT or failed + timed_out > RETRIES_LIMIT:
        return False
    match ended.state:
        case ExecutionState.FAILED:
            return failed <= retries.failed or failed + timed_out <= retries.either
        case ExecutionState.TIMED_OUT:
            return timed_out <= retries.timed_out or failed + timed_out <= retries.either
        case _:
            return False


def left_ms(execution: Execution, running_ms: int) -> int | None:
    """How long until it times out; None while no timer runs."""
    return None if execution.due_ms is None else max(0, execution.due_ms - running_ms)


def _is_shown(execution: Execution, is_open: IsOpen, now: int) -> bool:
    windows = execution.terms.windows
    return not windows or is_open(windows, now)


def _begun(execution: Execution, request: Request, now: int, running_ms: int) -> Execution:
    limit_ms, minutes = execution.limit_ms, execution.terms.in_progress_minutes
    if execution.state is ExecutionState.QUEUED and minutes is not None:
        limit_ms = running_ms + minutes * MINUTE_MS
    due_ms = limit_ms if execution.due_ms is None else execution.due_ms
    if request.step_minutes == NO_STEP:
        due_ms = limit_ms
    elif request.step_minutes is not None:
        step_ms = running_ms + request.step_minutes * MINUTE_MS
        due_ms = step_ms if limit_ms is None else min(step_ms, limit_ms)
    return msgspec.structs.replace(
        execution,
        state=ExecutionState.IN_PROGRESS,
        details=execution.details if request.details is None else request.details,
        version=execution.version + 1,
        started_at=now if execution.started_at is None else execution.started_at,
        updated_at=now,
        limit_ms=limit_ms,
        due_ms=due_ms,
    )


def _ended(execution: Execution, state: ExecutionState, now: int, reason: str = "") -> Execution:
    return msgspec.structs.replace(
        execution,
        state=state,
        version=execution.version + 1,
        updated_at=now,
        ended_at=now,
        limit_ms=None,
        due_ms=None,
        reason=reason,
    )
