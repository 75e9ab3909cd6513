"""The short way says what the long one does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.policies.default import TABLE
from appliance.policies.evaluate import Rights, explain
from appliance.policies.model import Action, Subject
from appliance.policies.usual import lets

DEVICE_IDS = ("a", "b", "a*", "?", "$aws", "cmd", "response", "+", "a/b", "")
TOPIC_ACTIONS = (Action.PUBLISH, Action.RETAIN_PUBLISH, Action.RECEIVE)
NAMES = ["cmd", "sensors", "fw", "things", "commands", "shadow", "get", "name", "response", "executions", "jobs"]
levels = st.sampled_from(
    [*NAMES, *DEVICE_IDS, "$aws", "$headworks", "devices", "certificate", "renew", "commands", "#", "{device_id}"],
)
rows = st.sampled_from([text for _, text in TABLE])


@st.composite
def wishes(draw: st.DrawFn) -> tuple[str, str]:
    """A device, and a topic that is nearly one of its own."""
    device_id = draw(st.sampled_from(DEVICE_IDS))
    own = draw(st.sampled_from([device_id, device_id, device_id, *DEVICE_IDS, "{device_id}"]))
    parts = draw(rows).replace("{device_id}", own).split("/")
    for position in draw(st.lists(st.integers(0, len(parts) - 1), max_size=2)):
        parts[position] = draw(levels)
    end = draw(st.integers(1, len(parts)))
    return device_id, "/".join([*parts[:end], *draw(st.lists(levels, max_size=2))])


@given(wish=wishes(), action=st.sampled_from(TOPIC_ACTIONS))
def test_it_allows_what_the_default_table_allows_and_nothing_else(wish: tuple[str, str], action: Action) -> None:
    device_id, topic = wish
    assert lets(device_id, action, topic) == explain(Rights(Subject(device_id), ()), action, topic).is_allowed


@pytest.mark.parametrize("action", [Action.CONNECT, Action.SUBSCRIBE])
def test_it_says_nothing_of_what_is_no_topic(action: Action) -> None:
    assert not lets("a", action, "a")
    assert not lets("a", action, "cmd/a/#")


def test_what_stands_for_the_device_in_the_table_is_no_name_in_a_topic() -> None:
    assert lets("a", Action.RECEIVE, "cmd/a/request/x")
    assert not lets("a", Action.RECEIVE, "cmd/{device_id}/request/x")
    assert not lets("a", Action.PUBLISH, "sensors/{device_id}/x")
