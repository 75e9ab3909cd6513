"""What becomes of a job as a whole."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.commands.jobs.model import ExecutionState, JobState
from appliance.commands.jobs.plan import ruling
from appliance.commands.jobs.plan.events import Told
from appliance.commands.jobs.plan.membership import View
from appliance.commands.jobs.plan.model import (
    AbortRule,
    EndBehaviour,
    Failure,
    JobConfig,
    JobEndedError,
    JobExistsError,
    JobLiveError,
    NewJob,
    Progress,
    Schedule,
    Sweep,
)
from appliance.commands.jobs.plan.ruling import Ending
from tests.appliance.commands.jobs.plan.examples import NOW, job

ENDED = (JobState.COMPLETED, JobState.CANCELLED, JobState.DELETION_IN_PROGRESS)
STATES = st.sampled_from(list(JobState))
BY_HAND = Ending("cancelled by maria", Sweep.QUEUED)
BY_FORCE = Ending("cancelled by maria", Sweep.ALL)


@given(st.dictionaries(st.sampled_from(list(ExecutionState)), st.integers(1, 99)))
def test_progress_has_every_state_that_was_counted(counts: dict[ExecutionState, int]) -> None:
    progress = ruling.progress_of(counts)
    assert progress.offered == sum(counts.values())
    assert progress.open == sum(count for state, count in counts.items() if state.is_open)


@given(STATES, st.sampled_from(list(Sweep)))
def test_what_has_ended_never_offers_work_again(before: JobState, sweep: Sweep) -> None:
    one = job(before, sweep=sweep)
    view = View(1, Progress(), ())
    assert not (ruling.begins(one, None))
    if before in ENDED:
        assert not ruling.begins(one, NOW)
        assert not ruling.is_live(one)
    assert ruling.is_done(one, view)


def test_the_same_job_is_the_same_whatever_has_become_of_it() -> None:
    kept = job(JobState.COMPLETED)
    new = NewJob(kept.job_id, kept.document, kept.targets, kept.description, kept.is_continuous, kept.config)
    assert ruling.same(kept, new) is kept
    with pytest.raises(JobExistsError):
        ruling.same(kept, msgspec.structs.replace(new, document="[]"))
    with pytest.raises(JobExistsError):
        ruling.same(job(JobState.DELETION_IN_PROGRESS), new)


def test_a_job_begins_at_its_moment() -> None:
    planned = job(JobState.SCHEDULED, config=JobConfig(schedule=Schedule(start_at=NOW)))
    assert [ruling.begins(planned, at) for at in (None, NOW - 1, NOW)] == [False, False, True]
    assert ruling.begun(planned, NOW).state is JobState.IN_PROGRESS


@pytest.mark.parametrize(
    ("behaviour", "state", "sweep"),
    [
        (EndBehaviour.STOP_ROLLOUT, JobState.IN_PROGRESS, Sweep.NONE),
        (EndBehaviour.CANCEL, JobState.CANCELLED, Sweep.QUEUED),
        (EndBehaviour.FORCE_CANCEL, JobState.CANCELLED, Sweep.ALL),
    ],
)
def test_a_job_ends_at_its_moment(behaviour: EndBehaviour, state: JobState, sweep: Sweep) -> None:
    planned = job(config=JobConfig(schedule=Schedule(end_at=NOW, end_behaviour=behaviour)))
    assert ruling.over(planned, Progress(), NOW - 1) is None
    assert ruling.over(planned, Progress(), None) is None
    ending = ruling.over(planned, Progress(), NOW)
    assert ending is not None
    after = ruling.ended(planned, ending, NOW)
    assert (after.state, after.sweep) == (state, sweep)
    assert after.is_rollout_over is (behaviour is EndBehaviour.STOP_ROLLOUT)
    # And it ends once.
    assert after.ended_at is not None or ruling.over(after, Progress(), NOW + 1) is None


def test_failures_end_a_job_before_its_moment() -> None:
    rules = (AbortRule(Failure.FAILED, 10.0, 1),)
    ending = ruling.over(job(config=JobConfig(abort=rules)), Progress(failed=1), None)
    assert ending == Ending("1 of 1 devices failed, 10 % are the limit", Sweep.QUEUED)


@given(STATES)
def test_who_may_be_cancelled(state: JobState) -> None:
    one = job(state)
    if ruling.is_live(one):
        after = ruling.cancelled(one, BY_HAND, "why", NOW)
        assert (after.state, after.sweep, after.comment, after.ended_at) == (
            JobState.CANCELLED,
            Sweep.QUEUED,
            "why",
            NOW,
        )
    else:
        with pytest.raises(JobEndedError):
            ruling.cancelled(one, BY_HAND, "", NOW)
    if state is JobState.CANCELLED:
        assert ruling.cancelled(one, BY_FORCE, "", NOW).sweep is Sweep.ALL


@given(STATES, st.integers(0, 2), st.booleans())
def test_who_may_be_deleted(state: JobState, begun_count: int, force: bool) -> None:
    one, progress = job(state), Progress(in_progress=begun_count)
    if force or not (ruling.is_live(one) or begun_count):
        after = ruling.deleted(one, progress, NOW, force=force)
        assert (after.state, after.sweep) == (JobState.DELETION_IN_PROGRESS, Sweep.DELETED)
    else:
        with pytest.raises(JobLiveError):
            ruling.deleted(one, progress, NOW, force=force)


@pytest.mark.parametrize(
    "fields", [{"waiting": ("a",)}, {"progress": Progress(queued=1)}, {"progress": Progress(in_progress=1)}]
)
def test_a_job_is_not_done_while_somebody_is_at_it_or_waits(fields: dict[str, object]) -> None:
    told: dict[str, object] = {"change_count": 1, "progress": Progress(), "waiting": ()}
    view = View(**{**told, **fields})  # type: ignore[arg-type]
    assert not ruling.is_done(job(), view)
    assert ruling.is_done(job(is_rollout_over=True), view) is not bool(view.progress.open)


def test_a_continuous_job_is_done_only_when_its_rollout_is_over() -> None:
    view = View(1, Progress(succeeded=4), ())
    assert not ruling.is_done(job(is_continuous=True), view)
    assert ruling.is_done(job(is_continuous=True, is_rollout_over=True), view)


def test_what_was_changed_meanwhile_is_not_what_was_seen() -> None:
    seen = job()
    assert ruling.is_unchanged(job(comment="more"), seen)
    for other in (job(job_number=8), job(JobState.CANCELLED), job(sweep=Sweep.ALL), job(is_rollout_over=True)):
        assert not ruling.is_unchanged(other, seen)


def test_every_end_is_told_of() -> None:
    seen = job()
    assert ruling.told_of(seen, seen) is None
    assert ruling.told_of(job(JobState.SCHEDULED), seen) is None
    assert ruling.told_of(seen, ruling.completed(seen, NOW)) is Told.COMPLETED
    cancelled = ruling.cancelled(seen, BY_HAND, "", NOW)
    assert ruling.told_of(seen, cancelled) is Told.CANCELLATION_IN_PROGRESS
    assert ruling.told_of(cancelled, ruling.cancelled(cancelled, BY_FORCE, "", NOW)) is Told.CANCELLATION_IN_PROGRESS
    assert ruling.told_of(seen, ruling.deleted(seen, Progress(), NOW, force=True)) is Told.DELETION_IN_PROGRESS
