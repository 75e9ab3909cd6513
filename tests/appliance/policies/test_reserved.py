import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.policies.heard import HEARD, is_heard
from appliance.policies.model import Action
from appliance.policies.reserved import REQUESTS, reserve
from tests.appliance.policies.examples import mqtt_filters

ANSWERS = ("accepted", "rejected", "delta", "documents")


@pytest.mark.parametrize("request_filter", REQUESTS)
@pytest.mark.parametrize("answer", ANSWERS)
def test_no_policy_lets_a_device_publish_an_answer(request_filter: str, answer: str) -> None:
    request = request_filter.replace("+", "x").replace("#", "x")
    assert reserve(Action.PUBLISH, request) is None
    if "$aws/rules/" not in request:
        assert "only the gateway publishes there" in str(reserve(Action.PUBLISH, f"{request}/{answer}"))


@pytest.mark.parametrize(
    "topic",
    [
        "$aws/things/a/shadow/update/delta",
        "$aws/things/a/jobs/notify",
        "$aws/things/a/streams/s/data/json",
        "$aws/commands/things/a/executions/1/request/json",
        "$aws/commands/things/a/executions/1/response/accepted/json",
        "$aws/certificates/create/json/accepted",
        "$headworks/devices/a/certificate/renew/accepted",
        "$headworks/devices/a",
        "$aws/events/presence/connected/a",
        "$SYS/broker/uptime",
        "$",
        "$share/g/x",
    ],
)
def test_no_policy_lets_a_device_speak_as_the_gateway(topic: str) -> None:
    assert reserve(Action.PUBLISH, topic)
    assert reserve(Action.RETAIN_PUBLISH, topic)


def test_nothing_is_retained_where_requests_go() -> None:
    assert "nothing is retained there" in str(reserve(Action.RETAIN_PUBLISH, "$aws/things/a/shadow/get"))
    assert reserve(Action.RETAIN_PUBLISH, "sensors/a/x") is None


@given(rest=mqtt_filters, word=st.sampled_from(["$SYS", "$", "$cmd", "$awsx", "$headworks"]))
def test_of_the_gateways_own_topics_only_those_for_devices_may_be_heard(rest: str, word: str) -> None:
    assert reserve(Action.SUBSCRIBE, f"{word}/{rest}") or (word == "$headworks" and rest[0] in "+#")
    for base in ("$aws", "$headworks/devices"):
        refused = reserve(Action.SUBSCRIBE, f"{base}/{rest}")
        assert (refused is None) == is_heard(f"{base}/{rest}")
        assert refused is None or "ever publishes to" in refused
        assert reserve(Action.RECEIVE, f"{base}/x") is None


@pytest.mark.parametrize("topic", HEARD)
def test_what_the_gateway_publishes_may_be_heard_and_only_what_it_is_asked_may_be_said(topic: str) -> None:
    name = topic.replace("+", "x")
    assert reserve(Action.SUBSCRIBE, topic) is None
    assert reserve(Action.RECEIVE, name) is None
    assert (reserve(Action.PUBLISH, name) is None) == (topic in REQUESTS)


@pytest.mark.parametrize("topic_filter", ["$aws/things/a/nonsense/#", "$aws/foo", "$aws/rules/#"])
def test_a_filter_that_would_never_match_is_refused_with_a_word_about_it(topic_filter: str) -> None:
    assert "policies.md lists them" in str(reserve(Action.SUBSCRIBE, topic_filter))


@pytest.mark.parametrize("topic", ["", "a/+", "#", "a#b"])
@pytest.mark.parametrize("action", [Action.PUBLISH, Action.RETAIN_PUBLISH, Action.RECEIVE])
def test_a_topic_name_has_no_wildcard(action: Action, topic: str) -> None:
    assert "is not a topic name" in str(reserve(action, topic))


@pytest.mark.parametrize("client_id", ["", "a/b", "+", "a#", "$a"])
def test_no_client_id_can_widen_a_filter(client_id: str) -> None:
    assert reserve(Action.CONNECT, client_id)
    assert reserve(Action.CONNECT, "a:b-1") is None


def test_an_empty_filter_matches_nothing() -> None:
    assert reserve(Action.SUBSCRIBE, "")
