"""The exact JSON of AWS's answers."""

import json

from appliance.commands.jobs import answers
from appliance.commands.jobs.answers import Document
from appliance.commands.jobs.model import ExecutionState, Fault, RejectedError
from tests.appliance.commands.jobs.executions import NOW, RUNNING, execution

AT = NOW // 1_000
BEGUN = execution(
    2, ExecutionState.IN_PROGRESS, started_at=NOW - 1_000, details={"step": "1"}, version=3, due_ms=RUNNING + 61_999
)
SUMMARY = {"jobId": "job-1", "queuedAt": AT - 60, "lastUpdatedAt": AT - 60, "versionNumber": 1, "executionNumber": 1}
WHOLE = {
    "jobId": "job-2",
    "thingName": "pump",
    "status": "IN_PROGRESS",
    "statusDetails": {"step": "1"},
    "queuedAt": AT - 60,
    "lastUpdatedAt": AT - 60,
    "startedAt": AT - 1,
    "versionNumber": 3,
    "executionNumber": 1,
    "approximateSecondsBeforeTimedOut": 61,
}


def test_get_has_both_lists_even_when_they_are_empty() -> None:
    assert json.loads(answers.listed([], NOW, None)) == {"inProgressJobs": [], "queuedJobs": [], "timestamp": AT}
    said = json.loads(answers.listed([BEGUN, execution()], NOW, "t"))
    assert (said["queuedJobs"], said["clientToken"]) == ([SUMMARY], "t")
    assert [one["jobId"] for one in said["inProgressJobs"]] == ["job-2"]
    assert said["inProgressJobs"][0]["startedAt"] == AT - 1


def test_a_document_is_json_within_the_json_or_a_string_over_https() -> None:
    text = b'{"operation": "open", "n": 1.50}'
    said = answers.described(BEGUN, Document(text), RUNNING, NOW, "t")
    assert text in said, "as it was given"
    assert json.loads(said) == {
        "execution": WHOLE | {"jobDocument": {"operation": "open", "n": 1.5}},
        "timestamp": AT,
        "clientToken": "t",
    }
    quoted = json.loads(answers.described(BEGUN, Document(text, is_quoted=True), RUNNING, NOW, None))
    assert quoted["execution"]["jobDocument"] == text.decode()


def test_nothing_pending_is_an_answer_without_an_execution() -> None:
    assert json.loads(answers.described(None, None, RUNNING, NOW, "t")) == {"timestamp": AT, "clientToken": "t"}


def test_an_update_is_answered_with_what_was_asked_for() -> None:
    assert json.loads(answers.reported(None, None, NOW, "t")) == {"timestamp": AT, "clientToken": "t"}
    state = {"status": "IN_PROGRESS", "statusDetails": {"step": "1"}, "versionNumber": 3}
    assert json.loads(answers.reported(BEGUN, Document(b"{}"), NOW, None)) == {
        "executionState": state,
        "jobDocument": {},
        "timestamp": AT,
    }


def test_a_rejection_has_a_code_and_what_is_where_the_device_was_wrong_about_it() -> None:
    said = json.loads(answers.rejected(RejectedError(Fault.NOT_FOUND, "no such job"), NOW, "t"))
    assert said == {"code": "ResourceNotFound", "message": "no such job", "timestamp": AT, "clientToken": "t"}
    told = json.loads(answers.rejected(RejectedError(Fault.VERSION_MISMATCH, "other", BEGUN), NOW, None))
    assert told["executionState"]["versionNumber"] == 3
