"""What rules and dashboards are told of executions."""

import json

from appliance.commands.jobs import events
from appliance.commands.jobs.model import ExecutionState
from tests.appliance.commands.jobs.executions import NOW, execution


def test_every_end_is_told_and_nothing_before_it() -> None:
    told = {state: events.word_of(state) for state in ExecutionState}
    assert [state for state, word in told.items() if word is None] == [
        ExecutionState.QUEUED,
        ExecutionState.IN_PROGRESS,
    ]
    assert events.topic("job-1", "timed_out") == "$aws/events/jobExecution/job-1/timed_out"
    assert told[ExecutionState.CANCELLED] == "canceled"


def test_an_event_has_the_fields_of_aws() -> None:
    one = execution(state=ExecutionState.SUCCEEDED, details={"step": "2"})
    said = json.loads(events.payload(one, "succeeded", NOW))
    assert said.pop("eventId") == json.loads(events.payload(one, "succeeded", NOW + 1))["eventId"]
    assert said == {
        "eventType": "JOB_EXECUTION",
        "timestamp": NOW // 1_000,
        "operation": "succeeded",
        "jobId": "job-1",
        "thingArn": "arn:aws:iot:local:000000000001:thing/pump",
        "status": "SUCCEEDED",
        "statusDetails": {"step": "2"},
    }


def test_different_ends_have_different_ids() -> None:
    one = execution(state=ExecutionState.SUCCEEDED)
    ids = {json.loads(events.payload(one, word, NOW))["eventId"] for word in ("succeeded", "deleted")}
    assert len(ids) == 2
