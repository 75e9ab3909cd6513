"""A policy that would hold the gateway up is refused when it is put."""

import pytest
from hypothesis import given

from appliance.policies.cost import check_cost
from appliance.policies.document import RESOURCES_LIMIT, read
from appliance.policies.evaluate import Rights, explain
from appliance.policies.model import Action, Document, InvalidPolicyError, Policy, Subject
from tests.appliance.policies.examples import documents, mqtt_filters

ARN = "arn:aws:iot:eu-central-1:1"


def aws(*resources: str) -> Policy:
    statement = {
        "Effect": "Allow",
        "Action": ["iot:Subscribe", "iot:Receive", "iot:Publish"],
        "Resource": list(resources),
    }
    return Policy("p", read({"Version": "2012-10-17", "Statement": [statement]}))


@given(document=documents, wish=mqtt_filters)
def test_a_small_policy_is_put_and_no_wish_is_too_costly_for_it(document: Document, wish: str) -> None:
    policy = Policy("p", document)
    check_cost(policy)
    assert not explain(Rights(Subject("a"), [policy]), Action.SUBSCRIBE, wish).is_too_costly


def test_a_policy_of_many_hard_patterns_is_refused_in_words() -> None:
    hard = [f"{ARN}:topic/*{number}{'?a' * 100}b*" for number in range(10)]
    with pytest.raises(InvalidPolicyError, match="too costly to judge: statement 1 "):
        check_cost(aws(f"{ARN}:topicfilter/x", *hard))


def test_as_many_plain_resources_as_a_policy_may_have_are_not_too_many() -> None:
    check_cost(aws(*(f"{ARN}:topicfilter/lab/{number}/*" for number in range(RESOURCES_LIMIT - 1)), f"{ARN}:topic/*"))


def test_what_people_write_for_fleets_is_not_too_costly() -> None:
    name = "${iot:Connection.Thing.ThingName}"
    topics = [f"$aws/things/{name}/{part}/*" for part in ("shadow", "jobs", "streams", "defender", "tunnels")]
    topics += [f"{part}/{name}/*/state/?" for part in ("line", "hall", "site", "dt", "cmd", "fw", "ota", "log")]
    check_cost(aws(*(f"{ARN}:{kind}/{topic}" for topic in topics for kind in ("topic", "topicfilter"))))
