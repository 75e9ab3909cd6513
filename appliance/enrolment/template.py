"""A provisioning template in AWS's JSON: what it makes of a device that asks.

It names one thing and the certificate that was just issued, and the policies that the device gets besides those of its
type.
"""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from appliance.enrolment import attachment, expression
from appliance.enrolment.attachment import Attachment
from appliance.enrolment.expression import Expression, Raw, Scope
from appliance.enrolment.model import Enrolled, InvalidTemplateError, Setting
from appliance.registry.model import DeviceState, NewDevice

BODY_LIMIT = 10_240
"""The most characters of a template (AWS)."""
PARAMETERS_LIMIT = 64
PARAMETER_LENGTH = 512
"""The most characters of a parameter's value."""
NAME_PATTERN = r"^[0-9A-Za-z_-]{1,36}$"

CERTIFICATE_ID = "AWS::IoT::Certificate::Id"
SERIAL_NUMBER = "SerialNumber"
"""The parameter whose value is the device's serial number."""

DEFAULT_BODY = """\
{
  "Parameters": {
    "SerialNumber": {"Type": "String"},
    "AWS::IoT::Certificate::Id": {"Type": "String"}
  },
  "Resources": {
    "thing": {
      "Type": "AWS::IoT::Thing",
      "Properties": {"ThingName": {"Ref": "SerialNumber"}}
    },
    "certificate": {
      "Type": "AWS::IoT::Certificate",
      "Properties": {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}, "Status": "Active"}
    }
  }
}
"""

_THING, _CERTIFICATE, _POLICY = "AWS::IoT::Thing", "AWS::IoT::Certificate", "AWS::IoT::Policy"
_OWN_ATTRIBUTES = ("name", "zone")
"""Attributes of the thing that are fields of a device here."""
_SETTABLE = ("AttributePayload", "ThingTypeName", "ThingGroups")


class _Parameter(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="pascal"):
    type: Literal["String"] = "String"
    default: str | None = None


class _Resource(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="pascal"):
    type: str
    properties: dict[str, Any] = {}
    override_settings: dict[str, Setting] = {}


class _Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="pascal"):
    resources: dict[str, _Resource]
    parameters: dict[str, _Parameter] = {}
    mappings: dict[str, dict[str, dict[str, str]]] = {}
    device_configuration: dict[str, Any] = {}
    description: str = ""


class Template(msgspec.Struct, frozen=True):
    """A template that can be evaluated."""

    defaults: Mapping[str, str | None]
    """The parameters, and what they are when a device says nothing; None where it has to."""
    mappings: expression.Mappings
    thing_name: Expression
    type: Expression
    attributes: Mapping[str, Expression]
    groups: tuple[Expression, ...]
    status: Expression
    configuration: Mapping[str, Expression]
    settings: Mapping[str, Setting]
    policies: tuple[Attachment, ...]
    left_out: tuple[str, ...]
    """Sentences on what of it this gateway does not do."""


def read(body: str) -> Template:
    """Read a template. Raises `InvalidTemplateError` with a sentence that says what is wrong with it."""
    if len(body) > BODY_LIMIT:
        raise InvalidTemplateError(f"the template has {len(body)} characters; at most {BODY_LIMIT} are taken")
    try:
        parsed = msgspec.json.decode(body, type=_Body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidTemplateError(f"this is no provisioning template: {error}") from error
    names = frozenset((*parsed.parameters, CERTIFICATE_ID))
    thing = _only(parsed, _THING)
    certificate = _only(parsed, _CERTIFICATE)
    _check_certificate(certificate)
    _check_settings(thing)
    return Template(
        defaults={name: parameter.default for name, parameter in parsed.parameters.items() if name != CERTIFICATE_ID},
        mappings=parsed.mappings,
        thing_name=expression.parse(_required(thing, "ThingName"), names, "ThingName"),
        type=expression.parse(thing.properties.get("ThingTypeName", ""), names, "ThingTypeName"),
        attributes=_each(thing.properties.get("AttributePayload", {}), names, "AttributePayload"),
        groups=_groups(thing.properties.get("ThingGroups", []), names),
        status=expression.parse(certificate.properties.get("Status", "ACTIVE"), names, "Status"),
        configuration=_each(parsed.device_configuration, names, "DeviceConfiguration"),
        settings=thing.override_settings,
        policies=attachment.check_count(
            attachment.read(name, resource.properties, names)
            for name, resource in parsed.resources.items()
            if resource.type == _POLICY
        ),
        left_out=tuple(_left_out(thing)),
    )


def evaluate(template: Template, told: Mapping[str, str], certificate_id: str) -> Enrolled:
    """What the template makes of the parameters that a device told. Raises `InvalidTemplateError`."""
    scope = Scope(_parameters(template, told, certificate_id), template.mappings)
    thing_name = expression.evaluate(template.thing_name, scope, "ThingName")
    attributes = {
        key: expression.evaluate(value, scope, f"AttributePayload.{key}") for key, value in template.attributes.items()
    }
    own = {key: attributes.pop(key, "") for key in _OWN_ATTRIBUTES}
    new = NewDevice(
        thing_name,
        type=expression.evaluate(template.type, scope, "ThingTypeName"),
        serial_number=told.get(SERIAL_NUMBER, ""),
        groups=tuple(expression.evaluate(group, scope, "ThingGroups") for group in template.groups),
        attributes=attributes,
        state=_state(expression.evaluate(template.status, scope, "Status")),
        **own,
    )
    configuration = {
        key: expression.evaluate(value, scope, f"DeviceConfiguration.{key}")
        for key, value in template.configuration.items()
    }
    return Enrolled(new, configuration, template.settings, attachment.attached(template.policies, scope))


def _parameters(template: Template, told: Mapping[str, str], certificate_id: str) -> dict[str, str]:
    if len(told) > PARAMETERS_LIMIT:
        raise InvalidTemplateError(f"there are {len(told)} parameters; at most {PARAMETERS_LIMIT} are taken")
    for name, value in told.items():
        if len(value) > PARAMETER_LENGTH:
            raise InvalidTemplateError(f"the parameter {name[:60]} has more than {PARAMETER_LENGTH} characters")
    known = {name: default for name, default in template.defaults.items() if default is not None}
    known |= {name: value for name, value in told.items() if name in template.defaults}
    missing = [name for name in template.defaults if name not in known]
    if missing:
        raise InvalidTemplateError(f"the parameter {missing[0]} is missing")
    return known | {CERTIFICATE_ID: certificate_id}


def _only(body: _Body, kind: str) -> _Resource:
    found = [resource for resource in body.resources.values() if resource.type == kind]
    others = [name for name, resource in body.resources.items() if resource.type not in (_THING, _CERTIFICATE, _POLICY)]
    if others:
        raise InvalidTemplateError(f"the resource {others[0]!r} is neither a thing nor a certificate nor a policy")
    if len(found) != 1:
        raise InvalidTemplateError(f"there are {len(found)} resources of the type {kind}; expected exactly one")
    return found[0]


def _required(resource: _Resource, key: str) -> Raw:
    if key not in resource.properties:
        raise InvalidTemplateError(f"the resource of the type {resource.type} has no property {key}")
    raw: Raw = resource.properties[key]
    return raw


def _check_certificate(certificate: _Resource) -> None:
    if certificate.properties.get("CertificateId") != {"Ref": CERTIFICATE_ID}:
        raise InvalidTemplateError(f'CertificateId has to be {{"Ref": "{CERTIFICATE_ID}"}}: the one that was issued')


def _check_settings(thing: _Resource) -> None:
    for key, setting in thing.override_settings.items():
        if key not in _SETTABLE:
            raise InvalidTemplateError(f"OverrideSettings names {key[:60]!r}; it is for {', '.join(_SETTABLE)}")
        if setting is Setting.MERGE and key == "ThingTypeName":
            raise InvalidTemplateError("OverrideSettings: a ThingTypeName cannot be merged")


def _each(raw: Raw, names: frozenset[str], place: str) -> dict[str, Expression]:
    if not isinstance(raw, dict):
        raise InvalidTemplateError(f"{place} is no object of texts")
    return {key: expression.parse(value, names, f"{place}.{key[:60]}") for key, value in raw.items()}


def _groups(raw: Raw, names: frozenset[str]) -> tuple[Expression, ...]:
    if not isinstance(raw, list):
        raise InvalidTemplateError("ThingGroups is no list of texts")
    return tuple(expression.parse(each, names, "ThingGroups") for each in raw)


def _state(status: str) -> DeviceState:
    match status.upper():
        case "ACTIVE":
            return DeviceState.ACTIVE
        case "INACTIVE":
            return DeviceState.PENDING
        case _:
            raise InvalidTemplateError(f"Status comes to {status[:40]!r}; expected ACTIVE or INACTIVE")


def _left_out(thing: _Resource) -> list[str]:
    known = {"ThingName", "ThingTypeName", "AttributePayload", "ThingGroups"}
    return [f"{key} is not kept." for key in thing.properties if key not in known]
