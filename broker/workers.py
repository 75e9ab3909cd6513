"""A few threads that make steps which cost too much for the event loop, and the way back to it."""

import asyncio
import logging
import os
import queue
import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

log = logging.getLogger(__name__)


class Stepping(Protocol):
    """What has steps to be made."""

    def step(self) -> None:
        """Make one; it waits for nothing."""


S = TypeVar("S", bound=Stepping)

TOGETHER = 4
"""How many come back at once while there are more to be made: to wake the loop costs a tenth of a step."""


class Workers(Generic[S]):
    """Threads that make steps, and the way back to the loop: one wake-up for all that came back since the last."""

    def __init__(
        self,
        count: int,
        loop: asyncio.AbstractEventLoop,
        stepped: Callable[[S], None],
    ) -> None:
        self._count = count
        self._loop = loop
        self._stepped = stepped
        self._given: queue.SimpleQueue[S | None] = queue.SimpleQueue()
        self._returned: deque[S] = deque()
        self._is_told = False
        self._threads: list[threading.Thread] = []

    def give(self, one: S) -> None:
        """Have a step made."""
        if not self._threads:
            self._threads = [
                threading.Thread(target=self._work, name=f"tls handshakes {number}", daemon=True)
                for number in range(self._count)
            ]
            for thread in self._threads:
                thread.start()
        self._given.put(one)

    def stop(self) -> None:
        """Finish the steps that were given, and tell of none of them any more but those that are back."""
        for _ in self._threads:
            self._given.put(None)
        for thread in self._threads:
            thread.join()
        self._threads.clear()
        self._take_back()

    def _work(self) -> None:
        while (one := self._given.get()) is not None:
            try:
                one.step()
            except Exception:  # whatever a step raises must not end the thread: there may be no other
                log.exception("a step failed")
            finally:
                self._returned.append(one)
                # Who takes the last one that was given tells of all, so none is left behind.
                if not self._is_told and (self._given.empty() or len(self._returned) >= TOGETHER):
                    self._is_told = True
                    self._loop.call_soon_threadsafe(self._take_back)
                # Nobody is kept, with a socket and all, while this waits for the next one.
                del one

    def _take_back(self) -> None:
        # First this, then the look: who comes back in between tells again.
        self._is_told = False
        for _ in range(len(self._returned)):
            self._stepped(self._returned.popleft())


def usual_thread_count() -> int:
    """How many threads make handshakes when nobody says: one core is left to the loop."""
    return max(1, min(4, len(os.sched_getaffinity(0)) - 1))
