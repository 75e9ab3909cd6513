"""When a job is given up: too many of the devices that are through with it failed."""

from collections.abc import Sequence

from appliance.commands.jobs.plan.model import AbortRule, Failure, Progress

_WORDS = {
    Failure.FAILED: "failed",
    Failure.REJECTED: "rejected it",
    Failure.TIMED_OUT: "ran out of time",
    Failure.ALL: "did not succeed",
}


def aborted(rules: Sequence[AbortRule], progress: Progress) -> str:
    """Why the job is to be given up, as a sentence; empty when it goes on."""
    for rule in rules:
        failed, executed = _failed(rule.failure, progress), progress.executed
        # In hundredths of a percent, which is as fine as a rule can be: no rounding decides.
        if failed and executed >= rule.executed_count and failed * 10_000 >= round(rule.percent * 100) * executed:
            return f"{failed} of {executed} devices {_WORDS[rule.failure]}, {rule.percent:g} % are the limit"
    return ""


def _failed(failure: Failure, progress: Progress) -> int:
    match failure:
        case Failure.FAILED:
            return progress.failed
        case Failure.REJECTED:
            return progress.rejected
        case Failure.TIMED_OUT:
            return progress.timed_out
        case Failure.ALL:
            return progress.failed + progress.rejected + progress.timed_out
