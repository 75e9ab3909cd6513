"""Pauses in work that nobody waits for, as long as nobody does.

A busy thread leaves the loop half of the interpreter at most: whoever is to be acknowledged meanwhile waits twice as
long. Spread over more time, the same work is hardly felt.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
SHARE = 3
"""A pause is so many times as long as the work before it."""


class Leisure:
    """Whether there is time for pauses."""

    def __init__(self) -> None:
        self._hurry = asyncio.Event()
        self._hurried_count = 0
        self._until = 0.0

    def begin(self, seconds: float) -> None:
        """Begin with some work that may take so long; what is left of it then knows no pauses."""
        if not self._hurried_count:
            self._hurry.clear()
        self._until = asyncio.get_running_loop().time() + seconds

    def hurry(self) -> None:
        """Have what is under way know no pauses any more."""
        self._until = 0.0
        self._hurry.set()

    @contextlib.asynccontextmanager
    async def hurried(self, turn: asyncio.Lock) -> AsyncIterator[None]:
        """Have this turn, of which the work takes some, as soon as that is done: without a pause from here on."""
        self._hurried_count += 1
        self._hurry.set()
        try:
            async with turn:
                yield
        finally:
            self._hurried_count -= 1
            if not self._hurried_count:
                self._hurry.clear()

    async def aside(self, function: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        """What a function gives, called in a thread. Then there is a pause, until there is a hurry."""
        time = asyncio.get_running_loop().time
        begun = time()
        result = await asyncio.to_thread(function, *arguments, **named)
        now = time()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._hurry.wait(), max(0.0, min(SHARE * (now - begun), self._until - now)))
        return result
