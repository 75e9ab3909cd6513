"""One epoll for all connections of a broker, which the event loop watches as a single file.

What asyncio does for each file that is ready, a selector key, a handle and a callback of its own, costs more than
taking in the message that is read from it. Here all that is ready at a turn of the loop is one callback of the loop.
"""

import asyncio
import contextlib
import select
from collections.abc import Callable, Iterator
from typing import Protocol

from broker.gathering import GATHER_S, Gathering

READABLE, WRITABLE = select.EPOLLIN, select.EPOLLOUT
READY_PER_TURN = 256
"""How many are served before the loop looks after everything else. Those that are left come first the next time."""
READY_PER_LOOK = 32
"""How many are served in one go: read, handed over, and what that has to write written. Of some ten kilobytes that a
message touches on its way, those of more connections would have left the processor's cache before they are written."""


HURRIED_PER_TURN = 16
HURRY_PAUSE_S = 0.02
"""While something urgent goes out, so many are served and so long is paused: some 800 a second are still read."""


class Watched(Protocol):
    """Someone who hears that a file is ready."""

    def readable(self) -> None:
        """There is something to read, or the other end is gone."""

    def write(self) -> None:
        """There is room to write."""


class Poller:
    """Tells many when their files are ready, in one callback of the loop."""

    def __init__(self, finish: Callable[[], None]) -> None:
        """`finish` is called at the end of each turn in which anything was ready."""
        self._finish = finish
        self._epoll = select.epoll()
        self._watched: list[Watched | None] = []
        """By the number of their file: whoever is among ten thousand is found by one look at cold memory."""
        self._watched_count = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._gathering = Gathering()
        self._pause: asyncio.TimerHandle | None = None
        self._hurry_count = 0
        self._hurry_began_at = self._hurried_until = self._leisure_until = 0.0
        """Since when and until when few are served, and until when nothing is urgent enough for that, in the seconds
        of the loop."""
        self.now = 0.0
        """When it was last found out who is ready, in the seconds of the loop."""
        self.is_busy = False
        """Whether a turn is under way, so that `finish` is still to come."""

    def watch(self, fd: int, one: Watched, events: int, loop: asyncio.AbstractEventLoop) -> None:
        """Tell `one` of these events of a file from here on, whatever it was told of before; 0 is of none."""
        watched = self._watched
        if fd >= len(watched):
            watched += [None] * (fd + 1 - len(watched))
        is_watched = watched[fd] is not None
        if not events:
            if is_watched:
                watched[fd] = None
                self._watched_count -= 1
                self._epoll.unregister(fd)
                if not self._watched_count:
                    self._rest()
        elif is_watched:
            self._epoll.modify(fd, events)
        else:
            self._epoll.register(fd, events)
            watched[fd] = one
            self._watched_count += 1
            if self._loop is None:
                self._loop = loop
                loop.add_reader(self._epoll, self._turn)

    @contextlib.contextmanager
    def hurry(self, longest_s: float) -> Iterator[None]:
        """Serve few meanwhile, for so many seconds at most: what is urgent goes out before others are listened to.

        After that everybody is served as usual for as long, whatever is urgent by then.
        """
        loop = asyncio.get_running_loop()
        begins_at = loop.time()
        # One that begins while another goes on is a part of that.
        if not self._hurried_until and begins_at >= self._leisure_until:
            self._hurry_began_at, self._hurried_until = begins_at, begins_at + longest_s
        self._hurry_count += 1
        try:
            yield
        finally:
            self._hurry_count -= 1
            if not self._hurry_count and self._hurried_until:
                now = loop.time()
                self._leisure_until = now + min(now, self._hurried_until) - self._hurry_began_at
                self._hurried_until = 0.0

    def _rest(self) -> None:
        """Trouble the loop no more: there is nobody to be told."""
        loop, self._loop = self._loop, None
        if loop is None:
            return
        if self._pause is None:
            loop.remove_reader(self._epoll)
        else:
            self._pause.cancel()
            self._pause = None

    def _turn(self) -> None:
        """Serve who is ready, and who got ready meanwhile: a turn of the loop costs more than a look."""
        loop = self._loop or asyncio.get_running_loop()
        gathering = self._gathering
        left = share = HURRIED_PER_TURN if self._is_hurried(loop) else READY_PER_TURN
        try:
            while left > 0 and (ready := self._epoll.poll(0, min(left, READY_PER_LOOK))):
                self.now = loop.time()
                self._serve(ready)
                served = len(ready)
                left -= served
                if gathering.looked(served):
                    gathering.judge(self.now)
                if gathering.is_on and served < READY_PER_LOOK:
                    break
            else:
                if left == share and gathering.looked(0):
                    gathering.judge(loop.time())
        finally:
            if self._loop is not None:
                self._await_next(self._loop, has_more=left <= 0)

    def _await_next(self, loop: asyncio.AbstractEventLoop, *, has_more: bool) -> None:
        """See that the next turn comes: at once when anyone is ready, or after a pause.

        Who pauses again and again leaves the loop's own list only once: to put an epoll on the list of another, the
        kernel walks through all that it watches.
        """
        is_hurried = self._is_hurried(loop)
        if self._gathering.is_on or is_hurried:
            if self._pause is None:
                loop.remove_reader(self._epoll)
            delay_s = HURRY_PAUSE_S if is_hurried else 0 if has_more else GATHER_S
            self._pause = loop.call_later(delay_s, self._turn)
        elif self._pause is not None:
            self._pause = None
            loop.add_reader(self._epoll, self._turn)

    def _is_hurried(self, loop: asyncio.AbstractEventLoop) -> bool:
        return loop.time() < self._hurried_until

    def _serve(self, ready: list[tuple[int, int]]) -> None:
        watched = self._watched
        self.is_busy = True
        try:
            for fd, events in ready:
                # What one is told may end others.
                one = watched[fd]
                if one is None:
                    continue
                if events == READABLE:
                    one.readable()
                    continue
                # A connection that broke is told to whoever listens, readers first.
                if events & ~WRITABLE:
                    one.readable()
                if events & ~READABLE and watched[fd] is one:
                    one.write()
        finally:
            try:
                self._finish()
            finally:
                self.is_busy = False
