"""The text of a policy: our own form, or that of AWS IoT. Read, checked and written.

Our own form is `{"statements": [{"effect": "allow", "actions": ["publish"], "resources": ["lab/{device_id}/#"]}]}`.
"""

import re
from typing import Any

import msgspec

from appliance.policies import aws
from appliance.policies.model import (
    Action,
    Document,
    Effect,
    InvalidPolicyError,
    Kind,
    Policy,
    Resource,
    Statement,
)
from appliance.policies.variables import check_variables

STATEMENTS_LIMIT = 200
RESOURCES_LIMIT = 1_000
"""In all statements of one policy."""
TEXT_LENGTH = 512
"""The most characters of a resource, of a value in a condition, and of the name of a target."""
TEXT_BYTES = 131_072
"""The largest text of a policy."""
TARGETS_LIMIT = 10_000

_NAME = re.compile(r"[A-Za-z0-9_+=,.@-]{1,128}", re.ASCII)


class NativeStatement(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A statement of our own form: its resources are topic filters, or client identifiers for connect."""

    effect: Effect
    actions: tuple[Action, ...]
    resources: tuple[str, ...]
    sid: str = ""


class NativeDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A policy of our own form."""

    statements: tuple[NativeStatement, ...]
    replaces_default: bool = False


def parse(text: str | bytes) -> Document:
    """The document that a JSON text says, in either form. Raises `InvalidPolicyError`."""
    if len(text) > TEXT_BYTES:
        raise InvalidPolicyError(f"the policy is longer than {TEXT_BYTES:,} bytes")
    try:
        told = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidPolicyError(f"the policy is no JSON: {error}") from None
    return read(told)


def read(told: Any) -> Document:
    """The document that decoded JSON says, in either form. Raises `InvalidPolicyError`."""
    is_aws = isinstance(told, dict) and ("Statement" in told or "Version" in told)
    document = aws.read(told) if is_aws else _native(told)
    _check_size(document)
    return document


def written(document: Document) -> dict[str, Any]:
    """A document as people write it: in the form in which it came."""
    if not aws.is_native(document):
        return aws.write(document)
    native = NativeDocument(
        tuple(
            NativeStatement(each.effect, each.actions, tuple(resource.text for resource in each.resources), each.sid)
            for each in document.statements
        ),
        document.replaces_default,
    )
    told: dict[str, Any] = msgspec.to_builtins(native)
    return told


def check_policy(policy: Policy) -> Policy:
    """Give a policy back when its name and its targets can be kept. Raises `InvalidPolicyError`."""
    if not _NAME.fullmatch(policy.name) or policy.name in ("default", "gateway"):
        raise InvalidPolicyError(
            f"{policy.name[:140]!r} cannot be a policy's name: expected 1 to 128 of letters, digits and _ + = , . @ -, "
            "and neither default nor gateway"
        )
    if len(policy.types) + len(policy.devices) > TARGETS_LIMIT:
        raise InvalidPolicyError(f"a policy concerns at most {TARGETS_LIMIT:,} types and devices by name")
    for target in (*policy.types, *policy.devices):
        if not 0 < len(target) <= TEXT_LENGTH:
            raise InvalidPolicyError(f"the name of a type or device has 1 to {TEXT_LENGTH} characters")
    return msgspec.structs.replace(
        policy, types=tuple(dict.fromkeys(policy.types)), devices=tuple(dict.fromkeys(policy.devices))
    )


def _native(told: Any) -> Document:
    try:
        document = msgspec.convert(told, NativeDocument)
    except msgspec.ValidationError as error:
        raise InvalidPolicyError(f"the policy is not of a form that is known: {error}") from None
    statements = tuple(
        _native_statement(f"statement {number}", each) for number, each in enumerate(document.statements, 1)
    )
    if not statements and not document.replaces_default:
        raise InvalidPolicyError("the policy holds no statement")
    return Document(statements, document.replaces_default)


def _native_statement(where: str, told: NativeStatement) -> Statement:
    if not told.actions or not told.resources:
        raise InvalidPolicyError(f"{where} needs at least one action and one resource")
    is_connect = Action.CONNECT in told.actions
    if is_connect and set(told.actions) != {Action.CONNECT}:
        raise InvalidPolicyError(f"{where}: connect is about client ids, the others about topics: write two statements")
    kind = Kind.CLIENT_ID if is_connect else Kind.FILTER
    resources = tuple(Resource(kind, text) for text in told.resources)
    for resource in resources:
        _check_filter(where, resource)
        check_variables(resource)
    return Statement(told.effect, tuple(action for action in Action if action in told.actions), resources, (), told.sid)


def _check_filter(where: str, resource: Resource) -> None:
    text = resource.text
    if not text or "\0" in text:
        raise InvalidPolicyError(f"{where}: a resource is empty or holds a NUL")
    if resource.kind is Kind.CLIENT_ID:
        if any(sign in text for sign in "/+#"):
            raise InvalidPolicyError(f"{where}: {text[:140]!r} can match nothing: a client id holds none of / + #")
        return
    levels = text.split("/")
    if "#" in levels[:-1] or any(sign in level and level != sign for sign in "+#" for level in levels):
        raise InvalidPolicyError(f"{where}: {text[:140]!r} is no topic filter: + fills a level, # is the last one")


def _check_size(document: Document) -> None:
    if len(document.statements) > STATEMENTS_LIMIT:
        raise InvalidPolicyError(f"a policy has at most {STATEMENTS_LIMIT} statements")
    resources = [resource for statement in document.statements for resource in statement.resources]
    if len(resources) > RESOURCES_LIMIT:
        raise InvalidPolicyError(f"a policy has at most {RESOURCES_LIMIT:,} resources")
    values = [value for each in document.statements for condition in each.conditions for value in condition.values]
    sids = [statement.sid for statement in document.statements]
    if any(len(text) > TEXT_LENGTH for text in (*values, *sids, *(resource.text for resource in resources))):
        raise InvalidPolicyError(f"no resource, value or Sid is longer than {TEXT_LENGTH} characters")
