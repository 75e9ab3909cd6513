"""What of a thing is another than before, in the words of an entry's details: bounded, whatever the thing holds."""

import hashlib
from collections.abc import Mapping

import msgspec

TEXT_LENGTH = 300
"""How much of a text an entry keeps."""
FIELDS_LIMIT = 20
"""How many fields an entry tells of one by one."""

BEFORE = ".before"
AFTER = ".after"


def changes(before: msgspec.Struct, after: msgspec.Struct) -> dict[str, str]:
    """The fields that differ, each with what it was and what it is. For things without secrets alone."""
    was, now = _fields(before), _fields(after)
    differing = sorted(name for name in {*was, *now} if was.get(name) != now.get(name))
    told = {}
    for name in differing[:FIELDS_LIMIT]:
        told[name + BEFORE] = bounded(was.get(name, ""))
        told[name + AFTER] = bounded(now.get(name, ""))
    return told | _left_out(len(differing))


def facts(thing: msgspec.Struct) -> dict[str, str]:
    """What a thing that comes or goes holds, without what is empty. For things without secrets alone."""
    held = sorted(_fields(thing).items())
    return {name: bounded(text) for name, text in held[:FIELDS_LIMIT]} | _left_out(len(held))


def bounded(text: str) -> str:
    """A text, or the beginning of a long one with what tells whether another is the same."""
    if len(text) <= TEXT_LENGTH:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()
    return f"{text[:TEXT_LENGTH]}… ({len(text):,} characters, SHA-256 {digest})"


def _left_out(count: int) -> dict[str, str]:
    return {"more": f"{count - FIELDS_LIMIT} other fields"} if count > FIELDS_LIMIT else {}


def _fields(thing: msgspec.Struct) -> dict[str, str]:
    """What a thing holds; nothing for what is empty, and each key of a mapping by itself."""
    found: dict[str, str] = {}
    for name, value in msgspec.structs.asdict(thing).items():
        if isinstance(value, Mapping):
            found |= {f"{name}.{key}": _text(inner) for key, inner in value.items()}
        elif value not in (None, "", (), []):
            found[name] = _text(value)
    return found


def _text(value: object) -> str:
    return str(value) if isinstance(value, str) else msgspec.json.encode(value).decode()
