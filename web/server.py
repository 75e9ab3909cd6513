"""The web's sockets: HTTPS for people and scripts, plain HTTP that only leads there, and what others accepted.

uvicorn runs inside the gateway's own loop. Signals are the process's; on leaving, the live pages and MQTT over
WebSocket are closed first, then requests under way get some seconds.
"""

import asyncio
import contextlib
import errno
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, NamedTuple, cast

import h11
import uvicorn
from litestar import Litestar
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request
from websockets.protocol import State

from appliance.config import HttpConfig
from appliance.errors import ApplianceError
from appliance.gateway import Gateway
from broker.client_hello import ClientHello
from broker.descriptors import is_scarce
from broker.tls import explained
from web import mqtt
from web.app import create_app
from web.devices_only import CERTIFICATE
from web.est import create_enrolment_app
from web.knocking import listener as knocking
from web.tls import Certificates
from web.trust import create_trust_app

log = logging.getLogger(__name__)

FINISH_SECONDS = 3
"""How long requests under way may take after the stop was asked for."""
REQUEST_SECONDS = 30
"""How long a client may take to send a request, and to begin with one."""
TAKE_SECONDS = 30
"""How long a client may take nothing of its answer while more of it waits than is buffered."""
HEADER_LIMIT_BYTES = 32_768
CONNECTIONS_LIMIT = 1_000
BACKLOG = 128
HANDSHAKE_SECONDS = 10
"""How long a client that another listener accepted may take for TLS."""
WORD_BYTES = 4_096
"""The largest WebSocket message of a page, which has nothing to say."""


class WebListenError(ApplianceError):
    """A port of the web cannot be opened."""

    code = "web_port"


class Served(NamedTuple):
    """Where the web is being served."""

    port: int
    trust_port: int | None
    enrolment_port: int | None
    knock_port: int | None
    reload_certificate: Callable[[], None]
    """Takes up renewed server certificates: new connections get them, open ones go on."""
    adopt: Callable[[socket.socket, ClientHello, str], None]
    """Takes a connection that another listener has accepted, with what its client asks for and its address.

    Nothing has been read from the socket. It is closed by the web.
    """


class EmbeddedServer(uvicorn.Server):
    """uvicorn without its own idea of signals, which says when it has started."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.has_started = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept connections."""
        await super().startup(sockets)
        self.has_started.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave SIGTERM and SIGINT to the process."""
        yield


class PunctualProtocol(H11Protocol):
    """HTTP/1.1 that cuts off a client whose request does not come, and one that does not take its answer.

    uvicorn waits for ever: a thousand connections that say nothing would keep everybody else out, and a few that
    take nothing would keep the places of exports and streams.
    """

    _deadline: asyncio.TimerHandle | None = None
    _taking: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Expect the first request."""
        super().connection_made(transport)
        tls = transport.get_extra_info("ssl_object")
        certificate = tls.getpeercert(binary_form=True) if tls is not None else None
        if certificate is not None:
            # Every request of this connection carries it in its scope.
            self.app_state = {**self.app_state, CERTIFICATE: certificate}
        self._set_deadline()

    def data_received(self, data: bytes) -> None:
        """Take in a piece of a request."""
        super().data_received(data)
        self._set_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        """Expect nothing any more."""
        self._clear_deadline()
        self._clear_taking()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Expect the client to take some of what it was sent."""
        super().pause_writing()
        self._clear_taking()
        self._expect_taking()

    def resume_writing(self) -> None:
        """The client has taken enough for more to be sent."""
        self._clear_taking()
        super().resume_writing()

    def _expect_taking(self) -> None:
        left_bytes = self.transport.get_write_buffer_size()
        self._taking = self.loop.call_later(TAKE_SECONDS, self._look_at_taking, left_bytes)

    def _look_at_taking(self, left_bytes: int) -> None:
        # Who is slow may go on: only who takes nothing at all is cut off.
        if self.transport.get_write_buffer_size() < left_bytes:
            self._expect_taking()
        else:
            self.transport.abort()

    def _clear_taking(self) -> None:
        if self._taking is not None:
            self._taking.cancel()
            self._taking = None

    def _set_deadline(self) -> None:
        """One deadline for the whole of a request: pieces that trickle in do not put it off."""
        if self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
            self._clear_deadline()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(REQUEST_SECONDS, self.transport.abort)

    def _clear_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class PatientSocket(WebSocketsSansIOProtocol):
    """A WebSocket with limits by what it is for, that is patient only with those who may be."""

    def handle_connect(self, event: Request) -> None:
        """Take the request that opens it."""
        if event.path.partition("?")[0] == mqtt.PATH:
            # What is compressed keeps a window for each direction, and messages of devices are small.
            self.conn.available_extensions = []
        else:
            self.conn.max_size = WORD_BYTES
        super().handle_connect(event)

    def keepalive_timeout(self) -> None:
        """End the connection of who does not answer. Nobody is silent while nobody is heard."""
        if not self.read_paused:
            super().keepalive_timeout()
            return
        self.pong_timer = self.pending_ping_payload = None
        self.schedule_ping()

    def shutdown(self) -> None:
        """End it with the server. Where its client has just closed it, nothing is left to be said."""
        if self.handshake_complete and self.conn.state is not State.OPEN:
            self.stop_keepalive()
            self.transport.close()
        else:
            super().shutdown()

    async def run_asgi(self) -> None:
        """Serve it. Afterwards nobody waits for a client that does not take what it was sent."""
        try:
            await super().run_asgi()
        finally:
            if not self.writable.is_set():
                self.transport.abort()


class Adoption:
    """Connections that another listener has accepted, until they are like the web's own."""

    def __init__(
        self, gateway: Gateway, server: EmbeddedServer, certificates: Certificates, tasks: asyncio.TaskGroup
    ) -> None:
        self._gateway = gateway
        self._server = server
        self._certificates = certificates
        self._tasks = tasks
        self._under_way: set[asyncio.Task[None]] = set()
        self._untouched: set[socket.socket] = set()

    def adopt(self, sock: socket.socket, hello: ClientHello, address: str) -> None:
        """Serve HTTPS on this socket, with the certificate that its client asks for."""
        context = self._certificates.chosen(hello)
        self._untouched.add(sock)
        task = self._tasks.create_task(self._shake_hands(sock, context, address), name="web: a handshake")
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    def end(self) -> None:
        """End the handshakes under way."""
        for task in self._under_way:
            task.cancel()
        for sock in self._untouched:
            sock.close()

    async def _shake_hands(self, sock: socket.socket, context: ssl.SSLContext, address: str) -> None:
        self._untouched.discard(sock)
        loop = asyncio.get_running_loop()
        try:
            # Whatever comes of it, the socket is the transport's from here on.
            await loop.connect_accepted_socket(
                self._protocol, sock, ssl=context, ssl_handshake_timeout=HANDSHAKE_SECONDS
            )
        except OSError as error:
            mqtt.note_refused(self._gateway, address, "tls_handshake_failed", explained(error))

    def _protocol(self) -> asyncio.Protocol:
        server = self._server
        return PunctualProtocol(server.config, server.server_state, server.lifespan.state)


@contextlib.asynccontextmanager
async def serving(gateway: Gateway, config: HttpConfig, device_host: str = "") -> AsyncIterator[Served]:
    """Serve the dashboard and `/v1`; on leaving, end live pages and finish requests within seconds.

    A client that names `device_host` on a port it shares with people is a device.
    Raises `WebListenError` when a port cannot be opened.
    """
    app = create_app(gateway, config)
    certificates = Certificates(gateway.registry.web_tls(), gateway.registry.device_tls(), device_host)
    secure = _settings(app, gateway.broker.limits.packet_bytes)
    secure.ssl_context_factory = lambda _config, _default: certificates.for_people
    async with contextlib.AsyncExitStack() as stack:
        https_socket = stack.enter_context(_listening(config.host, config.port))
        port = int(https_socket.getsockname()[1])
        servers = [(EmbeddedServer(secure), https_socket, "web https")]
        trust_port = None
        if config.trust_port is not None:
            http_socket = stack.enter_context(_listening(config.host, config.trust_port))
            trust_port = int(http_socket.getsockname()[1])
            plain = _settings(create_trust_app(gateway, _names(config), port), WORD_BYTES)
            servers.append((EmbeddedServer(plain), http_socket, "web http"))
        enrolment_port = None
        if config.enrolment_port is not None:
            enrolment_socket = stack.enter_context(_listening(config.host, config.enrolment_port))
            enrolment_port = int(enrolment_socket.getsockname()[1])
            newcomers = _settings(create_enrolment_app(gateway, config), WORD_BYTES)
            newcomers.ssl_context_factory = lambda _config, _default: certificates.for_newcomers
            servers.append((EmbeddedServer(newcomers), enrolment_socket, "web enrolment"))
        await stack.enter_async_context(_running(servers))
        knock_port = await stack.enter_async_context(_knocking(gateway, config, certificates))
        for live in (app.state.packet_logs, app.state.hub, app.state.quay, app.state.followers):
            await stack.enter_async_context(live.running())
        adopt = await stack.enter_async_context(_adopting(gateway, servers[0][0], certificates))
        log.info(
            "web serving port=%s trust_port=%s enrolment_port=%s knock_port=%s",
            *(port, trust_port, enrolment_port, knock_port),
        )
        yield Served(port, trust_port, enrolment_port, knock_port, certificates.reload, adopt)


@contextlib.asynccontextmanager
async def _knocking(gateway: Gateway, config: HttpConfig, certificates: Certificates) -> AsyncIterator[int | None]:
    """The port for certificates that devices made themselves; None unless it is wanted and anybody may knock."""
    if config.knock_port is None or not gateway.tray.is_open:
        yield None
        return
    with _listening(config.host, config.knock_port) as opened:
        async with knocking.serving(gateway, opened) as certificates.also_reload:
            yield int(opened.getsockname()[1])


@contextlib.asynccontextmanager
async def _adopting(
    gateway: Gateway, server: EmbeddedServer, certificates: Certificates
) -> AsyncIterator[Callable[[socket.socket, ClientHello, str], None]]:
    async with asyncio.TaskGroup() as tasks:
        adoption = Adoption(gateway, server, certificates, tasks)
        try:
            yield adoption.adopt
        finally:
            adoption.end()


@contextlib.asynccontextmanager
async def _running(servers: list[tuple[EmbeddedServer, socket.socket, str]]) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        for server, listener, name in servers:
            tasks.create_task(server.serve(sockets=[listener]), name=name)
        try:
            for server, _, _ in servers:
                await server.has_started.wait()
            yield
        finally:
            for server, _, _ in servers:
                server.should_exit = True


def _settings(app: Litestar, socket_message_bytes: int) -> uvicorn.Config:
    return uvicorn.Config(
        # Each has types of its own for the same ASGI messages.
        cast("Any", app),
        http=PunctualProtocol,
        ws=PatientSocket,
        loop="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=FINISH_SECONDS,
        h11_max_incomplete_event_size=HEADER_LIMIT_BYTES,
        limit_concurrency=CONNECTIONS_LIMIT,
        ws_max_size=socket_message_bytes,
        ws_ping_interval=20.0,
        ws_ping_timeout=20.0,
    )


def _names(config: HttpConfig) -> frozenset[str]:
    host = socket.gethostname().lower()
    return frozenset({"localhost", host, f"{host.partition('.')[0]}.local", *map(str.lower, config.names)})


class _SparingSocket(socket.socket):
    """A socket that listens, and lets nobody in while few file descriptors are left."""

    def accept(self) -> tuple[socket.socket, Any]:
        """Take a connection. Raises `ConnectionAbortedError`, which asyncio passes over, for one that had to go."""
        sock, address = super().accept()
        if is_scarce(sock.fileno()):
            sock.close()
            raise ConnectionAbortedError(errno.ECONNABORTED, "nearly all files that may be open are open")
        return sock, address


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = _SparingSocket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise WebListenError(f"http: {host} port {port} cannot be opened: {error.strerror}") from error
    return listener
