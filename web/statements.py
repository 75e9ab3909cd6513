"""The statements of policies as people and scripts read them."""

import json

import msgspec

from appliance.policies import aws, document
from appliance.policies.evaluate import Effective
from appliance.policies.model import Action, Document, Effect, InvalidPolicyError, Kind, Verdict

NATIVE_KINDS = (Kind.CLIENT_ID, Kind.FILTER, Kind.ANY)


class StatementView(msgspec.Struct, frozen=True):
    """One statement that counts for a device, its variables filled in."""

    policy: str
    number: int
    """Its place in the policy, from 1."""
    effect: str
    actions: list[str]
    resources: list[str]
    sid: str
    note: str
    """Why it is about nothing for this device, in whole or in part; empty when it counts as it stands."""


class VerdictView(msgspec.Struct, frozen=True):
    """Whether a device may do something, which statement decides, and why."""

    allowed: bool
    reason: str
    policy: str | None
    """The policy whose statement decides; None when no statement is about it."""
    statement: int | None
    resource: str
    """What of the statement decides."""


def statement_view(effective: Effective) -> StatementView:
    """A statement as it counts for a device."""
    statement = effective.statement
    notes = []
    if effective.is_void:
        notes.append("A condition does not hold for this device.")
    if any(text is None for _, text in effective.texts):
        notes.append("A variable has no value here, or one that cannot stand in a topic.")
    return StatementView(
        effective.source.policy,
        effective.source.number,
        statement.effect.value,
        [action.value for action in statement.actions],
        [
            _resource_text(kind, resource.text if text is None else text)
            for resource, (kind, text) in zip(statement.resources, effective.texts, strict=True)
        ],
        statement.sid,
        " ".join(notes),
    )


def verdict_view(verdict: Verdict) -> VerdictView:
    """A verdict as it is told."""
    source = verdict.source
    return VerdictView(
        verdict.is_allowed,
        verdict.reason,
        source.policy if source else None,
        source.number if source else None,
        verdict.resource,
    )


def as_text(said: Document) -> str:
    """A document as people edit it."""
    return json.dumps(document.written(said), indent=2, ensure_ascii=False)


def in_words_of_aws(said: Document) -> dict[str, object] | None:
    """A document as AWS would say it; None when it has no words for all of it."""
    if said.replaces_default:
        return None
    try:
        return aws.write(said)
    except InvalidPolicyError:
        return None


def effect_count(said: Document, effect: Effect) -> int:
    """How many statements allow, or deny."""
    return sum(statement.effect is effect for statement in said.statements)


def asked_action(text: str) -> Action:
    """The action of this name. Raises `InvalidPolicyError`."""
    if text not in list(Action):
        raise InvalidPolicyError(f"action is {text[:40]!r}, expected one of {', '.join(Action)}")
    return Action(text)


def _resource_text(kind: Kind, text: str) -> str:
    return text if kind in NATIVE_KINDS else f"{kind.value}/{text}"
