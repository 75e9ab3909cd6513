"""The description of a command as it is typed in: read field by field, what is wrong beside its field. Pure."""

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from appliance.commands.catalogue import check
from appliance.commands.catalogue.model import CommandType, Kind, Parameter, Value
from appliance.commands.model import DialectName, InvalidCommandError
from web.command_form import DIALECTS
from web.typed_in import Reading

KINDS = {
    Kind.STRING.value: "text",
    Kind.INTEGER.value: "whole number",
    Kind.NUMBER.value: "number",
    Kind.BOOLEAN.value: "yes or no",
    Kind.ENUM.value: "one of several",
}
ROWS = "rows"
"""The field that says how many parameters the form has."""

_BOUNDED = (Kind.STRING, Kind.INTEGER, Kind.NUMBER)
_FIELDS = ("name", "kind", "description", "unit", "least", "greatest", "choices", "is_required", "default")
_TRUTHS = {"yes": True, "true": True, "no": False, "false": False}
_WHOSE = re.compile(r"^parameter .*? of [^ ]+: ", re.DOTALL)
_UNNAMED = "it"
_UNNAMED_VALUE = "value"


class Row(msgspec.Struct, frozen=True):
    """One parameter as inputs of the form."""

    number: int
    """From 1."""
    prefix: str
    """Before the names of its fields."""
    typed: Mapping[str, str]


class Told(NamedTuple):
    """What the form told."""

    command: CommandType
    """As far as it was understood."""
    complaints: Mapping[str, str]


def typed_of(command: CommandType) -> dict[str, str]:
    """A description as it stands in the form."""
    typed = {
        "name": command.name,
        "title": command.title,
        "description": command.description,
        "dialect": command.dialect.value,
        "may_repeat": _word(command.may_repeat),
        "payload_template": command.payload_template,
        ROWS: str(len(command.parameters)),
    }
    for number, parameter in enumerate(command.parameters, 1):
        typed |= {f"{_prefix(number)}{name}": text for name, text in _texts(parameter).items()}
    return typed


def rows_of(typed: Mapping[str, str]) -> list[Row]:
    """The parameters of the form, with what was typed into each."""
    return [Row(number, _prefix(number), _row(typed, number)) for number in range(1, _count(typed) + 1)]


def with_row(typed: Mapping[str, str]) -> dict[str, str]:
    """The form with an empty parameter more, as far as there may be more."""
    return {**typed, ROWS: str(min(_count(typed) + 1, check.PARAMETERS_LIMIT))}


def without_row(typed: Mapping[str, str], number: int) -> dict[str, str]:
    """The form without one of its parameters."""
    rows = [row for row in rows_of(typed) if row.number != number]
    kept = {name: text for name, text in typed.items() if not re.match(r"p[0-9]+\.", name)}
    for place, row in enumerate(rows, 1):
        kept |= {f"{_prefix(place)}{name}": text for name, text in row.typed.items()}
    return {**kept, ROWS: str(len(rows))}


def told(typed: Mapping[str, str]) -> Told:
    """The description that was typed in, and by field what is wrong with it. A parameter left empty is none."""
    reading = Reading(typed)
    command = CommandType(
        name=reading.text("name"),
        title=reading.text("title"),
        description=reading.text("description").replace("\r\n", "\n"),
        dialect=DialectName(reading.choice("dialect", DIALECTS)),
        may_repeat=reading.text("may_repeat") == "yes",
    )
    _try(reading, "name", lambda: check.described(CommandType(command.name)))
    name = _UNNAMED if "name" in reading.complaints else command.name
    _try(reading, "title", lambda: check.described(CommandType(name, command.title)))
    _try(reading, "description", lambda: check.described(CommandType(name, description=command.description)))
    command = replace(command, parameters=_parameters(reading, name, typed))
    template = reading.text("payload_template")
    with_template = replace(command, name=name, title="", description="", payload_template=template)
    # What is wrong with a parameter stands beside it; its places in the template are looked at when it is mended.
    if not any(re.match(r"p[0-9]+\.", field) for field in reading.complaints):
        _try(reading, "payload_template", lambda: check.described(with_template))
    return Told(replace(command, payload_template=template), reading.complaints)


def _parameters(reading: Reading, command: str, typed: Mapping[str, str]) -> tuple[Parameter, ...]:
    found: dict[str, Parameter] = {}
    for row in rows_of(typed):
        if not any(row.typed.get(name, "").strip() for name in _FIELDS if name != "kind"):
            continue
        parameter = _parameter(reading, command, row.prefix)
        if parameter is None:
            continue
        if parameter.name in found:
            reading.complain(f"{row.prefix}name", f"there is a parameter {parameter.name} above")
        found.setdefault(parameter.name, parameter)
    return tuple(found.values())


def _parameter(reading: Reading, command: str, prefix: str) -> Parameter | None:
    """One parameter, made field by field: what is wrong stands beside the field with which it went wrong."""
    kind = Kind(reading.choice(f"{prefix}kind", KINDS))
    parameter = Parameter(reading.text(f"{prefix}name"), is_required=reading.text(f"{prefix}is_required") == "yes")

    def take(field: str, **more: object) -> None:
        nonlocal parameter
        grown = replace(parameter, **more)
        if _try(reading, f"{prefix}{field}", lambda: check.described(CommandType(command, parameters=(grown,)))):
            parameter = grown

    take("name")
    if f"{prefix}name" in reading.complaints:
        parameter = replace(parameter, name=_UNNAMED_VALUE)
    choices = _lines(reading.text(f"{prefix}choices")) if kind is Kind.ENUM else ()
    take("choices", kind=kind, choices=choices)
    take("description", description=reading.text(f"{prefix}description"))
    take("unit", unit=reading.text(f"{prefix}unit"))
    if kind in _BOUNDED:
        take("least", least=reading.number(f"{prefix}least"))
        take("greatest", greatest=reading.number(f"{prefix}greatest"))
    take("default", default=_default(reading, kind, f"{prefix}default"))
    return None if f"{prefix}name" in reading.complaints else parameter


def _default(reading: Reading, kind: Kind, name: str) -> Value | None:
    text = reading.text(name)
    if not text:
        return None
    match kind:
        case Kind.INTEGER:
            return reading.whole(name)
        case Kind.NUMBER:
            return reading.number(name)
        case Kind.BOOLEAN:
            if text.lower() not in _TRUTHS:
                reading.complain(name, "it is yes or no")
            return _TRUTHS.get(text.lower())
        case Kind.STRING | Kind.ENUM:
            return text


def _try(reading: Reading, name: str, checked: Callable[[], object]) -> bool:
    """Whether it can be; why it cannot is kept beside the field."""
    try:
        checked()
    except InvalidCommandError as error:
        reading.complain(name, _WHOSE.sub("", str(error)))
        return False
    return True


def _texts(parameter: Parameter) -> dict[str, str]:
    return {
        "name": parameter.name,
        "kind": parameter.kind.value,
        "description": parameter.description,
        "unit": parameter.unit,
        "least": _number(parameter.least),
        "greatest": _number(parameter.greatest),
        "choices": "\n".join(parameter.choices),
        "is_required": _word(parameter.is_required),
        "default": _written(parameter.default),
    }


def _written(value: Value | None) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else _number(value) if isinstance(value, float) else str(value)


def _number(bound: float | None) -> str:
    """A number as people write it: `3000`, not `3000.0`."""
    return "" if bound is None else repr(bound).removesuffix(".0")


def _word(is_so: bool) -> str:  # noqa: FBT001  it is the value, and changes nothing else
    return "yes" if is_so else ""


def _lines(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))


def _count(typed: Mapping[str, str]) -> int:
    text = typed.get(ROWS, "")
    is_number = text.isascii() and text.isdecimal() and len(text) < len("1000")
    return min(int(text), check.PARAMETERS_LIMIT) if is_number else 0


def _row(typed: Mapping[str, str], number: int) -> dict[str, str]:
    return {name: typed.get(f"{_prefix(number)}{name}", "") for name in _FIELDS}


def _prefix(number: int) -> str:
    return f"p{number}."
