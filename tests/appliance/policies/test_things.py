"""Rights of AWS IoT to shadows and jobs over HTTPS, as rights to ask for them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.policies import aws, things
from appliance.policies.containment import Pattern
from appliance.policies.evaluate import Rights, explain
from appliance.policies.model import Action, Document, InvalidPolicyError, Policy, Subject

ARN = "arn:aws:iot:eu-central-1:123456789012:"
OWN = "${iot:Connection.Thing.ThingName}"
SHADOWS = list(things.SHADOWS)
JOBS = list(things.JOBS)


def read(actions: Any, resources: Any, **further: Any) -> Document:
    statement = {"Effect": "Allow", "Action": actions, "Resource": resources, **further}
    return aws.read({"Version": "2012-10-17", "Statement": [statement]})


def may(document: Document, action: Action, topic: str, device_id: str = "pump") -> bool:
    alone = Document(document.statements, replaces_default=True)
    return explain(Rights(Subject(device_id), [Policy("p", alone)]), action, topic).is_allowed


def asks(document: Document, request: str) -> bool:
    """Whether a device may ask for something, and have the answer; it may not have one without the other."""
    told = {may(document, Action.PUBLISH, request)}
    told |= {may(document, Action.RECEIVE, f"{request}/{end}") for end in ("accepted", "rejected")}
    [is_so] = told
    return is_so


@pytest.mark.parametrize(
    ("action", "request_"),
    [(action, f"shadow/{verb}") for action, verb in things.SHADOWS.items()]
    + [(action, f"jobs/{request.replace('*', 'one')}") for action, request in things.JOBS.items()],
)
def test_each_action_is_the_right_to_ask_for_the_same_thing_and_no_other(action: str, request_: str) -> None:
    document = read(action, f"{ARN}thing/{OWN}")
    others = [f"shadow/{verb}" for verb in things.SHADOWS.values()] + [
        f"jobs/{request.replace('*', 'one')}" for request in things.JOBS.values()
    ]
    assert [each for each in others if asks(document, f"$aws/things/pump/{each}")] == [request_]
    assert not asks(document, f"$aws/things/fan/{request_}")
    assert not may(document, Action.PUBLISH, f"$aws/things/pump/{request_}/accepted")
    for topic in ("$aws/things/pump/shadow/update/documents", "$aws/things/pump/shadow/update/delta", "other"):
        assert not may(document, Action.RECEIVE, topic)
    for each in Action:
        assert each in (Action.PUBLISH, Action.RECEIVE) or not may(document, each, f"$aws/things/pump/{request_}")


@pytest.mark.parametrize(
    ("resource", "reached"),
    [
        (f"thing/{OWN}", {"pump"}),
        ("thing/pump", {"pump"}),
        ("thing/pump/a", {"pump~a"}),
        (f"thing/{OWN}/*", {"pump~a", "pump~ab"}),
        (f"thing/{OWN}/a*", {"pump~a", "pump~ab"}),
        ("thing/p*", {"pump", "pump~a", "pump~ab"}),
        ("thing/p*/a", {"pump~a"}),
        ("thing/*", {"pump", "pump~a", "pump~ab", "fan", "fan~a"}),
        ("*", {"pump", "pump~a", "pump~ab", "fan", "fan~a"}),
    ],
)
def test_a_named_shadow_is_reached_by_the_same_resources_as_in_aws(resource: str, reached: set[str]) -> None:
    document = read("iot:GetThingShadow", ARN + resource if resource != "*" else "*")
    topics = {
        "pump": "$aws/things/pump/shadow/get",
        "pump~a": "$aws/things/pump/shadow/name/a/get",
        "pump~ab": "$aws/things/pump/shadow/name/ab/get",
        "fan": "$aws/things/fan/shadow/get",
        "fan~a": "$aws/things/fan/shadow/name/a/get",
    }
    assert {name for name, topic in topics.items() if asks(document, topic)} == reached


NAMES = st.text("ab-", min_size=1, max_size=3)
PARTS = st.one_of(NAMES, NAMES.map(lambda name: f"{name}*"), st.just("*"))


@given(thing=NAMES, shadow=st.one_of(st.just(""), NAMES), wanted=PARTS, wanted_shadow=st.one_of(st.just(""), PARTS))
def test_it_reaches_what_aws_lets_it_reach_and_nothing_else(
    thing: str, shadow: str, wanted: str, wanted_shadow: str
) -> None:
    tail = f"{wanted}/{wanted_shadow}" if wanted_shadow else wanted
    named = f"/name/{shadow}" if shadow else ""
    # As AWS compares: * stands for any run of characters, slashes too.
    is_meant = Pattern(tail, levels=False, globs=True).matches(f"{thing}/{shadow}" if shadow else thing)
    document = read("iot:GetThingShadow", f"{ARN}thing/{tail}")
    assert asks(document, f"$aws/things/{thing}/shadow{named}/get") == is_meant


def test_other_actions_and_resources_of_the_same_statement_keep_their_own() -> None:
    document = read(
        ["iot:Publish", "iot:Connect", "iot:*ThingShadow", "iot:Describe*"],
        [f"{ARN}topic/lab/*", f"{ARN}client/{OWN}", f"{ARN}thing/{OWN}"],
        Sid="one",
        Condition={"StringEquals": {"iot:Connection.Thing.ThingTypeName": "valve"}},
    )
    assert [each.sid for each in document.statements] == ["one", "", ""]
    assert all(each.conditions for each in document.statements)
    valve = Rights(Subject("pump", "valve"), [Policy("p", Document(document.statements, replaces_default=True))])
    for action, wish, is_allowed in (
        (Action.CONNECT, "pump", True),
        (Action.PUBLISH, "lab/x", True),
        (Action.RECEIVE, "lab/x", False),
        (Action.PUBLISH, "$aws/things/pump/shadow/delete", True),
        (Action.PUBLISH, "$aws/things/pump/jobs/one/get", True),
        (Action.PUBLISH, "$aws/things/pump/jobs/get", False),
    ):
        assert explain(valve, action, wish).is_allowed is is_allowed, wish
    assert not asks(document, "$aws/things/pump/shadow/get")


def test_whoever_may_everything_needs_no_more_words_about_it() -> None:
    for effect in ("Allow", "Deny"):
        assert len(read("iot:*", "*", Effect=effect).statements) == 1
    assert asks(read("*", "*"), "$aws/things/fan/shadow/get")


def test_it_can_be_written_and_read_again() -> None:
    document = read([*SHADOWS, *JOBS, things.LIST_SHADOWS], [f"{ARN}thing/{OWN}", f"{ARN}thing/hall-*"])
    assert aws.read(aws.write(document)) == document


@pytest.mark.parametrize(
    ("actions", "resources", "further", "reason"),
    [
        ("iot:GetThingShadow", "thing/a?b", {}, "whole or with * at the end"),
        ("iot:GetThingShadow", "thing/a*b", {}, "whole or with * at the end"),
        ("iot:GetThingShadow", "thing/a/b/c", {}, "whole or with * at the end"),
        ("iot:GetThingShadow", "thing/a/", {}, "whole or with * at the end"),
        ("iot:GetThingShadow", "thing//a", {}, "whole or with * at the end"),
        ("iot:GetThingShadow", "thing/+", {}, "whole or with * at the end"),
        ("iot:GetThingShadow", "thing/${iot:Nothing}", {}, "cannot be filled in"),
        ("iot:GetThingShadow", "thing/${iot:ClientId", {}, "brace too many"),
        ("iot:GetThingShadow", "topic/a", {}, "no resource that iot:GetThingShadow is about"),
        ("iot:GetThingShadow", "thing/a", {"Effect": "Deny"}, "cannot be denied over HTTPS alone"),
        ("iot:GetThingShadow", "*", {"Effect": "Deny"}, "cannot be denied over HTTPS alone"),
        ("iot:*", "thing/a", {"Effect": "Deny"}, "cannot be denied over HTTPS alone"),
        (things.LIST_SHADOWS, "thing/a", {}, "goes with iot:GetThingShadow"),
        ("iot:UpdateJobExecution", "thing/a/b", {}, "about the resource thing/a/b"),
    ],
)
def test_what_cannot_be_said_here_is_refused_with_a_sentence(
    actions: str, resources: str, further: dict[str, str], reason: str
) -> None:
    with pytest.raises(InvalidPolicyError) as refused:
        read(actions, resources if resources == "*" else ARN + resources, **further)
    assert reason in str(refused.value)
