"""May this device …? The laws of the policy engine, then what it says."""

import time
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.policies.containment import Pattern, Steps, TooManySteps
from appliance.policies.document import read
from appliance.policies.evaluate import JUDGEMENT_STEPS, Rights, explain
from appliance.policies.model import (
    GATEWAY_NAME,
    Action,
    Document,
    Effect,
    Kind,
    Policy,
    Resource,
    Source,
    Statement,
    Subject,
)
from tests.appliance.policies import examples
from tests.appliance.policies.examples import TOPICS, documents, mqtt_filters, policies, stands_for, subjects, topics

PLAIN_TOPICS = tuple(topic for topic in TOPICS if len(topic) < 5)
topic_actions = st.sampled_from([Action.PUBLISH, Action.RETAIN_PUBLISH, Action.RECEIVE])
actions = st.sampled_from(Action)
PUMP = Subject("pump-1", "pump")


def may(rights: Rights, action: Action, wish: str) -> bool:
    return explain(rights, action, wish).is_allowed


def policy_of(*statements: dict[str, object], replaces_default: bool = False) -> Policy:
    return Policy("own", read({"statements": list(statements), "replaces_default": replaces_default}))


@given(subject=subjects, policies=policies, action=topic_actions, topic=topics, filter_=mqtt_filters)
def test_what_a_statement_denies_no_statement_allows(
    subject: Subject, policies: list[Policy], action: Action, topic: str, filter_: str
) -> None:
    denial = Statement(Effect.DENY, (action,), (Resource(Kind.FILTER, filter_),))
    if stands_for(filter_, topic, denies=True):
        for order in (
            [*policies, Policy("last", Document((denial,)))],
            [Policy("first", Document((denial,))), *policies],
        ):
            assert not may(Rights(subject, order), action, topic)


@given(subject=subjects, policies=policies, statement=examples.statements, action=actions, topic=topics | mqtt_filters)
def test_a_further_denial_never_allows_more(
    subject: Subject, policies: list[Policy], statement: Statement, action: Action, topic: str
) -> None:
    denial = Statement(Effect.DENY, statement.actions, statement.resources, statement.conditions)
    after = Rights(subject, [*policies, Policy("denies", Document((denial,)))])
    if may(after, action, topic):
        assert may(Rights(subject, policies), action, topic)


@given(subject=subjects, document=documents, action=actions, wish=topics | mqtt_filters, chance=st.randoms())
def test_the_order_of_statements_does_not_matter(
    subject: Subject, document: Document, action: Action, wish: str, chance: Random
) -> None:
    shuffled = list(document.statements)
    chance.shuffle(shuffled)
    other = Document(tuple(shuffled), document.replaces_default)
    before, after = (Rights(subject, [Policy("p", each)]) for each in (document, other))
    assert may(before, action, wish) == may(after, action, wish)


@given(subject=subjects, policies=policies, filter_=mqtt_filters)
def test_no_filter_is_granted_that_can_match_a_topic_which_may_not_be_received(
    subject: Subject, policies: list[Policy], filter_: str
) -> None:
    rights = Rights(subject, policies)
    if may(rights, Action.SUBSCRIBE, filter_):
        for topic in PLAIN_TOPICS:
            if stands_for(filter_, topic):
                assert may(rights, Action.RECEIVE, topic)
                assert may(rights, Action.SUBSCRIBE, topic)


@given(subject=subjects, policies=policies, group=st.sampled_from(["g", "$"]), filter_=mqtt_filters)
def test_a_shared_subscription_is_judged_as_its_filter(
    subject: Subject, policies: list[Policy], group: str, filter_: str
) -> None:
    rights = Rights(subject, policies)
    shared = f"$share/{group}/{filter_}"
    assert may(rights, Action.SUBSCRIBE, shared) == may(rights, Action.SUBSCRIBE, filter_)


@given(subject=subjects, policies=policies, action=topic_actions, topic=topics)
def test_who_has_the_default_table_has_no_less_with_further_allowances(
    subject: Subject, policies: list[Policy], action: Action, topic: str
) -> None:
    allowances = [
        Policy(policy.name, Document(tuple(each for each in policy.document.statements if each.effect is Effect.ALLOW)))
        for policy in policies
    ]
    if may(Rights(subject, []), action, topic):
        assert may(Rights(subject, allowances), action, topic)


@given(subject=subjects, policies=policies, action=actions, wish=topics | mqtt_filters)
def test_a_verdict_names_the_statement_that_decides(
    subject: Subject, policies: list[Policy], action: Action, wish: str
) -> None:
    rights = Rights(subject, policies)
    verdict = explain(rights, action, wish)
    if verdict.source is None or verdict.source.policy == GATEWAY_NAME:
        assert not verdict.is_allowed
        return
    [statement] = [each.statement for each in rights.statements() if each.source == verdict.source]
    assert (statement.effect is Effect.ALLOW) == verdict.is_allowed


def test_what_replaces_the_default_table_leaves_nothing_of_it() -> None:
    rights = Rights(PUMP, [policy_of(replaces_default=True)])
    assert not may(rights, Action.CONNECT, "pump-1")
    assert explain(rights, Action.PUBLISH, "sensors/pump-1/x").reason == (
        "no statement lets pump-1 publish to 'sensors/pump-1/x'; it may publish to: nothing"
    )


def test_to_subscribe_is_not_enough_without_to_receive() -> None:
    only_subscribe = policy_of({"effect": "allow", "actions": ["subscribe"], "resources": ["lab/#"]})
    verdict = explain(Rights(PUMP, [only_subscribe]), Action.SUBSCRIBE, "lab/#")
    assert not verdict.is_allowed
    assert "no statement lets pump-1 be sent 'lab/#'" in verdict.reason


def test_a_filter_is_refused_for_the_little_of_it_that_is_denied() -> None:
    both = policy_of(
        {"effect": "allow", "actions": ["subscribe", "receive"], "resources": ["lab/#"]},
        {"effect": "deny", "actions": ["receive"], "resources": ["lab/+/secret"]},
    )
    rights = Rights(PUMP, [both])
    assert may(rights, Action.SUBSCRIBE, "lab/a/b")
    verdict = explain(rights, Action.SUBSCRIBE, "lab/#")
    assert verdict.source == Source("own", 2)
    assert verdict.reason == "statement 2 of policy 'own' denies pump-1 to be sent 'lab/#': it says lab/+/secret"


def test_a_refusal_lists_what_is_allowed_instead() -> None:
    refusal = explain(Rights(PUMP, []), Action.PUBLISH, "sensors/pump-2/x").reason
    assert refusal.startswith("no statement lets pump-1 publish to 'sensors/pump-2/x'; it may publish to: sensors/pump")
    assert refusal.endswith("/shadow/get and 22 more")
    assert explain(Rights(PUMP, []), Action.CONNECT, "pump-2").reason == (
        "client id 'pump-2' is not the device's: pump-1 connects as pump-1"
    )


@pytest.mark.parametrize("value", ["", "a/b", "+", "#", "a*", "?", "$aws"])
def test_a_value_that_could_widen_a_resource_gives_nothing(value: str) -> None:
    rights = Rights(
        Subject("a", value), [policy_of({"effect": "allow", "actions": ["publish"], "resources": ["{type}/#"]})]
    )
    for topic in (f"{value}/x", "b/x", "x", "/x"):
        assert not may(rights, Action.PUBLISH, topic)


def costly(effect: str, count: int) -> Policy:
    """A policy that takes long to judge, as long as it may be."""
    resources = [f"arn:aws:iot:eu-central-1:1:topicfilter/{number}{'*a?' * 60}" for number in range(count)]
    resources += [f"arn:aws:iot:eu-central-1:1:topic/*{number}{'?a' * 100}b*" for number in range(count)]
    statement = {"Effect": effect, "Action": ["iot:Subscribe", "iot:Publish", "iot:Receive"], "Resource": resources}
    return Policy("costly", read({"Version": "2012-10-17", "Statement": [statement]}))


@pytest.mark.parametrize("effect", ["Allow", "Deny"])
@pytest.mark.parametrize(
    ("action", "wish"), [(Action.PUBLISH, "a" * 500), (Action.SUBSCRIBE, "+/+/a/+/+/#"), (Action.RECEIVE, "a" * 500)]
)
def test_what_takes_too_long_to_decide_is_denied_with_the_name_of_the_policy(
    effect: str, action: Action, wish: str
) -> None:
    everything = policy_of({"effect": "allow", "actions": ["publish", "subscribe", "receive"], "resources": ["#"]})
    # How soon one resource is done with differs with the seed of hashes: so many are too many with each.
    verdict = explain(Rights(PUMP, [costly(effect, 120), everything]), action, wish)
    assert (verdict.is_allowed, verdict.is_too_costly) == (False, True)
    assert "'costly'" in verdict.reason


def test_a_judgement_takes_milliseconds_at_most() -> None:
    steps = Steps(JUDGEMENT_STEPS)
    begun = time.thread_time()
    hard = Pattern("*a?" * 60, globs=True)
    with pytest.raises(TooManySteps):
        [hard.touches("+/+/a/+/+/#", steps) for _ in range(JUDGEMENT_STEPS)]
    assert time.thread_time() - begun < 0.5
