"""Whether a policy can be judged within the time that one judgement may take, as far as that can be seen at once.

It is put to wishes that are made to be hard for it. A device can still ask for something harder: then it is denied.
"""

from collections.abc import Iterator

import msgspec

from appliance.policies.evaluate import JUDGEMENT_STEPS, Rights, explain
from appliance.policies.model import Action, Document, InvalidPolicyError, Kind, Policy, Subject

PROBES_LIMIT = 8
"""So many resources are made wishes of: those with the most signs that stand for others."""

_SUBJECT = Subject("device", "type", "zone", "serial")
_BELOW = "+/+/a/+/+/#"
_LONG = "a/a" * 160
_GLOBS = (Kind.AWS_CLIENT, Kind.AWS_TOPIC, Kind.AWS_TOPIC_FILTER)


def check_cost(policy: Policy) -> None:
    """Raise `InvalidPolicyError` for a policy that is seen to be too costly. May take tenths of a second."""
    statements = tuple(msgspec.structs.replace(each, conditions=()) for each in policy.document.statements)
    rights = Rights(_SUBJECT, [Policy(policy.name, Document(statements, replaces_default=True))])
    for action, wish in _probes(policy):
        verdict = explain(rights, action, wish)
        if verdict.is_too_costly and verdict.source is not None:
            raise InvalidPolicyError(
                f"the policy is too costly to judge: statement {verdict.source.number} is where more than"
                f" {JUDGEMENT_STEPS:,} steps were needed; write fewer resources, or with fewer * and ?"
            )


def _probes(policy: Policy) -> Iterator[tuple[Action, str]]:
    texts = {
        resource.text for each in policy.document.statements for resource in each.resources if resource.kind in _GLOBS
    }
    hardest = sorted(texts, key=lambda text: (-text.count("*") - text.count("?"), text))[:PROBES_LIMIT]
    for before in ("", *(_literal_start(text) for text in hardest)):
        yield Action.SUBSCRIBE, f"{before}{_BELOW}"
        for action in (Action.CONNECT, Action.PUBLISH):
            yield action, f"{before}{_LONG}"


def _literal_start(text: str) -> str:
    """What every topic that a pattern stands for begins with."""
    ends = [place for sign in "*?+#$" if (place := text.find(sign)) >= 0]
    start = text[: min(ends)] if ends else text
    return start[: start.rfind("/") + 1]
