"""How a job is carried out, in words. Pure."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from appliance.commands.jobs.plan.model import EndBehaviour, Failure, JobConfig, Schedule
from appliance.telemetry.asking.edges import zone_of

FAILURES = {
    Failure.ALL: "did not succeed",
    Failure.FAILED: "failed",
    Failure.REJECTED: "rejected it",
    Failure.TIMED_OUT: "ran out of time",
}
ENDS = {
    EndBehaviour.STOP_ROLLOUT: "is offered to no further device",
    EndBehaviour.CANCEL: "is cancelled where it has not begun",
    EndBehaviour.FORCE_CANCEL: "is cancelled everywhere, also where it is in progress",
}

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def told(config: JobConfig, *, is_continuous: bool) -> Iterator[tuple[str, str]]:
    """The terms of a job: a word for each, and what it is."""
    yield "Devices", "those meant when it was made" if not is_continuous else "also those that come to be meant later"
    yield "Pace", _pace(config)
    for rule in config.abort:
        told_of = f"of at least {rule.executed_count:,} devices {rule.percent:g} % {FAILURES[rule.failure]}"
        yield "Given up when", told_of
    minutes = config.in_progress_minutes
    yield "Time for a device", "as long as it likes" if minutes is None else f"{minutes:,} min"
    for retry in config.retries:
        yield "Tried again", f"{_times(retry.retry_count)} when it {FAILURES[retry.failure]}"
    yield from _schedule(config.schedule)


def _pace(config: JobConfig) -> str:
    growth = config.growth
    if growth is None:
        return f"at most {config.per_minute:,} devices a minute"
    count, what = (
        growth.succeeded_count or growth.notified_count or 0,
        "succeeded" if growth.succeeded_count else "were told",
    )
    return (
        f"{growth.base_per_minute:,} devices a minute, times {growth.factor:g} whenever {count:,} more {what},"
        f" at most {config.per_minute:,}"
    )


def _schedule(schedule: Schedule) -> Iterator[tuple[str, str]]:
    if schedule.start_at is not None:
        yield "Begins", _local(schedule.start_at, schedule.zone)
    if schedule.end_at is not None:
        yield "Ends", f"{_local(schedule.end_at, schedule.zone)}; then it {ENDS[schedule.end_behaviour]}"
    for window in schedule.windows:
        yield "Window", f"{window.start}, {window.duration_minutes:,} min, by the clocks of {schedule.zone}"


def _local(at: int, zone: str) -> str:
    moment = (_EPOCH + timedelta(milliseconds=at)).astimezone(zone_of(zone))
    return f"{moment:%Y-%m-%d %H:%M} {zone}"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
