"""Whether a job can be."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.commands.jobs.plan.check import check_job
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
    Window,
)
from appliance.errors import InvalidInputError
from appliance.instant import DAY_MS, MINUTE_MS
from appliance.registry.catalogue.model import InvalidQueryError

NOW = 1_800_000_000_000
SOMEBODY = Targets(devices=("pump",))


def job(job_id: str = "night", document: str = "{}", targets: Targets = SOMEBODY, **config: Any) -> NewJob:
    return NewJob(job_id, document, targets, config=JobConfig(**config))


def refused(new: NewJob, told: str) -> None:
    with pytest.raises(InvalidInputError, match=told):
        check_job(new, NOW)


@given(st.text(max_size=80))
def test_a_job_id_is_what_aws_takes(job_id: str) -> None:
    is_good = 1 <= len(job_id) <= 64 and all(one.isascii() and (one.isalnum() or one in "-_") for one in job_id)
    try:
        check_job(job(job_id), NOW)
    except InvalidJobError:
        assert not is_good
    else:
        assert is_good


@pytest.mark.parametrize(
    "document", ["", "[]", "1", "null", '"x"', "{", "{'a': 1}", '{"a": NaN}', '{"a": "\ud800"}', "[" * 5_000]
)
def test_a_document_is_a_json_object(document: str) -> None:
    refused(job(document=document), "no JSON object")


def test_a_document_is_at_most_32_kibibytes_of_utf_8() -> None:
    frame = len('{"a":""}')
    check_job(job(document='{"a":"' + "x" * (32_768 - frame) + '"}'), NOW)
    refused(job(document='{"a":"' + "x" * (32_769 - frame) + '"}'), "32,769 bytes, expected at most 32,768")
    refused(job(document='{"a":"' + "é" * 16_381 + '"}'), "expected at most 32,768")


def test_a_job_is_for_somebody() -> None:
    refused(job(targets=Targets()), "for somebody")
    refused(job(targets=Targets(groups=("",))), "has no name")
    refused(job(targets=Targets(zones=tuple(map(str, range(101))))), "at most 100")
    refused(job(targets=Targets(devices=tuple(map(str, range(10_001))))), "at most 10,000")
    refused(job(targets=Targets(query="connected:yes")), "leave connected: out")
    with pytest.raises(InvalidQueryError):
        check_job(job(targets=Targets(query="colour:red")), NOW)


def test_a_description_has_its_length() -> None:
    check_job(msgspec.structs.replace(job(), description="x" * 2_028), NOW)
    refused(msgspec.structs.replace(job(), description="x" * 2_029), "expected at most 2,028")


@pytest.mark.parametrize("rate", [0, -1, 1_001])
def test_a_pace_is_1_to_1000_a_minute(rate: int) -> None:
    refused(job(per_minute=rate), "expected 1 to 1,000")


@pytest.mark.parametrize(
    ("growth", "told"),
    [
        (Growth(0, 2.0, 5), "base_per_minute is 0"),
        (Growth(60, 2.0, 5), "at most per_minute, 50"),
        (Growth(10, 1.0, 5), "1.1 to 5"),
        (Growth(10, 5.1, 5), "1.1 to 5"),
        (Growth(10, 1.15, 5), "one decimal place"),
        (Growth(10, float("nan"), 5), "1.1 to 5"),
        (Growth(10, 2.0), "one of them"),
        (Growth(10, 2.0, 5, 5), "one of them"),
        (Growth(10, 2.0, 0), "at least 1"),
        (Growth(10, 2.0, None, 0), "at least 1"),
    ],
)
def test_a_pace_grows_within_the_limits(growth: Growth, told: str) -> None:
    check_job(job(per_minute=50, growth=Growth(50, 1.1, succeeded_count=1)), NOW)
    refused(job(per_minute=50, growth=growth), told)


@pytest.mark.parametrize("percent", [0.0, -1.0, 100.01, 12.345, float("nan"), float("inf")])
def test_a_share_of_failures_is_a_percentage(percent: float) -> None:
    check_job(job(abort=(AbortRule(Failure.ALL, 0.01, 1), AbortRule(Failure.FAILED, 100.0, 1))), NOW)
    refused(job(abort=(AbortRule(Failure.ALL, percent, 1),)), "abort.percent")


def test_a_rule_of_failures_waits_for_somebody() -> None:
    refused(job(abort=(AbortRule(Failure.ALL, 5.0, 0),)), "at least 1")
    refused(job(abort=(AbortRule(Failure.ALL, 5.0, 1),) * 17), "at most 16")


@pytest.mark.parametrize("minutes", [0, 10_081])
def test_a_device_may_take_a_minute_to_a_week(minutes: int) -> None:
    check_job(job(in_progress_minutes=10_080), NOW)
    refused(job(in_progress_minutes=minutes), "expected 1 to 10,080")


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        ([(Failure.FAILED, 11)], "expected 0 to 10"),
        ([(Failure.FAILED, -1)], "expected 0 to 10"),
        ([(Failure.FAILED, 6), (Failure.TIMED_OUT, 5)], "at most 10"),
        ([(Failure.FAILED, 1), (Failure.FAILED, 1)], "the same failure"),
        ([(Failure.ALL, 1), (Failure.FAILED, 1)], "the same failure"),
        ([(Failure.REJECTED, 1)], "not tried again"),
        ([(Failure.FAILED, 1)] * 3, "at most 2"),
    ],
)
def test_what_failed_is_tried_again_ten_times_at_most(rules: list[tuple[Failure, int]], told: str) -> None:
    check_job(job(retries=(RetryRule(Failure.FAILED, 5), RetryRule(Failure.TIMED_OUT, 5))), NOW)
    refused(job(retries=tuple(RetryRule(*rule) for rule in rules)), told)


@pytest.mark.parametrize(
    ("schedule", "told"),
    [
        (Schedule(start_at=NOW), "at least 30 minutes"),
        (Schedule(start_at=NOW + 30 * MINUTE_MS - 1), "at least 30 minutes"),
        (Schedule(start_at=NOW + 367 * DAY_MS), "at most a year"),
        (Schedule(start_at=10**18), "at most a year"),
        (Schedule(end_at=NOW + 29 * MINUTE_MS), "30 minutes after it begins"),
        (Schedule(start_at=NOW + DAY_MS, end_at=NOW + DAY_MS), "30 minutes after it begins"),
        (Schedule(end_at=NOW + 800 * DAY_MS), "two years"),
        (Schedule(windows=(Window("0 2 * * *", 0),)), "expected 1 to 1,430"),
        (Schedule(windows=(Window("0 2 * * *", 1_431),)), "expected 1 to 1,430"),
        (Schedule(windows=(Window("0 2 31 2 *", 60),)), "never comes"),
        (Schedule(windows=(Window("2 o'clock", 60),)), "expected five fields"),
        (Schedule(windows=(Window("0 2 * * *", 60),) * 17), "at most 16"),
        (Schedule(zone="Mars"), "Mars"),
    ],
)
def test_a_plan_lies_in_the_time_to_come(schedule: Schedule, told: str) -> None:
    good = Schedule(NOW + 30 * MINUTE_MS, NOW + 60 * MINUTE_MS, windows=(Window("0 0 29 2 *", 1),), zone="Asia/Tokyo")
    assert check_job(job(schedule=good), NOW).config.schedule is good
    refused(job(schedule=schedule), told)
