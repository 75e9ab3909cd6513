"""What the audit log is told of jobs."""

from appliance.audit.model import Entry
from appliance.commands.jobs.plan.model import Job, NewJob
from appliance.errors import InvalidInputError

COMMENT_LENGTH = 2_028


def check_comment(comment: str) -> None:
    """Raise `InvalidInputError` when a comment is longer than one is kept."""
    if len(comment) > COMMENT_LENGTH:
        raise InvalidInputError(f"the comment has {len(comment):,} characters, expected at most {COMMENT_LENGTH:,}")


def created(new: NewJob, device_count: int) -> Entry:
    """A job was made."""
    return Entry("job.create", new.job_id, {"device_count": str(device_count)})


def cancelled(job: Job, comment: str, *, force: bool) -> Entry:
    """A job was called back."""
    told = {"comment": comment} if comment else {}
    return Entry("job.cancel", job.job_id, {"force": _word(force), **told})


def deleted(job: Job, *, force: bool) -> Entry:
    """A job is forgotten."""
    return Entry("job.delete", job.job_id, {"force": _word(force), "state": job.state.value})


def _word(force: bool) -> str:  # noqa: FBT001  it is the value
    return "yes" if force else "no"
