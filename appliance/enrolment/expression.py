"""The functions of a provisioning template: `Ref`, `Fn::Join`, `Fn::Split`, `Fn::Select`, `Fn::FindInMap`, `Fn::Sub`.

Rules: all that can be wrong with a template itself is said when it is read; what remains for the evaluation is
what a device's parameters make wrong. Every text that comes out is bounded, also those in between.
"""

import re
from collections.abc import Iterator, Mapping

import msgspec

from appliance.enrolment.model import InvalidTemplateError

TEXT_LIMIT = 2_048
"""The most characters of any text that is put together."""
DEPTH_LIMIT = 16
FUNCTIONS = ("Ref", "Fn::Join", "Fn::Split", "Fn::Select", "Fn::FindInMap", "Fn::Sub")

_VARIABLE = re.compile(r"\$\{([^}]*)\}")

Raw = str | list["Raw"] | dict[str, "Raw"] | int | float | bool | None


class Text(msgspec.Struct, frozen=True):
    """A text as it stands."""

    text: str


class Reference(msgspec.Struct, frozen=True):
    """The value of a parameter."""

    name: str


class Several(msgspec.Struct, frozen=True):
    """A list of texts."""

    values: "tuple[Expression, ...]"


class Join(msgspec.Struct, frozen=True):
    """Texts with a delimiter in between."""

    delimiter: str
    values: "Expression"


class Split(msgspec.Struct, frozen=True):
    """A text, cut at every delimiter."""

    delimiter: str
    text: "Expression"


class Select(msgspec.Struct, frozen=True):
    """One of several texts, counted from 0."""

    index: "Expression"
    values: "Expression"


class Lookup(msgspec.Struct, frozen=True):
    """A value of one of the template's mappings."""

    mapping: "Expression"
    first: "Expression"
    second: "Expression"


Expression = Text | Reference | Several | Join | Split | Select | Lookup
Mappings = Mapping[str, Mapping[str, Mapping[str, str]]]


class Scope(msgspec.Struct, frozen=True):
    """What an expression may name."""

    parameters: Mapping[str, str]
    mappings: Mappings


def parse(raw: Raw, names: frozenset[str], place: str, depth: int = 0) -> Expression:
    """Read an expression that may refer to parameters of these names. Raises `InvalidTemplateError`."""
    if depth > DEPTH_LIMIT:
        raise InvalidTemplateError(f"{place} is nested deeper than {DEPTH_LIMIT} levels")
    match raw:
        case str():
            return Text(raw)
        case list():
            return Several(tuple(parse(each, names, place, depth + 1) for each in raw))
        case dict() if len(raw) == 1:
            [(function, argument)] = raw.items()
            return _parse_function(function, argument, names, place, depth)
    raise InvalidTemplateError(f"{place} is {_short(raw)}: expected a text or one function")


def evaluate(expression: Expression, scope: Scope, place: str) -> str:
    """The text that an expression comes to. Raises `InvalidTemplateError`."""
    match expression:
        case Text():
            return expression.text
        case Reference():
            return _value(scope.parameters, expression.name, place)
        case Join():
            return _joined(expression.delimiter, _texts(expression.values, scope, place), place)
        case Select():
            index = evaluate(expression.index, scope, place)
            return _selected(index, _texts(expression.values, scope, place), place)
        case Lookup():
            return _found(expression, scope, place)
        case Several() | Split():
            raise InvalidTemplateError(f"{place} comes to a list: expected a text")


def _parse_function(function: str, argument: Raw, names: frozenset[str], place: str, depth: int) -> Expression:
    where = f"{function} in {place}"
    match function, argument:
        case "Ref", str(name):
            return _reference(name, names, where)
        case "Fn::Join", [str(delimiter), values]:
            return Join(delimiter, parse(values, names, where, depth + 1))
        case "Fn::Split", [str(delimiter), text] if delimiter:
            return Split(delimiter, parse(text, names, where, depth + 1))
        case "Fn::Select", [index, values]:
            wanted = str(index) if isinstance(index, int) and not isinstance(index, bool) else index
            return Select(parse(wanted, names, where, depth + 1), parse(values, names, where, depth + 1))
        case "Fn::FindInMap", [mapping, first, second]:
            return Lookup(*(parse(each, names, where, depth + 1) for each in (mapping, first, second)))
        case "Fn::Sub", (str(text) | [str(text), dict()]):
            told = argument[1] if isinstance(argument, list) else {}
            own = told.items() if isinstance(told, dict) else ()
            known = {name: parse(each, names, where, depth + 1) for name, each in own}
            return Join("", Several(tuple(_parts(text, known, names, where))))
        case _:
            reason = "has arguments that do not fit it" if function in FUNCTIONS else "is no function of a template"
            raise InvalidTemplateError(f"{where[:200]} {reason}: {_short(argument)}")


def _reference(name: str, names: frozenset[str], where: str) -> Reference:
    if name not in names:
        raise InvalidTemplateError(f"{where} names {name[:60]!r}, which is none of the template's parameters")
    return Reference(name)


def _parts(text: str, own: Mapping[str, Expression], names: frozenset[str], where: str) -> Iterator[Expression]:
    position = 0
    for found in _VARIABLE.finditer(text):
        yield Text(text[position : found.start()])
        position = found.end()
        name = found[1].strip()
        if name.startswith("!"):
            yield Text(f"${{{name[1:]}}}")
        else:
            yield own[name] if name in own else _reference(name, names, where)
    yield Text(text[position:])


def _value(parameters: Mapping[str, str], name: str, place: str) -> str:
    if name not in parameters:
        raise InvalidTemplateError(f"the parameter {name[:60]} is missing: {place} needs it")
    return parameters[name]


def _texts(expression: Expression, scope: Scope, place: str) -> list[str]:
    if isinstance(expression, Several):
        return [evaluate(each, scope, place) for each in expression.values]
    if isinstance(expression, Split):
        return evaluate(expression.text, scope, place).split(expression.delimiter)
    raise InvalidTemplateError(f"{place} has a text where a list is expected")


def _joined(delimiter: str, texts: list[str], place: str) -> str:
    if sum(map(len, texts)) + len(delimiter) * len(texts) > TEXT_LIMIT:
        raise InvalidTemplateError(f"{place} comes to more than {TEXT_LIMIT} characters")
    return delimiter.join(texts)


def _selected(index: str, texts: list[str], place: str) -> str:
    position = int(index) if index.isascii() and index.isdigit() and len(index) < len("100000") else -1
    if not 0 <= position < len(texts):
        raise InvalidTemplateError(f"{place} selects number {index[:20]!r} of {len(texts)}")
    return texts[position]


def _found(lookup: Lookup, scope: Scope, place: str) -> str:
    keys = [evaluate(each, scope, place) for each in (lookup.mapping, lookup.first, lookup.second)]
    try:
        return scope.mappings[keys[0]][keys[1]][keys[2]]
    except KeyError:
        path = ", ".join(key[:60] for key in keys)
        raise InvalidTemplateError(f"{place} looks for {path} in the mappings, where it is not") from None


def _short(raw: Raw) -> str:
    text = msgspec.json.encode(raw).decode()
    return text if len(text) < len("x" * 60) else text[:60] + "…"
