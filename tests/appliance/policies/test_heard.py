"""Which topics under `$` anything is ever published to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.policies.containment import Pattern
from appliance.policies.heard import HEARD, is_heard

NAMES = st.sampled_from(sorted({level for topic in HEARD for level in topic.split("/")} | {"pump", "$next", "", "x"}))
FILTERS = st.builds(
    lambda first, levels, ending: "/".join([first, *levels, *ending]),
    st.sampled_from(["$aws", "$headworks"]),
    st.lists(NAMES, max_size=8),
    st.sampled_from([[], ["#"]]),
)


@st.composite
def near_misses(draw: st.DrawFn) -> str:
    """A topic that is heard, with a level that is another, one more, one less, or a wildcard."""
    levels = draw(st.sampled_from(HEARD)).split("/")
    place = draw(st.integers(1, len(levels) - 1))
    match draw(st.sampled_from(["other", "more", "less", "cut"])):
        case "other":
            levels[place] = draw(NAMES)
        case "more":
            levels.insert(place, draw(NAMES))
        case "less":
            levels.pop(place)
        case _:
            levels[place:] = ["#"]
    return "/".join(levels)


@given(FILTERS | near_misses())
def test_a_filter_is_heard_when_it_and_one_of_the_topics_can_be_the_same(topic_filter: str) -> None:
    assert is_heard(topic_filter) == any(Pattern(topic).touches(topic_filter) for topic in HEARD)


@pytest.mark.parametrize("topic", HEARD)
def test_every_topic_is_heard_by_its_name_and_by_a_filter_over_it(topic: str) -> None:
    name = topic.replace("+", "pump")
    assert is_heard(name)
    assert is_heard(f"{name}/#"), "it matches the level before it, too"
    assert is_heard(name.rpartition("/")[0] + "/+")
    assert is_heard(name.rpartition("/")[0] + "/#")
    assert not is_heard(f"{name}/nonsense/of/nobody")


@pytest.mark.parametrize(
    "topic_filter",
    [
        "$aws/things/pump/shadow/#",
        "$aws/things/pump/shadow/+/accepted",
        "$aws/things/pump/jobs/+/get/+",
        "$aws/things/pump/jobs/$next/get/accepted",
        "$aws/things/pump/#",
        "$aws/events/#",
        "$aws/events/presence/+/pump",
        "$aws/#",
        "$aws/+/+/jobs/notify",
        "$headworks/devices/pump/#",
        "$aws/commands/clients/pump/executions/+/request/cbor",
        "$aws/commands/things/pump/executions/+/response/accepted",
    ],
)
def test_filters_of_devices_that_are_well_written_are_heard(topic_filter: str) -> None:
    assert is_heard(topic_filter)


@pytest.mark.parametrize(
    "topic_filter",
    [
        "$aws",
        "$aws/foo",
        "$aws/foo/#",
        "$aws/+",
        "$aws/things/pump",
        "$aws/things/pump/nonsense/#",
        "$aws/things/pump/shadow/get/documents",
        "$aws/things/pump/jobs/1/notify",
        "$aws/things/pump/streams/s/data",
        "$aws/things/pump/tunnels/notify",
        "$aws/rules/mine",
        "$aws/rules/#",
        "$aws/commands/devices/pump/executions/+/request",
        "$aws/events/nothing/+",
        "$headworks/devices/pump",
        "$headworks/devices/pump/certificate/renew",
        "$SYS/#",
        "$",
    ],
)
def test_what_nobody_publishes_to_is_not(topic_filter: str) -> None:
    assert not is_heard(topic_filter)
