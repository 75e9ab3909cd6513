"""Connections that read and write without waiting, and what those of one broker share.

The event loop watches plain file descriptors and OpenSSL reads them itself: asyncio's own TLS keeps
a 256 KiB buffer for each connection, this keeps none (28 kB a connection instead of 300, measured).
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from itertools import islice
from typing import Protocol

READ_BYTES = 65_536
"""More than a TLS record holds: a record is taken whole, so nothing decrypted stays in OpenSSL, where the loop
could not see it."""
MUCH_BYTES = 16_384
"""A read of fewer bytes (a full TLS record has as many) has emptied the socket, most likely."""
READS_PER_TURN = 4
"""How often one connection is read before the others get their turn."""
WRITES_PER_TURN = 1_000
LINGER_S = 1.0
"""How long the other end may take to close after we have."""
LINGERING_LIMIT = 256
ENDINGS_PER_TURN = 32
"""Thousands may end at once, and each is told to the session, the owner, and those who get its will."""

NOT_NOW = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
"""What a socket says that has nothing, or takes nothing, at the moment."""


class Receiver(Protocol):
    """Takes what comes out of one connection."""

    def received(self, data: bytes) -> None:
        """Take bytes of the client."""

    def lost(self, reason: str) -> None:
        """Hear that the connection is gone; nothing comes after this."""


class Reader(Protocol):
    """Someone who reads a connection."""

    def watch(self) -> None:
        """Read when there is something."""


class Traffic:
    """What the connections of a broker share: whether they are read, which of them write, and which end.

    What many of them ask for within one turn of the loop is one callback, and at most a slice a turn.
    """

    def __init__(self) -> None:
        self.is_open = True
        """Whether connections are read. While they are not, those with something to say queue up here."""
        self.ended: Callable[[str], None] = lambda _: None
        """Hears the address of each connection that ends."""
        self.writing: list[Connection] = []
        """Those that have something to write; `flush` is called soon when there are any."""
        self._waiting: dict[Reader, None] = {}
        self._ending: dict[Connection, str] = {}
        self._is_ending = False
        self._lingering: dict[socket.socket, asyncio.TimerHandle] = {}

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

    def is_leaving(self, connection: "Connection") -> bool:
        """Whether it is queued to be ended."""
        return connection in self._ending

    def end_soon(self, connection: "Connection", reason: str, loop: asyncio.AbstractEventLoop) -> None:
        """Queue a connection to be ended; the first reason counts."""
        self._ending.setdefault(connection, reason)
        if not self._is_ending:
            self._is_ending = True
            loop.call_soon(self._end_some, loop)

    def forget(self, connection: "Connection", reason: str) -> str:
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
        loop.add_reader(raw, self._discard, raw, loop)

    def stop_lingering(self, loop: asyncio.AbstractEventLoop) -> None:
        """Close the sockets that wait for their other ends."""
        for raw in list(self._lingering):
            self._end_lingering(raw, loop)

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
            loop.remove_reader(raw)
            raw.close()

    def _end_some(self, loop: asyncio.AbstractEventLoop) -> None:
        for connection in list(islice(self._ending, ENDINGS_PER_TURN)):
            connection.close("")
        self._is_ending = bool(self._ending)
        if self._is_ending:
            loop.call_soon(self._end_some, loop)


class Connection:
    """One network connection: bytes in by callback, bytes out gathered and written once a turn."""

    __slots__ = (
        "_fd",
        "_is_gone",
        "_is_paused",
        "_is_writing",
        "_loop",
        "_out",
        "_receiver",
        "_socket",
        "_traffic",
        "address",
        "heard_at",
        "opened_at",
    )

    def __init__(
        self, loop: asyncio.AbstractEventLoop, sock: socket.socket, address: str, traffic: Traffic, opened_at: float
    ) -> None:
        """`opened_at` is when it was accepted, in the seconds of the loop."""
        self.address = address
        self.opened_at = opened_at
        self.heard_at = loop.time()
        self._loop = loop
        self._socket = sock
        self._fd = sock.fileno()
        self._traffic = traffic
        # The very object that was given, as long as it is the only one: most often it goes out like that.
        self._out: bytes | bytearray = b""
        self._is_gone = self._is_paused = self._is_writing = False
        self._receiver: Receiver | None = None

    def start(self, receiver: Receiver) -> None:
        """Begin to read, and give what comes to the receiver."""
        self._receiver = receiver
        self.watch()

    def pause(self) -> None:
        """Read nothing more of this connection until `resume`; nothing that was sent meanwhile is lost."""
        self._is_paused = True
        if self._receiver is not None:
            self._loop.remove_reader(self._fd)

    def resume(self) -> None:
        """Read again after `pause`."""
        self._is_paused = False
        self.watch()

    def watch(self) -> None:
        """Read when there is something, unless the connection is paused or ends."""
        if self._receiver is not None and not self._is_paused and not self._traffic.is_leaving(self):
            self._loop.add_reader(self._fd, self._readable)

    @property
    def transport(self) -> str:
        """What carries it: `tls` or `plain`."""
        return "tls" if isinstance(self._socket, ssl.SSLSocket) else "plain"

    @property
    def certificate(self) -> bytes | None:
        """The verified certificate of the client, DER; None on a plain connection."""
        return self._socket.getpeercert(binary_form=True) if isinstance(self._socket, ssl.SSLSocket) else None

    @property
    def is_open(self) -> bool:
        """Whether bytes can still be sent."""
        return self._receiver is not None

    @property
    def unsent_bytes(self) -> int:
        """Bytes that the client has not taken yet."""
        return len(self._out)

    def send(self, data: bytes) -> None:
        """Write soon; everything of one turn of the loop leaves in one piece."""
        if self._receiver is None:
            return
        out = self._out
        if not out:
            self._out = data
            traffic = self._traffic
            if not traffic.writing:
                self._loop.call_soon(traffic.flush, self._loop)
            traffic.writing.append(self)
        elif isinstance(out, bytearray):
            out += data
        else:
            self._out = bytearray(out)
            self._out += data

    def close(self, reason: str) -> None:
        """Write what waits as far as the socket takes it, and end the connection."""
        receiver = self._receiver
        if receiver is None:
            return
        reason = self._traffic.forget(self, reason)
        self._unwatch()
        self._receiver = None
        with contextlib.suppress(OSError, ValueError):
            if self._out:
                self._socket.send(self._out)
            # A farewell costs as much as all the rest: it is for those who are there to hear it.
            if not self._is_gone and isinstance(self._socket, ssl.SSLSocket):
                self._socket.unwrap()
        if self._is_gone:
            self._socket.close()
        else:
            self._traffic.linger(self._socket, self._loop)
        self._out = b""
        self._traffic.ended(self.address)
        receiver.lost(reason)

    def close_soon(self, reason: str) -> None:
        """Read nothing more, and `close` when it is this one's turn: for many that end at once."""
        if self._receiver is not None:
            self._traffic.end_soon(self, reason, self._loop)
            self._loop.remove_reader(self._fd)

    def write(self) -> None:
        """Give the socket what waits, as far as it takes it."""
        out = self._out
        if not out:
            return
        try:
            sent = self._socket.send(out)
        except NOT_NOW:
            sent = 0
        except OSError as error:
            self._lose(f"connection lost: {error.strerror or error}")
            return
        if sent == len(out):
            self._out = b""
            if self._is_writing:
                self._is_writing = False
                self._loop.remove_writer(self._fd)
            return
        if isinstance(out, bytearray):
            del out[:sent]
        elif sent:
            self._out = bytearray(memoryview(out)[sent:])
        if not self._is_writing and not self._is_gone:
            self._is_writing = True
            self._loop.add_writer(self._fd, self.write)

    def _readable(self) -> None:
        for _ in range(READS_PER_TURN):
            receiver = self._receiver
            if receiver is None or self._is_paused:
                return
            if not self._traffic.is_open:
                self._loop.remove_reader(self._fd)
                self._traffic.wait(self)
                return
            try:
                data = self._socket.recv(READ_BYTES)
            except NOT_NOW:
                return
            except OSError as error:
                self._lose(f"connection lost: {error.strerror or error}")
                return
            if not data:
                self._lose("connection closed by the client")
                return
            self.heard_at = self._loop.time()
            receiver.received(data)
            if len(data) < MUCH_BYTES:
                return

    def _lose(self, reason: str) -> None:
        """End a connection whose other end is gone. Thousands may go at once, so each waits for its turn."""
        self._unwatch()
        self._is_gone = True
        self._traffic.end_soon(self, reason, self._loop)

    def _unwatch(self) -> None:
        if not self._is_gone:
            self._loop.remove_reader(self._fd)
            if self._is_writing:
                self._is_writing = False
                self._loop.remove_writer(self._fd)
