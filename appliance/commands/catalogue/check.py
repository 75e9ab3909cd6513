"""Whether a command can be described so, and whether what is asked for is what its description wants."""

import math
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from appliance.commands.catalogue.model import CommandType, Kind, Parameter, Value
from appliance.commands.model import InvalidCommandError

NAME = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
_PARAMETER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
PARAMETERS_LIMIT = 50
CHOICES_LIMIT = 200
TEXT_LENGTH = 2_000
UNIT_LENGTH = 32
TEMPLATE_LENGTH = 16_384
STRING_LENGTH = 16_384
_NUMBERS = (Kind.INTEGER, Kind.NUMBER)


def described(told: CommandType) -> CommandType:
    """Give back a description that can be kept. Raises `InvalidCommandError`."""
    if not NAME.fullmatch(told.name):
        raise InvalidCommandError(
            f"a command is named by 1 to 128 letters, digits, '_', '-', '.' or ':', not {told.name[:80]!r}"
        )
    if max(len(told.title), len(told.description)) > TEXT_LENGTH:
        raise InvalidCommandError(f"title and description of {told.name} have at most {TEXT_LENGTH:,} characters")
    if len(told.parameters) > PARAMETERS_LIMIT:
        raise InvalidCommandError(f"{told.name} has {len(told.parameters)} parameters; at most {PARAMETERS_LIMIT}")
    names = [parameter.name for parameter in told.parameters]
    if len(set(names)) < len(names):
        raise InvalidCommandError(f"two parameters of {told.name} have the same name")
    for parameter in told.parameters:
        _check_parameter(told.name, parameter)
    _check_template(told, set(names))
    return told


def payload_of(kind: CommandType, parameters: Mapping[str, object]) -> bytes:
    """The payload, JSON, that these values come to. Raises `InvalidCommandError`."""
    known = {parameter.name: parameter for parameter in kind.parameters}
    for name in parameters:
        if name not in known:
            raise InvalidCommandError(
                f"{kind.name} has no parameter {name[:64]!r}; there is {', '.join(known) or 'none'}"
            )
    values: dict[str, Value] = {}
    for name, parameter in known.items():
        value = parameters.get(name)
        if value is None:
            value = parameter.default
        if value is None:
            if parameter.is_required:
                raise InvalidCommandError(f"{kind.name} needs the parameter {name}")
            continue
        values[name] = _checked(kind.name, parameter, value)
    if not kind.payload_template:
        return msgspec.json.encode(values)
    return msgspec.json.encode(_filled(msgspec.json.decode(kind.payload_template), values))


def _check_parameter(command: str, parameter: Parameter) -> None:
    whose = f"parameter {parameter.name[:64]!r} of {command}"
    if not _PARAMETER.fullmatch(parameter.name):
        raise InvalidCommandError(
            f"{whose}: a name begins with a letter and has at most 64 letters, digits, '_', '-', '.'"
        )
    if len(parameter.description) > TEXT_LENGTH or len(parameter.unit) > UNIT_LENGTH:
        raise InvalidCommandError(f"{whose}: its description or unit is too long")
    bounds = [bound for bound in (parameter.least, parameter.greatest) if bound is not None]
    if bounds and parameter.kind not in {*_NUMBERS, Kind.STRING}:
        raise InvalidCommandError(f"{whose}: a {parameter.kind} has no least and no greatest value")
    if not all(map(math.isfinite, bounds)) or bounds != sorted(bounds):
        raise InvalidCommandError(f"{whose}: the least value is not below the greatest")
    if (parameter.kind is Kind.ENUM) != bool(parameter.choices) or len(parameter.choices) > CHOICES_LIMIT:
        raise InvalidCommandError(f"{whose}: an enum, and nothing else, has 1 to {CHOICES_LIMIT} choices")
    if parameter.default is not None:
        _checked(command, parameter, parameter.default)


def _check_template(told: CommandType, names: set[str]) -> None:
    if not told.payload_template:
        return
    if len(told.payload_template) > TEMPLATE_LENGTH:
        raise InvalidCommandError(f"the payload template of {told.name} has more than {TEMPLATE_LENGTH:,} characters")
    try:
        template = msgspec.json.decode(told.payload_template)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidCommandError(f"the payload template of {told.name} is no JSON: {error}") from error
    for name in _places(template):
        if name not in names:
            raise InvalidCommandError(f"the payload template of {told.name} names {name[:64]!r}, which is no parameter")


def _checked(command: str, parameter: Parameter, value: object) -> Value:
    whose = f"{parameter.name} of {command}"
    match parameter.kind, value:
        case Kind.BOOLEAN, bool():
            return value
        case Kind.INTEGER, int() if not isinstance(value, bool):
            return _within(whose, parameter, value)
        case Kind.NUMBER, int() | float() if not isinstance(value, bool):
            return _within(whose, parameter, value)
        case Kind.INTEGER, float() if value.is_integer():
            return _within(whose, parameter, int(value))
        case Kind.STRING, str():
            if len(value) > STRING_LENGTH:
                raise InvalidCommandError(f"{whose} has more than {STRING_LENGTH:,} characters")
            _within(f"the length of {whose}", parameter, len(value))
            return value
        case Kind.ENUM, str() if value in parameter.choices:
            return value
        case Kind.ENUM, _:
            raise InvalidCommandError(f"{whose} is one of {', '.join(parameter.choices)}, not {str(value)[:64]!r}")
        case _:
            article = "an" if parameter.kind is Kind.INTEGER else "a"
            raise InvalidCommandError(f"{whose} is {article} {parameter.kind}, not {str(value)[:64]!r}")


def _within(whose: str, parameter: Parameter, value: float) -> Value:
    unit = f" {parameter.unit}" if parameter.unit else ""
    if not math.isfinite(value):
        raise InvalidCommandError(f"{whose} is no number")
    if parameter.least is not None and value < parameter.least:
        raise InvalidCommandError(f"{whose} is at least {parameter.least:g}{unit}, not {value}")
    if parameter.greatest is not None and value > parameter.greatest:
        raise InvalidCommandError(f"{whose} is at most {parameter.greatest:g}{unit}, not {value}")
    return value


def _place(text: object) -> str | None:
    is_place = isinstance(text, str) and text.startswith("${") and text.endswith("}")
    return str(text)[2:-1] if is_place else None


def _places(template: object) -> list[str]:
    if isinstance(template, dict):
        return [name for value in template.values() for name in _places(value)]
    if isinstance(template, list):
        return [name for value in template for name in _places(value)]
    name = _place(template)
    return [] if name is None else [name]


def _filled(template: Any, values: Mapping[str, Value]) -> Any:
    """The template with the values in their places; a key whose value is not told is left out."""
    if isinstance(template, dict):
        return {key: _filled(value, values) for key, value in template.items() if _has_value(value, values)}
    if isinstance(template, list):
        return [_filled(value, values) for value in template if _has_value(value, values)]
    name = _place(template)
    return template if name is None else values[name]


def _has_value(template: object, values: Mapping[str, Value]) -> bool:
    name = _place(template)
    return name is None or name in values
