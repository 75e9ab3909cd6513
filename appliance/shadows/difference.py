"""What differs between two documents, path by path, as a person reads it. Pure.

A number is its value (1 is 1.0), and true is no number.
"""

import json
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any

import msgspec

Document = Mapping[str, Any]


class Kind(StrEnum):
    """What became of a path."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


class PathChange(msgspec.Struct, frozen=True):
    """One value that is not what it was. An object counts as a value when it is empty or stands where none stood."""

    path: tuple[str, ...]
    kind: Kind
    before: Any
    """None when it was added."""
    after: Any
    """None when it was removed."""


def differences(before: Document | None, after: Document | None) -> tuple[PathChange, ...]:
    """Everything that makes `after` of `before`, in the order of their keys. No document is one without keys."""
    return tuple(_between(before or {}, after or {}, ()))


def is_same(one: Any, other: Any) -> bool:
    """Whether two values of JSON are the same."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(is_same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(is_same, one, other))
    return bool(one == other)


def leaves(document: Document | None, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every value below an object that holds none itself, with its path. An empty object is such a value."""
    for key, value in (document or {}).items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key), value


def written(path: tuple[str, ...]) -> str:
    """A path as people write it: `config.interval`, and `config["a.b"]` for a key that would be misread."""
    text = ""
    for key in path:
        if key.isidentifier() or key.replace("-", "_").isidentifier():
            text += f".{key}" if text else key
        else:
            text += f"[{json.dumps(key, ensure_ascii=False)}]"
    return text


def _between(before: Document, after: Document, path: tuple[str, ...]) -> Iterator[PathChange]:
    for key in (*before, *(key for key in after if key not in before)):
        place = (*path, key)
        if key not in after:
            yield from (PathChange(leaf, Kind.REMOVED, value, None) for leaf, value in leaves({key: before[key]}, path))
        elif key not in before:
            yield from (PathChange(leaf, Kind.ADDED, None, value) for leaf, value in leaves({key: after[key]}, path))
        elif before[key] is after[key]:
            continue  # What a change has not touched is shared, and mostly that is nearly all.
        elif _is_looked_into(before[key], after[key]):
            yield from _between(before[key], after[key], place)
        elif not is_same(before[key], after[key]):
            yield PathChange(place, Kind.CHANGED, before[key], after[key])


def _is_looked_into(before: Any, after: Any) -> bool:
    """Two objects with something in each; one that has become empty is told as a whole."""
    return isinstance(before, Mapping) and isinstance(after, Mapping) and bool(before) and bool(after)
