"""Whether a job can be: every limit is that of AWS IoT, and who goes beyond one is told what was expected."""

import re
from collections.abc import Sequence
from math import isfinite

import msgspec

from appliance.commands.jobs.plan import windows
from appliance.commands.jobs.plan.model import (
    AbortRule,
    Failure,
    Growth,
    InvalidJobError,
    JobConfig,
    NewJob,
    RetryRule,
    Schedule,
    Targets,
)
from appliance.instant import DAY_MS, MINUTE_MS, to_text
from appliance.registry.catalogue import search
from appliance.telemetry.asking.edges import zone_of

DOCUMENT_BYTES = 32_768
DESCRIPTION_LENGTH = 2_028
DEVICES_LIMIT = 10_000
"""How many devices may be named; more are found by a group, a type, a zone or a search."""
NAMES_LIMIT = 100
RATE_LIMIT = 1_000
LONGEST_MINUTES = 10_080
RETRIES_LIMIT = 10
RETRY_RULES_LIMIT = 2
ABORT_RULES_LIMIT = 16
WINDOWS_LIMIT = 16
NOTICE_MS = 30 * MINUTE_MS
"""How long before a moment that is planned somebody may still plan it."""
FURTHEST_START_MS = 366 * DAY_MS
FURTHEST_END_MS = 2 * 366 * DAY_MS

_JOB_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_TENTHS = 10
_HUNDREDTHS = 100


def check_job(new: NewJob, now: int) -> NewJob:
    """Give back a job when it can be. Raises `InvalidJobError`, or `InvalidQueryError` when its search is none."""
    if not _JOB_ID.fullmatch(new.job_id):
        raise InvalidJobError(
            f"job_id is {new.job_id[:80]!r}, expected 1 to 64 letters, digits, hyphens and underscores"
        )
    if len(new.description) > DESCRIPTION_LENGTH:
        raise InvalidJobError(
            f"the description has {len(new.description):,} characters, expected at most {DESCRIPTION_LENGTH:,}"
        )
    _check_document(new.document)
    _check_targets(new.targets)
    check_config(new.config, now)
    return new


def check_config(config: JobConfig, now: int) -> None:
    """Raise `InvalidJobError` when a job cannot be carried out so."""
    _check_number("per_minute", config.per_minute, 1, RATE_LIMIT)
    if config.growth is not None:
        _check_growth(config.growth, config.per_minute)
    _check_abort(config.abort)
    if config.in_progress_minutes is not None:
        _check_number("in_progress_minutes", config.in_progress_minutes, 1, LONGEST_MINUTES)
    _check_retries(config.retries)
    _check_schedule(config.schedule, now)


def _check_document(document: str) -> None:
    size = len(document.encode("utf-8", "surrogatepass"))
    if size > DOCUMENT_BYTES:
        raise InvalidJobError(f"the document has {size:,} bytes, expected at most {DOCUMENT_BYTES:,}")
    try:
        msgspec.json.decode(document, type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise InvalidJobError(f"the document is no JSON object: {error}") from None


def _check_targets(targets: Targets) -> None:
    if targets.are_named_only and not targets.devices:
        raise InvalidJobError("a job is for somebody: name devices, groups, types or zones, or give a search")
    if len(targets.devices) > DEVICES_LIMIT:
        raise InvalidJobError(
            f"{len(targets.devices):,} devices are named, expected at most {DEVICES_LIMIT:,}: a group, a type, a zone"
            " or a search finds more"
        )
    for what, names in (("groups", targets.groups), ("types", targets.types), ("zones", targets.zones)):
        if len(names) > NAMES_LIMIT:
            raise InvalidJobError(f"{len(names):,} {what} are named, expected at most {NAMES_LIMIT}")
        if not all(names):
            raise InvalidJobError(f"one of the {what} has no name")
    if search.parse(targets.query).asks_presence:
        raise InvalidJobError("a job is for devices whether they are connected or not: leave connected: out")


def _check_growth(growth: Growth, per_minute: int) -> None:
    _check_number("growth.base_per_minute", growth.base_per_minute, 1, RATE_LIMIT)
    if growth.base_per_minute > per_minute:
        raise InvalidJobError(
            f"growth.base_per_minute is {growth.base_per_minute}, expected at most per_minute, {per_minute}"
        )
    if not _is_fine(growth.factor, _TENTHS) or not 1.1 <= growth.factor <= 5:  # noqa: PLR2004  AWS's bounds
        raise InvalidJobError(f"growth.factor is {growth.factor!r}, expected 1.1 to 5 with at most one decimal place")
    counts = [count for count in (growth.notified_count, growth.succeeded_count) if count is not None]
    if len(counts) != 1:
        raise InvalidJobError("growth is by notified_count or by succeeded_count, expected one of them")
    if counts[0] < 1:
        raise InvalidJobError(f"growth is every {counts[0]} devices, expected at least 1")


def _check_abort(rules: Sequence[AbortRule]) -> None:
    if len(rules) > ABORT_RULES_LIMIT:
        raise InvalidJobError(f"abort has {len(rules)} rules, expected at most {ABORT_RULES_LIMIT}")
    for rule in rules:
        if not _is_fine(rule.percent, _HUNDREDTHS) or not 0 < rule.percent <= 100:  # noqa: PLR2004  per cent
            raise InvalidJobError(
                f"abort.percent is {rule.percent!r}, expected above 0, at most 100, with at most two decimal places"
            )
        if rule.executed_count < 1:
            raise InvalidJobError(f"abort.executed_count is {rule.executed_count}, expected at least 1")


def _check_retries(rules: Sequence[RetryRule]) -> None:
    if len(rules) > RETRY_RULES_LIMIT:
        raise InvalidJobError(f"retries has {len(rules)} rules, expected at most {RETRY_RULES_LIMIT}")
    about = [rule.failure for rule in rules]
    if Failure.REJECTED in about:
        raise InvalidJobError("what a device rejected is not tried again: expected failed, timed_out or all")
    if len(set(about)) < len(about) or (Failure.ALL in about and len(about) > 1):
        raise InvalidJobError("two rules of retries are about the same failure")
    for rule in rules:
        _check_number("retries.retry_count", rule.retry_count, 0, RETRIES_LIMIT)
    total = sum(rule.retry_count for rule in rules)
    if total > RETRIES_LIMIT:
        raise InvalidJobError(f"retries come to {total} for a device, expected at most {RETRIES_LIMIT}")


def _check_schedule(schedule: Schedule, now: int) -> None:
    start_at, end_at = schedule.start_at, schedule.end_at
    if start_at is not None and not now + NOTICE_MS <= start_at <= now + FURTHEST_START_MS:
        raise InvalidJobError(
            f"the job starts at {_told(start_at)}, expected at least 30 minutes and at most a year from now;"
            " without a start it begins at once"
        )
    begins_at = now if start_at is None else start_at
    if end_at is not None and not begins_at + NOTICE_MS <= end_at <= now + FURTHEST_END_MS:
        raise InvalidJobError(
            f"the job ends at {_told(end_at)}, expected at least 30 minutes after it begins and at most two years from"
            " now"
        )
    if len(schedule.windows) > WINDOWS_LIMIT:
        raise InvalidJobError(f"{len(schedule.windows)} windows are given, expected at most {WINDOWS_LIMIT}")
    zone_of(schedule.zone)
    for window in schedule.windows:
        _check_number("windows.duration_minutes", window.duration_minutes, 1, windows.LONGEST_MINUTES)
        windows.cron_of(window.start)
        # What is open comes; when it shuts is looked for at length.
        if windows.is_open([window], schedule.zone, now):
            continue
        if windows.next_change([window], schedule.zone, now) is None:
            raise InvalidJobError(f"the window that begins at {window.start!r} never comes")


def _check_number(name: str, number: int, least: int, greatest: int) -> None:
    if not least <= number <= greatest:
        raise InvalidJobError(f"{name} is {number}, expected {least:,} to {greatest:,}")


def _is_fine(number: float, parts: int) -> bool:
    """Whether a number is a whole count of such parts."""
    return isfinite(number) and abs(number * parts - round(number * parts)) < 1e-6  # noqa: PLR2004  what floats lose


def _told(at: int) -> str:
    try:
        return to_text(at)
    except OverflowError:
        return str(at)
