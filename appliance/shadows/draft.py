"""A section of a shadow as a person writes it, whole: read from text, and made into the patch that leads to it. Pure.

A patch takes a key away by null, so that a draft itself holds none: what is not wanted is left out.
"""

import json
import math
from collections.abc import Mapping
from typing import Any, NoReturn

from appliance.errors import InvalidInputError
from appliance.shadows.difference import is_same

LEVELS_LIMIT = 32
"""More than a shadow takes: what is deeper is not looked at."""
Section = dict[str, Any]


class InvalidDraftError(InvalidInputError):
    """A text is no section of a shadow."""

    code = "invalid_draft"


class _UnfitError(Exception):
    """Something may stand in JSON and not in a draft."""


def read(text: str) -> Section:
    """The object that a text says. Nothing at all is one without keys. Raises `InvalidDraftError`."""
    if not text.strip():
        return {}
    try:
        told = json.loads(text, object_pairs_hook=_object, parse_constant=_no_constant, parse_float=_number)
    except json.JSONDecodeError as error:
        raise InvalidDraftError(f"line {error.lineno}, column {error.colno}: {_words(error.msg)}") from None
    except _UnfitError as error:
        raise InvalidDraftError(str(error)) from None
    except (RecursionError, ValueError):
        raise InvalidDraftError("there is a number with too many digits, or it is nested too deeply") from None
    if not isinstance(told, dict):
        raise InvalidDraftError(f"expected an object in braces, got {_kind(told)}")
    _check(told, (), 1)
    return told


def written(section: Mapping[str, Any] | None) -> str:
    """A section as people read it."""
    return json.dumps(section or {}, indent=2, ensure_ascii=False)


def patch(current: Mapping[str, Any] | None, wanted: Mapping[str, Any]) -> Section | None:
    """What is to be merged into `current` so that it becomes `wanted`; None takes the section away.

    It has no keys when nothing is to change.
    """
    if not wanted:
        return None if current else {}
    return _patch(current or {}, wanted)


def _patch(current: Mapping[str, Any], wanted: Mapping[str, Any]) -> Section:
    made: Section = dict.fromkeys(key for key in current if key not in wanted)
    for key, value in wanted.items():
        before = current.get(key)
        if key in current and is_same(before, value):
            continue
        if isinstance(before, Mapping) and isinstance(value, Mapping):
            made[key] = _patch(before, value)
        else:
            made[key] = value
    return made


def _object(pairs: list[tuple[str, Any]]) -> Section:
    made: Section = {}
    for key, value in pairs:
        if key in made:
            raise _UnfitError(f"the key {key[:80]!r} stands twice in one object")
        made[key] = value
    return made


def _number(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        # It would be written as null, and so take away what it was to replace.
        raise _UnfitError(f"{text[:40]} is a larger number than can be kept")
    return number


def _no_constant(word: str) -> NoReturn:
    raise _UnfitError(f"{word} is no value of JSON")


def _check(value: Any, path: tuple[str, ...], level: int) -> None:
    if level > LEVELS_LIMIT:
        raise InvalidDraftError(f"it is nested more than {LEVELS_LIMIT} levels deep")
    if value is None:
        raise InvalidDraftError(f"{'.'.join(path)[:120]} is null: leave out what is not wanted")
    if isinstance(value, str):
        _check_text(value)
    elif isinstance(value, dict):
        for key, inner in value.items():
            _check_text(key)
            _check(inner, (*path, key), level + 1)
    elif isinstance(value, list):
        for inner in value:
            _check(inner, path, level + 1)


def _check_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidDraftError("half of a character (\\ud800 to \\udfff) cannot stand alone") from None


def _words(message: str) -> str:
    """What the parser complains of, as a part of a sentence."""
    return message[:1].lower() + message[1:]


def _kind(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "a text"
        case _:
            return "an array"
