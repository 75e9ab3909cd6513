"""One epoll for all connections of a broker, which the event loop watches as a single file.

What asyncio does for each file that is ready, a selector key, a handle and a callback of its own, costs more than
taking in the message that is read from it. Here all that is ready at a turn of the loop is one callback of the loop.
"""

import asyncio
import select
from collections.abc import Callable
from typing import Protocol

from broker.gathering import GATHER_S, Gathering

READABLE, WRITABLE = select.EPOLLIN, select.EPOLLOUT
READY_PER_TURN = 256
"""How many are served before the loop looks after everything else. Those that are left come first the next time."""


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
        self._watched: dict[int, Watched] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._gathering = Gathering()
        self._pause: asyncio.TimerHandle | None = None
        self.is_busy = False
        """Whether a turn is under way, so that `finish` is still to come."""

    def watch(self, fd: int, one: Watched, events: int, loop: asyncio.AbstractEventLoop) -> None:
        """Tell `one` of these events of a file from here on, whatever it was told of before; 0 is of none."""
        watched = self._watched
        if not events:
            if watched.pop(fd, None) is not None:
                self._epoll.unregister(fd)
                if not watched:
                    self._rest()
        elif fd in watched:
            self._epoll.modify(fd, events)
        else:
            self._epoll.register(fd, events)
            watched[fd] = one
            if self._loop is None:
                self._loop = loop
                loop.add_reader(self._epoll, self._turn)

    def _rest(self) -> None:
        """Trouble the loop no more: there is nobody to be told."""
        if self._loop is not None:
            self._loop.remove_reader(self._epoll)
            self._loop = None
            if self._pause is not None:
                self._pause.cancel()
                self._pause = None

    def _turn(self) -> None:
        """Serve who is ready, and who got ready meanwhile: a turn of the loop costs more than a look."""
        left = READY_PER_TURN
        while left > 0 and (ready := self._epoll.poll(0, left)):
            left -= len(ready)
            self._serve(ready)
        gathering, loop = self._gathering, self._loop
        if loop is None:
            return
        if gathering.turned(READY_PER_TURN - left):
            gathering.judge(loop.time())
        if gathering.is_on and left > 0:
            loop.remove_reader(self._epoll)
            self._pause = loop.call_later(GATHER_S, self._resume)

    def _resume(self) -> None:
        self._pause = None
        if self._loop is not None:
            self._loop.add_reader(self._epoll, self._turn)
            self._turn()

    def _serve(self, ready: list[tuple[int, int]]) -> None:
        watched = self._watched
        self.is_busy = True
        try:
            for fd, events in ready:
                # What one is told may end others.
                one = watched.get(fd)
                if one is None:
                    continue
                if events == READABLE:
                    one.readable()
                    continue
                # A connection that broke is told to whoever listens, readers first.
                if events & ~WRITABLE:
                    one.readable()
                if events & ~READABLE and watched.get(fd) is one:
                    one.write()
        finally:
            try:
                self._finish()
            finally:
                self.is_busy = False
