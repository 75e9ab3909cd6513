"""A job as it is typed into the form: read field by field, what is wrong beside its field. Pure."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import NamedTuple

import msgspec

from appliance.commands.jobs.plan import check, windows
from appliance.commands.jobs.plan.model import (
    AbortRule,
    EndBehaviour,
    Failure,
    Growth,
    JobConfig,
    NewJob,
    RetryRule,
    Schedule,
    Targets,
    Window,
)
from appliance.errors import ApplianceError
from appliance.registry.catalogue.model import QUERY_LENGTH
from web import job_words
from web.typed_in import Reading

MOST_DEVICES = 1_000_000

SELECTIONS = {
    "snapshot": "those devices that are meant now",
    "continuous": "and devices that come to be meant later",
}
PACES = {"steady": "as many devices every minute", "growing": "more devices as it goes well"}
GROWTHS = {"succeeded": "so many devices have succeeded", "notified": "so many devices were told"}
FAILURES = {failure.value: words for failure, words in job_words.FAILURES.items()}
ENDS = {behaviour.value: words for behaviour, words in job_words.ENDS.items()}
ROWS = (1, 2)
"""Rules to abort, and maintenance windows: as many as the form has."""


class JobForm(msgspec.Struct, frozen=True):
    """A job as it is typed in."""

    job_id: str = ""
    description: str = ""
    document: str = ""
    devices: str = ""
    groups: str = ""
    types: str = ""
    zones: str = ""
    query: str = ""
    selection: str = "snapshot"
    pace: str = "steady"
    per_minute: str = str(check.RATE_LIMIT)
    base_per_minute: str = ""
    factor: str = "2"
    growth_on: str = "succeeded"
    growth_count: str = ""
    abort_failure_1: str = Failure.ALL.value
    abort_percent_1: str = ""
    abort_count_1: str = ""
    abort_failure_2: str = Failure.TIMED_OUT.value
    abort_percent_2: str = ""
    abort_count_2: str = ""
    in_progress_minutes: str = ""
    retries_failed: str = ""
    retries_timed_out: str = ""
    clocks: str = "UTC"
    start_at: str = ""
    end_at: str = ""
    end_behaviour: str = EndBehaviour.STOP_ROLLOUT.value
    window_start_1: str = ""
    window_minutes_1: str = ""
    window_start_2: str = ""
    window_minutes_2: str = ""


class Told(NamedTuple):
    """What the form told."""

    job: NewJob
    complaints: Mapping[str, str]
    """By field; empty when the job may be asked for."""


def told(form: JobForm, now: int) -> Told:
    """The job that was typed in, as far as it is understood, and what is wrong with it."""
    reading = Reading(msgspec.structs.asdict(form))
    targets = _targets(reading)
    per_minute = reading.whole("per_minute", 1, check.RATE_LIMIT) or check.RATE_LIMIT
    config = JobConfig(
        per_minute=per_minute,
        growth=_growth(reading, per_minute),
        abort=_abort(reading),
        in_progress_minutes=reading.whole("in_progress_minutes", 1, check.LONGEST_MINUTES),
        retries=_retries(reading),
        schedule=_schedule(reading, now),
    )
    job = NewJob(
        job_id=reading.text("job_id"),
        document=_document(reading),
        targets=targets,
        description=reading.text("description"),
        is_continuous=reading.choice("selection", SELECTIONS) == "continuous",
        config=config,
    )
    anyone = Targets(devices=("x",))
    _try(reading, "job_id", lambda: check.check_job(NewJob(job.job_id, "{}", anyone), now))
    _try(reading, "description", lambda: check.check_job(NewJob("x", "{}", anyone, job.description), now))
    if not reading.complaints:
        _try(reading, "form", lambda: check.check_job(job, now))
    return Told(job, reading.complaints)


def _try(reading: Reading, name: str, checked: Callable[[], object]) -> None:
    """Keep beside a field why what was typed there cannot be."""
    try:
        checked()
    except ApplianceError as error:
        reading.complain(name, str(error))


def _document(reading: Reading) -> str:
    text = reading.text("document")
    if not text:
        reading.complain("document", "a job needs a document, which each device is given: a JSON object")
        return text
    plain = NewJob("x", text, Targets(devices=("x",)))
    _try(reading, "document", lambda: check.check_job(plain, 0))
    return text


def _targets(reading: Reading) -> Targets:
    found = Targets(
        devices=tuple(dict.fromkeys(part for text in reading.several("devices") for part in text.split())),
        groups=reading.several("groups"),
        types=reading.several("types"),
        zones=reading.several("zones"),
        query=reading.text("query")[:QUERY_LENGTH],
    )
    if found == Targets():
        reading.complain("devices", "nobody is meant: name devices, groups, types or zones, or give a search")
    for name in ("devices", "groups", "types", "zones", "query"):
        alone = Targets(**{name: getattr(found, name)})
        if alone != Targets():
            _try(reading, name, partial(check.check_job, NewJob("x", "{}", alone), 0))
    return found


def _growth(reading: Reading, per_minute: int) -> Growth | None:
    if reading.choice("pace", PACES) != "growing":
        return None
    base = reading.whole("base_per_minute", 1, per_minute)
    factor = reading.number("factor", 1.1, 5)
    count = reading.whole("growth_count", 1, MOST_DEVICES)
    has_succeeded = reading.choice("growth_on", GROWTHS) == "succeeded"
    for name, value in (("base_per_minute", base), ("factor", factor), ("growth_count", count)):
        if value is None:
            reading.complain(name, "a pace that grows needs this")
    return Growth(
        base_per_minute=base or 1,
        factor=factor or 2.0,
        succeeded_count=(count or 1) if has_succeeded else None,
        notified_count=None if has_succeeded else (count or 1),
    )


def _abort(reading: Reading) -> tuple[AbortRule, ...]:
    rules = []
    for row in ROWS:
        names = f"abort_percent_{row}", f"abort_count_{row}"
        failure = reading.choice(f"abort_failure_{row}", FAILURES)
        percent = reading.number(names[0], 0.01, 100)
        count = reading.whole(names[1], 1, MOST_DEVICES)
        if not any(map(reading.text, names)):
            continue
        if percent is None:
            reading.complain(names[0], "a rule needs a part of the devices, in percent")
        rules.append(AbortRule(Failure(failure), percent or 100.0, count or 1))
    return tuple(rules)


def _retries(reading: Reading) -> tuple[RetryRule, ...]:
    kinds = {"retries_failed": Failure.FAILED, "retries_timed_out": Failure.TIMED_OUT}
    counts = {failure: reading.whole(name, 0, check.RETRIES_LIMIT) for name, failure in kinds.items()}
    rules = tuple(RetryRule(failure, count) for failure, count in counts.items() if count)
    if sum(rule.retry_count for rule in rules) > check.RETRIES_LIMIT:
        reading.complain("retries_timed_out", f"both together may be at most {check.RETRIES_LIMIT}")
    return rules


def _schedule(reading: Reading, now: int) -> Schedule:
    zone = reading.zone("clocks")
    start_at, end_at = reading.moment("start_at", zone), reading.moment("end_at", zone)
    both = Schedule(start_at=start_at, end_at=end_at)
    _try(reading, "start_at", lambda: check.check_config(JobConfig(schedule=Schedule(start_at=start_at)), now))
    if "start_at" not in reading.complaints:
        _try(reading, "end_at", lambda: check.check_config(JobConfig(schedule=both), now))
    return Schedule(
        start_at=start_at,
        end_at=end_at,
        end_behaviour=EndBehaviour(reading.choice("end_behaviour", ENDS)),
        windows=tuple(_windows(reading)),
        zone=reading.text("clocks") or "UTC",
    )


def _windows(reading: Reading) -> Iterator[Window]:
    for row in ROWS:
        names = f"window_start_{row}", f"window_minutes_{row}"
        start, minutes = reading.text(names[0]), reading.whole(names[1], 1, windows.LONGEST_MINUTES)
        if start:
            _try(reading, names[0], partial(windows.cron_of, start))
        if start and minutes is None:
            reading.complain(names[1], "a window needs a length in minutes")
        elif minutes is not None and not start:
            reading.complain(names[0], "a window needs a beginning, such as 0 22 * * 6")
        elif minutes is not None:
            yield Window(start, minutes)
