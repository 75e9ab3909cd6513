"""What is told to rules and dashboards of jobs as a whole."""

import msgspec
import pytest

from appliance.commands.jobs.model import JobState
from appliance.commands.jobs.plan.events import Told, payload, topic
from appliance.commands.jobs.plan.model import Progress
from tests.appliance.commands.jobs.plan.examples import NOW, job


@pytest.mark.parametrize("told", Told)
def test_an_event_has_its_topic_and_what_aws_says(told: Told) -> None:
    assert topic(job(), told) == f"$aws/events/job/night/{told.value}"
    said = msgspec.json.decode(payload(job(), told, Progress(succeeded=3, cancelled=2), NOW))
    assert (said["eventType"], said["operation"], said["jobId"], said["status"]) == (
        "JOB",
        told.value,
        "night",
        "IN_PROGRESS",
    )
    assert said["timestamp"] == NOW // 1_000
    assert said["jobProcessDetails"]["numberOfSucceededThings"] == 3
    assert said["jobProcessDetails"]["numberOfCanceledThings"] == 2
    assert "completedAt" not in said
    assert said["targets"] == [
        "arn:aws:iot:local:000000000001:thing/pump",
        "arn:aws:iot:local:000000000001:thinggroup/hall",
    ]


def test_what_has_ended_says_when() -> None:
    ended = job(JobState.CANCELLED, ended_at=NOW - 1_000, is_continuous=True)
    said = msgspec.json.decode(payload(ended, Told.CANCELLED, Progress(), NOW))
    assert (said["completedAt"], said["status"], said["targetSelection"]) == (
        NOW // 1_000 - 1,
        "CANCELED",
        "CONTINUOUS",
    )


def test_the_same_event_has_the_same_id() -> None:
    ids = {
        msgspec.json.decode(payload(one, told, Progress(), NOW))["eventId"]
        for one in (job(), job(job_number=8), job(tenant_id=2))
        for told in Told
        for _ in range(2)
    }
    assert len(ids) == 3 * len(Told)
