"""What may become of an execution: laws before examples."""

from collections import Counter

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.commands.jobs import ruling
from appliance.commands.jobs.model import (
    Execution,
    ExecutionState,
    ExecutionStateError,
    Fault,
    RejectedError,
    Retries,
    Terms,
    Window,
)
from appliance.commands.jobs.requests import Request
from appliance.instant import MINUTE_MS
from tests.appliance.commands.jobs.executions import NOW, RUNNING, always, details, execution, never, terms

BY_DEVICE = (*(ExecutionState.IN_PROGRESS, ExecutionState.SUCCEEDED, ExecutionState.FAILED, ExecutionState.REJECTED),)
requests = st.builds(
    Request,
    state=st.sampled_from(list(ExecutionState)),
    details=st.none() | details,
    expected_version=st.none() | st.integers(1, 4),
    step_minutes=st.none() | st.just(-1) | st.integers(1, 10_080),
)
steps = st.lists(st.tuples(st.integers(0, 10 * MINUTE_MS), requests | st.sampled_from(["cancel", "force", "time"])))


def _after(one: Execution, request: Request | str, now: int, running: int) -> Execution:
    if isinstance(request, Request):
        return ruling.updated(one, request, now, running)
    if request == "time":
        return ruling.timed_out(one, now) if one.due_ms is not None and one.due_ms <= running else one
    return ruling.cancelled(one, "called back", now, force=request == "force")


@given(terms, steps)
def test_what_has_ended_stays_and_every_change_makes_the_version_one_greater(
    terms: Terms, steps: list[tuple[int, Request | str]]
) -> None:
    one, now, running = execution(terms=terms), NOW, RUNNING
    for passed_ms, request in steps:
        now, running = now + passed_ms, running + passed_ms
        try:
            after = _after(one, request, now, running)
        except (RejectedError, ExecutionStateError):
            continue
        assert after is one or after.version == one.version + 1
        assert after is one or one.state.is_open
        assert (after.ended_at is None) is after.state.is_open
        assert (
            after.state is ExecutionState.QUEUED or after.state is not one.state or after.started_at == one.started_at
        )
        one = after


@given(terms, steps)
def test_the_timer_of_a_step_never_outlives_that_of_the_whole(
    terms: Terms, steps: list[tuple[int, Request | str]]
) -> None:
    one, running = execution(terms=terms), RUNNING
    limits = set()
    for passed_ms, request in steps:
        running += passed_ms
        try:
            one = _after(one, request, NOW, running)
        except (RejectedError, ExecutionStateError):
            continue
        if one.limit_ms is not None:
            assert one.due_ms is not None
            assert one.due_ms <= one.limit_ms
            limits.add(one.limit_ms)
        assert one.state is ExecutionState.IN_PROGRESS or one.due_ms is None
    assert len(limits) <= 1, "the time for the whole cannot be made longer"


@given(st.lists(st.sampled_from([ExecutionState.QUEUED, ExecutionState.IN_PROGRESS]), max_size=8))
def test_what_is_in_progress_comes_first_and_each_in_its_order(states: list[ExecutionState]) -> None:
    opened = [execution(number, state) for number, state in enumerate(states, 1)]
    shown = ruling.pending(opened, always, NOW)
    assert sorted(one.execution_id for one in shown) == [one.execution_id for one in opened]
    assert shown == sorted(opened, key=lambda one: (one.state is ExecutionState.QUEUED, one.execution_id))


@given(terms.filter(lambda it: it.retries != Retries()), st.data())
def test_a_job_is_tried_again_as_often_as_it_says_and_ten_times_at_most(terms: Terms, data: st.DataObject) -> None:
    ends: list[ExecutionState] = []
    number = 1
    while number < 50:
        end = data.draw(st.sampled_from([ExecutionState.FAILED, ExecutionState.TIMED_OUT]))
        ends.append(end)
        ended = execution(state=end, terms=terms, try_number=number)
        if not ruling.is_tried_again(ended, Counter(ends)):
            break
        number += 1
    retries = terms.retries
    assert number <= 11
    assert number - 1 <= retries.either + retries.failed + retries.timed_out
    assert number - 1 >= min(10, max(retries.either, min(retries.failed, retries.timed_out)))


@pytest.mark.parametrize("end", [ExecutionState.SUCCEEDED, ExecutionState.REJECTED, ExecutionState.CANCELLED])
def test_only_failures_are_tried_again(end: ExecutionState) -> None:
    ended = execution(state=end, terms=Terms(retries=Retries(10, 10, 10)))
    assert not ruling.is_tried_again(ended, {end: 1})


def test_what_is_queued_is_hidden_outside_its_windows_and_what_is_in_progress_is_not() -> None:
    terms = Terms(windows=(Window("0 2 * * *", 60),))
    queued = execution(1, terms=terms)
    begun = execution(2, ExecutionState.IN_PROGRESS, terms=terms)
    free = execution(3)
    assert ruling.pending([queued, begun, free], never, NOW) == [begun, free]
    assert ruling.pending([queued, begun, free], always, NOW) == [begun, queued, free]


@pytest.mark.parametrize("state", BY_DEVICE)
@pytest.mark.parametrize("before", [ExecutionState.QUEUED, ExecutionState.IN_PROGRESS])
def test_a_device_may_set_these(before: ExecutionState, state: ExecutionState) -> None:
    after = ruling.updated(execution(state=before), Request(state=state), NOW, RUNNING)
    assert (after.state, after.version, after.updated_at) == (state, 2, NOW)


@pytest.mark.parametrize("state", [state for state in ExecutionState if state not in BY_DEVICE])
def test_a_device_may_set_no_other(state: ExecutionState) -> None:
    one = execution(state=ExecutionState.IN_PROGRESS)
    with pytest.raises(RejectedError) as caught:
        ruling.updated(one, Request(state=state), NOW, RUNNING)
    assert (caught.value.fault, caught.value.execution) == (Fault.INVALID_STATE_TRANSITION, one)


def test_another_version_is_told_with_what_is() -> None:
    one = execution(version=3)
    with pytest.raises(RejectedError, match="has version 3, not 2") as caught:
        ruling.updated(one, Request(state=ExecutionState.SUCCEEDED, expected_version=2), NOW, RUNNING)
    assert (caught.value.fault, caught.value.execution) == (Fault.VERSION_MISMATCH, one)


def test_details_are_kept_unless_others_are_told() -> None:
    one = execution(details={"step": "1"})
    begun = ruling.updated(one, Request(state=ExecutionState.IN_PROGRESS), NOW, RUNNING)
    assert begun.details == {"step": "1"}
    done = ruling.updated(begun, Request(state=ExecutionState.SUCCEEDED, details={"a": "b"}), NOW, RUNNING)
    assert done.details == {"a": "b"}
    assert (begun.started_at, done.started_at, done.ended_at) == (NOW, NOW, NOW)


def test_the_time_for_a_job_begins_when_it_does() -> None:
    one = execution(terms=Terms(in_progress_minutes=60))
    begun = ruling.started(one, Request(step_minutes=5), NOW, RUNNING)
    assert (begun.limit_ms, begun.due_ms) == (RUNNING + 60 * MINUTE_MS, RUNNING + 5 * MINUTE_MS)
    later = RUNNING + 58 * MINUTE_MS
    told = ruling.updated(begun, Request(state=ExecutionState.IN_PROGRESS, step_minutes=5), NOW, later)
    assert (told.limit_ms, told.due_ms) == (begun.limit_ms, begun.limit_ms)
    assert ruling.left_ms(told, later) == 2 * MINUTE_MS
    kept = ruling.updated(begun, Request(state=ExecutionState.IN_PROGRESS), NOW, RUNNING + MINUTE_MS)
    assert kept.due_ms == begun.due_ms, "who says nothing of the timer leaves it as it is"
    free = ruling.updated(begun, Request(state=ExecutionState.IN_PROGRESS, step_minutes=-1), NOW, RUNNING)
    assert free.due_ms == begun.limit_ms


def test_without_a_time_for_the_whole_a_step_has_its_own_and_can_be_freed_of_it() -> None:
    begun = ruling.started(execution(), Request(step_minutes=5), NOW, RUNNING)
    assert (begun.limit_ms, begun.due_ms) == (None, RUNNING + 5 * MINUTE_MS)
    free = ruling.updated(begun, Request(state=ExecutionState.IN_PROGRESS, step_minutes=-1), NOW, RUNNING)
    assert (free.due_ms, ruling.left_ms(free, RUNNING)) == (None, None)


def test_a_timer_that_is_over_says_which() -> None:
    begun = ruling.started(execution(terms=Terms(in_progress_minutes=60)), Request(step_minutes=5), NOW, RUNNING)
    assert "for this step" in ruling.timed_out(begun, NOW).reason
    whole = ruling.timed_out(msgspec.structs.replace(begun, due_ms=begun.limit_ms), NOW)
    assert (whole.reason, whole.state, whole.due_ms) == ("the time for the job is over", ExecutionState.TIMED_OUT, None)


def test_what_is_in_progress_is_called_back_by_force_only() -> None:
    begun = execution(state=ExecutionState.IN_PROGRESS)
    with pytest.raises(ExecutionStateError, match="only with force"):
        ruling.cancelled(begun, "", NOW, force=False)
    assert ruling.cancelled(begun, "why", NOW, force=True).reason == "why"
    assert ruling.cancelled(execution(), "", NOW, force=False).state is ExecutionState.CANCELLED
    with pytest.raises(ExecutionStateError, match="ended already"):
        ruling.cancelled(execution(state=ExecutionState.FAILED), "", NOW, force=True)


def test_what_is_taken_back_says_why() -> None:
    after = ruling.removed(execution(), "left the group", NOW)
    assert (after.state, after.reason, after.ended_at) == (ExecutionState.REMOVED, "left the group", NOW)
