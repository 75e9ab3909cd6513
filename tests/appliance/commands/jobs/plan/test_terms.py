"""What of a job's configuration bears on each of its executions."""

from appliance.commands.jobs.model import Retries, Terms
from appliance.commands.jobs.model import Window as ShownWindow
from appliance.commands.jobs.plan.model import Failure, JobConfig, RetryRule, Schedule, Window
from appliance.commands.jobs.plan.terms import terms_of


def test_a_plain_job_has_plain_terms() -> None:
    assert terms_of(JobConfig()) == Terms()


def test_time_retries_and_windows_go_along() -> None:
    config = JobConfig(
        in_progress_minutes=7,
        retries=(RetryRule(Failure.FAILED, 2), RetryRule(Failure.TIMED_OUT, 3)),
        schedule=Schedule(windows=(Window("0 2 * * *", 60),), zone="Europe/Berlin"),
    )
    assert terms_of(config) == Terms(7, Retries(2, 3, 0), (ShownWindow("0 2 * * *", 60, "Europe/Berlin"),))
    assert terms_of(JobConfig(retries=(RetryRule(Failure.ALL, 4),))).retries == Retries(0, 0, 4)
