"""May this device …? Judged by its statements: a denial wins, and what no statement allows is denied.

A topic filter is judged by containment. It is allowed when a statement allows every topic it could match, and none
denies any of them; both to subscribe and to be sent them, because what is granted is not filtered later.
"""

from collections.abc import Iterator, Sequence

from appliance.policies.containment import Pattern, Steps, TooManySteps
from appliance.policies.default import default_document
from appliance.policies.model import (
    DEFAULT_NAME,
    GATEWAY_NAME,
    Action,
    Document,
    Effect,
    Kind,
    Policy,
    Source,
    Statement,
    Subject,
    Verdict,
)
from appliance.policies.reserved import reserve
from appliance.policies.variables import filled, holds

SHARED = "$share/"
JUDGEMENT_STEPS = 10_000
"""How much is looked at for one answer: about ten milliseconds. What takes more is denied."""
_LISTED = 4
"""How many resources a refusal names."""

_TOPIC_ACTIONS = (Action.PUBLISH, Action.RETAIN_PUBLISH, Action.RECEIVE)
ABOUT: dict[Kind, tuple[Action, ...]] = {
    Kind.CLIENT_ID: (Action.CONNECT,),
    Kind.FILTER: (*_TOPIC_ACTIONS, Action.SUBSCRIBE),
    Kind.AWS_CLIENT: (Action.CONNECT,),
    Kind.AWS_TOPIC: _TOPIC_ACTIONS,
    Kind.AWS_TOPIC_FILTER: (Action.SUBSCRIBE,),
    Kind.ANY: tuple(Action),
}
"""The actions that a resource of each kind is about."""

WORDS = {
    Action.CONNECT: "connect with client id",
    Action.PUBLISH: "publish to",
    Action.RETAIN_PUBLISH: "leave retained messages at",
    Action.SUBSCRIBE: "subscribe to",
    Action.RECEIVE: "be sent",
}
"""What each action is called in a sentence."""


class _Rule:
    """One resource of one statement, for one device."""

    __slots__ = ("pattern", "source")

    def __init__(self, source: Source, pattern: Pattern) -> None:
        self.source = source
        self.pattern = pattern


class Effective:
    """A statement that counts for a device, and what is missing when it is about nothing."""

    __slots__ = ("is_void", "source", "statement", "texts")

    def __init__(self, source: Source, statement: Statement, subject: Subject) -> None:
        self.source = source
        self.statement = statement
        denies = statement.effect is Effect.DENY
        self.texts = [(resource.kind, filled(resource, subject, denies=denies)) for resource in statement.resources]
        """Its resources, with the device's values; None for one whose variable has no value to be filled in."""
        self.is_void = not all(holds(condition, subject) for condition in statement.conditions)
        """Whether a condition keeps it from counting."""


class Rights:
    """All that policies say of one device."""

    def __init__(self, subject: Subject, policies: Sequence[Policy]) -> None:
        """`policies` are those that concern the device; the default table counts unless one of them replaces it."""
        self.subject = subject
        documents: list[tuple[str, Document]] = [(policy.name, policy.document) for policy in policies]
        if not any(document.replaces_default for _, document in documents):
            documents.insert(0, (DEFAULT_NAME, _DEFAULT))
        self._documents = documents
        self._rules: dict[tuple[Effect, Action], tuple[list[_Rule], Iterator[_Rule]]] = {}

    def statements(self) -> list[Effective]:
        """Every statement that counts for the device, in the order they are written."""
        return [
            Effective(Source(name, number), statement, self.subject)
            for name, document in self._documents
            for number, statement in enumerate(document.statements, 1)
        ]

    def rules(self, effect: Effect, action: Action) -> Iterator[_Rule]:
        """What is allowed, or denied, of one action; each made when it is first come to."""
        known = self._rules.get((effect, action))
        if known is None:
            known = self._rules[effect, action] = ([], self._made(effect, action))
        made, rest = known
        yield from made
        for rule in rest:
            made.append(rule)
            yield rule

    def _made(self, effect: Effect, action: Action) -> Iterator[_Rule]:
        for name, document in self._documents:
            # Every device has it: what is about an action is looked up, not looked for.
            numbered = _DEFAULT_NUMBERED[effect, action] if document is _DEFAULT else enumerate(document.statements, 1)
            for number, statement in numbered:
                if effect is statement.effect and action in statement.actions and self._counts(statement):
                    yield from self._rules_of(Source(name, number), statement, action)

    def _counts(self, statement: Statement) -> bool:
        return all(holds(condition, self.subject) for condition in statement.conditions)

    def _rules_of(self, source: Source, statement: Statement, action: Action) -> Iterator[_Rule]:
        for resource in statement.resources:
            if action in ABOUT[resource.kind]:
                text = filled(resource, self.subject, denies=statement.effect is Effect.DENY)
                if text is not None:
                    yield _Rule(source, _pattern(resource.kind, text))


def explain(rights: Rights, action: Action, wish: str) -> Verdict:
    """Whether the device may do this, which statement decides, and why.

    `wish` is a client identifier, a topic name, or for subscribe a topic filter; `$share/GROUP/FILTER` is
    judged as its filter.
    """
    steps = Steps(JUDGEMENT_STEPS)
    if action is not Action.SUBSCRIBE:
        return _judge(rights, action, wish, steps)
    wish = _unshared(wish)
    heard = _judge(rights, Action.SUBSCRIBE, wish, steps)
    if not heard.is_allowed:
        return heard
    sent = _judge(rights, Action.RECEIVE, wish, steps, is_filter=True)
    return heard if sent.is_allowed else sent


def _judge(rights: Rights, action: Action, wish: str, steps: Steps, *, is_filter: bool = False) -> Verdict:
    is_filter = is_filter or action is Action.SUBSCRIBE
    device_id = rights.subject.device_id
    reserved = reserve(Action.SUBSCRIBE if is_filter else action, wish)
    if reserved is not None:
        return Verdict(is_allowed=False, reason=reserved, source=Source(GATEWAY_NAME, 1))
    doing = f"{WORDS[action]} {wish!r}"
    for effect in (Effect.DENY, Effect.ALLOW):
        for rule in rights.rules(effect, action):
            try:
                decides = _decides(rule.pattern, wish, steps, denies=effect is Effect.DENY, is_filter=is_filter)
            except TooManySteps:
                return _too_costly(rule.source, device_id, doing)
            if decides:
                lets = "lets" if effect is Effect.ALLOW else "denies"
                to = "" if effect is Effect.ALLOW else "to "
                reason = f"{_named(rule.source)} {lets} {device_id} {to}{doing}: it says {rule.pattern.text}"
                return Verdict(effect is Effect.ALLOW, reason, rule.source, rule.pattern.text)
    listed = [rule.pattern.text for rule in rights.rules(Effect.ALLOW, action)]
    told = ", ".join(listed[:_LISTED]) + (f" and {len(listed) - _LISTED} more" if len(listed) > _LISTED else "")
    if action is Action.CONNECT:
        reason = (
            f"{doing.removeprefix('connect with ')} is not the device's: {device_id} connects as {told or 'nobody'}"
        )
    else:
        reason = f"no statement lets {device_id} {doing}; it may {WORDS[action]}: {told or 'nothing'}"
    return Verdict(is_allowed=False, reason=reason)


def _decides(pattern: Pattern, wish: str, steps: Steps, *, denies: bool, is_filter: bool) -> bool:
    if not is_filter:
        return pattern.matches(wish, denies=denies, steps=steps)
    return pattern.touches(wish, steps) if denies else pattern.covers(wish, steps)


def _too_costly(source: Source, device_id: str, doing: str) -> Verdict:
    reason = (
        f"the policies of {device_id} are too costly to judge, so it may not {doing}: {_named(source)} is where the"
        " gateway stopped; write fewer resources, or with fewer * and ?"
    )
    return Verdict(is_allowed=False, reason=reason, source=source, is_too_costly=True)


def _unshared(topic_filter: str) -> str:
    parts = topic_filter.split("/", 2)
    return parts[2] if topic_filter.startswith(SHARED) and len(parts) > 2 else topic_filter  # noqa: PLR2004  $share, the group, the filter


def _named(source: Source) -> str:
    table = "the default table" if source.policy == DEFAULT_NAME else f"policy {source.policy!r}"
    return f"statement {source.number} of {table}"


def _pattern(kind: Kind, text: str) -> Pattern:
    match kind:
        case Kind.CLIENT_ID:
            return Pattern(text, levels=False)
        case Kind.FILTER:
            return Pattern(text)
        case Kind.AWS_CLIENT | Kind.AWS_TOPIC | Kind.ANY:
            return Pattern(text, levels=False, globs=True)
        case Kind.AWS_TOPIC_FILTER:
            return Pattern(text, globs=True)


_DEFAULT = default_document()
_DEFAULT_NUMBERED = {
    (effect, action): [
        (number, statement)
        for number, statement in enumerate(_DEFAULT.statements, 1)
        if statement.effect is effect and action in statement.actions
    ]
    for effect in Effect
    for action in Action
}
