"""The policies that a provisioning template attaches to a device: named, or written in the template itself."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from appliance.enrolment import expression
from appliance.enrolment.expression import Expression, Raw, Scope, Text
from appliance.enrolment.model import InvalidTemplateError
from appliance.policies import document
from appliance.policies.model import Document, InvalidPolicyError, Policy

ATTACHED_LIMIT = 10
"""The most policies of one template (AWS: as many are attached to one certificate)."""


class Attachment(msgspec.Struct, frozen=True):
    """A policy of a template."""

    name: Expression
    document: Document | None
    """What it says; None when it is kept under Policies and only named here."""


def read(resource: str, properties: Mapping[str, Any], names: frozenset[str]) -> Attachment:
    """Read the properties of a resource of the type AWS::IoT::Policy. Raises `InvalidTemplateError`."""
    unknown = sorted(properties.keys() - {"PolicyName", "PolicyDocument"})
    if unknown:
        raise InvalidTemplateError(
            f"the policy {resource[:60]!r} has a property {unknown[0][:60]!r}; expected PolicyName or PolicyDocument"
        )
    raw = properties.get("PolicyDocument")
    if raw is None:
        if "PolicyName" not in properties:
            raise InvalidTemplateError(f"the policy {resource[:60]!r} has neither PolicyName nor PolicyDocument")
        return Attachment(expression.parse(properties["PolicyName"], names, "PolicyName"), None)
    try:
        said = document.parse(raw) if isinstance(raw, str) else document.read(raw)
        name = _name_of(properties.get("PolicyName"), raw)
        document.check_policy(Policy(name, said))
    except InvalidPolicyError as error:
        raise InvalidTemplateError(f"the policy {resource[:60]!r} cannot be kept: {error}") from error
    return Attachment(Text(name), said)


def check_count(attachments: Iterable[Attachment]) -> tuple[Attachment, ...]:
    """Give them back when a template may have so many. Raises `InvalidTemplateError`."""
    given = tuple(attachments)
    if len(given) > ATTACHED_LIMIT:
        raise InvalidTemplateError(f"there are {len(given)} policies; at most {ATTACHED_LIMIT} are attached")
    return given


def attached(attachments: Iterable[Attachment], scope: Scope) -> tuple[str, ...]:
    """The names of the policies that a device gets, each once. Raises `InvalidTemplateError`."""
    return tuple(dict.fromkeys(expression.evaluate(one.name, scope, "PolicyName") for one in attachments))


def to_keep(attachments: Iterable[Attachment], known: Mapping[str, Document]) -> list[Policy]:
    """What has to be kept before a template can be used: the policies that are written in it and not known yet.

    Raises `InvalidTemplateError` when a policy is only named and not known, or known and says something else.
    """
    wanted = dict(known)
    new: list[Policy] = []
    given = tuple(attachments)
    for one in given:
        if one.document is None or not isinstance(one.name, Text):
            continue
        name = one.name.text
        if wanted.setdefault(name, one.document) != one.document:
            raise InvalidTemplateError(
                f"there is a policy {name!r} already that says something else: give the one in the template another "
                "name, or only name it without its document"
            )
        if name not in known:
            new.append(Policy(name, one.document))
    for one in given:
        if one.document is None and isinstance(one.name, Text) and one.name.text not in wanted:
            raise InvalidTemplateError(
                f"there is no policy {one.name.text[:140]!r}: add it under Policies first, or write its PolicyDocument "
                "into the template"
            )
    return list({policy.name: policy for policy in new}.values())


def _name_of(told: Raw, raw: Any) -> str:
    if told is None:
        return f"template-{hashlib.sha256(msgspec.json.encode(raw)).hexdigest()[:16]}"
    if not isinstance(told, str):
        raise InvalidPolicyError("its PolicyName has to be a text as it stands, for it comes with a document")
    return told
