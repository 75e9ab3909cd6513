"""The terms of a job in words."""

from appliance.commands.jobs.plan.model import (
    AbortRule,
    EndBehaviour,
    Failure,
    Growth,
    JobConfig,
    RetryRule,
    Schedule,
    Window,
)
from web import job_words

JULY = 1_782_900_000_000  # 2026-07-01T10:00Z


def test_a_plain_job_has_plain_terms() -> None:
    assert dict(job_words.told(JobConfig(), is_continuous=False)) == {
        "Devices": "those meant when it was made",
        "Pace": "at most 1,000 devices a minute",
        "Time for a device": "as long as it likes",
    }


def test_every_term_is_told() -> None:
    config = JobConfig(
        per_minute=500,
        growth=Growth(10, 1.5, succeeded_count=20),
        abort=(AbortRule(Failure.TIMED_OUT, 12.5, 40),),
        in_progress_minutes=30,
        retries=(RetryRule(Failure.FAILED, 1), RetryRule(Failure.TIMED_OUT, 3)),
        schedule=Schedule(JULY, JULY + 3_600_000, EndBehaviour.CANCEL, (Window("0 22 * * sat", 90),), "Europe/Berlin"),
    )
    told = list(job_words.told(config, is_continuous=True))
    assert ("Devices", "also those that come to be meant later") in told
    grown = "10 devices a minute, times 1.5 whenever 20 more succeeded, at most 500"
    assert ("Pace", grown) in told
    assert ("Given up when", "of at least 40 devices 12.5 % ran out of time") in told
    assert ("Time for a device", "30 min") in told
    assert ("Tried again", "once when it failed") in told
    assert ("Tried again", "3 times when it ran out of time") in told
    assert ("Begins", "2026-07-01 12:00 Europe/Berlin") in told
    assert ("Ends", "2026-07-01 13:00 Europe/Berlin; then it is cancelled where it has not begun") in told
    assert ("Window", "0 22 * * sat, 90 min, by the clocks of Europe/Berlin") in told


def test_a_pace_may_grow_by_who_was_told() -> None:
    config = JobConfig(growth=Growth(1, 2.0, notified_count=5))
    assert "whenever 5 more were told" in dict(job_words.told(config, is_continuous=False))["Pace"]
