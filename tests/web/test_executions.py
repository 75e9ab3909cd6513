"""Executions of jobs in words."""

from typing import Any

import msgspec
import pytest

from appliance.commands.jobs.model import Execution, ExecutionState, JobState, Terms, Window
from appliance.commands.jobs.plan.model import Progress, Targets
from appliance.registry.model import Presence
from web import executions

NOW = 1_782_900_000_000
AWAY = Presence(False, NOW, "", "")
THERE = Presence(True, NOW, "", "")
QUEUED = Execution(7, 1, 3, "rotate", "pump-1", 1, ExecutionState.QUEUED, {}, 1, NOW, NOW)


def execution(**fields: Any) -> Execution:
    return msgspec.structs.replace(QUEUED, **fields)


def entry(presence: Presence = AWAY, **fields: Any) -> executions.ExecutionEntry:
    return executions.entry(execution(**fields), "Feed pump", presence, None)


@pytest.mark.parametrize("state", list(ExecutionState))
def test_what_is_over_waits_for_nothing_and_nothing_is_said_to_be_delivered(state: ExecutionState) -> None:
    for presence in (AWAY, THERE):
        made = entry(presence, state=state, ended_at=None if state.is_open else NOW)
        assert bool(made.waits) is state.is_open
        assert made.may_cancel is state.is_open
        assert "delivered" not in made.waits


def test_what_is_queued_says_what_it_waits_for() -> None:
    assert entry().waits == "waits: the device is not connected"
    assert entry(THERE).waits == "waits for the device to ask for it"
    windows = Terms(windows=(Window("0 22 * * *", 60),))
    assert "within the maintenance windows" in entry(THERE, terms=windows).waits


def test_each_step_has_its_moment_and_who_said_so() -> None:
    done = entry(state=ExecutionState.FAILED, started_at=NOW + 1, updated_at=NOW + 3, ended_at=NOW + 3)
    told = [(step.word, step.at - NOW, step.evidence) for step in done.steps]
    said = "the device said so"
    assert told == [("queued", 0, ""), ("in progress", 1, said), ("failed", 3, said)]
    late = entry(state=ExecutionState.TIMED_OUT, started_at=NOW + 1, ended_at=NOW + 3)
    assert late.steps[-1].evidence == ""
    going = entry(state=ExecutionState.IN_PROGRESS, started_at=NOW + 1, updated_at=NOW + 2)
    assert going.steps[-1].word == "last heard of"
    assert going.is_begun


def test_a_try_that_was_followed_by_another_says_so() -> None:
    assert entry(is_retried=True).reason == "tried again"
    assert entry(is_retried=True, reason="it ran out of time").reason == "it ran out of time; tried again"
    assert entry(reason="no disk").reason == "no disk"


def test_a_job_of_one_command_leads_to_that() -> None:
    assert entry().command_id == ""
    assert entry(job_id="0123abcd-2", is_command=True).command_id == "0123abcd"


def test_a_bar_has_every_state_of_the_devices() -> None:
    progress = Progress(*range(1, 10))
    assert executions.progress_bar(progress).total == sum(range(1, 10))
    assert len(executions.progress_bar(progress).parts) == 9
    assert set(executions.STATE_WORDS) == set(executions.PILLS) == set(ExecutionState)
    assert set(executions.JOB_WORDS) == set(executions.JOB_PILLS) == set(JobState)


def test_whom_a_job_is_for_fits_in_a_line() -> None:
    assert executions.targets_told(Targets(devices=("a", "b"))) == "devices a, b"
    many = Targets(devices=tuple("abcdefg"), groups=("feed line",), types=("px",), zones=("north",), query="type:px")
    assert executions.targets_told(many) == (
        "devices a, b, c, d, e and 2 more; groups feed line; types px; zones north; whoever the search type:px finds"
    )
