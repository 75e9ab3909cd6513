"""The in-process event bus: what was committed, announced in typed batches.

Rules: announcing never waits; every subscription has a bounded queue of its own and drops its
oldest batch when full, so a slow listener can delay neither ingestion nor another listener.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Sequence
from types import TracebackType
from typing import ParamSpec, Self

P = ParamSpec("P")


class Subscription:
    """The batches of events that one listener has not taken yet. Use it as a context manager."""

    def __init__(self, bus: "Bus", kinds: tuple[type, ...], limit: int) -> None:
        self._bus = bus
        self._kinds = kinds
        self._batches: deque[list[object]] = deque(maxlen=limit)
        self._arrived = asyncio.Event()
        self.dropped_count = 0

    def __enter__(self) -> Self:
        self._bus.join(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bus.leave(self)

    def offer(self, events: Sequence[object], kinds: Collection[type]) -> None:
        """Take those of the events that this listener asked for; `kinds` are those of all of them."""
        wanted_kinds = [kind for kind in kinds if issubclass(kind, self._kinds)]
        if not wanted_kinds:
            return
        if len(wanted_kinds) == len(kinds):
            wanted = list(events)
        else:
            wanted = [event for event in events if isinstance(event, self._kinds)]
        if len(self._batches) == self._batches.maxlen:
            self.dropped_count += 1
        self._batches.append(wanted)
        self._arrived.set()

    async def next_batch(self) -> list[object]:
        """Wait for the next batch of events; it is never empty."""
        while not self._batches:
            self._arrived.clear()
            await self._arrived.wait()
        return self._batches.popleft()


class Bus:
    """Who listens to what was committed."""

    def __init__(self) -> None:
        self._subscriptions: list[Subscription] = []

    def subscribe(self, *kinds: type, limit: int = 16) -> Subscription:
        """A subscription to events of these kinds, holding at most `limit` batches."""
        return Subscription(self, kinds, limit)

    def announce(self, events: Sequence[object]) -> None:
        """Hand events that are on disk to everyone who asked for their kind."""
        # Thousands of events are mostly of one kind, or two.
        kinds = set(map(type, events))
        for subscription in self._subscriptions:
            subscription.offer(events, kinds)

    def join(self, subscription: Subscription) -> None:
        """Begin to listen."""
        self._subscriptions.append(subscription)

    def leave(self, subscription: Subscription) -> None:
        """Stop listening."""
        self._subscriptions.remove(subscription)


def both(first: Callable[P, object], second: Callable[P, object]) -> Callable[P, None]:
    """Tell two of one thing, at once and in this order."""

    def hear(*told: P.args, **named: P.kwargs) -> None:
        first(*told, **named)
        second(*told, **named)

    return hear
