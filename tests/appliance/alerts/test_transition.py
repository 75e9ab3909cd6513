import itertools
import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.alerts.model import AlertState, Limit, Operator, Phase, Step
from appliance.alerts.transition import advance, is_breached, is_clear, judged_number, withdraw
from tests.appliance.alerts.examples import Steps, limit, readings, timed

COOLDOWN = 12

limits = st.builds(
    lambda operator, threshold, slack, hold: limit(
        operator=operator,
        threshold=threshold,
        clear_threshold=threshold - slack if operator.value.startswith("GREATER") else threshold + slack,
        hold_ms=hold,
    ),
    st.sampled_from(Operator),
    st.integers(3, 7).map(float),
    st.integers(0, 2).map(float),
    st.integers(0, 10),
)


def run(rule: Limit, steps: Sequence[tuple[int, float]], cooldown_ms: int = COOLDOWN) -> list[Step]:
    state, taken = AlertState(), []
    for at, value in steps:
        taken.append(advance(state, rule, value, at, cooldown_ms))
        state = taken[-1].state
    return taken


@given(limits, readings)
def test_an_open_alert_was_breached_for_the_whole_hold_at_every_reading_in_between(rule: Limit, gaps: Steps) -> None:
    steps = timed(gaps)
    for (at, _), step in zip(steps, run(rule, steps), strict=True):
        if step.opened:
            begun = step.state.breached_at
            assert begun is not None
            assert at - begun >= rule.hold_ms
            strictly_between = [value for moment, value in steps if begun < moment < at]
            assert all(is_breached(rule, value) for value in strictly_between)
            assert any(moment == begun and is_breached(rule, value) for moment, value in steps)


@given(limits, readings)
def test_an_alert_is_open_exactly_when_a_plain_reading_of_the_rule_says_so(rule: Limit, gaps: Steps) -> None:
    steps = timed(gaps)
    begun: int | None = None
    is_open = False
    for (at, value), step in zip(steps, run(rule, steps), strict=True):
        if is_open:
            is_open = not is_clear(rule, value)
            begun = begun if is_open else None
        elif is_breached(rule, value):
            begun = at if begun is None else begun
            is_open = at - begun >= rule.hold_ms
        else:
            begun = None
        assert (step.state.phase is Phase.FIRING) == is_open
        assert step.state.breached_at == begun


@given(limits, readings, st.integers(0, 30))
def test_two_notices_are_never_closer_than_the_cooldown(rule: Limit, gaps: Steps, cooldown: int) -> None:
    steps = timed(gaps)
    noticed = [at for (at, _), step in zip(steps, run(rule, steps, cooldown), strict=True) if step.notice]
    assert all(later - earlier >= cooldown for earlier, later in itertools.pairwise(noticed))


@given(limits, readings)
def test_an_alert_gets_one_notice_at_its_first_breaching_reading_outside_the_cooldown(rule: Limit, gaps: Steps) -> None:
    steps = timed([(gap + 1, value) for gap, value in gaps])
    last_notice: int | None = None
    told = False
    for (at, value), step in zip(steps, run(rule, steps), strict=True):
        told = told and not step.opened
        may = last_notice is None or at - last_notice >= COOLDOWN
        firing = step.state.phase is Phase.FIRING
        assert step.notice == (firing and not told and may and is_breached(rule, value))
        if step.notice:
            last_notice, told = at, True
    assert step_states_hang_together(run(rule, steps))


def step_states_hang_together(taken: Sequence[Step]) -> bool:
    return all(
        (step.state.phase is Phase.NORMAL) == (step.state.breached_at is None)
        and (step.state.phase is Phase.FIRING) == (step.state.opened_at is not None)
        for step in taken
    )


@given(limits, readings, st.integers(0, 30))
def test_the_cooldown_never_changes_when_an_alert_is_open(rule: Limit, gaps: Steps, cooldown: int) -> None:
    steps = timed(gaps)
    assert [step.state.phase for step in run(rule, steps, cooldown)] == [
        step.state.phase for step in run(rule, steps, 0)
    ]


@given(limits, readings)
def test_every_opening_is_followed_by_a_resolution_before_the_next(rule: Limit, gaps: Steps) -> None:
    marks = [mark for step in run(rule, timed(gaps)) for mark in (step.opened, step.resolved) if mark]
    turns = ["open" if step.opened else "resolved" for step in run(rule, timed(gaps)) if step.opened or step.resolved]
    assert len(turns) == len(marks)
    assert all(turn == ("open", "resolved")[number % 2] for number, turn in enumerate(turns))


def test_a_short_breach_does_not_open() -> None:
    taken = run(limit(hold_ms=300), [(0, 70), (299, 70), (300, 50), (301, 70), (600, 70)])
    assert not any(step.opened for step in taken)


def test_a_breach_that_lasts_opens_at_the_reading_that_completes_the_hold_and_tells_once() -> None:
    taken = run(limit(hold_ms=300), [(0, 70), (299, 70), (300, 70), (301, 70), (10_000, 70)])
    assert [step.opened for step in taken] == [False, False, True, False, False]
    assert [step.notice for step in taken] == [False, False, True, False, False]
    assert taken[-1].state == AlertState(Phase.FIRING, breached_at=0, opened_at=300, noticed_at=300)


def test_a_rule_without_a_hold_opens_at_the_first_breaching_reading() -> None:
    (step,) = run(limit(), [(5, 61)])
    assert step.opened


def test_an_open_alert_stays_open_between_the_two_thresholds() -> None:
    taken = run(limit(clear_threshold=55), [(0, 61), (1, 58), (2, 55.1), (3, 55)])
    assert [step.resolved for step in taken] == [False, False, False, True]


def test_a_value_between_the_two_thresholds_ends_a_breach_that_is_only_pending() -> None:
    taken = run(limit(clear_threshold=55, hold_ms=10), [(0, 61), (5, 58), (10, 61), (19, 61), (20, 61)])
    assert [step.opened for step in taken] == [False, False, False, False, True]


def test_an_alert_that_opens_within_the_cooldown_is_told_at_the_first_breaching_reading_after_it() -> None:
    rule = limit(clear_threshold=50)
    taken = run(rule, [(0, 61), (10, 40), (20, 61), (299, 61), (300, 55), (301, 61), (900, 61)], cooldown_ms=300)
    assert [step.opened for step in taken] == [True, False, True, False, False, False, False]
    assert [step.notice for step in taken] == [True, False, False, False, False, True, False]


def test_an_alert_that_opens_and_ends_within_the_cooldown_is_not_told() -> None:
    taken = run(limit(), [(0, 61), (10, 40), (20, 61), (30, 40), (400, 40)], cooldown_ms=300)
    assert [step.notice for step in taken] == [True, False, False, False, False]


@given(st.integers(0, 99), st.floats(0, 100))
def test_a_reading_from_before_the_breach_changes_nothing(at: int, value: float) -> None:
    for state in (
        AlertState(Phase.PENDING, 100, None, None),
        AlertState(Phase.FIRING, 100, 150, 150),
    ):
        assert advance(state, limit(), value, at, 0) == Step(state)


def test_withdrawing_resolves_what_is_open_and_keeps_the_cooldown() -> None:
    assert withdraw(AlertState(Phase.FIRING, 1, 2, 2)) == Step(AlertState(noticed_at=2), resolved=True)
    assert withdraw(AlertState(Phase.PENDING, 1)) == Step(AlertState())
    assert withdraw(AlertState()) == Step(AlertState())


@pytest.mark.parametrize("value", ["61", None, True, False, math.nan, math.inf, -math.inf, [61], {}, 10**400])
def test_what_is_not_a_finite_number_is_not_judged(value: object) -> None:
    assert judged_number(value) is None


@pytest.mark.parametrize("value", [0, 61, -3.5, 2**63])
def test_finite_numbers_are_judged(value: float) -> None:
    assert judged_number(value) == float(value)
