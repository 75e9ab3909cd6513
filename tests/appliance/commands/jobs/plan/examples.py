"""Jobs for tests of decisions."""

from typing import Any

from appliance.commands.jobs.model import JobState
from appliance.commands.jobs.plan.model import Job, JobConfig, Targets

NOW = 1_800_000_000_000


def job(state: JobState = JobState.IN_PROGRESS, **fields: Any) -> Job:
    """A job for the group hall and the device pump."""
    told: dict[str, Any] = {
        "job_number": 7,
        "tenant_id": 1,
        "job_id": "night",
        "state": state,
        "document": "{}",
        "description": "all pumps",
        "is_continuous": False,
        "config": JobConfig(),
        "targets": Targets(devices=("pump",), groups=("hall",), zones=("yard",)),
        "author": "user:maria",
        "created_at": NOW - 60_000,
        "updated_at": NOW - 30_000,
    }
    return Job(**{**told, **fields})
