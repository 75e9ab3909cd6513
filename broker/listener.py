"""Listening sockets, and who may come in through them."""

import asyncio
import contextlib
import errno
import ipaddress
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Iterator

import msgspec

from broker.connection import Connection
from broker.descriptors import is_scarce
from broker.handshakes import (
    Choice,
    Greeted,
    Guest,
    HandedOver,
    HandOver,
    Handshakes,
    Outcome,
    TurnedAway,
)
from broker.limits import Limits
from broker.tls import DeviceTls, tls_context
from broker.traffic import NOT_NOW, Traffic
from broker.workers import usual_thread_count

__all__ = ["DeviceTls", "Endpoint", "Entrance", "HandOver", "Listener", "SharedEndpoint", "tls_context"]

log = logging.getLogger(__name__)

ACCEPTS_PER_TURN = 16
BACKLOG = 2_048
ACCEPT_PAUSE_S = 0.1
LOOPBACK = ("127.0.0.0/8", "::1/128")

_OUT_OF_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Endpoint(msgspec.Struct, frozen=True):
    """Where to listen. Without `tls` the connections are plain."""

    host: str
    port: int
    tls: ssl.SSLContext | DeviceTls | None = None
    sock: socket.socket | None = None
    """A socket that listens already, for which host and port are only words; it belongs to the listener then."""
    networks: tuple[str, ...] = ()
    """Who may connect: addresses of these networks, and of this machine. Empty: everybody who can."""


class SharedEndpoint(msgspec.Struct, frozen=True):
    """Where to listen for clients of which each gets what it asks for: a handshake here, or someone else."""

    host: str
    port: int
    choose: Choice
    sock: socket.socket | None = None
    """As of an endpoint."""


class Entrance:
    """What all listeners of a broker share: how many are let in, and the handshakes of those who are."""

    def __init__(
        self,
        traffic: Traffic,
        opened: Callable[[Connection], None],
        refused: Callable[[str, str, str], None],
        limits: Limits,
        *,
        thread_count: int | None = None,
    ) -> None:
        """`refused(address, kind, reason)` hears of everyone who does not come in.

        `thread_count` is how many threads make handshakes; None leaves a core to the loop.
        """
        self.count = 0
        """Network connections: open ones, those in a handshake, those handed over."""
        self.handshakes = Handshakes(self._greeted, traffic.poller, limits, thread_count or usual_thread_count())
        self._traffic = traffic
        self._opened = opened
        self._refused = refused
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._count_of: Counter[str] = Counter()
        traffic.ended = self._leave

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Let clients in until the block is left."""
        with self.handshakes.running():
            yield

    def enter(self, sock: socket.socket, address: str, choose: Choice | None) -> None:
        """Let a client in that was just accepted, if there is room; without a choice it speaks no TLS."""
        if self.count >= self._limits.connections:
            self.turn_away(sock, address, "server_busy", "as many connections as the limit allows are open")
            return
        if is_scarce(sock.fileno()):
            self.turn_away(sock, address, "server_busy", "nearly all files that the gateway may open are open")
            return
        host = _host_of(address)
        if self._count_of[host] >= self._limits.connections_per_address:
            reason = f"{self._limits.connections_per_address} connections of this address are open"
            self.turn_away(sock, address, "address_busy", reason)
            return
        self.count += 1
        self._count_of[host] += 1
        sock.setblocking(False)
        now = self._loop.time()
        if choose is None:
            self._opened(Connection(self._loop, sock, address, self._traffic, now))
        else:
            self.handshakes.begin(Guest(sock, address, choose, now))

    def turn_away(self, sock: socket.socket, address: str, kind: str, reason: str) -> None:
        """Close a connection that may not come in, and say why."""
        sock.close()
        self._refused(address, kind, reason)

    def _greeted(self, guest: Guest, outcome: Outcome) -> None:
        match outcome:
            case Greeted(tls):
                self._opened(Connection(self._loop, tls, guest.address, self._traffic, guest.opened_at))
            case HandedOver(hello, to):
                to(_CountedSocket(guest.sock, guest.address, self._leave), hello, guest.address)
            case TurnedAway(kind, reason):
                self._leave(guest.address)
                if kind:
                    self._refused(guest.address, kind, reason)

    def _leave(self, address: str) -> None:
        host = _host_of(address)
        self.count -= 1
        self._count_of[host] -= 1
        if not self._count_of[host]:
            del self._count_of[host]


class _CountedSocket(socket.socket):
    """A socket in the hands of someone else, who need not know that its end is counted."""

    def __init__(self, sock: socket.socket, address: str, ended: Callable[[str], None]) -> None:
        super().__init__(sock.family, sock.type, sock.proto, sock.detach())
        self.setblocking(False)
        self._address = address
        self._tell: Callable[[str], None] | None = ended

    def close(self) -> None:
        super().close()
        self._end()

    def detach(self) -> int:
        self._end()
        return super().detach()

    def _end(self) -> None:
        tell, self._tell = self._tell, None
        if tell is not None:
            tell(self._address)


class Listener:
    """One listening socket."""

    def __init__(self, endpoint: Endpoint | SharedEndpoint, entrance: Entrance) -> None:
        """Take the address.

        Raises `OSError`, whose `filename` is the address, when it is taken or none of this machine's, `ValueError`
        when a socket does not listen.
        """
        self._entrance = entrance
        self._choose = _choice(endpoint)
        networks = (*endpoint.networks, *LOOPBACK) if isinstance(endpoint, Endpoint) and endpoint.networks else ()
        self._networks = [ipaddress.ip_network(network) for network in networks]
        self._loop = asyncio.get_running_loop()
        self._socket = _bound(endpoint)

    @property
    def port(self) -> int:
        """The port that was really bound."""
        return int(self._socket.getsockname()[1])

    @contextlib.contextmanager
    def listening(self) -> Iterator["Listener"]:
        """Accept connections until the block is left."""
        self._loop.add_reader(self._socket, self._acceptable)
        try:
            yield self
        finally:
            self._loop.remove_reader(self._socket)
            self._socket.close()
            if self._choose is not None:
                self._entrance.handshakes.leave(self._choose)

    def _acceptable(self) -> None:
        for _ in range(ACCEPTS_PER_TURN):
            try:
                sock, peer = self._socket.accept()
            except NOT_NOW:
                return
            except OSError as error:
                self._accept_failed(error)
                return
            address = f"{peer[0]}:{peer[1]}"
            if self._networks and not self._is_of_networks(peer[0]):
                self._entrance.turn_away(sock, address, "foreign_network", "it is in none of the listed networks")
                continue
            self._entrance.enter(sock, address, self._choose)

    def _is_of_networks(self, host: str) -> bool:
        address = ipaddress.ip_address(host.partition("%")[0])
        mapped = getattr(address, "ipv4_mapped", None)
        return any((mapped or address) in network for network in self._networks)

    def _accept_failed(self, error: OSError) -> None:
        if error.errno not in _OUT_OF_RESOURCES:
            return  # The client went away between knocking and being let in.
        log.warning("accepting paused reason=%s", error.strerror)
        self._loop.remove_reader(self._socket)
        self._loop.call_later(ACCEPT_PAUSE_S, self._accept_again)

    def _accept_again(self) -> None:
        if self._socket.fileno() >= 0:
            self._loop.add_reader(self._socket, self._acceptable)


def _choice(endpoint: Endpoint | SharedEndpoint) -> Choice | None:
    if isinstance(endpoint, SharedEndpoint):
        return endpoint.choose
    tls = endpoint.tls
    if tls is None:
        return None
    return (lambda _: tls.context) if isinstance(tls, DeviceTls) else (lambda _: tls)


def _bound(endpoint: Endpoint | SharedEndpoint) -> socket.socket:
    sock = endpoint.sock
    if sock is None:
        family = socket.AF_INET6 if ":" in endpoint.host else socket.AF_INET
        try:
            sock = socket.create_server((endpoint.host, endpoint.port), family=family, backlog=BACKLOG)
        except OSError as error:
            raise OSError(error.errno, error.strerror, f"{endpoint.host} port {endpoint.port}") from error
    elif not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        raise ValueError(f"socket {sock.fileno()} does not listen")
    # Connections inherit it: an acknowledgement does not wait for another one to share its packet.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setblocking(False)
    return sock


def _host_of(address: str) -> str:
    return address.rpartition(":")[0]
