"""Sockets: accepting, TLS handshakes, and connections that read and write without waiting.

The event loop watches plain file descriptors and OpenSSL reads them itself: asyncio's own TLS keeps
a 256 KiB buffer for each connection, this keeps none (28 kB a connection instead of 300, measured).
"""

import asyncio
import contextlib
import errno
import logging
import socket
import ssl
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import msgspec

log = logging.getLogger(__name__)

READ_BYTES = 65_536
"""More than a TLS record holds: a record is taken whole, so nothing decrypted stays in OpenSSL, where the loop
could not see it."""
MUCH_BYTES = 16_384
"""A read of fewer bytes (a full TLS record has as many) has emptied the socket, most likely."""
READS_PER_TURN = 4
"""How often one connection is read before the others get their turn."""
ACCEPTS_PER_TURN = 64
HANDSHAKE_STEPS_PER_TURN = 2
"""A step costs up to a millisecond; more of them in one turn would delay every acknowledgement."""
BACKLOG = 2_048
ACCEPT_PAUSE_S = 0.1

_NOT_NOW = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_OUT_OF_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Endpoint(msgspec.Struct, frozen=True):
    """Where to listen. Without `tls` the connections are plain."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None


class Receiver(Protocol):
    """Takes what comes out of one connection."""

    def received(self, data: bytes) -> None:
        """Take bytes of the client."""

    def lost(self, reason: str) -> None:
        """Hear that the connection is gone; nothing comes after this."""


def tls_context(certificate: Path, key: Path, trust: Path) -> ssl.SSLContext:
    """Make the settings of a listener that requires a certificate of a client.

    Raises `ssl.SSLError` or `OSError` when a file is missing or does not fit.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(trust)
    context.verify_mode = ssl.CERT_REQUIRED
    # Tickets cost 0.13 ms a handshake and nothing resumes yet.
    context.num_tickets = 0
    return context


class Gate:
    """Whether connections may be read. While it is shut, those with something to say queue up here."""

    def __init__(self) -> None:
        self.is_open = True
        self._waiting: dict[Connection, None] = {}

    def shut(self) -> None:
        """Read nothing more until `open`."""
        self.is_open = False

    def open(self) -> None:
        """Read again, beginning with those that wait."""
        self.is_open = True
        waiting, self._waiting = self._waiting, {}
        for connection in waiting:
            connection.resume()

    def wait(self, connection: "Connection") -> None:
        """Queue a connection that has something to be read."""
        self._waiting[connection] = None

    def forget(self, connection: "Connection") -> None:
        """Let a connection out of the queue that has ended."""
        self._waiting.pop(connection, None)


class Connection:
    """One network connection: bytes in by callback, bytes out gathered and written once a turn."""

    __slots__ = (
        "_fd",
        "_gate",
        "_is_writing",
        "_loop",
        "_out",
        "_receiver",
        "_socket",
        "address",
        "heard_at",
        "opened_at",
    )

    def __init__(
        self, loop: asyncio.AbstractEventLoop, sock: socket.socket, address: str, gate: Gate, opened_at: float
    ) -> None:
        """`opened_at` is when it was accepted, in the seconds of the loop."""
        self.address = address
        self.opened_at = opened_at
        self.heard_at = loop.time()
        self._loop = loop
        self._socket = sock
        self._fd = sock.fileno()
        self._gate = gate
        self._out = bytearray()
        self._is_writing = False
        self._receiver: Receiver | None = None

    def start(self, receiver: Receiver) -> None:
        """Begin to read, and give what comes to the receiver."""
        self._receiver = receiver
        self.resume()

    def resume(self) -> None:
        """Read (again)."""
        if self._receiver is not None:
            self._loop.add_reader(self._fd, self._readable)

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
        if not self._out and not self._is_writing:
            self._loop.call_soon(self._write)
        self._out += data

    def close(self, reason: str) -> None:
        """Write what waits as far as the socket takes it, and end the connection."""
        receiver, self._receiver = self._receiver, None
        if receiver is None:
            return
        self._gate.forget(self)
        self._loop.remove_reader(self._fd)
        if self._is_writing:
            self._loop.remove_writer(self._fd)
        with contextlib.suppress(OSError, ValueError):
            if self._out:
                self._socket.send(self._out)
            if isinstance(self._socket, ssl.SSLSocket):
                self._socket.unwrap()
            self._socket.shutdown(socket.SHUT_WR)
        self._socket.close()
        self._out.clear()
        receiver.lost(reason)

    def _readable(self) -> None:
        for _ in range(READS_PER_TURN):
            receiver = self._receiver
            if receiver is None:
                return
            if not self._gate.is_open:
                self._loop.remove_reader(self._fd)
                self._gate.wait(self)
                return
            try:
                data = self._socket.recv(READ_BYTES)
            except _NOT_NOW:
                return
            except OSError as error:
                self.close(f"connection lost: {error.strerror or error}")
                return
            if not data:
                self.close("connection closed by the client")
                return
            self.heard_at = self._loop.time()
            receiver.received(data)
            if len(data) < MUCH_BYTES:
                return

    def _write(self) -> None:
        if self._receiver is None or not self._out:
            return
        try:
            sent = self._socket.send(self._out)
        except _NOT_NOW:
            sent = 0
        except OSError as error:
            self.close(f"connection lost: {error.strerror or error}")
            return
        del self._out[:sent]
        if bool(self._out) != self._is_writing:
            self._is_writing = not self._is_writing
            if self._is_writing:
                self._loop.add_writer(self._fd, self._write)
            else:
                self._loop.remove_writer(self._fd)


class _Handshake(msgspec.Struct):
    sock: ssl.SSLSocket
    address: str
    opened_at: float
    deadline: asyncio.TimerHandle


class Listener:
    """One listening socket, and the connections on their way through the TLS handshake."""

    def __init__(
        self,
        endpoint: Endpoint,
        gate: Gate,
        opened: Callable[[Connection], None],
        refused: Callable[[str, str, str], None],
        handshake_timeout_s: float,
    ) -> None:
        """`refused(address, kind, reason)` hears of handshakes that failed."""
        self._endpoint = endpoint
        self._gate = gate
        self._opened = opened
        self._refused = refused
        self._timeout_s = handshake_timeout_s
        self._loop = asyncio.get_running_loop()
        self._socket = _bound(endpoint)
        self._handshakes: dict[int, _Handshake] = {}
        self._ready: deque[int] = deque()
        self.may_accept: Callable[[], bool] = lambda: True

    @property
    def port(self) -> int:
        """The port that was really bound."""
        return int(self._socket.getsockname()[1])

    @property
    def handshake_count(self) -> int:
        """Handshakes under way."""
        return len(self._handshakes)

    @contextlib.contextmanager
    def listening(self) -> Iterator["Listener"]:
        """Accept connections until the block is left."""
        self._loop.add_reader(self._socket, self._acceptable)
        try:
            yield self
        finally:
            self._loop.remove_reader(self._socket)
            self._socket.close()
            for fd in list(self._handshakes):
                self._forget(fd).sock.close()

    def _acceptable(self) -> None:
        for _ in range(ACCEPTS_PER_TURN):
            try:
                sock, peer = self._socket.accept()
            except _NOT_NOW:
                return
            except OSError as error:
                self._accept_failed(error)
                return
            address = f"{peer[0]}:{peer[1]}"
            if not self.may_accept():
                sock.close()
                self._refused(address, "server_busy", "as many connections as the limit allows are open")
                continue
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._begin(sock, address)

    def _accept_failed(self, error: OSError) -> None:
        if error.errno not in _OUT_OF_RESOURCES:
            return  # The client went away between knocking and being let in.
        log.warning("accepting paused reason=%s", error.strerror)
        self._loop.remove_reader(self._socket)
        self._loop.call_later(ACCEPT_PAUSE_S, self._accept_again)

    def _accept_again(self) -> None:
        if self._socket.fileno() >= 0:
            self._loop.add_reader(self._socket, self._acceptable)

    def _begin(self, sock: socket.socket, address: str) -> None:
        now = self._loop.time()
        if self._endpoint.tls is None:
            self._opened(Connection(self._loop, sock, address, self._gate, now))
            return
        try:
            wrapped = self._endpoint.tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        except OSError:
            sock.close()  # Gone before it began.
            return
        fd = wrapped.fileno()
        deadline = self._loop.call_later(self._timeout_s, self._expire, fd)
        self._handshakes[fd] = _Handshake(wrapped, address, now, deadline)
        self._loop.add_reader(fd, self._step_later, fd)

    def _step_later(self, fd: int) -> None:
        """Queue a handshake whose client has said something; the queue is worked off a few a turn."""
        self._loop.remove_reader(fd)
        self._ready.append(fd)
        if len(self._ready) == 1:
            self._loop.call_soon(self._step)

    def _step(self) -> None:
        due = [self._ready.popleft() for _ in range(min(HANDSHAKE_STEPS_PER_TURN, len(self._ready)))]
        if self._ready:
            self._loop.call_soon(self._step)
        for fd in due:
            handshake = self._handshakes.get(fd)
            if handshake is not None:
                self._advance(fd, handshake)

    def _advance(self, fd: int, handshake: _Handshake) -> None:
        try:
            handshake.sock.do_handshake()
        except ssl.SSLWantReadError:
            self._loop.add_reader(fd, self._step_later, fd)
        except ssl.SSLWantWriteError:
            # A handshake's few kilobytes always fit into a fresh socket; a client for which they do not is stalling.
            self._fail(fd, "tls_handshake_failed", "the client does not take the server's certificate")
        except OSError as error:
            self._fail(fd, "tls_handshake_failed", _explained(error))
        else:
            self._forget(fd)
            self._opened(Connection(self._loop, handshake.sock, handshake.address, self._gate, handshake.opened_at))

    def _expire(self, fd: int) -> None:
        self._fail(fd, "connect_timeout", f"no TLS handshake within {self._timeout_s:g} s")

    def _fail(self, fd: int, kind: str, reason: str) -> None:
        handshake = self._forget(fd)
        handshake.sock.close()
        self._refused(handshake.address, kind, reason)

    def _forget(self, fd: int) -> _Handshake:
        handshake = self._handshakes.pop(fd)
        self._loop.remove_reader(fd)
        handshake.deadline.cancel()
        return handshake


def _bound(endpoint: Endpoint) -> socket.socket:
    family = socket.AF_INET6 if ":" in endpoint.host else socket.AF_INET
    sock = socket.create_server((endpoint.host, endpoint.port), family=family, backlog=BACKLOG)
    sock.setblocking(False)
    return sock


# What OpenSSL calls the cause → what the owner of the device can do about it.
_EXPLANATIONS = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "the client showed no certificate",
    "CERTIFICATE_VERIFY_FAILED": "the client's certificate was not issued here",
    "TLSV1_ALERT_UNKNOWN_CA": "the client does not trust this gateway: give it the root certificate",
    "SSLV3_ALERT_BAD_CERTIFICATE": "the client does not accept this gateway's certificate",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "the client does not accept this gateway's certificate",
    "UNEXPECTED_EOF_WHILE_READING": "the client went away during the handshake: perhaps it does not trust this gateway",
    "HTTP_REQUEST": "the client speaks HTTP, not TLS",
    "WRONG_VERSION_NUMBER": "the client speaks something other than TLS",
    "UNSUPPORTED_PROTOCOL": "the client speaks an outdated version of TLS",
}


def _explained(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"{_EXPLANATIONS['CERTIFICATE_VERIFY_FAILED']} ({error.verify_message})"
    if isinstance(error, ssl.SSLError):
        cause = error.reason or "unknown"
        return _EXPLANATIONS.get(cause, cause.replace("_", " ").lower())
    return error.strerror or "the client went away"
