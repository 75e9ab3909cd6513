import pytest

from appliance.errors import InvalidInputError
from appliance.stream.wanted import EVERYTHING, NAMES_LIMIT, Wanted, wanted
from tests.appliance.telemetry.reports import report


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
