"""What a device may do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.registry import policy
from appliance.registry.model import InvalidDeviceIdError
from tests.appliance.registry.examples import device_ids

words = st.sampled_from(["a", "b", "sensors", "cmd", "fw", "status", "offer", "response", "telemetry", "", "$SYS"])
topics = st.lists(words, min_size=1, max_size=5).map("/".join)
# Among words alone, what anybody has a right to would hardly ever come up.
own_topics = st.builds("{}/{}".format, st.sampled_from(["cmd/a", "cmd/b", "fw/a", "sensors/a"]), topics)
filter_words = st.one_of(words, st.just("+"))
filters = st.builds(
    lambda levels, ending: "/".join([*levels, *ending]),
    st.lists(filter_words, min_size=1, max_size=4),
    st.sampled_from([[], ["#"]]),
)
pairs = st.sampled_from([("a", "b"), ("b", "a"), ("a", "A"), ("a", "a:1"), ("a:1", "a")])


def matches(topic_filter: str, topic: str) -> bool:
    """MQTT 3.1.1, 4.7, read naively."""
    wanted, levels = topic_filter.split("/"), topic.split("/")
    if wanted == ["#"]:
        return True
    if not wanted or not levels:
        return not wanted and not levels
    if wanted[0] in ("+", levels[0]):
        rest = levels[1:]
        return wanted[1:] == ["#"] or matches_rest(wanted[1:], rest)
    return False


def matches_rest(wanted: list[str], levels: list[str]) -> bool:
    if not wanted or not levels:
        return not wanted and not levels
    return matches("/".join(wanted), "/".join(levels))


@given(topic_filter=filters, topic=topics, resource=filters)
def test_what_a_contained_filter_matches_the_wider_one_matches(topic_filter: str, topic: str, resource: str) -> None:
    if policy.contains(resource, topic_filter) and matches(topic_filter, topic):
        assert matches(resource, topic)


@given(topic=topics, resource=filters)
def test_a_topic_name_is_contained_exactly_when_it_matches(topic: str, resource: str) -> None:
    assert policy.contains(resource, topic) == matches(resource, topic)


@given(resource=filters)
def test_every_filter_contains_itself(resource: str) -> None:
    assert policy.contains(resource, resource)


@given(topic_filter=filters, topic=topics)
def test_an_allowed_filter_matches_only_topics_that_are_allowed(topic_filter: str, topic: str) -> None:
    if policy.may_subscribe("a", topic_filter) is None and matches(topic_filter, topic):
        assert policy.may_subscribe("a", topic) is None


@given(topic=topics | own_topics)
def test_a_device_may_be_sent_exactly_what_it_may_subscribe_to(topic: str) -> None:
    allowed = any(matches(text, topic) for text in ("cmd/a/#", "fw/a/offer"))
    assert (policy.may_receive("a", topic) is None) == allowed
    assert (policy.may_subscribe("a", topic) is None) == allowed


@given(rest=topics, topic_filter=filters)
def test_what_begins_with_a_dollar_is_no_devices(rest: str, topic_filter: str) -> None:
    for mine in ("a", "SYS"):
        for word in ("$SYS", "$", "$cmd"):
            assert policy.may_subscribe(mine, f"{word}/{topic_filter}")
            assert policy.may_receive(mine, f"{word}/{rest}")
            assert policy.may_publish(mine, f"{word}/{rest}")


@given(topic=topics)
def test_who_operates_the_gateway_publishes_what_does_not_begin_with_a_dollar(topic: str) -> None:
    assert (policy.may_operator_publish(topic) is None) == (not topic.startswith("$"))


@given(topic=topics | own_topics)
def test_a_device_may_publish_exactly_what_the_table_says(topic: str) -> None:
    allowed = any(matches(text, topic) for text in ("sensors/a/#", "cmd/a/response/#", "fw/a/status"))
    assert (policy.may_publish("a", topic) is None) == allowed


@given(topic_filter=filters)
def test_no_filter_is_allowed_to_two_devices(topic_filter: str) -> None:
    allowed = [name for name in ("a", "b") if policy.may_subscribe(name, topic_filter) is None]
    assert len(allowed) <= 1


@given(mine=device_ids, other=device_ids, rest=topics)
def test_a_device_has_no_right_on_the_topics_of_another(mine: str, other: str, rest: str) -> None:
    if mine == other:
        return
    for room in ("sensors", "cmd", "fw"):
        for topic in (f"{room}/{other}", f"{room}/{other}/{rest}", f"{room}/{other}/response/{rest}"):
            assert policy.may_publish(mine, topic)
            assert policy.may_subscribe(mine, topic)
        assert policy.may_subscribe(mine, f"{room}/{other}/#")


@given(pair=pairs)
def test_names_that_look_alike_are_different_devices(pair: tuple[str, str]) -> None:
    mine, other = pair
    assert policy.may_publish(mine, f"sensors/{other}/telemetry")
    assert policy.may_connect(mine, other)


@given(device_id=device_ids, rest=topics)
def test_every_device_may_use_its_own_topics(device_id: str, rest: str) -> None:
    assert policy.may_connect(device_id, device_id) is None
    for topic in (f"sensors/{device_id}/{rest}", f"cmd/{device_id}/response/{rest}", f"fw/{device_id}/status"):
        assert policy.may_publish(device_id, topic) is None
    for topic_filter in (
        f"cmd/{device_id}/#",
        f"cmd/{device_id}/+/x",
        f"cmd/{device_id}/{rest}",
        f"fw/{device_id}/offer",
    ):
        assert policy.may_subscribe(device_id, topic_filter) is None


@pytest.mark.parametrize(
    "topic_filter",
    [
        "#",
        "+",
        "cmd/+/x",
        "cmd/#",
        "+/a/#",
        "sensors/a/#",
        "fw/a/#",
        "fw/+/offer",
        "$SYS/#",
        "$share/g/cmd/a/#",
        "",
        "/",
    ],
)
def test_a_filter_that_reaches_further_is_denied(topic_filter: str) -> None:
    assert policy.may_subscribe("a", topic_filter)


@pytest.mark.parametrize("topic", ["sensors/a/+", "sensors/a/#", "sensors/+/x", "#"])
def test_a_topic_name_with_a_wildcard_is_denied(topic: str) -> None:
    assert "wildcard" in str(policy.may_publish("a", topic))


@pytest.mark.parametrize("device_id", ["+", "#", "a/b", "", "a\n", "a b", "ä", "x" * 129, "{device_id}"])
def test_a_name_that_could_widen_a_filter_has_no_rights(device_id: str) -> None:
    with pytest.raises(InvalidDeviceIdError):
        policy.may_subscribe(device_id, "cmd/a/x")
    with pytest.raises(InvalidDeviceIdError):
        policy.may_publish(device_id, "sensors/a/x")
    with pytest.raises(InvalidDeviceIdError):
        policy.may_receive(device_id, "cmd/a/x")


def test_a_refusal_says_what_was_missing() -> None:
    assert policy.may_publish("sensor-001", "sensors/sensor-002/telemetry") == (
        "no statement lets sensor-001 publish to 'sensors/sensor-002/telemetry'; "
        "it may publish: sensors/sensor-001/#, cmd/sensor-001/response/#, fw/sensor-001/status"
    )
    assert policy.may_connect("sensor-001", "sensor-002") == (
        "client id 'sensor-002' is not the device's: sensor-001 connects as sensor-001"
    )
