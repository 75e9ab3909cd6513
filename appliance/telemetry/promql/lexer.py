"""The words of a query."""

import re
from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from appliance.instant import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from appliance.telemetry.promql.model import QueryError

LENGTH_LIMIT = 10_000

_PARTS = re.compile(
    r"(?P<blank>\s+|\#[^\n]*)"
    r"|(?P<length>(\d+(ms|[smhdwy]))+(?![A-Za-z0-9_]))"
    r"|(?P<number>0[xX][0-9a-fA-F]+|(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?|(?i:inf|nan)(?![A-Za-z0-9_:]))"
    r"|(?P<name>[A-Za-z_:][A-Za-z0-9_:]*)"
    r"|(?P<text>\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'|`[^`]*`)"
    r"|(?P<sign>=~|!~|!=|==|>=|<=|[-+*/%^(){}\[\],=<>@:])"
)
_LENGTH = re.compile(r"(\d+)(ms|[smhdwy])")
_UNIT_MS = {
    "ms": 1,
    "s": SECOND_MS,
    "m": MINUTE_MS,
    "h": HOUR_MS,
    "d": DAY_MS,
    "w": 7 * DAY_MS,
    "y": 365 * DAY_MS,
}
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{3}|.)", re.DOTALL)
_LETTERS = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_GREATEST_HEXADECIMAL = 2**63 - 1
_LONGEST_MS = 100 * 365 * DAY_MS


class Kind(StrEnum):
    """What a word is."""

    LENGTH = "length"
    NUMBER = "number"
    NAME = "name"
    TEXT = "text"
    SIGN = "sign"
    END = "end"


class Word(NamedTuple):
    """A word and where it stands."""

    kind: Kind
    text: str
    at: int


def words(query: str) -> Iterator[Word]:
    """The words of a query, and its end. Raises `QueryError`."""
    if len(query) > LENGTH_LIMIT:
        raise QueryError(f"the query has {len(query):,} characters, at most {LENGTH_LIMIT:,} are taken")
    at = 0
    while at < len(query):
        found = _PARTS.match(query, at)
        if found is None or found.lastgroup is None:
            raise QueryError(f"1:{at + 1}: parse error: unexpected character {query[at]!r}")
        if found.lastgroup != "blank":
            yield Word(Kind(found.lastgroup), found.group(), at)
        at = found.end()
    yield Word(Kind.END, "", at)


def length_ms(text: str) -> int:
    """A length of time such as 5m or 1h30m. Raises `QueryError`."""
    parts = _LENGTH.findall(text)
    if not parts or "".join(count + unit for count, unit in parts) != text:
        raise QueryError(f"{text[:40]!r} is no length of time: expected for example 30s, 5m or 1h30m")
    found = sum(int(count[:15]) * _UNIT_MS[unit] for count, unit in parts)
    if not 0 < found <= _LONGEST_MS:
        raise QueryError(f"{text[:40]} is no length of time that can be asked about")
    return found


def number(text: str) -> float:
    """A number that is written. Raises `QueryError`."""
    if text[:2].lower() != "0x":
        return float(text)
    found = int(text, 16)
    if found > _GREATEST_HEXADECIMAL:
        raise QueryError(f"parse error: {text[:40]} is too large for a hexadecimal number")
    return float(found)


def unquoted(text: str) -> str:
    """What stands between quotes. Raises `QueryError`."""
    inside = text[1:-1]
    return inside if text.startswith("`") else _ESCAPE.sub(lambda found: _letter(found.group(1)), inside)


def _letter(escape: str) -> str:
    if escape in _LETTERS:
        return _LETTERS[escape]
    if escape in {"\\", '"', "'"}:
        return escape
    try:
        letter = chr(int(escape[1:], 16) if escape[0] in "xuU" else int(escape, 8))
        letter.encode()
    except (ValueError, OverflowError):
        raise QueryError(f"parse error: {escape[:9]!r} behind a backslash means nothing in a text") from None
    return letter
