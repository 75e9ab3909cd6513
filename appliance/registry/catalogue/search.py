"""The language in which devices are searched for: `pump -zone:"hall 2" type:px*,py state:active connected:no`.

Rules: every term must hold. A free word is looked for anywhere in what people wrote of the device. A
field holds when one of the values behind its colon, with commas in between, is the field's own; `*`
stands for any text, nothing behind the colon for "has none". `-` before a term turns it round.
Capitals do not matter. Quotes make blanks, commas, colons and stars mean themselves.
"""

import re
from collections.abc import Iterator, Mapping

import msgspec

from appliance.registry.catalogue.model import QUERY_LENGTH, Facts, InvalidQueryError
from appliance.registry.model import Device, DeviceState

FIELDS = ("id", "name", "type", "zone", "serial", "state", "group", "notes", "connected")
ATTRIBUTE = "attribute."
FREE = ""
"""The field of a free word."""

_SYNONYMS = {"device_id": "id", "serial_number": "serial", "groups": "group"}
_TEXTS = {
    "id": "device_id",
    "name": "name",
    "type": "type",
    "zone": "zone",
    "serial": "serial_number",
    "notes": "notes",
}
"""Where a device has the one text of a field."""
_YES_OR_NO = {"yes": True, "no": False}
# A device id may be the address of a network card, which is full of colons.
_NETWORK_ADDRESS = re.compile(r"[0-9a-f]{1,2}(:[0-9a-f]{0,2})+", re.IGNORECASE)


class Term(msgspec.Struct, frozen=True):
    """One condition. A pattern is the texts between its stars."""

    field: str
    patterns: tuple[tuple[str, ...], ...]
    """A free word has one."""
    is_negated: bool = False


class Query(msgspec.Struct, frozen=True):
    """Conditions that must all hold; none of them holds for every device."""

    terms: tuple[Term, ...] = ()

    @property
    def asks_presence(self) -> bool:
        """Whether the answer changes when a device connects or goes."""
        return any(term.field == "connected" for term in self.terms)


class _Letter(msgspec.Struct, frozen=True):
    text: str
    is_quoted: bool


def parse(text: str) -> Query:
    """Read a search. A quote that is not closed lasts to the end. Raises `InvalidQueryError`."""
    if len(text) > QUERY_LENGTH:
        raise InvalidQueryError(f"a search has at most {QUERY_LENGTH} characters, this one has {len(text)}")
    return Query(tuple(_term(word) for word in _words(text)))


def printed(query: Query) -> str:
    """The query as text; reading it gives the same query."""
    return " ".join(
        ("-" if term.is_negated else "")
        + (f"{term.field}:" if term.field else "")
        + ",".join("*".join(map(_quoted, pattern)) for pattern in term.patterns)
        for term in query.terms
    )


def matches(query: Query, facts: Facts, *, connected: bool) -> bool:
    """Whether a device of these facts is one that is searched for."""
    # Asked of every device there is, for each search: a generator would take as long as all that is looked at.
    for term in query.terms:  # noqa: SIM110
        if _holds(term, facts, connected=connected) is term.is_negated:
            return False
    return True


def facts_of(device: Device) -> Facts:
    """What a search looks at of a device."""
    told = [device.device_id, device.name, device.type, device.zone, device.serial_number]
    return Facts("\n".join([*told, *device.groups, device.notes, *device.attributes.values()]).casefold(), device)


def _holds(term: Term, facts: Facts, *, connected: bool) -> bool:
    if term.field == FREE:
        return _is_in_order(term.patterns[0], facts.text)
    if term.field == "connected":
        return any(_YES_OR_NO[pattern[0]] is connected for pattern in term.patterns)
    if term.field == "state":
        return any(pattern[0] == facts.device.state for pattern in term.patterns)
    values = _values(facts, term.field)
    return any(_fits(pattern, values) for pattern in term.patterns)


def _values(facts: Facts, field: str) -> tuple[str, ...]:
    """What a device has in a field, folded."""
    if field == "group":
        return tuple(group.casefold() for group in facts.device.groups)
    if field.startswith(ATTRIBUTE):
        if facts.attributes is None:
            facts.attributes = _folded(facts.device.attributes)
        return facts.attributes.get(field, ())
    value: str = getattr(facts.device, _TEXTS[field])
    return (value.casefold(),)


def _folded(attributes: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Attributes by the field that each is; keys that differ in capitals only are one."""
    folded: dict[str, tuple[str, ...]] = {}
    for key, value in attributes.items():
        field = f"{ATTRIBUTE}{key}".casefold()
        folded[field] = (*folded.get(field, ()), value.casefold())
    return folded


def _fits(pattern: tuple[str, ...], values: tuple[str, ...]) -> bool:
    if pattern == ("",):
        return not any(values)
    if len(pattern) == 1:
        return pattern[0] in values
    return any(
        value.startswith(pattern[0])
        and value.endswith(pattern[-1])
        and len(value) >= len(pattern[0]) + len(pattern[-1])
        and _is_in_order(pattern[1:-1], value[len(pattern[0]) : len(value) - len(pattern[-1])])
        for value in values
    )


def _is_in_order(parts: tuple[str, ...], text: str) -> bool:
    position = 0
    for part in parts:
        found = text.find(part, position)
        if found < 0:
            return False
        position = found + len(part)
    return True


def _words(text: str) -> Iterator[list[_Letter]]:
    word: list[_Letter] = []
    is_quoted = is_escaped = False
    for letter in text:
        if is_escaped or (is_quoted and letter not in '"\\'):
            word.append(_Letter(letter, is_quoted=True))
            is_escaped = False
        elif is_quoted and letter == "\\":
            is_escaped = True
        elif letter == '"':
            is_quoted = not is_quoted
        elif letter.isspace():
            if word:
                yield word
            word = []
        else:
            word.append(_Letter(letter, is_quoted=False))
    if word:
        yield word


def _term(word: list[_Letter]) -> Term:
    is_negated = len(word) > 1 and word[0] == _Letter("-", is_quoted=False)
    letters = word[1:] if is_negated else word
    colon = next((place for place, letter in enumerate(letters) if letter == _Letter(":", is_quoted=False)), None)
    if colon is None or _NETWORK_ADDRESS.fullmatch(_joined(letters)):
        return Term(FREE, (_pattern(letters),), is_negated)
    field = _field(_joined(letters[:colon]))
    patterns = tuple(map(_pattern, _split(letters[colon + 1 :], ",")))
    _check(field, patterns)
    return Term(field, patterns, is_negated)


def _field(told: str) -> str:
    field = told.casefold()
    field = _SYNONYMS.get(field, field)
    if field in FIELDS or (field.startswith(ATTRIBUTE) and len(field) > len(ATTRIBUTE)):
        return field
    known = ", ".join((*FIELDS, f"{ATTRIBUTE}KEY"))
    raise InvalidQueryError(
        f"devices have no field {told[:40]!r} to search in; there is {known}. A text that has a colon stands in quotes."
    )


def _check(field: str, patterns: tuple[tuple[str, ...], ...]) -> None:
    known: tuple[str, ...]
    if field == "state":
        known = tuple(state.value for state in DeviceState)
    elif field == "connected":
        known = tuple(_YES_OR_NO)
    else:
        return
    for pattern in patterns:
        if len(pattern) > 1 or pattern[0] not in known:
            raise InvalidQueryError(f"{field}: takes {', '.join(known)}, not {'*'.join(pattern)[:40]!r}")


def _pattern(letters: list[_Letter]) -> tuple[str, ...]:
    return tuple(_joined(part).casefold() for part in _split(letters, "*"))


def _split(letters: list[_Letter], mark: str) -> list[list[_Letter]]:
    parts: list[list[_Letter]] = [[]]
    for letter in letters:
        if letter == _Letter(mark, is_quoted=False):
            parts.append([])
        else:
            parts[-1].append(letter)
    return parts


def _joined(letters: list[_Letter]) -> str:
    return "".join(letter.text for letter in letters)


def _quoted(text: str) -> str:
    if text and re.fullmatch(r'[^\s":,*\\-][^\s":,*\\]*', text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
