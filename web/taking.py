"""Whether a client takes what it was sent.

The buffers of a transport do not show it: they empty in leaps, and over TLS one behind them stands in between. What the
other end has acknowledged grows with every window it opens.
"""

import asyncio
import contextlib
import socket
import struct
from typing import NamedTuple

TAKE_SECONDS = 30
"""How long a client may take nothing of its answer while some of it waits."""
LOOK_SECONDS = 10
"""How often it is looked at."""
CLOSING_SECONDS = 86_400
"""How long a client may take the rest of what it was sent over TLS when the connection is closing."""

# Of Linux: tcpi_unacked at 24, in segments, tcpi_bytes_acked at 120, tcpi_notsent_bytes at 144.
_TCP_INFO = struct.Struct("=24xI92xQ16xI")


class Taken(NamedTuple):
    """How far a client has come."""

    acknowledged_bytes: int
    """Since the connection began."""
    is_all: bool
    """Whether the system has nothing more for it."""


def taken(sock: socket.socket) -> Taken:
    """How far the client at the other end of this TCP connection has come. Raises `OSError`."""
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
    unacknowledged_count, acknowledged_bytes, unsent_bytes = _TCP_INFO.unpack(info)
    return Taken(acknowledged_bytes, not unacknowledged_count and not unsent_bytes)


class Watch:
    """Cuts off a client that takes nothing of what waits for it, or does not go when it should."""

    def __init__(
        self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, *, only_closing: bool = False
    ) -> None:
        """With `only_closing`, a client is left alone until its connection is being closed."""
        self._transport = transport
        self._socket = transport.get_extra_info("socket")
        self._loop = loop
        self._only_closing = only_closing
        self._acknowledged_bytes = -1
        self._still_seconds = 0
        self._look_later()

    def stop(self) -> None:
        """Look no more."""
        self._timer.cancel()

    def cut_off(self) -> None:
        """End the connection at once."""
        if not self._is_let_go:
            self._transport.abort()
        elif self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    @property
    def _is_let_go(self) -> bool:
        """Whether the transport knows its connection no more: in Python 3.11 one over TLS that was closed twice."""
        return getattr(self._transport, "_ssl_protocol", self._transport) is None

    def _look_later(self) -> None:
        self._timer = self._loop.call_later(LOOK_SECONDS, self._look)

    def _look(self) -> None:
        if self._socket is None or self._socket.fileno() < 0:
            return
        now = taken(self._socket)
        before, self._acknowledged_bytes = self._acknowledged_bytes, now.acknowledged_bytes
        is_expected = self._is_let_go or self._transport.is_closing()
        if not is_expected and not self._only_closing:
            is_expected = not now.is_all or self._transport.get_write_buffer_size() > 0
        if is_expected and self._acknowledged_bytes == before:
            self._still_seconds += LOOK_SECONDS
        else:
            self._still_seconds = 0
        if self._still_seconds >= TAKE_SECONDS:
            self.cut_off()
        else:
            self._look_later()
