"""A command as it is typed into a form: made of its description in the device type, and read field by field. Pure."""

from collections.abc import Mapping, Sequence

import msgspec

from appliance.commands.catalogue import check
from appliance.commands.catalogue.model import CommandType, Kind, Parameter
from appliance.commands.check import LONGEST_S, PRIORITY_LIMIT, RETRIES_LIMIT
from appliance.commands.model import CBOR, JSON, DialectName, InvalidCommandError, NewCommand
from appliance.instant import MINUTE_MS, SECOND_MS
from web.typed_in import Reading

PREFIX = "p."
"""Before the name of a parameter, where it names a field."""
LONGEST_MINUTES = LONGEST_S // 60

CONTENT_TYPES = {
    JSON: "JSON",
    "text/plain": "text",
    CBOR: "CBOR, in hexadecimal",
    "application/octet-stream": "bytes, in hexadecimal",
}
DIALECTS = {
    DialectName.ANY.value: "whatever the device has subscribed to",
    DialectName.PLAIN.value: "plain topics, cmd/…",
    DialectName.AWS.value: "topics of AWS IoT, $aws/commands/…",
    DialectName.JOBS.value: "a job of AWS IoT, $aws/things/…/jobs",
}
QUALITIES = {"": "as usual", "1": "1, at least once", "2": "2, exactly once"}
REPEATS = {"": "as its description says", "yes": "yes: twice does no harm", "no": "no: never twice"}
_TRUTHS = {"yes": "yes", "no": "no"}
_HEXADECIMAL = (CBOR, "application/octet-stream")


class Field(msgspec.Struct, frozen=True):
    """One parameter as an input of a form."""

    name: str
    label: str
    unit: str
    hint: str
    kind: str
    """`text`, `whole`, `number` or `choice`."""
    value: str
    least: str | None
    greatest: str | None
    limits: str
    """The same in words."""
    choices: Mapping[str, str]
    is_required: bool


def fields_of(described: CommandType, typed: Mapping[str, str]) -> list[Field]:
    """The inputs for a command, with what was typed into them before."""
    return [_field(parameter, typed) for parameter in described.parameters]


def command_typed(
    described: CommandType | None, name: str, typed: Mapping[str, str]
) -> tuple[NewCommand, Mapping[str, str]]:
    """The command that was typed in, as far as it is understood, and by field what is wrong with it.

    Without a description its payload was typed in as it is.
    """
    reading = Reading(typed)
    minutes = reading.number("expires_minutes", 1 / 60, LONGEST_MINUTES)
    quality = reading.choice("qos", QUALITIES) if reading.text("qos") else ""
    repeats = reading.choice("may_repeat", REPEATS) if reading.text("may_repeat") else ""
    payload, content_type = (b"{}", JSON) if described else _payload(reading)
    if not name:
        reading.complain("name", "a command needs a name, which the device is told")
    new = NewCommand(
        name=name,
        payload=payload,
        content_type=content_type,
        parameters=_parameters(described.parameters, reading) if described else None,
        dialect=DialectName(reading.choice("dialect", DIALECTS)),
        qos=int(quality) if quality else None,
        priority=reading.whole("priority", -PRIORITY_LIMIT, PRIORITY_LIMIT) or 0,
        expires_in_s=None if minutes is None else max(1, round(minutes * MINUTE_MS / SECOND_MS)),
        start_timeout_s=reading.whole("start_timeout_s", 1, LONGEST_S),
        finish_timeout_s=reading.whole("finish_timeout_s", 1, LONGEST_S),
        retries=reading.whole("retries", 0, RETRIES_LIMIT) or 0,
        may_repeat=None if not repeats else repeats == "yes",
    )
    return new, reading.complaints


def _field(parameter: Parameter, typed: Mapping[str, str]) -> Field:
    name = PREFIX + parameter.name
    choices: dict[str, str] = {}
    if parameter.kind is Kind.BOOLEAN:
        choices = dict(_TRUTHS)
    elif parameter.kind is Kind.ENUM:
        choices = {choice: choice for choice in parameter.choices}
    if choices and (not parameter.is_required or parameter.default is None):
        choices = {"": "choose" if parameter.is_required else "leave out", **choices}
    kinds = {Kind.INTEGER: "whole", Kind.NUMBER: "number", Kind.STRING: "text"}
    return Field(
        name=name,
        label=parameter.name.replace("_", " ").capitalize(),
        unit=parameter.unit,
        hint=parameter.description,
        kind=kinds.get(parameter.kind, "choice"),
        value=typed.get(name, _written(parameter.default)),
        least=_plain(parameter.least),
        greatest=_plain(parameter.greatest),
        limits=_limits(parameter),
        choices=choices,
        is_required=parameter.is_required,
    )


def _plain(bound: float | None) -> str | None:
    """A bound as HTML wants it: minlength takes no decimal point."""
    return None if bound is None else str(int(bound)) if bound == int(bound) else repr(bound)


def _limits(parameter: Parameter) -> str:
    unit = " characters" if parameter.kind is Kind.STRING else f" {parameter.unit}" if parameter.unit else ""
    least, greatest = parameter.least, parameter.greatest
    if least is not None and greatest is not None:
        return f"{least:g} to {greatest:g}{unit}"
    if least is not None:
        return f"at least {least:g}{unit}"
    return "" if greatest is None else f"at most {greatest:g}{unit}"


def _parameters(parameters: Sequence[Parameter], reading: Reading) -> dict[str, object]:
    told: dict[str, object] = {}
    for parameter in parameters:
        name = PREFIX + parameter.name
        value = _value(parameter, name, reading)
        if value is not None:
            told[parameter.name] = value
        if name not in reading.complaints:
            try:
                check.payload_of(
                    CommandType("it", parameters=(parameter,)), {} if value is None else {parameter.name: value}
                )
            except InvalidCommandError as error:
                reading.complain(name, str(error).replace(" of it ", " ").replace("it needs the parameter", "it needs"))
    return told


def _value(parameter: Parameter, name: str, reading: Reading) -> object:
    text = reading.text(name)
    if not text:
        return None
    match parameter.kind:
        case Kind.INTEGER:
            return reading.whole(name)
        case Kind.NUMBER:
            return reading.number(name)
        case Kind.BOOLEAN:
            return reading.choice(name, _TRUTHS) == "yes"
        case Kind.STRING | Kind.ENUM:
            return text


def _payload(reading: Reading) -> tuple[bytes, str]:
    content_type = reading.choice("content_type", CONTENT_TYPES)
    text = reading.text("payload")
    if content_type in _HEXADECIMAL:
        try:
            return bytes.fromhex(text), content_type
        except ValueError:
            reading.complain("payload", "this is not hexadecimal: expected pairs of the digits 0 to 9 and a to f")
            return b"", content_type
    if content_type == JSON:
        try:
            msgspec.json.decode(text or "{}")
        except msgspec.DecodeError as error:
            reading.complain("payload", f"this is no JSON: {error}")
        text = text or "{}"
    return text.encode("utf-8", "replace"), content_type


def _written(value: object) -> str:
    """A default as it stands in an input."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value}"
