"""The nouns of jobs, as far as a device takes part in them: states, executions, what a job's configuration bears on."""

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from appliance.errors import ApplianceError, ConflictError, NotFoundError

RETRIES_LIMIT = 10
"""Of one job on one device, all failures together."""
PIECE = 250
"""Executions that one transaction touches at most: on a Raspberry Pi that takes as long as readings may well wait."""


class ExecutionState(StrEnum):
    """How far a job has come on one device."""

    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    REJECTED = "rejected"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    REMOVED = "removed"

    @property
    def is_open(self) -> bool:
        """Whether it may still change."""
        return self in (ExecutionState.QUEUED, ExecutionState.IN_PROGRESS)

    @property
    def aws(self) -> str:
        """What AWS calls it."""
        return _AWS_WORDS[self]


class JobState(StrEnum):
    """How far a job has come altogether."""

    SCHEDULED = "scheduled"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    DELETION_IN_PROGRESS = "deletion_in_progress"

    @property
    def aws(self) -> str:
        """What AWS calls it."""
        return "CANCELED" if self is JobState.CANCELLED else self.upper()

    @property
    def is_going_on(self) -> bool:
        """Whether devices may be asked to do it, once more too."""
        return self is JobState.IN_PROGRESS


class Retries(msgspec.Struct, frozen=True):
    """How often a job is tried again on a device that failed."""

    failed: int = 0
    timed_out: int = 0
    either: int = 0
    """AWS's `ALL`."""


class Window(msgspec.Struct, frozen=True):
    """When a queued execution is shown to its device."""

    start: str
    """As a cron expression."""
    minutes: int
    zone: str = "UTC"
    """By whose clocks."""


class Terms(msgspec.Struct, frozen=True):
    """What of a job's configuration bears on each of its executions."""

    in_progress_minutes: int | None = None
    retries: Retries = Retries()
    windows: tuple[Window, ...] = ()
    """None: always."""


class Execution(msgspec.Struct, frozen=True):
    """One try of a job on one device."""

    execution_id: int
    """Grows in the order of queueing."""
    tenant_id: int
    job_number: int
    job_id: str
    device_id: str
    try_number: int
    """AWS's execution number, from 1."""
    state: ExecutionState
    details: Mapping[str, str]
    """What the device says of it."""
    version: int
    queued_at: int
    updated_at: int
    started_at: int | None = None
    ended_at: int | None = None
    limit_ms: int | None = None
    """When it times out at the latest, in running time of the gateway."""
    due_ms: int | None = None
    """The same, unless the device reports before."""
    reason: str = ""
    """Why the gateway or a person ended it, in a sentence."""
    is_retried: bool = False
    """Whether another try followed."""
    terms: Terms = Terms()
    is_command: bool = False
    """Whether its job was made for one command."""


class CommandJob(msgspec.Struct, frozen=True):
    """A job that is made for one command."""

    job_id: str
    device_id: str
    document: str
    """JSON text of an object."""
    description: str = ""
    author: str = ""
    terms: Terms = Terms()


class ExecutionChange(msgspec.Struct, frozen=True):
    """What has become of an execution."""

    before: Execution | None
    """None: it was queued."""
    after: Execution | None
    """None: it was forgotten."""


class JobOutline(msgspec.Struct, frozen=True):
    """Of a job, what its executions need."""

    job_number: int
    job_id: str
    state: JobState
    document: bytes
    terms: Terms


class HandedOut(msgspec.Struct, frozen=True):
    """What became of devices that a job was handed out to."""

    device_ids: tuple[str, ...]
    """Those that have it queued now."""
    full: tuple[str, ...]
    """Those that have too much open already: to be tried again later."""


class ExecutionsChanged(msgspec.Struct, frozen=True):
    """Announced on the bus: something has become of executions of these devices."""

    tenant_id: int
    device_ids: tuple[str, ...]


class JobAnswer(msgspec.Struct, frozen=True):
    """The answer to a device."""

    error: str | None
    """AWS's code; None when it was accepted."""
    payload: bytes


class Fault(StrEnum):
    """Why a device's request is rejected, in the words of AWS."""

    INVALID_TOPIC = "InvalidTopic"
    INVALID_JSON = "InvalidJson"
    INVALID_REQUEST = "InvalidRequest"
    INVALID_STATE_TRANSITION = "InvalidStateTransition"
    NOT_FOUND = "ResourceNotFound"
    VERSION_MISMATCH = "VersionMismatch"
    INTERNAL = "InternalError"
    THROTTLED = "RequestThrottled"
    TERMINAL_STATE = "TerminalStateReached"


class RejectedError(ApplianceError):
    """A device's request is not granted."""

    code = "rejected"

    def __init__(self, fault: Fault, message: str, execution: Execution | None = None) -> None:
        """`execution` is told with the answer, for a device whose idea of it is an old one."""
        super().__init__(message)
        self.fault = fault
        self.execution = execution


class UnknownExecutionError(NotFoundError):
    """The job is not, or not any more, one of this device."""

    code = "unknown_execution"


class ExecutionStateError(ConflictError):
    """The execution is in a state in which this cannot be done."""

    code = "execution_state"


_AWS_WORDS = {
    ExecutionState.QUEUED: "QUEUED",
    ExecutionState.IN_PROGRESS: "IN_PROGRESS",
    ExecutionState.SUCCEEDED: "SUCCEEDED",
    ExecutionState.FAILED: "FAILED",
    ExecutionState.REJECTED: "REJECTED",
    ExecutionState.TIMED_OUT: "TIMED_OUT",
    ExecutionState.CANCELLED: "CANCELED",
    ExecutionState.REMOVED: "REMOVED",
}
