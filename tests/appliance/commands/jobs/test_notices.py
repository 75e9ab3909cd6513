"""Devices hear of changes of their list, and of no others."""

import json

from hypothesis import given
from hypothesis import strategies as st

from appliance.commands.jobs import notices
from appliance.commands.jobs.model import Execution, ExecutionState
from appliance.commands.jobs.notices import Heard
from tests.appliance.commands.jobs.executions import NOW, RUNNING, execution

lists = st.lists(st.integers(1, 5), unique=True).map(lambda numbers: [execution(number) for number in numbers])


@given(lists, lists)
def test_what_changes_is_heard_and_nothing_else(before: list[Execution], after: list[Execution]) -> None:
    heard = notices.changed(before, after)
    assert heard.is_list is ({one.job_id for one in before} != {one.job_id for one in after})
    assert heard.is_first is ([one.job_id for one in before[:1]] != [one.job_id for one in after[:1]])


def test_beginning_and_details_are_no_news() -> None:
    begun = execution(1, ExecutionState.IN_PROGRESS, details={"step": "1"}, version=2)
    assert notices.changed([execution(1), execution(2)], [begun, execution(2)]) == Heard(False, False)


def test_beginning_the_second_one_makes_it_the_first() -> None:
    begun = execution(2, ExecutionState.IN_PROGRESS)
    assert notices.changed([execution(1), execution(2)], [begun, execution(1)]) == Heard(False, True)


def test_a_list_has_fifteen_at_most_and_is_empty_without_any() -> None:
    pending = [execution(1, ExecutionState.IN_PROGRESS), *(execution(number) for number in range(2, 40))]
    jobs = json.loads(notices.listed(pending, NOW))["jobs"]
    assert [one["jobId"] for one in jobs["IN_PROGRESS"]] == ["job-1"]
    assert [one["jobId"] for one in jobs["QUEUED"]] == [f"job-{number}" for number in range(2, 16)]
    assert json.loads(notices.listed([], NOW)) == {"timestamp": NOW // 1_000, "jobs": {}}


def test_the_first_one_is_told_whole() -> None:
    said = json.loads(notices.first(execution(1), b'{"a": 1}', RUNNING, NOW))
    assert (said["execution"]["jobId"], said["execution"]["jobDocument"]) == ("job-1", {"a": 1})
    assert json.loads(notices.first(None, b"{}", RUNNING, NOW)) == {"timestamp": NOW // 1_000}
