"""The nouns of plans: what a job is asked to be, whom it is for, and how far it has come."""

from enum import StrEnum

import msgspec

from appliance.commands.jobs.model import JobState
from appliance.errors import ConflictError, InvalidInputError, NotFoundError


class InvalidJobError(InvalidInputError):
    """A job that cannot be; the message says what was expected."""

    code = "invalid_job"


class UnknownJobError(NotFoundError):
    """The tenant has no job of that id."""

    code = "unknown_job"


class JobExistsError(ConflictError):
    """The tenant has another job of that id."""

    code = "job_exists"


class TooManyJobsError(ConflictError):
    """As many jobs of the tenant go on as may."""

    code = "too_many_jobs"


class JobEndedError(ConflictError):
    """The job has ended, or is being deleted: it cannot be cancelled any more."""

    code = "job_ended"


class JobLiveError(ConflictError):
    """The job has not ended: it is deleted by force only."""

    code = "job_live"


class Failure(StrEnum):
    """Which ends of an execution a rule is about."""

    FAILED = "failed"
    REJECTED = "rejected"
    TIMED_OUT = "timed_out"
    ALL = "all"


class EndBehaviour(StrEnum):
    """What becomes of a job at its end."""

    STOP_ROLLOUT = "stop_rollout"
    """No further device has the work offered."""
    CANCEL = "cancel"
    """And what is queued is cancelled."""
    FORCE_CANCEL = "force_cancel"
    """And what is in progress, too."""


class Growth(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A pace that grows by a factor each time so many devices more were told of the job, or have succeeded."""

    base_per_minute: int
    factor: float
    notified_count: int | None = None
    succeeded_count: int | None = None


class AbortRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A job is given up when so many of the devices that are through with it failed."""

    failure: Failure
    percent: float
    executed_count: int
    """How many devices must be through with it before anything is concluded."""


class RetryRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How often a device has the work offered again after such an end."""

    failure: Failure
    retry_count: int


class Window(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A time in which work is offered, again and again."""

    start: str
    """Five fields, as in a crontab."""
    duration_minutes: int


class Schedule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When a job begins and ends, and when it rests."""

    start_at: int | None = None
    """None is at once."""
    end_at: int | None = None
    end_behaviour: EndBehaviour = EndBehaviour.STOP_ROLLOUT
    windows: tuple[Window, ...] = ()
    """None are always open."""
    zone: str = "UTC"
    """By whose clocks the windows are."""


class JobConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a job is carried out."""

    per_minute: int = 1_000
    """How many devices at most have the work offered in a minute."""
    growth: Growth | None = None
    abort: tuple[AbortRule, ...] = ()
    in_progress_minutes: int | None = None
    """How long a device may take; None is as long as it likes."""
    retries: tuple[RetryRule, ...] = ()
    schedule: Schedule = Schedule()


class Targets(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whom a job is for: whoever is named, or in one of the groups, of one of the types, in one of the zones, found."""

    devices: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()
    query: str = ""
    """A search in the catalogue's language; empty finds nobody."""

    @property
    def are_named_only(self) -> bool:
        """Whether nobody is meant but those who are named."""
        return not (self.groups or self.types or self.zones or self.query)


class NewJob(msgspec.Struct, frozen=True):
    """A job as somebody wants it."""

    job_id: str
    document: str
    """JSON text."""
    targets: Targets
    description: str = ""
    is_continuous: bool = False
    """Whether devices that become targets later have the work offered, too; such a job ends by hand only."""
    config: JobConfig = JobConfig()


class Progress(msgspec.Struct, frozen=True):
    """In which states the devices of a job are, each by its last try."""

    waiting: int = 0
    """Those that have not had the work offered yet."""
    queued: int = 0
    in_progress: int = 0
    succeeded: int = 0
    failed: int = 0
    rejected: int = 0
    timed_out: int = 0
    cancelled: int = 0
    removed: int = 0

    @property
    def open(self) -> int:
        """Those that may still change."""
        return self.queued + self.in_progress

    @property
    def offered(self) -> int:
        """Those that had the work offered, whatever came of it."""
        return self.open + self.executed + self.cancelled + self.removed

    @property
    def executed(self) -> int:
        """Those that are through with it, by what they said or did not say in time."""
        return self.succeeded + self.failed + self.rejected + self.timed_out


class Sweep(StrEnum):
    """What is left to be done, piece by piece, to the executions of a job that has ended."""

    NONE = ""
    QUEUED = "queued"
    """Those that are queued are cancelled."""
    ALL = "all"
    """And those in progress."""
    DELETED = "deleted"
    """All are forgotten, and then the job is."""


class Starts(msgspec.Struct, frozen=True):
    """How many executions were started lately, and when, by a clock that nobody sets."""

    boot_id: str = ""
    """Whose clock it is: it begins anew with the machine."""
    recent: tuple[tuple[int, int], ...] = ()
    """Uptime in milliseconds and a count, oldest first."""


class Job(msgspec.Struct, frozen=True):
    """A job as it is kept."""

    job_number: int
    """Grows in the order of making."""
    tenant_id: int
    job_id: str
    state: JobState
    document: str
    description: str
    is_continuous: bool
    config: JobConfig
    targets: Targets
    author: str
    created_at: int
    updated_at: int
    ended_at: int | None = None
    reason: str = ""
    """Why it was cancelled: who has it so, or in one sentence what made the gateway do it."""
    comment: str = ""
    """What whoever cancelled it has to say of that."""
    targeted_count: int = 0
    """How many devices it was for when it was made."""
    starts: Starts = Starts()
    sweep: Sweep = Sweep.NONE
    is_rollout_over: bool = False
    """Whether its end has come, after which no further device has the work offered."""

    def is_same(self, new: NewJob) -> bool:
        """Whether this is the job that somebody wants."""
        kept = NewJob(self.job_id, self.document, self.targets, self.description, self.is_continuous, self.config)
        return kept == new
