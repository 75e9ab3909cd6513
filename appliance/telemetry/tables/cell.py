"""A value as the cell of a table, and back exactly.

Rules:
- An empty cell is no reading at all; `null` is a reading without a value.
- `true`, `false`, `NaN`, `Infinity` and `-Infinity` are what they say; digits are an integer; digits with a point or an
  exponent are a floating-point number, in the shortest form that gives back the same one.
- Everything else is text. Text that would read as something else, and text that cannot be printed, is written as JSON:
  between double quotes, with a backslash before what is special.
- Text that a spreadsheet takes for a formula has an apostrophe before it, which is taken away again.
"""

import json
import re
from collections.abc import Mapping
from math import inf, isinf, isnan, nan

from appliance.registry.catalogue.table import escaped
from appliance.telemetry.model import Value

_INTEGER = re.compile(r"[+-]?(0|[1-9]\d*)", re.ASCII)
_FLOAT = re.compile(r"[+-]?(\d+\.\d*|\.\d+|\d+(?=[eE]))([eE][+-]?\d+)?", re.ASCII)
_QUOTE = '"'
_WORDS: Mapping[str, Value] = {
    "null": None,
    "true": True,
    "false": False,
    "nan": nan,
    "infinity": inf,
    "inf": inf,
    "+infinity": inf,
    "+inf": inf,
    "-infinity": -inf,
    "-inf": -inf,
}


def written(value: Value) -> str:
    """The cell of a value; never empty."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return _text(value)
        case float() if not isnan(value) and not isinf(value):
            return repr(value)
        case float():
            return special(value)
        case _:
            return str(value)


def special(value: float) -> str:
    """The word for a floating-point value that has no digits."""
    if isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def read(cell: str) -> Value:
    """The value of a cell that is not empty. Raises `ValueError` for a number that is too large to be kept."""
    plain = cell.strip()
    if plain.lower() in _WORDS:
        return _WORDS[plain.lower()]
    if _INTEGER.fullmatch(plain):
        return int(plain)
    if _FLOAT.fullmatch(plain):
        number = float(plain)
        if isinf(number):
            raise ValueError(f"{plain[:40]} is larger than any number that can be kept")
        return number
    if cell.startswith(_QUOTE):
        return _unquoted(cell)
    return unescaped(cell)


def unescaped(cell: str) -> str:
    """The text that `escaped` was given."""
    return cell[1:] if cell.startswith("'") and escaped(cell[1:]) == cell else cell


def _text(text: str) -> str:
    plain = escaped(text)
    if text and text.isprintable() and not text.startswith(_QUOTE) and _is_read_as(plain, text):
        return plain
    return json.dumps(text)


def _is_read_as(cell: str, text: str) -> bool:
    try:
        return read(cell) == text
    except ValueError:
        return False


def _unquoted(cell: str) -> str:
    try:
        text = json.loads(cell)
    except ValueError:
        return cell
    return text if isinstance(text, str) else cell
