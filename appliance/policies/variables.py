"""What stands in a policy for something of the device, and when a condition on it holds.

A value is put into a resource only if it cannot widen it: not empty, without `/ + # * ?`, not beginning with `$`.
"""

import re

from appliance.policies.containment import Pattern
from appliance.policies.model import Comparison, Condition, InvalidPolicyError, Kind, Resource, Subject

CLIENT_ID = "iot:ClientId"
THING_NAME = "iot:Connection.Thing.ThingName"
THING_TYPE = "iot:Connection.Thing.ThingTypeName"
IS_ATTACHED = "iot:Connection.Thing.IsAttached"
COMMON_NAME = "iot:Certificate.Subject.CommonName"

_ATTRIBUTE = re.compile(r"iot:Connection\.Thing\.Attributes\[([A-Za-z0-9_.,@/:#-]{1,128})\]", re.ASCII)
_NATIVE_ATTRIBUTE = re.compile(r"attributes\.([A-Za-z0-9_.,@:-]{1,128})", re.ASCII)
_AWS_VARIABLE = re.compile(r"\$\{([^{}]*)\}")
_NATIVE_VARIABLE = re.compile(r"\{([^{}]*)\}")
_WIDENING = frozenset("/+#*?\0")

_NATIVE = (Kind.CLIENT_ID, Kind.FILTER)


def check_variables(resource: Resource) -> None:
    """Raise `InvalidPolicyError` unless every variable of a resource is one that can be filled in."""
    if resource.kind in _NATIVE:
        expression, value, rest = _NATIVE_VARIABLE, native_value, ("{", "}")
        known = "{device_id}, {type}, {zone}, {serial_number} and {attributes.NAME}"
    else:
        expression, value, rest = _AWS_VARIABLE, aws_value, ("${", "\0")
        known = f"{CLIENT_ID}, Connection.Thing.ThingName, ThingTypeName, Attributes[NAME] and {COMMON_NAME}"
    for name in expression.findall(resource.text):
        try:
            value(name, Subject(""))
        except KeyError:
            raise InvalidPolicyError(
                f"the variable {name[:140]!r} cannot be filled in here; there are {known}"
            ) from None
    left = expression.sub("", resource.text)
    if any(sign in left for sign in rest):
        raise InvalidPolicyError(f"{resource.text[:140]!r} holds a variable that is not closed, or a brace too many")


def may_widen(value: str) -> bool:
    """Whether a value could make a resource stand for more than one device's."""
    return not value or value[0] == "$" or not _WIDENING.isdisjoint(value)


def filled(resource: Resource, subject: Subject, *, denies: bool = False) -> str | None:
    """The text of a resource for one device; None when a value is missing, or could widen it.

    Of a denial, what could widen it does: up to the variable it is as written, and from there on it is about
    everything. A device with an odd value must not be out of a denial's reach.
    """
    if "{" not in resource.text:
        return resource.text
    is_native = resource.kind in _NATIVE
    if is_native and not may_widen(subject.device_id):
        # Nearly every resource has this variable alone.
        text = resource.text.replace("{device_id}", subject.device_id)
        if "{" not in text:
            return text
    expression, value = (_NATIVE_VARIABLE, native_value) if is_native else (_AWS_VARIABLE, aws_value)
    values = {name: value(name, subject) for name in expression.findall(resource.text)}
    is_literal = denies and resource.kind is Kind.CLIENT_ID  # No sign stands for others there.
    if is_literal or not any(may_widen(each) for each in values.values()):
        return expression.sub(lambda match: values[match[1]], resource.text)
    return _widened(resource, expression) if denies and all(values.values()) else None


def _widened(resource: Resource, variable: re.Pattern[str]) -> str:
    """What a resource says before its first variable, and everything from there on."""
    before = variable.split(resource.text, maxsplit=1)[0]
    if resource.kind is Kind.FILTER:
        above = before[: before.rfind("/") + 1]
        # Not about the level above: `a/#` would be about `a` as well.
        return f"{above}+/#" if above else "#"
    return f"{before}*"


def holds(condition: Condition, subject: Subject) -> bool:
    """Whether a condition holds for a device, as AWS compares."""
    value = aws_value(condition.variable, subject)
    match condition.test:
        case Comparison.IS | Comparison.EQUALS:
            return bool(value) and value in condition.values
        case Comparison.NOT_EQUALS:
            return value not in condition.values
        case Comparison.LIKE:
            return bool(value) and _is_like(value, condition.values)
        case Comparison.NOT_LIKE:
            return not (value and _is_like(value, condition.values))


def native_value(name: str, subject: Subject) -> str:
    """What a variable of ours stands for; empty when the device has no such value. Raises `KeyError`."""
    known = {
        "device_id": subject.device_id,
        "type": subject.type,
        "zone": subject.zone,
        "serial_number": subject.serial_number,
    }
    if name in known:
        return known[name]
    attribute = _NATIVE_ATTRIBUTE.fullmatch(name)
    if attribute is None:
        raise KeyError(name)
    return subject.attributes.get(attribute[1], "")


def aws_value(name: str, subject: Subject) -> str:
    """What a variable of AWS stands for; empty when the device has no such value. Raises `KeyError`.

    Who a client is hangs on its certificate alone: its client identifier and the name in its certificate
    are what they are for this device, whatever it says of itself.
    """
    if name in (CLIENT_ID, THING_NAME, COMMON_NAME):
        return subject.device_id
    if name == THING_TYPE:
        return subject.type
    if name == IS_ATTACHED:
        # Its certificate is bound to it, or it would not be here.
        return "true"
    attribute = _ATTRIBUTE.fullmatch(name)
    if attribute is None:
        raise KeyError(name)
    return subject.attributes.get(attribute[1], "")


def _is_like(value: str, patterns: tuple[str, ...]) -> bool:
    return any(Pattern(pattern, levels=False, globs=True).matches(value, denies=True) for pattern in patterns)
