"""Policies of AWS IoT, as JSON (2012-10-17): read and written.

What cannot be judged here is refused when it is read, with a sentence; nothing is left out silently. Partition,
region and account of an ARN say where it is in AWS, and mean nothing here.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from appliance.policies import things
from appliance.policies.containment import Pattern
from appliance.policies.evaluate import ABOUT
from appliance.policies.model import (
    Action,
    Comparison,
    Condition,
    Document,
    Effect,
    InvalidPolicyError,
    Kind,
    Resource,
    Statement,
    Subject,
)
from appliance.policies.variables import IS_ATTACHED, THING_NAME, THING_TYPE, aws_value, check_variables

VERSION = "2012-10-17"
ARN = "arn:aws:iot:*:*:"

ACTIONS = {
    "iot:Connect": Action.CONNECT,
    "iot:Publish": Action.PUBLISH,
    "iot:RetainPublish": Action.RETAIN_PUBLISH,
    "iot:Subscribe": Action.SUBSCRIBE,
    "iot:Receive": Action.RECEIVE,
}
_NAMES = {action: name for name, action in ACTIONS.items()}
_KINDS = {kind.value: kind for kind in (Kind.AWS_CLIENT, Kind.AWS_TOPIC, Kind.AWS_TOPIC_FILTER)}
_KEYS = {"Sid", "Effect", "Action", "Resource", "Condition"}
_ARN = re.compile(r"arn:[^:]*:iot:[^:]*:[^:]*:(.+)", re.DOTALL)
_BOOLEANS = ("true", "false")


def read(policy: Any) -> Document:
    """The document that the JSON of a policy says. Raises `InvalidPolicyError`."""
    if not isinstance(policy, Mapping):
        raise InvalidPolicyError("a policy is a JSON object with Version and Statement")
    _refuse_unknown("the policy", policy, {"Version", "Statement"})
    if policy.get("Version") != VERSION:
        raise InvalidPolicyError(f"Version is {policy.get('Version')!r}, expected {VERSION!r}")
    statements = policy.get("Statement")
    if isinstance(statements, Mapping):
        statements = [statements]
    if not isinstance(statements, list) or not statements:
        raise InvalidPolicyError("Statement holds no statement")
    found = (_statements(f"statement {number}", each) for number, each in enumerate(statements, 1))
    return Document(tuple(statement for several in found for statement in several))


def write(document: Document) -> dict[str, Any]:
    """The JSON of a document. Raises `InvalidPolicyError` when AWS has no words for a part of it."""
    return {"Version": VERSION, "Statement": [_written(statement) for statement in document.statements]}


def is_native(document: Document) -> bool:
    """Whether a document is written in our own form."""
    kinds = {resource.kind for statement in document.statements for resource in statement.resources}
    return document.replaces_default or not kinds.isdisjoint((Kind.CLIENT_ID, Kind.FILTER))


def _statements(where: str, told: Any) -> tuple[Statement, ...]:
    """What one statement of AWS says: about topics and clients, and about things."""
    if not isinstance(told, Mapping):
        raise InvalidPolicyError(f"{where} is no JSON object")
    _refuse_unknown(where, told, _KEYS)
    effect = told.get("Effect")
    if effect not in ("Allow", "Deny"):
        raise InvalidPolicyError(f"{where}: Effect is {effect!r}, expected Allow or Deny")
    resources: list[Resource] = []
    targets: list[things.Target] = []
    for text in _texts(where, "Resource", told.get("Resource")):
        kind, tail = _split(where, text)
        if kind == things.KIND:
            targets.append(things.target(where, tail))
        else:
            resources.append(_resource(where, kind, tail))
    wishes = _wishes(where, _texts(where, "Action", told.get("Action")), resources, targets)
    effect = Effect(effect.lower())
    found = [
        *_about_topics(where, effect, wishes.actions, tuple(resources)),
        *things.statements(where, effect, wishes.of_things, targets),
        *things.statements(where, effect, wishes.of_everything, (things.EVERYTHING,)),
    ]
    sid = told.get("Sid", "")
    if not isinstance(sid, str):
        raise InvalidPolicyError(f"{where}: Sid is no text")
    conditions = _conditions(where, told.get("Condition", {}))
    return tuple(
        msgspec.structs.replace(each, conditions=conditions, sid="" if number else sid)
        for number, each in enumerate(found)
    )


def _about_topics(
    where: str, effect: Effect, actions: tuple[Action, ...], resources: tuple[Resource, ...]
) -> Iterator[Statement]:
    for resource in resources if actions else ():
        if set(actions).isdisjoint(ABOUT[resource.kind]):
            raise InvalidPolicyError(
                f"{where}: none of its actions is about the resource {_tail(resource)!r}: "
                f"{_about(resource.kind)} would be"
            )
    if actions:
        yield Statement(effect, actions, resources)


def _refuse_unknown(where: str, told: Mapping[str, Any], known: set[str]) -> None:
    for key in told:
        if key in ("NotAction", "NotResource"):
            raise InvalidPolicyError(f"{where}: {key} cannot be judged here: name what it is about, or deny the rest")
        if key not in known:
            raise InvalidPolicyError(f"{where}: {key[:80]!r} means nothing here: leave it out")


def _texts(where: str, key: str, told: Any) -> list[str]:
    texts = [told] if isinstance(told, str) else told
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) and text for text in texts):
        raise InvalidPolicyError(f"{where}: {key} is to be a text, or a list of texts")
    return texts


class _Wishes(NamedTuple):
    """What a statement is about, by what its resources are."""

    actions: tuple[Action, ...]
    of_things: frozenset[str]
    of_everything: frozenset[str]
    """The same actions as those of things, where the resource is `*`."""


def _wishes(
    where: str, names: Sequence[str], resources: Sequence[Resource], targets: Sequence[things.Target]
) -> _Wishes:
    usable = {action for resource in resources for action in ABOUT[resource.kind]}
    is_open = any(resource.kind is Kind.ANY for resource in resources)
    found: set[Action] = set()
    of_things: set[str] = set()
    of_everything: set[str] = set()
    for name in names:
        meant, about_things = _meant(where, name)
        # What stands for several actions is about those that the statement has a resource for.
        wanted = {action for action in meant if action in usable}
        # Whoever may publish everything, and be sent everything, needs no more words about it.
        further = about_things if is_open and not wanted >= {Action.PUBLISH, Action.RECEIVE} else set()
        if not wanted and not further and not (about_things and targets):
            needed = _wanted(meant[0]) if meant else f"{ARN}{things.KIND}/…"
            raise InvalidPolicyError(f"{where}: it has no resource that {name[:80]} is about: {needed}")
        found |= wanted
        of_everything |= further
        of_things |= about_things if targets else set()
    if targets and not of_things:
        raise InvalidPolicyError(
            f"{where}: none of its actions is about the resource '{things.KIND}/{targets[0].text[:140]}': "
            f"{', '.join(things.ACTIONS)} would be"
        )
    in_order = tuple(action for action in Action if action in found)
    return _Wishes(in_order, frozenset(of_things), frozenset(of_everything))


def _meant(where: str, name: str) -> tuple[list[Action], set[str]]:
    """The actions that a name stands for: those of clients and topics, and those of things."""
    pattern = Pattern(name.lower(), levels=False, globs=True)
    meant = [action for known, action in ACTIONS.items() if pattern.matches(known.lower())]
    about_things = {known for known in things.ACTIONS if pattern.matches(known.lower())}
    if not meant and not about_things:
        raise InvalidPolicyError(
            f"{where}: the action {name[:80]!r} does not exist on this gateway; there are "
            f"{', '.join((*ACTIONS, *things.ACTIONS))}"
        )
    return meant, about_things


def _about(kind: Kind) -> str:
    return ", ".join(_NAMES[action] for action in ABOUT[kind])


def _wanted(action: Action) -> str:
    return " or ".join(f"{ARN}{kind.value}/…" for kind in _KINDS.values() if action in ABOUT[kind])


def _split(where: str, text: str) -> tuple[str, str]:
    """What kind of thing a resource is about, and which of them; everything is `*` of no kind."""
    found = _ARN.fullmatch(text)
    if text != "*" and found is None:
        raise InvalidPolicyError(f"{where}: the resource {text[:140]!r} is no ARN of AWS IoT, such as {ARN}topic/a/b")
    told = "*" if found is None else found[1]
    if told == "*":
        return "", "*"
    kind, slash, tail = told.partition("/")
    if kind not in (*_KINDS, things.KIND) or not slash or not tail:
        raise InvalidPolicyError(
            f"{where}: the resource {text[:140]!r} is about nothing here: after the account comes "
            "client/…, topic/…, topicfilter/… or thing/…"
        )
    return kind, tail


def _resource(where: str, kind: str, tail: str) -> Resource:
    if not kind:
        return Resource(Kind.ANY, "*")
    resource = Resource(_KINDS[kind], tail)
    if resource.kind is not Kind.AWS_TOPIC_FILTER and any(sign in tail for sign in "+#"):
        # Unless they stand in the name of an attribute.
        raise InvalidPolicyError(
            f"{where}: {_tail(resource)!r} can match nothing, because no topic name or client id holds + or #: "
            "write * for any run of characters"
        )
    _check_levels(where, resource)
    check_variables(resource)
    return resource


def _check_levels(where: str, resource: Resource) -> None:
    if resource.kind is not Kind.AWS_TOPIC_FILTER:
        return
    levels = resource.text.split("/")
    if any("+" in level and level != "+" for level in levels) or "#" in resource.text.removesuffix("#"):
        raise InvalidPolicyError(
            f"{where}: {_tail(resource)!r} can match no filter: + fills a level, # is the last one"
        )
    if "#" in levels[-1] and levels[-1] != "#":
        raise InvalidPolicyError(f"{where}: {_tail(resource)!r} can match no filter: # fills its level")


def _tail(resource: Resource) -> str:
    return "*" if resource.kind is Kind.ANY else f"{resource.kind.value}/{resource.text[:140]}"


def _conditions(where: str, told: Any) -> tuple[Condition, ...]:
    if not isinstance(told, Mapping):
        raise InvalidPolicyError(f"{where}: Condition is no JSON object")
    return tuple(
        _condition(where, str(operator), str(key), values)
        for operator, compared in told.items()
        for key, values in _compared(where, compared).items()
    )


def _compared(where: str, compared: Any) -> Mapping[str, Any]:
    if not isinstance(compared, Mapping) or not compared:
        raise InvalidPolicyError(f"{where}: a condition compares nothing")
    return compared


def _condition(where: str, operator: str, key: str, told: Any) -> Condition:
    if operator not in list(Comparison):
        raise InvalidPolicyError(
            f"{where}: the condition {operator[:80]!r} cannot be judged here; there are {', '.join(Comparison)}"
        )
    test = Comparison(operator)
    try:
        aws_value(key, Subject(""))
    except KeyError:
        raise InvalidPolicyError(
            f"{where}: a condition on {key[:140]!r} cannot be judged here; "
            f"there are {THING_NAME}, {THING_TYPE}, iot:Connection.Thing.Attributes[NAME] and {IS_ATTACHED}"
        ) from None
    values = _texts(where, key, [str(told).lower()] if isinstance(told, bool) else told)
    if any("${" in value for value in values):
        raise InvalidPolicyError(f"{where}: variables in the value of a condition cannot be judged here")
    if (test is Comparison.IS) is not (key == IS_ATTACHED) or (
        test is Comparison.IS and not set(values) <= set(_BOOLEANS)
    ):
        raise InvalidPolicyError(f"{where}: {operator} on {key[:140]} with {values[0][:80]!r} cannot be judged here")
    return Condition(test, key, tuple(values))


# And back.


def _written(statement: Statement) -> dict[str, Any]:
    resources = [text for resource in statement.resources for text in _arns(statement, resource)]
    told: dict[str, Any] = {"Sid": statement.sid} if statement.sid else {}
    told |= {
        "Effect": statement.effect.value.capitalize(),
        "Action": [_NAMES[action] for action in statement.actions],
        "Resource": resources,
    }
    if statement.conditions:
        conditions: dict[str, dict[str, list[str]]] = {}
        told["Condition"] = conditions
        for condition in statement.conditions:
            conditions.setdefault(condition.test.value, {})[condition.variable] = list(condition.values)
    return told


def _arns(statement: Statement, resource: Resource) -> Iterator[str]:
    text = resource.text
    match resource.kind:
        case Kind.ANY:
            yield "*"
        case Kind.CLIENT_ID:
            yield f"{ARN}client/{_translated(text)}"
        case Kind.AWS_CLIENT | Kind.AWS_TOPIC | Kind.AWS_TOPIC_FILTER:
            yield f"{ARN}{resource.kind.value}/{text}"
        case Kind.FILTER:
            if Action.SUBSCRIBE in statement.actions:
                yield f"{ARN}topicfilter/{_translated(text)}"
            if any(action in ABOUT[Kind.AWS_TOPIC] for action in statement.actions):
                yield from (f"{ARN}topic/{part}" for part in _topics(_translated(text)))


def _topics(text: str) -> Iterator[str]:
    if "+" in text.split("/") or text == "#":
        raise InvalidPolicyError(f"AWS has no words for the topics of {text!r}: its * also stands for several levels")
    if text.endswith("/#"):
        # MQTT's `a/#` is also `a`.
        yield text.removesuffix("/#")
        yield text.removesuffix("#") + "*"
    else:
        yield text


_TRANSLATIONS = {"{device_id}": f"${{{THING_NAME}}}", "{type}": f"${{{THING_TYPE}}}"}


def _translated(text: str) -> str:
    if "*" in text or "?" in text:
        raise InvalidPolicyError(f"AWS has no words for {text!r}: * and ? stand for others there")
    for ours, theirs in _TRANSLATIONS.items():
        text = text.replace(ours, theirs)
    text = re.sub(r"\{attributes\.([^{}]*)\}", r"${iot:Connection.Thing.Attributes[\1]}", text)
    if "{zone}" in text or "{serial_number}" in text:
        raise InvalidPolicyError(f"AWS has no words for a variable of {text!r}: make it an attribute")
    return text
