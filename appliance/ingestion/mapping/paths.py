"""Paths into the objects of a payload: names with a dot in between, from the outside in.

Of an array a number is the place, from 0; of an object it is a name like any other.
"""

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
        if isinstance(inner, list):
            inner = inner[int(step)] if _is_place(step) and int(step) < len(inner) else NOTHING
        else:
            inner = inner.get(step, NOTHING) if isinstance(inner, dict) else NOTHING
        if inner is NOTHING:
            return NOTHING
    return inner


def without(item: Mapping[str, Any], steps: Steps) -> dict[str, Any]:
    """The same without what lies at a path, nor the objects around it that hold nothing else. Changes nothing.

    Arrays stay as they are: what lies behind would change its place.
    """
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


def _is_place(step: str) -> bool:
    return step.isascii() and step.isdecimal()
