"""What the execution of its job tells of a command."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.commands import ruling
from appliance.commands.as_jobs import evidence
from appliance.commands.jobs.model import ExecutionChange, ExecutionState
from appliance.commands.model import FINAL, By, Command, DialectName, State
from tests.appliance.commands.examples import EXECUTION, NOW, command
from tests.appliance.commands.jobs.executions import execution

QUEUED = execution(job_id=EXECUTION)


def ordered(**fields: Any) -> Command:
    return ruling.offered(command(dialect=DialectName.JOBS, **fields), NOW)


def change(state: ExecutionState | None, *, attempt: int = 1, **fields: Any) -> ExecutionChange:
    job_id = EXECUTION if attempt == 1 else f"{EXECUTION}-{attempt}"
    before = execution(job_id=job_id)
    return ExecutionChange(before, None if state is None else execution(state=state, job_id=job_id, **fields))


@pytest.mark.parametrize(
    ("state", "told", "by", "code"),
    [
        (ExecutionState.QUEUED, State.QUEUED, By.NOBODY, ""),
        (ExecutionState.IN_PROGRESS, State.IN_PROGRESS, By.NOBODY, "LOCKED"),
        (ExecutionState.SUCCEEDED, State.SUCCEEDED, By.DEVICE, "LOCKED"),
        (ExecutionState.FAILED, State.FAILED, By.DEVICE, "LOCKED"),
        (ExecutionState.REJECTED, State.REJECTED, By.DEVICE, "LOCKED"),
        (ExecutionState.TIMED_OUT, State.TIMED_OUT, By.GATEWAY, "NOT_FINISHED"),
        (ExecutionState.CANCELLED, State.CANCELLED, By.OPERATOR, "JOB_CANCELLED"),
        (ExecutionState.REMOVED, State.CANCELLED, By.GATEWAY, "DEVICE_GONE"),
        (None, State.CANCELLED, By.OPERATOR, "JOB_DELETED"),
    ],
)
def test_every_state_of_an_execution_has_one_of_a_command(
    state: ExecutionState | None, told: State, by: By, code: str
) -> None:
    details = {"reason_code": "LOCKED", "reason": "the door is locked"}
    fields: dict[str, Any] = {} if state is None else {"details": details, "reason": "why"}
    after = evidence.followed(ordered(), change(state, **fields), NOW + 5)
    assert (after.state, after.ended_by, after.reason_code) == (told, by, code)
    assert (after.sent_at, after.acknowledged_at) == (None, None)
    if told in {State.IN_PROGRESS, *FINAL} - {State.CANCELLED}:
        assert json.loads(after.result or "{}") == details
    assert after.started_at == (NOW + 5 if told is State.IN_PROGRESS else None)


def test_who_cancels_a_job_without_a_word_leaves_a_reason() -> None:
    after = evidence.followed(ordered(), change(ExecutionState.CANCELLED), NOW)
    assert after.reason == "its job was cancelled by hand"


@given(
    state=st.sampled_from([*ExecutionState, None]),
    attempt=st.integers(1, 4),
    over=st.sampled_from([*FINAL, None]),
)
def test_news_of_another_attempt_or_after_the_end_change_nothing(
    state: ExecutionState | None, attempt: int, over: State | None
) -> None:
    before = ordered(attempt=2, **({} if over is None else {"state": over, "ended_by": By.GATEWAY}))
    after = evidence.followed(before, change(state, attempt=attempt), NOW)
    if over is not None or attempt != 2 or state is ExecutionState.QUEUED:
        assert after is before
    else:
        assert after.version > before.version


@given(state=st.sampled_from([*ExecutionState, None]))
def test_an_attempt_that_is_not_in_the_ledger_of_jobs_hears_of_nothing(state: ExecutionState | None) -> None:
    for waiting in (command(dialect=DialectName.JOBS), ruling.offered(command(), NOW)):
        assert evidence.followed(waiting, change(state), NOW) is waiting


@pytest.mark.parametrize("state", [ExecutionState.FAILED, ExecutionState.TIMED_OUT])
def test_what_may_be_tried_again_begins_anew(state: ExecutionState) -> None:
    after = evidence.followed(ordered(retries_left=1), change(state), NOW)
    assert (after.state, after.attempt, after.offered_at) == (State.QUEUED, 2, None)
    assert after.due_at == after.not_before == NOW + 5_000


def test_words_beyond_all_bounds_are_cut() -> None:
    details = {"reason_code": "x" * 900, "reason": "y" * 1_024, **{f"k{n}": "z" * 1_024 for n in range(40)}}
    after = evidence.followed(ordered(), change(ExecutionState.FAILED, details=details), NOW)
    assert (len(after.reason_code), len(after.reason), after.result) == (64, 1_024, None)


def test_a_change_is_of_its_job() -> None:
    assert [evidence.job_id_of(one) for one in (ExecutionChange(None, QUEUED), ExecutionChange(QUEUED, None))] == [
        EXECUTION
    ] * 2
    assert evidence.job_id_of(ExecutionChange(None, None)) == ""
