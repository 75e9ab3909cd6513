"""When a job is given up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.commands.jobs.plan.abort import aborted
from appliance.commands.jobs.plan.model import AbortRule, Failure, Progress

COUNTS = st.integers(0, 200)


@given(st.builds(Progress, *(COUNTS,) * 9), st.integers(1, 10_000), st.integers(1, 300))
def test_a_job_is_given_up_exactly_when_enough_of_enough_failed(
    progress: Progress, hundredths: int, executed_count: int
) -> None:
    failed = progress.failed + progress.rejected + progress.timed_out
    is_over = failed > 0 and progress.executed >= executed_count and failed * 10_000 >= hundredths * progress.executed
    assert bool(aborted([AbortRule(Failure.ALL, hundredths / 100, executed_count)], progress)) is is_over


@given(st.builds(Progress, waiting=COUNTS, queued=COUNTS, in_progress=COUNTS, succeeded=COUNTS, cancelled=COUNTS))
def test_without_a_failure_no_job_is_given_up(progress: Progress) -> None:
    assert not aborted([AbortRule(Failure.ALL, 0.01, 1)], progress)


@pytest.mark.parametrize("failure", [Failure.FAILED, Failure.REJECTED, Failure.TIMED_OUT])
def test_a_rule_counts_its_own_failures(failure: Failure) -> None:
    rule = AbortRule(failure, 50.0, 2)
    one = Progress(**{failure.value: 1}, succeeded=1)
    assert aborted([rule], one) == aborted([rule, rule], one)
    assert aborted([rule], one).startswith("1 of 2 devices")
    others = {word: 5 for word in ("failed", "rejected", "timed_out") if word != failure}
    assert not aborted([rule], Progress(**others))


def test_the_sentence_says_what_the_limit_was() -> None:
    rule = AbortRule(Failure.TIMED_OUT, 12.5, 1)
    assert aborted([rule], Progress(timed_out=1, succeeded=7)) == "1 of 8 devices ran out of time, 12.5 % are the limit"
