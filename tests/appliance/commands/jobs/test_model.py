"""Two tables of words, and every word of ours has one of AWS's."""

from appliance.commands.jobs.model import ExecutionState, Fault, JobState, RejectedError


def test_every_state_has_the_word_of_aws() -> None:
    assert {state.aws for state in ExecutionState} == {
        *("QUEUED", "IN_PROGRESS", "SUCCEEDED", "FAILED", "REJECTED", "TIMED_OUT", "CANCELED", "REMOVED")
    }
    assert {state.aws for state in JobState} == {
        *("SCHEDULED", "IN_PROGRESS", "COMPLETED", "CANCELED", "DELETION_IN_PROGRESS")
    }


def test_only_what_is_queued_or_in_progress_is_open() -> None:
    assert [state for state in ExecutionState if state.is_open] == [ExecutionState.QUEUED, ExecutionState.IN_PROGRESS]


def test_only_a_job_in_progress_goes_on() -> None:
    assert [state for state in JobState if state.is_going_on] == [JobState.IN_PROGRESS]


def test_a_rejection_says_why_in_the_word_of_aws() -> None:
    error = RejectedError(Fault.VERSION_MISMATCH, "another version")
    assert (error.fault.value, str(error), error.execution) == ("VersionMismatch", "another version", None)
