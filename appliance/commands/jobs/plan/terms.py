"""What of a job's configuration bears on each of its executions."""

from appliance.commands.jobs.model import Retries, Terms, Window
from appliance.commands.jobs.plan.model import Failure, JobConfig


def terms_of(config: JobConfig) -> Terms:
    """The terms of the executions of a job."""
    counts = {rule.failure: rule.retry_count for rule in config.retries}
    schedule = config.schedule
    return Terms(
        config.in_progress_minutes,
        Retries(counts.get(Failure.FAILED, 0), counts.get(Failure.TIMED_OUT, 0), counts.get(Failure.ALL, 0)),
        tuple(Window(window.start, window.duration_minutes, schedule.zone) for window in schedule.windows),
    )
