"""Many things, so many at a time: between two portions others get their turn, and a statement binds only so many."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def portions_of(things: Iterable[T], count: int) -> Iterator[list[T]]:
    """The same things in the same order, so many at a time; they are taken over when the first are asked for."""
    listed = list(things)
    for first in range(0, len(listed), count):
        yield listed[first : first + count]
