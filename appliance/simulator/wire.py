"""A non-blocking socket, plain or TLS, that is read and written when the loop says so.

Asyncio's own TLS streams hold some 300 kB a connection; here OpenSSL works on the socket itself,
which needs a tenth of it.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import msgspec

_READ_BYTES = 16_384


class Identity(msgspec.Struct, frozen=True):
    """What a device shows of itself, and whom it trusts: paths of PEM files."""

    certificate: Path
    """The device's certificate and its issuers."""
    key: Path
    trust: Path


class Endpoint(msgspec.Struct, frozen=True):
    """Where the broker listens."""

    host: str
    port: int
    server_name: str
    """The name or address that the broker's certificate must carry."""


def tls_context(identity: Identity) -> ssl.SSLContext:
    """A context that shows the device's certificate and verifies the server's name.

    Raises `OSError` (which `ssl.SSLError` is) when a file is missing or is not what it should be.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(identity.trust)
    context.load_cert_chain(identity.certificate, identity.key)
    return context


class Wire:
    """A connected socket, and the bytes that it would not take yet."""

    __slots__ = ("_end", "_loop", "_socket", "_take", "_unsent", "is_open")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        opened: socket.socket,
        take: Callable[[bytes], None],
        end: Callable[[str], None],
    ) -> None:
        self.is_open = True
        self._loop = loop
        self._socket = opened
        self._take = take
        self._end = end
        self._unsent = bytearray()
        loop.add_reader(opened, self._read)

    def send(self, packets: bytes) -> None:
        """Write what the socket takes, keep the rest until it takes more."""
        if self._unsent:
            self._unsent += packets
            return
        sent = self._write(packets)
        if sent < len(packets):
            self._unsent += packets[sent:]
            if self.is_open:
                self._loop.add_writer(self._socket, self._write_rest)

    def close(self) -> None:
        """Close the socket; nothing is taken or sent any more."""
        self.is_open = False
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._socket.close()

    def _read(self) -> None:
        try:
            # As much as a TLS record can hold: nothing decrypted stays behind, where no readiness would tell of it.
            arrived = self._socket.recv(_READ_BYTES)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
            return
        except OSError as error:
            self._end(words(error))
            return
        if arrived:
            self._take(arrived)
        else:
            self._end("the broker closed the connection")

    def _write(self, packets: bytes | bytearray) -> int:
        try:
            return self._socket.send(packets)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
            return 0
        except OSError as error:
            # Later, so that whoever is sending is not told in the middle of it.
            self._loop.call_soon(self._fail, words(error))
            return 0

    def _write_rest(self) -> None:
        del self._unsent[: self._write(self._unsent)]
        if not self._unsent and self.is_open:
            self._loop.remove_writer(self._socket)

    def _fail(self, reason: str) -> None:
        if self.is_open:
            self._end(reason)


async def open_socket(
    loop: asyncio.AbstractEventLoop, endpoint: Endpoint, context: ssl.SSLContext | None
) -> socket.socket:
    """Connect, and shake hands when there is a context; raises `OSError`, also for TLS."""
    family, kind, protocol, _, address = (
        await loop.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
    )[0]
    opened = socket.socket(family, kind, protocol)
    try:
        opened.setblocking(False)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await loop.sock_connect(opened, address)
        if context is None:
            return opened
        opened = context.wrap_socket(opened, server_hostname=endpoint.server_name, do_handshake_on_connect=False)
        await _shake_hands(loop, opened)
    except BaseException:
        opened.close()
        raise
    return opened


def words(error: OSError) -> str:
    """What an error of a socket or of TLS says, without its numbers."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the broker's certificate was not accepted: {error.verify_message}"
    return getattr(error, "reason", None) or error.strerror or str(error) or "no answer in time"


async def _shake_hands(loop: asyncio.AbstractEventLoop, secured: ssl.SSLSocket) -> None:
    """The TLS handshake, one step each time the socket is ready for it."""
    while True:
        try:
            secured.do_handshake()
        except ssl.SSLWantReadError:
            await _readiness(secured, loop.add_reader, loop.remove_reader)
        except ssl.SSLWantWriteError:
            await _readiness(secured, loop.add_writer, loop.remove_writer)
        else:
            return


async def _readiness(
    watched: socket.socket, watch: Callable[..., None], unwatch: Callable[[socket.socket], bool]
) -> None:
    ready = asyncio.Event()
    watch(watched, ready.set)
    try:
        await ready.wait()
    finally:
        unwatch(watched)
