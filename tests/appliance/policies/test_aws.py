"""Policies of AWS IoT, read and written."""

import json
from typing import Any

import pytest
from hypothesis import given

from appliance.policies import aws
from appliance.policies.document import read
from appliance.policies.evaluate import Rights, explain
from appliance.policies.model import Action, Document, Effect, InvalidPolicyError, Kind, Policy, Resource, Subject
from tests.appliance.policies.examples import aws_documents, mqtt_filters, native_documents, subjects, topics

ARN = "arn:aws:iot:eu-central-1:123456789012:"
THING = "${iot:Connection.Thing.ThingName}"


def policy(**changed: Any) -> dict[str, Any]:
    """A policy of one statement, with something of it changed."""
    statement = {"Effect": "Allow", "Action": "iot:Publish", "Resource": f"{ARN}topic/a/*", **changed}
    return {"Version": "2012-10-17", "Statement": [{key: value for key, value in statement.items() if value}]}


@given(document=aws_documents)
def test_writing_a_policy_and_reading_it_gives_the_same(document: Document) -> None:
    assert aws.read(json.loads(json.dumps(aws.write(document)))) == document


@given(subject=subjects, document=native_documents, topic=topics, filter_=mqtt_filters)
def test_what_is_said_in_words_of_aws_allows_no_more_and_denies_no_less(
    subject: Subject, document: Document, topic: str, filter_: str
) -> None:
    try:
        translated = aws.read(aws.write(document))
    except InvalidPolicyError:
        return
    alone = Document(document.statements, replaces_default=True)
    ours, theirs = (
        Rights(subject, [Policy("p", each)]) for each in (alone, Document(translated.statements, replaces_default=True))
    )
    for action in (Action.PUBLISH, Action.RETAIN_PUBLISH, Action.RECEIVE):
        assert explain(ours, action, topic).is_allowed == explain(theirs, action, topic).is_allowed
    if explain(theirs, Action.SUBSCRIBE, filter_).is_allowed:
        assert explain(ours, Action.SUBSCRIBE, filter_).is_allowed


def test_the_policy_of_the_guide_is_read() -> None:
    document = aws.read(
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Action": ["iot:Connect"],
                    "Resource": [f"{ARN}client/{THING}"],
                    "Condition": {"Bool": {"iot:Connection.Thing.IsAttached": ["true"]}},
                },
                {
                    "Sid": "own",
                    "Effect": "Allow",
                    "Action": ["iot:Publish", "iot:Receive"],
                    "Resource": [f"{ARN}topic/$aws/things/{THING}/*", f"{ARN}topic/data/{THING}"],
                },
                {"Effect": "Allow", "Action": "iot:Subscribe", "Resource": f"{ARN}topicfilter/$aws/things/{THING}/*"},
            ],
        }
    )
    rights = Rights(Subject("pump-1"), [Policy("p", Document(document.statements, replaces_default=True))])
    for action, wish in (
        (Action.CONNECT, "pump-1"),
        (Action.PUBLISH, "data/pump-1"),
        (Action.SUBSCRIBE, "$aws/things/pump-1/shadow/get/+"),
        (Action.RECEIVE, "$aws/things/pump-1/shadow/get/accepted"),
    ):
        assert explain(rights, action, wish).is_allowed, wish
    for action, wish in ((Action.CONNECT, "pump-2"), (Action.SUBSCRIBE, "$aws/things/+/shadow/get/accepted")):
        assert not explain(rights, action, wish).is_allowed, wish


def test_a_condition_as_a_plain_boolean_is_read() -> None:
    [statement] = aws.read(policy(Condition={"Bool": {"iot:Connection.Thing.IsAttached": True}})).statements
    assert statement.conditions[0].values == ("true",)


def test_every_action_at_once_is_about_those_that_have_a_resource() -> None:
    [statement] = aws.read(policy(Action="iot:*")).statements
    assert statement.actions == (Action.PUBLISH, Action.RETAIN_PUBLISH, Action.RECEIVE)
    [statement] = aws.read(policy(Effect="Deny", Action="*", Resource=f"{ARN}*")).statements
    assert statement.effect is Effect.DENY
    assert statement.actions == tuple(Action)
    assert statement.resources == (Resource(Kind.ANY, "*"),)


def test_one_statement_needs_no_list() -> None:
    alone = {"Version": "2012-10-17", "Statement": policy()["Statement"][0]}
    assert aws.read(alone) == aws.read(policy())


@pytest.mark.parametrize(
    ("told", "complaint"),
    [
        ([], "a JSON object with Version and Statement"),
        ({"Version": "2008-10-17", "Statement": []}, "Version is '2008-10-17'"),
        ({"Version": "2012-10-17", "Statement": []}, "holds no statement"),
        ({"Version": "2012-10-17", "Statement": [1]}, "statement 1 is no JSON object"),
        ({**policy(), "Id": "x"}, "the policy: 'Id' means nothing here"),
        (policy(Effect="Maybe"), "statement 1: Effect is 'Maybe'"),
        (policy(Action=None, NotAction="iot:Connect"), "NotAction cannot be judged here"),
        (policy(Resource=None, NotResource="*"), "NotResource cannot be judged here"),
        (policy(Principal="*"), "'Principal' means nothing here"),
        (policy(Action=[]), "Action is to be a text"),
        (policy(Action=[1]), "Action is to be a text"),
        (
            policy(Action="iot:UpdateThingShadow"),
            "no resource that iot:UpdateThingShadow is about: arn:aws:iot:*:*:thing/",
        ),
        (policy(Action="iot:CreateThing"), "does not exist on this gateway"),
        (policy(Action="s3:*"), "does not exist on this gateway"),
        (policy(Action="iot:Subscribe"), "no resource that iot:Subscribe is about: arn:aws:iot:*:*:topicfilter/…"),
        (policy(Resource=[f"{ARN}topic/a", f"{ARN}client/a"]), "none of its actions is about the resource 'client/a'"),
        (policy(Resource="topic/a"), "is no ARN of AWS IoT"),
        (policy(Resource=[f"{ARN}topic/a", f"{ARN}thing/a"]), "none of its actions is about the resource 'thing/a'"),
        (policy(Resource=f"{ARN}thing/a"), "no resource that iot:Publish is about"),
        (policy(Resource=f"{ARN}thinggroup/a"), "is about nothing here"),
        (policy(Resource=f"{ARN}thing/"), "is about nothing here"),
        (policy(Resource=f"{ARN}topic/"), "is about nothing here"),
        (policy(Resource=f"{ARN}topic/a/#"), "can match nothing"),
        (policy(Action="iot:Subscribe", Resource=f"{ARN}topicfilter/a/#/b"), "can match no filter"),
        (policy(Action="iot:Subscribe", Resource=f"{ARN}topicfilter/a+/b"), "can match no filter"),
        (policy(Action="iot:Subscribe", Resource=f"{ARN}topicfilter/a#"), "can match no filter"),
        (policy(Resource=f"{ARN}topic/${{aws:SourceIp}}"), "the variable 'aws:SourceIp' cannot be filled in"),
        (policy(Condition=[1]), "Condition is no JSON object"),
        (policy(Condition={"Bool": []}), "compares nothing"),
        (policy(Condition={"DateLessThan": {"aws:CurrentTime": "2030"}}), "'DateLessThan' cannot be judged here"),
        (policy(Condition={"StringEquals": {"aws:SourceIp": "::1"}}), "on 'aws:SourceIp' cannot be judged here"),
        (policy(Condition={"StringLike": {"iot:ClientId": "${iot:ClientId}"}}), "variables in the value"),
        (policy(Condition={"Bool": {"iot:ClientId": "true"}}), "Bool on iot:ClientId"),
        (policy(Condition={"Bool": {"iot:Connection.Thing.IsAttached": "yes"}}), "with 'yes' cannot be judged"),
        (policy(Sid=1), "Sid is no text"),
    ],
)
def test_what_cannot_be_judged_is_refused_with_a_sentence(told: Any, complaint: str) -> None:
    with pytest.raises(InvalidPolicyError) as refused:
        aws.read(told)
    assert complaint in str(refused.value)


@pytest.mark.parametrize("resource", ["a/+/b", "#", "a*", "b?/#", "{zone}/x", "{serial_number}"])
def test_what_aws_has_no_words_for_is_not_written(resource: str) -> None:
    document = read({"statements": [{"effect": "allow", "actions": ["publish"], "resources": [resource]}]})
    with pytest.raises(InvalidPolicyError, match="AWS has no words"):
        aws.write(document)


def test_our_own_form_is_written_in_words_of_aws() -> None:
    document = read(
        {
            "statements": [
                {"effect": "allow", "actions": ["connect"], "resources": ["{device_id}"]},
                {"effect": "deny", "actions": ["subscribe", "receive"], "resources": ["a/{attributes.site}/#"]},
            ]
        }
    )
    assert aws.is_native(document)
    [connect, hear] = aws.write(document)["Statement"]
    assert connect["Resource"] == [f"arn:aws:iot:*:*:client/{THING}"]
    site = "a/${iot:Connection.Thing.Attributes[site]}"
    assert hear["Resource"] == [
        f"arn:aws:iot:*:*:{text}" for text in (f"topicfilter/{site}/#", f"topic/{site}", f"topic/{site}/*")
    ]
