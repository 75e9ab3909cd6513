"""What the connections of one broker share: whether they are read, which of them write, and which end."""

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Protocol

from broker.poller import READY_PER_LOOK, Poller

READ_BYTES = 65_536
"""More than a TLS record holds: a record is taken whole, so nothing decrypted stays in OpenSSL, where the loop
could not see it."""
WRITES_PER_TURN = 1_000
LINGER_S = 1.0
"""How long the other end may take to close after we have."""
LINGERING_LIMIT = 256
ENDINGS_PER_TURN = 32
"""Thousands may end at once, and each is told to the session, the owner, and those who get its will."""

NOT_NOW = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
"""What a socket says that has nothing, or takes nothing, at the moment."""


class Reader(Protocol):
    """Someone who reads a connection."""

    def watch(self) -> None:
        """Read when there is something."""


class Ending(Reader, Protocol):
    """A connection as it is seen from here."""

    def write(self) -> None:
        """Give the socket what waits."""

    def close(self, reason: str) -> None:
        """End it."""


class Traffic:
    """What the connections of a broker share: whether they are read, which of them write, and which end.

    What many of them ask for within one turn of the loop is one callback, and at most a slice a turn.
    """

    def __init__(self) -> None:
        self.is_open = True
        """Whether connections are read. While they are not, those with something to say queue up here."""
        self.ended: Callable[[str], None] = lambda _: None
        """Hears the address of each connection that ends."""
        self.is_held: Callable[[], bool] = lambda: False
        """Whether what follows from an end waits: others are still to be cut off, and that is urgent."""
        self.writing: list[Ending] = []
        """Those that have something to write; `flush` is called soon when there are any."""
        self._waiting: dict[Reader, None] = {}
        self._ending: dict[Ending, str] = {}
        self._is_ending = False
        self._lingering: dict[socket.socket, asyncio.TimerHandle] = {}
        self._calls: deque[Callable[[], None]] = deque()
        self._is_finishing = False
        self.poller = Poller(self._finish_turn)

    def shut(self) -> None:
        """Read nothing more until `open`."""
        self.is_open = False

    def open(self) -> None:
        """Read again, beginning with those that wait."""
        self.is_open = True
        waiting, self._waiting = self._waiting, {}
        for reader in waiting:
            reader.watch()

    def wait(self, reader: Reader) -> None:
        """Queue one that has something to read."""
        self._waiting[reader] = None

    def is_leaving(self, connection: Ending) -> bool:
        """Whether it is queued to be ended."""
        return connection in self._ending

    def end_soon(self, connection: Ending, reason: str, loop: asyncio.AbstractEventLoop) -> None:
        """Queue a connection to be ended; the first reason counts."""
        self._ending.setdefault(connection, reason)
        if not self._is_ending:
            self._is_ending = True
            loop.call_soon(self._end_some, loop)

    def forget(self, connection: Ending, reason: str) -> str:
        """Let a connection that ends out of all queues; gives the reason why it ends."""
        self._waiting.pop(connection, None)
        return self._ending.pop(connection, reason)

    def flush(self, loop: asyncio.AbstractEventLoop) -> None:
        """Write what was given to connections since the last turn."""
        writing, self.writing = self.writing[:WRITES_PER_TURN], self.writing[WRITES_PER_TURN:]
        if self.writing:
            loop.call_soon(self.flush, loop)
        for connection in writing:
            connection.write()

    def write_together(self) -> None:
        """Write what was given to connections, once they are as many as the processor's cache has room for."""
        if len(self.writing) >= READY_PER_LOOK:
            self.flush(asyncio.get_running_loop())

    def write_soon(self, connection: Ending, loop: asyncio.AbstractEventLoop) -> None:
        """Have a connection write at the end of this turn."""
        if not self.writing and not self.poller.is_busy:
            loop.call_soon(self.flush, loop)
        self.writing.append(connection)

    def soon(self, call: Callable[[], None]) -> None:
        """Call back at the end of this turn, before what the turn has to write is written."""
        if self.poller.is_busy and not self._is_finishing:
            self._calls.append(call)
        else:
            asyncio.get_running_loop().call_soon(call)

    def linger(self, sock: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
        """Close a socket once its other end has: what it still sends would make the kernel take back our last words."""
        # Below TLS, which has nothing to say any more.
        raw = socket.socket(fileno=sock.detach())
        try:
            raw.shutdown(socket.SHUT_WR)
        except OSError:
            raw.close()
            return
        if len(self._lingering) >= LINGERING_LIMIT:
            self._end_lingering(next(iter(self._lingering)), loop)
        self._lingering[raw] = loop.call_later(LINGER_S, self._end_lingering, raw, loop)
        # By its number: of a socket that it does not know yet, a selector first makes a description.
        loop.add_reader(raw.fileno(), self._discard, raw, loop)

    def stop_lingering(self, loop: asyncio.AbstractEventLoop) -> None:
        """Close the sockets that wait for their other ends."""
        for raw in list(self._lingering):
            self._end_lingering(raw, loop)

    def _finish_turn(self) -> None:
        """Do what the connections that were ready have left for the end of their turn."""
        loop = asyncio.get_running_loop()
        calls, self._calls = self._calls, deque()
        # What they ask for in their turn is for the next one, or a long row of them would keep everybody waiting.
        self._is_finishing = True
        try:
            while calls:
                calls.popleft()()
        finally:
            self._is_finishing = False
            for call in calls:  # A defect came before them.
                loop.call_soon(call)
            if self.writing:
                self.flush(loop)

    def _discard(self, raw: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
        try:
            data = raw.recv(READ_BYTES)
        except NOT_NOW:
            return
        except OSError:
            data = b""
        if not data:
            self._end_lingering(raw, loop)

    def _end_lingering(self, raw: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
        timer = self._lingering.pop(raw, None)
        if timer is not None:
            timer.cancel()
            loop.remove_reader(raw.fileno())
            raw.close()

    def _end_some(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self.is_held():
            for connection in list(islice(self._ending, ENDINGS_PER_TURN)):
                connection.close("")
        self._is_ending = bool(self._ending)
        if self._is_ending:
            loop.call_soon(self._end_some, loop)
