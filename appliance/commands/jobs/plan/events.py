"""What is told to rules and dashboards of jobs as a whole: `$aws/events/job/…`."""

from enum import StrEnum
from uuid import NAMESPACE_OID, uuid5

import msgspec

from appliance.commands.jobs.plan.model import Job, Progress
from appliance.instant import SECOND_MS


class Told(StrEnum):
    """What has happened to a job, in the words of AWS."""

    COMPLETED = "completed"
    CANCELLED = "canceled"
    DELETED = "deleted"
    CANCELLATION_IN_PROGRESS = "cancellation_in_progress"
    DELETION_IN_PROGRESS = "deletion_in_progress"


def topic(job: Job, told: Told) -> str:
    """Where it is told."""
    return f"$aws/events/job/{job.job_id}/{told}"


def payload(job: Job, told: Told, progress: Progress, now: int) -> bytes:
    """What is told. The same event has the same id, also when it is told once more after a crash."""
    said: dict[str, object] = {
        "eventType": "JOB",
        "eventId": str(uuid5(NAMESPACE_OID, f"job/{job.tenant_id}/{job.job_number}/{told}")),
        "timestamp": now // SECOND_MS,
        "operation": told,
        "jobId": job.job_id,
        "status": job.state.aws,
        "targetSelection": "CONTINUOUS" if job.is_continuous else "SNAPSHOT",
        "targets": _targets(job),
        "description": job.description,
        "createdAt": job.created_at // SECOND_MS,
        "lastUpdatedAt": job.updated_at // SECOND_MS,
        "jobProcessDetails": {
            "numberOfCanceledThings": progress.cancelled,
            "numberOfSucceededThings": progress.succeeded,
            "numberOfFailedThings": progress.failed,
            "numberOfRejectedThings": progress.rejected,
            "numberOfRemovedThings": progress.removed,
            "numberOfTimedOutThings": progress.timed_out,
            "numberOfQueuedThings": progress.queued,
            "numberOfInProgressThings": progress.in_progress,
        },
    }
    if job.ended_at is not None:
        said["completedAt"] = job.ended_at // SECOND_MS
    return msgspec.json.encode(said)


def _targets(job: Job) -> list[str]:
    """Whom it is for, in the form of AWS; what AWS does not know is left out."""
    here = f"arn:aws:iot:local:{job.tenant_id:012}"
    things = [f"{here}:thing/{device_id}" for device_id in job.targets.devices]
    return things + [f"{here}:thinggroup/{group}" for group in job.targets.groups]
