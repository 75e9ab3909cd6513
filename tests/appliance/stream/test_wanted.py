import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import InvalidInputError
from appliance.stream.wanted import EVERYTHING, NAMES_LIMIT, Wanted, wanted
from broker.limits import Limits
from broker.topics import filter_fault, matches
from tests.appliance.telemetry.reports import report

levels = st.lists(st.sampled_from(["a", "b", "", "$s", "+"]), min_size=1, max_size=4)
filters = st.builds(lambda parts, end: "/".join([*parts, *end]), levels, st.sampled_from([[], ["#"]])) | st.just("#")
topics = levels.map("/".join).filter(lambda topic: "+" not in topic and topic)


@pytest.mark.parametrize(
    ("chosen", "is_wanted"),
    [
        (EVERYTHING, True),
        (Wanted(frozenset({"a"})), True),
        (Wanted(frozenset({"b"})), False),
        (wanted([], ["sensors/+/telemetry"]), True),
        (wanted([], ["other/#", "sensors/#"]), True),
        (wanted([], ["other/#"]), False),
        (wanted(["a"], ["other/#"]), False),
    ],
)
def test_a_report_must_be_of_a_device_and_on_a_topic_that_is_wanted(chosen: Wanted, is_wanted: bool) -> None:
    assert chosen.has(report("a")) is is_wanted


@pytest.mark.parametrize("topic_filter", ["", "a/#/b", "a+", "$share/x/a", "\0" * 70_000])
def test_what_is_no_topic_filter_is_refused(topic_filter: str) -> None:
    with pytest.raises(InvalidInputError):
        wanted([], [topic_filter])


def test_a_list_has_an_end() -> None:
    with pytest.raises(InvalidInputError):
        wanted(["a"] * (NAMES_LIMIT + 1), [])


@given(st.lists(filters.filter(lambda each: filter_fault(each, Limits()) is None), min_size=1, max_size=8), topics)
def test_many_filters_let_through_what_any_of_them_matches(chosen: list[str], topic: str) -> None:
    given_report = msgspec.structs.replace(report("a"), topic=topic)
    assert wanted([], chosen).has(given_report) == any(matches(each, topic) for each in chosen)
