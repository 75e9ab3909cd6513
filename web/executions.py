"""Jobs and their executions in words: how far each has come, by what was said of it. Pure."""

from collections.abc import Iterator, Mapping

import msgspec

from appliance.commands.jobs.model import Execution, ExecutionState, JobState
from appliance.commands.jobs.plan.model import Progress, Targets
from appliance.commands.model import read_wire_id
from appliance.registry.model import Presence
from web.ledger import Step
from web.progress import Bar, bar

STATE_WORDS: Mapping[ExecutionState, str] = {
    ExecutionState.QUEUED: "queued",
    ExecutionState.IN_PROGRESS: "in progress",
    ExecutionState.SUCCEEDED: "succeeded",
    ExecutionState.FAILED: "failed",
    ExecutionState.REJECTED: "rejected",
    ExecutionState.TIMED_OUT: "timed out",
    ExecutionState.CANCELLED: "cancelled",
    ExecutionState.REMOVED: "removed",
}
PILLS: Mapping[ExecutionState, str] = {
    ExecutionState.QUEUED: "",
    ExecutionState.IN_PROGRESS: "info",
    ExecutionState.SUCCEEDED: "ok",
    ExecutionState.FAILED: "crit",
    ExecutionState.REJECTED: "crit",
    ExecutionState.TIMED_OUT: "warn",
    ExecutionState.CANCELLED: "warn",
    ExecutionState.REMOVED: "",
}
JOB_WORDS: Mapping[JobState, str] = {
    JobState.SCHEDULED: "scheduled",
    JobState.IN_PROGRESS: "in progress",
    JobState.COMPLETED: "completed",
    JobState.CANCELLED: "cancelled",
    JobState.DELETION_IN_PROGRESS: "being deleted",
}
JOB_PILLS: Mapping[JobState, str] = {
    JobState.SCHEDULED: "",
    JobState.IN_PROGRESS: "info",
    JobState.COMPLETED: "ok",
    JobState.CANCELLED: "warn",
    JobState.DELETION_IN_PROGRESS: "warn",
}
_COLOURS = {
    "succeeded": ("share-ok", "succeeded"),
    "in_progress": ("share-going", "in progress"),
    "queued": ("share-open", "queued"),
    "failed": ("share-bad", "failed"),
    "rejected": ("share-gone", "rejected"),
    "timed_out": ("share-late", "timed out"),
    "cancelled": ("share-wait", "cancelled"),
    "removed": ("share-wait", "removed"),
    "waiting": ("none", "not offered yet"),
}
_OF_DEVICE = frozenset({ExecutionState.SUCCEEDED, ExecutionState.FAILED, ExecutionState.REJECTED})


class ExecutionEntry(msgspec.Struct, frozen=True):
    """One try of a job on one device."""

    execution_id: int
    job_id: str
    device_id: str
    title: str
    """Of the device."""
    try_number: int
    word: str
    pill: str
    steps: tuple[Step, ...]
    waits: str
    left_ms: int | None
    """How long the device has until the gateway gives up; None while no timer runs."""
    details: Mapping[str, str]
    reason: str
    may_cancel: bool
    is_begun: bool
    command_id: str
    """The command that the job was made for; empty where it is a job of many."""


def entry(execution: Execution, title: str, presence: Presence, left_ms: int | None) -> ExecutionEntry:
    """An execution as lists show it."""
    return ExecutionEntry(
        execution_id=execution.execution_id,
        job_id=execution.job_id,
        device_id=execution.device_id,
        title=title,
        try_number=execution.try_number,
        word=STATE_WORDS[execution.state],
        pill=PILLS[execution.state],
        steps=tuple(_steps(execution)),
        waits=_waits(execution, presence),
        left_ms=left_ms,
        details=execution.details,
        reason=_told(execution),
        may_cancel=execution.state.is_open,
        is_begun=execution.state is ExecutionState.IN_PROGRESS,
        command_id=read_wire_id(execution.job_id)[0] if execution.is_command else "",
    )


def progress_bar(progress: Progress) -> Bar:
    """The devices of a job as a bar of parts."""
    return bar([(*_COLOURS[name], getattr(progress, name)) for name in _COLOURS])


def targets_told(targets: Targets) -> str:
    """Whom a job is for, in a line."""
    told = []
    if targets.devices:
        names = ", ".join(targets.devices[:5])
        more = len(targets.devices) - 5
        told.append(f"devices {names}" + (f" and {more:,} more" if more > 0 else ""))
    for what, names_ in (("groups", targets.groups), ("types", targets.types), ("zones", targets.zones)):
        if names_:
            told.append(f"{what} {', '.join(names_)}")
    if targets.query:
        told.append(f"whoever the search {targets.query} finds")
    return "; ".join(told)


def _steps(execution: Execution) -> Iterator[Step]:
    yield Step("queued", execution.queued_at, "")
    if execution.started_at is not None:
        yield Step("in progress", execution.started_at, "the device said so")
    if execution.ended_at is not None:
        evidence = "the device said so" if execution.state in _OF_DEVICE else ""
        yield Step(STATE_WORDS[execution.state], execution.ended_at, evidence)
    elif execution.started_at is not None and execution.updated_at > execution.started_at:
        yield Step("last heard of", execution.updated_at, "")


def _waits(execution: Execution, presence: Presence) -> str:
    if execution.state is ExecutionState.IN_PROGRESS:
        return "waits for the device to finish"
    if execution.state is not ExecutionState.QUEUED:
        return ""
    if not presence.connected:
        return "waits: the device is not connected"
    if execution.terms.windows:
        return "waits for the device to ask for it, which it can within the maintenance windows"
    return "waits for the device to ask for it"


def _told(execution: Execution) -> str:
    if not execution.is_retried:
        return execution.reason
    return f"{execution.reason}; tried again" if execution.reason else "tried again"
