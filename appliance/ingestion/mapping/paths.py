"""Paths into the objects of a payload: names with a dot in between, from the outside in."""

from collections.abc import Mapping, Sequence
from typing import Any

Steps = Sequence[str]

NOTHING = object()
"""What is found where nothing is: null is something."""


def steps_of(path: str) -> Steps:
    """The names of a path."""
    return tuple(path.split("."))


def found(item: Mapping[str, Any], steps: Steps) -> Any:
    """What lies at a path; `NOTHING` when nothing does."""
    inner: Any = item
    for step in steps:
        if not isinstance(inner, dict) or step not in inner:
            return NOTHING
        inner = inner[step]
    return inner


def without(item: Mapping[str, Any], steps: Steps) -> dict[str, Any]:
    """The same without what lies at a path, nor the objects around it that hold nothing else. Changes nothing."""
    left = dict(item)
    first, *rest = steps
    inner = left.get(first)
    if not rest:
        left.pop(first, None)
    elif isinstance(inner, dict) and found(inner, rest) is not NOTHING:
        left[first] = without(inner, rest)
        if not left[first]:
            del left[first]
    return left
