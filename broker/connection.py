"""Connections that read and write without waiting.

The event loop watches plain file descriptors and OpenSSL reads them itself: asyncio's own TLS keeps
a 256 KiB buffer for each connection, this keeps none (28 kB a connection instead of 300, measured).
"""

import asyncio
import contextlib
import socket
import ssl
from typing import Protocol

from broker.poller import READABLE, WRITABLE
from broker.tls import is_end, short_ways
from broker.traffic import NOT_NOW, READ_BYTES, Traffic

MUCH_BYTES = 16_384
"""A read of fewer bytes (a full TLS record has as many) has emptied the socket, most likely."""
READS_PER_TURN = 4
"""How often one connection is read before the others get their turn."""


class Receiver(Protocol):
    """Takes what comes out of one connection."""

    def received(self, data: bytes) -> None:
        """Take bytes of the client."""

    def lost(self, reason: str) -> None:
        """Hear that the connection is gone; nothing comes after this."""


class Connection:
    """One network connection: bytes in by callback, bytes out gathered and written once a turn."""

    __slots__ = (
        "_events",
        "_fd",
        "_is_cut_off",
        "_is_gone",
        "_is_paused",
        "_loop",
        "_out",
        "_read",
        "_receiver",
        "_socket",
        "_traffic",
        "_write",
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
        self._read, self._write = short_ways(sock) if isinstance(sock, ssl.SSLSocket) else (sock.recv, sock.send)
        self._fd = sock.fileno()
        self._traffic = traffic
        # The very object that was given, as long as it is the only one: most often it goes out like that.
        self._out: bytes | bytearray = b""
        # What the poller tells of.
        self._events = 0
        self._is_gone = self._is_paused = self._is_cut_off = False
        self._receiver: Receiver | None = None

    def start(self, receiver: Receiver) -> None:
        """Begin to read, and give what comes to the receiver."""
        self._receiver = receiver
        self.watch()

    def pause(self) -> None:
        """Read nothing more of this connection until `resume`; nothing that was sent meanwhile is lost."""
        self._is_paused = True
        self._watch(self._events & ~READABLE)

    def resume(self) -> None:
        """Read again after `pause`."""
        self._is_paused = False
        self.watch()

    def watch(self) -> None:
        """Read when there is something, unless the connection is paused or ends."""
        if self._receiver is not None and not self._is_paused and not self._traffic.is_leaving(self):
            self._watch(self._events | READABLE)

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
        return self._receiver is not None and not self._is_cut_off

    @property
    def unsent_bytes(self) -> int:
        """Bytes that the client has not taken yet."""
        return len(self._out)

    def send(self, data: bytes) -> int:
        """Write soon; everything of one turn of the loop leaves in one piece. Gives how many bytes wait now."""
        if self._receiver is None:
            return 0
        out = self._out
        if not out:
            self._out = data
            self._traffic.write_soon(self, self._loop)
            return len(data)
        if not isinstance(out, bytearray):
            self._out = out = bytearray(out)
        out += data
        return len(out)

    def close(self, reason: str) -> None:
        """Write what waits as far as the socket takes it, and end the connection."""
        receiver = self._receiver
        if receiver is None:
            return
        reason = self._traffic.forget(self, reason)
        self._watch(0)
        self._receiver = None
        if not self._is_cut_off:
            self._say_goodbye()
        if self._is_gone:
            self._socket.close()
        else:
            self._traffic.linger(self._socket, self._loop)
        self._traffic.ended(self.address)
        receiver.lost(reason)

    def cut_off(self, reason: str) -> None:
        """End the connection as the client sees it, and `close` when it is this one's turn.

        For thousands that must be out at once: what is to be done about an end takes longer than the end.
        """
        if not self.is_open:
            return
        self._traffic.end_soon(self, reason, self._loop)
        self._watch(0)
        self._say_goodbye()
        with contextlib.suppress(OSError):
            # That of the stream below TLS, which has nothing to say any more.
            socket.socket.shutdown(self._socket, socket.SHUT_WR)
        self._is_cut_off = True
        # From here on everything is taken, and nothing is sent.
        self._write = len

    def _say_goodbye(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            if self._out:
                self._socket.send(self._out)
            # Also to one that is gone: only what was ended with a farewell can be resumed.
            if isinstance(self._socket, ssl.SSLSocket):
                self._socket.unwrap()
        self._out = b""

    def write(self) -> None:
        """Give the socket what waits, as far as it takes it."""
        out = self._out
        if not out:
            return
        try:
            sent = self._write(out)
        except NOT_NOW:
            sent = 0
        except OSError as error:
            self._lose(f"connection lost: {error.strerror or error}")
            return
        if sent == len(out):
            self._out = b""
            if self._events & WRITABLE:
                self._watch(self._events & ~WRITABLE)
            return
        if isinstance(out, bytearray):
            del out[:sent]
        elif sent:
            self._out = bytearray(memoryview(out)[sent:])
        if not self._is_gone:
            self._watch(self._events | WRITABLE)

    def readable(self) -> None:
        """Read what is there, as much as is this connection's share of a turn."""
        for _ in range(READS_PER_TURN):
            receiver = self._receiver
            # It may be told of a broken connection that it does not listen to.
            if receiver is None or not self._events & READABLE:
                return
            if not self._traffic.is_open:
                self._watch(self._events & ~READABLE)
                self._traffic.wait(self)
                return
            try:
                data = self._read(READ_BYTES)
            except NOT_NOW:
                return
            except OSError as error:
                if not is_end(error):
                    self._lose(f"connection lost: {error.strerror or error}")
                    return
                data = b""
            if not data:
                self._lose("connection closed by the client")
                return
            self.heard_at = self._traffic.poller.now
            receiver.received(data)
            if len(data) < MUCH_BYTES:
                return

    def _lose(self, reason: str) -> None:
        """End a connection whose other end is gone. Thousands may go at once, so each waits for its turn."""
        self._watch(0)
        self._is_gone = True
        self._traffic.end_soon(self, reason, self._loop)

    def _watch(self, events: int) -> None:
        if events != self._events:
            self._events = events
            self._traffic.poller.watch(self._fd, self, events, self._loop)
