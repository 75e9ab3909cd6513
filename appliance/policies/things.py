"""What AWS IoT lets a device do over HTTPS with shadows and jobs, said as what it may publish and be sent here.

Whether a device asks over MQTT or over HTTPS is one right here: to publish the request and to be sent its answer.
A named shadow has a resource of its own, `thing/NAME/SHADOW`, and `*` stands for slashes, too: `thing/*` is about all.
"""

import re
from collections.abc import Collection, Iterator, Sequence

import msgspec

from appliance.policies.model import Action, Effect, InvalidPolicyError, Kind, Resource, Statement
from appliance.policies.variables import check_variables

KIND = "thing"

GET_SHADOW = "iot:GetThingShadow"
LIST_SHADOWS = "iot:ListNamedShadowsForThing"
SHADOWS = {GET_SHADOW: "get", "iot:UpdateThingShadow": "update", "iot:DeleteThingShadow": "delete"}
JOBS = {
    "iot:GetPendingJobExecutions": "get",
    "iot:StartNextPendingJobExecution": "start-next",
    "iot:DescribeJobExecution": "*/get",
    "iot:UpdateJobExecution": "*/update",
}
ACTIONS = (*SHADOWS, LIST_SHADOWS, *JOBS)

_VARIABLE = re.compile(r"\$\{[^{}]*\}")
_PART = re.compile(r"[^/+#*?]+\*?|\*")


class Target(msgspec.Struct, frozen=True):
    """The things and shadows of one resource; `*` at the end of a name stands for any run of characters."""

    text: str
    """As it was written."""
    thing: str
    shadow: str | None = None
    """None where only a thing is named."""


EVERYTHING = Target("*", "*")


def target(where: str, tail: str) -> Target:
    """What `thing/…` is about; `tail` is what follows. Raises `InvalidPolicyError`."""
    # The name of an attribute may hold signs that mean something elsewhere.
    plain = _VARIABLE.sub(lambda match: "v" * len(match[0]), tail)
    name, slash, shadow = plain.partition("/")
    if _PART.fullmatch(name) is None or (slash and _PART.fullmatch(shadow) is None):
        raise InvalidPolicyError(
            f"{where}: {KIND}/{tail[:140]} cannot be judged here: name a thing, and its shadow after a slash, whole or"
            " with * at the end"
        )
    check_variables(Resource(Kind.AWS_TOPIC, tail))
    return Target(tail, tail[: len(name)], tail[len(name) + 1 :] if slash else None)


def statements(
    where: str, effect: Effect, actions: Collection[str], targets: Sequence[Target]
) -> tuple[Statement, ...]:
    """What lets a device do these actions with these targets. Raises `InvalidPolicyError`."""
    if not actions:
        return ()
    if effect is Effect.DENY:
        raise InvalidPolicyError(
            f"{where}: {', '.join(sorted(actions))} cannot be denied over HTTPS alone, because a right is one here over"
            " MQTT and HTTPS: deny iot:Publish on the topic of the request, such as"
            " topic/$aws/things/NAME/shadow/get"
        )
    if LIST_SHADOWS in actions and GET_SHADOW not in actions:
        raise InvalidPolicyError(
            f"{where}: here whoever may get a shadow may list them all: {LIST_SHADOWS} goes with {GET_SHADOW}"
        )
    requests: list[str] = []
    for each in targets:
        found = list(_requests(each, actions))
        if not found:
            raise InvalidPolicyError(f"{where}: none of its actions is about the resource {KIND}/{each.text[:140]}")
        requests += found
    answers = [f"{request}/{end}" for request in requests for end in ("accepted", "rejected")]
    return (
        Statement(effect, (Action.PUBLISH,), tuple(Resource(Kind.AWS_TOPIC, text) for text in requests)),
        Statement(effect, (Action.RECEIVE,), tuple(Resource(Kind.AWS_TOPIC, text) for text in answers)),
    )


def _requests(target: Target, actions: Collection[str]) -> Iterator[str]:
    start = f"$aws/things/{target.thing}"
    for action in ACTIONS:
        if action not in actions:
            continue
        if action in SHADOWS:
            yield from (f"{start}/shadow{named}/{SHADOWS[action]}" for named in _shadows(target))
        elif action in JOBS and target.shadow is None:
            yield f"{start}/jobs/{JOBS[action]}"


def _shadows(target: Target) -> Iterator[str]:
    """The classic shadow, and named ones, as they stand in topics."""
    if target.shadow is not None:
        yield f"/name/{target.shadow}"
        return
    yield ""
    if target.thing.endswith("*"):
        yield "/name/*"
