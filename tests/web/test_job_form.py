"""A job as it is typed in."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.commands.jobs.plan import check
from appliance.commands.jobs.plan.model import EndBehaviour, Failure, Growth, RetryRule, Targets
from web.job_form import JobForm, told

NOW = 1_782_900_000_000
PLAIN = JobForm(job_id="rotate", document='{"operation": "rotate"}', devices="pump-1, pump-2\npump-1")


def changed(**fields: str) -> JobForm:
    return msgspec.structs.replace(PLAIN, **fields)


def test_what_is_needed_is_enough() -> None:
    job, complaints = told(PLAIN, NOW)
    assert complaints == {}
    assert job.targets == Targets(devices=("pump-1", "pump-2"))
    check.check_job(job, NOW)


@given(st.dictionaries(st.sampled_from(JobForm.__struct_fields__), st.text(max_size=20)))
def test_a_form_without_complaints_is_a_job_that_can_be(fields: dict[str, str]) -> None:
    job, complaints = told(changed(**fields), NOW)
    if not complaints:
        check.check_job(job, NOW)


def test_the_empty_form_is_complained_of_where_something_is_missing() -> None:
    assert set(told(JobForm(), NOW).complaints) == {"job_id", "document", "devices"}


@pytest.mark.parametrize(
    ("field", "text", "why"),
    [
        ("job_id", "two words", "letters, digits"),
        ("description", "x" * 3_000, "at most 2,028"),
        ("document", "{", "no JSON object"),
        ("document", "[]", "no JSON object"),
        ("document", '{"a": "' + "x" * 33_000 + '"}', "32,768"),
        ("query", "colour:red", "colour"),
        ("query", "connected:yes", "connected"),
        ("per_minute", "1001", "not within 1 and 1000"),
        ("abort_percent_1", "101", "not within"),
        ("abort_percent_2", "some", "is no number"),
        ("in_progress_minutes", "10081", "not within"),
        ("retries_failed", "11", "not within"),
        ("clocks", "Moon/Crater", "no time zone"),
        ("start_at", "2026-07-01T10:05", "30 minutes"),
        ("end_at", "2026-07-01T10:05", "30 minutes"),
        ("end_behaviour", "explode", "none of the choices"),
        ("window_start_1", "at night", "five fields"),
    ],
)
def test_what_is_wrong_stands_beside_its_field(field: str, text: str, why: str) -> None:
    complaints = told(changed(**{field: text}), NOW).complaints
    assert why in complaints[field]


def test_a_rule_and_a_window_need_both_of_their_parts() -> None:
    assert set(told(changed(abort_count_1="5"), NOW).complaints) == {"abort_percent_1"}
    assert set(told(changed(window_minutes_2="5"), NOW).complaints) == {"window_start_2"}
    assert set(told(changed(window_start_2="0 2 * * *"), NOW).complaints) == {"window_minutes_2"}


def test_tries_more_are_counted_together() -> None:
    both = told(changed(retries_failed="6", retries_timed_out="6"), NOW)
    assert set(both.complaints) == {"retries_timed_out"}
    one = told(changed(retries_failed="0", retries_timed_out="6"), NOW)
    assert one.job.config.retries == (RetryRule(Failure.TIMED_OUT, 6),)


def test_a_pace_that_grows_needs_all_of_its_parts() -> None:
    assert set(told(changed(pace="growing"), NOW).complaints) == {"base_per_minute", "growth_count"}
    whole = told(changed(pace="growing", base_per_minute="5", factor="1,5", growth_count="10"), NOW)
    assert whole.complaints == {}
    assert whole.job.config.growth == Growth(5, 1.5, succeeded_count=10)
    # What belongs to the other pace is not looked at.
    assert told(changed(factor="nonsense"), NOW).complaints == {}


def test_moments_are_by_the_clocks_that_were_chosen() -> None:
    form = changed(
        start_at="2026-07-01T13:00", end_at="2026-07-01T15:00", clocks="Europe/Berlin", end_behaviour="cancel"
    )
    job, complaints = told(form, NOW)
    assert complaints == {}
    schedule = job.config.schedule
    assert (schedule.start_at, schedule.end_at) == (NOW + 3_600_000, NOW + 3 * 3_600_000)
    assert (schedule.zone, schedule.end_behaviour) == ("Europe/Berlin", EndBehaviour.CANCEL)
