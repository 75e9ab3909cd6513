"""What becomes of a job as a whole: when it begins, is given up, ends, and what is left to do then."""

from collections.abc import Mapping

import msgspec

from appliance.commands.jobs.model import ExecutionState, JobState
from appliance.commands.jobs.plan.abort import aborted
from appliance.commands.jobs.plan.events import Told
from appliance.commands.jobs.plan.membership import View
from appliance.commands.jobs.plan.model import (
    EndBehaviour,
    Job,
    JobEndedError,
    JobExistsError,
    JobLiveError,
    NewJob,
    Progress,
    Sweep,
)
from appliance.instant import to_text

_SWEEPS = {EndBehaviour.CANCEL: Sweep.QUEUED, EndBehaviour.FORCE_CANCEL: Sweep.ALL}


class Ending(msgspec.Struct, frozen=True):
    """How a job ends by itself."""

    reason: str
    sweep: Sweep
    """What of its executions is ended with it; with none it goes on without offering more work."""


def progress_of(counts: Mapping[ExecutionState, int]) -> Progress:
    """The states of a job's devices as they were counted."""
    return Progress(**{state.value: count for state, count in counts.items()})


def same(existing: Job, new: NewJob) -> Job:
    """Give back a job when it is the one that is wanted. Raises `JobExistsError`."""
    if existing.is_same(new) and existing.state is not JobState.DELETION_IN_PROGRESS:
        return existing
    raise JobExistsError(f"another job has the id {new.job_id}: give this one an id of its own")


def is_live(job: Job) -> bool:
    """Whether a job has work to offer, now or later."""
    return job.state in (JobState.SCHEDULED, JobState.IN_PROGRESS)


def begins(job: Job, at: int | None) -> bool:
    """Whether the moment has come at which a job begins; at None nobody knows what time it is."""
    start_at = job.config.schedule.start_at
    return job.state is JobState.SCHEDULED and at is not None and (start_at is None or at >= start_at)


def begun(job: Job, now: int) -> Job:
    """The same job once it offers work."""
    return msgspec.structs.replace(job, state=JobState.IN_PROGRESS, updated_at=now)


def over(job: Job, progress: Progress, at: int | None) -> Ending | None:
    """How a job ends now; None while it goes on. At None nobody knows what time it is."""
    reason = aborted(job.config.abort, progress)
    if reason:
        return Ending(reason, Sweep.QUEUED)
    schedule = job.config.schedule
    if schedule.end_at is None or at is None or at < schedule.end_at or job.is_rollout_over:
        return None
    reason = f"the job was planned to end at {to_text(schedule.end_at)}"
    return Ending(reason, _SWEEPS.get(schedule.end_behaviour, Sweep.NONE))


def ended(job: Job, ending: Ending, now: int) -> Job:
    """The same job once it has ended so."""
    if ending.sweep is Sweep.NONE:
        return msgspec.structs.replace(job, is_rollout_over=True, reason=ending.reason, updated_at=now)
    return _cancelled(job, ending, now)


def cancelled(job: Job, ending: Ending, comment: str, now: int) -> Job:
    """The same job called back by somebody. Raises `JobEndedError`."""
    is_more = job.state is JobState.CANCELLED and ending.sweep is Sweep.ALL
    if not is_live(job) and not is_more:
        raise JobEndedError(f"the job {job.job_id} is {job.state} already")
    return msgspec.structs.replace(_cancelled(job, ending, now), comment=comment)


def deleted(job: Job, progress: Progress, now: int, *, force: bool) -> Job:
    """The same job while it is forgotten. Raises `JobLiveError`."""
    if not force and (is_live(job) or progress.in_progress):
        raise JobLiveError(
            f"the job {job.job_id} is {job.state}, and {progress.in_progress} devices are at it: cancel it first, or"
            " delete it with force"
        )
    state, sweep = JobState.DELETION_IN_PROGRESS, Sweep.DELETED
    ended_at = now if job.ended_at is None else job.ended_at
    return msgspec.structs.replace(job, state=state, sweep=sweep, updated_at=now, ended_at=ended_at)


def completed(job: Job, now: int) -> Job:
    """The same job once every device is through with it."""
    return msgspec.structs.replace(job, state=JobState.COMPLETED, updated_at=now, ended_at=now)


def is_done(job: Job, view: View) -> bool:
    """Whether nobody is at a job, and nobody will be."""
    if view.progress.open:
        return False
    return job.is_rollout_over or not (job.is_continuous or view.waiting)


def is_unchanged(kept: Job, seen: Job) -> bool:
    """Whether a job is still what it was when it was looked at, as far as it matters for what comes next."""
    was = (seen.job_number, seen.state, seen.sweep, seen.is_rollout_over)
    return (kept.job_number, kept.state, kept.sweep, kept.is_rollout_over) == was


def told_of(before: Job, after: Job) -> Told | None:
    """What is told of a change."""
    if before.state is after.state and before.sweep is after.sweep:
        return None
    match after.state:
        case JobState.COMPLETED:
            return Told.COMPLETED
        case JobState.CANCELLED:
            return Told.CANCELLATION_IN_PROGRESS
        case JobState.DELETION_IN_PROGRESS:
            return Told.DELETION_IN_PROGRESS
        case JobState.SCHEDULED | JobState.IN_PROGRESS:
            return None


def _cancelled(job: Job, ending: Ending, now: int) -> Job:
    ended_at = now if job.ended_at is None else job.ended_at
    return msgspec.structs.replace(
        job, state=JobState.CANCELLED, reason=ending.reason, sweep=ending.sweep, updated_at=now, ended_at=ended_at
    )
