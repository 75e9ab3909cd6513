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

import uvicorn
from litestar import Litestar

from appliance.config import HttpConfig
from appliance.errors import ApplianceError
from appliance.gateway import Gateway
from broker.client_hello import ClientHello
from broker.descriptors import is_scarce
from broker.tls import explained
from web import mqtt
from web.app import create_app
from web.device_http.app import Fork, create_device_app
from web.est import create_enrolment_app
from web.knocking import listener as knocking
from web.protocols import WORD_BYTES, PatientSocket, PunctualProtocol
from web.taking import CLOSING_SECONDS
from web.tls import Certificates
from web.trust import create_trust_app

log = logging.getLogger(__name__)

FINISH_SECONDS = 3
"""How long requests under way may take after the stop was asked for."""
HEADER_LIMIT_BYTES = 32_768
CONNECTIONS_LIMIT = 1_000
BACKLOG = 128
HANDSHAKE_SECONDS = 10
"""How long a client that another listener accepted may take for TLS."""


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
        self.servers = []
        self.has_started = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept connections."""
        config = self.config
        patience = CLOSING_SECONDS if config.ssl else None
        for sock in sockets or ():
            server = await asyncio.get_running_loop().create_server(
                self._protocol, sock=sock, backlog=config.backlog, ssl=config.ssl, ssl_shutdown_timeout=patience
            )
            self.servers.append(server)
        self.started = True
        self.has_started.set()

    async def take(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        """Serve HTTPS on a connection that another listener has accepted. Raises `OSError` when TLS fails."""
        await asyncio.get_running_loop().connect_accepted_socket(
            self._protocol,
            sock,
            ssl=context,
            ssl_handshake_timeout=HANDSHAKE_SECONDS,
            ssl_shutdown_timeout=CLOSING_SECONDS,
        )

    def _protocol(self) -> asyncio.Protocol:
        return PunctualProtocol(self.config, self.server_state, self.lifespan.state)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave SIGTERM and SIGINT to the process."""
        yield


class Adoption:
    """Connections that another listener has accepted, until they are like the web's own."""

    def __init__(
        self,
        gateway: Gateway,
        people: EmbeddedServer,
        devices: EmbeddedServer,
        certificates: Certificates,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._gateway = gateway
        self._people = people
        self._devices = devices
        self._certificates = certificates
        self._tasks = tasks
        self._under_way: set[asyncio.Task[None]] = set()
        self._untouched: set[socket.socket] = set()

    def adopt(self, sock: socket.socket, hello: ClientHello, address: str) -> None:
        """Serve HTTPS on this socket, with the certificate that its client asks for."""
        context = self._certificates.chosen(hello)
        server = self._devices if context is self._certificates.for_devices else self._people
        self._untouched.add(sock)
        task = self._tasks.create_task(self._shake_hands(server, sock, context, address), name="web: a handshake")
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    def end(self) -> None:
        """End the handshakes under way."""
        for task in self._under_way:
            task.cancel()
        for sock in self._untouched:
            sock.close()

    async def _shake_hands(
        self, server: EmbeddedServer, sock: socket.socket, context: ssl.SSLContext, address: str
    ) -> None:
        self._untouched.discard(sock)
        try:
            # Whatever comes of it, the socket is the transport's from here on.
            await server.take(sock, context)
        except OSError as error:
            mqtt.note_refused(self._gateway, address, "tls_handshake_failed", explained(error))


@contextlib.asynccontextmanager
async def serving(gateway: Gateway, config: HttpConfig, device_host: str = "") -> AsyncIterator[Served]:
    """Serve the dashboard and `/v1`; on leaving, end live pages and finish requests within seconds.

    A client that names `device_host` on a port it shares with people is a device.
    Raises `WebListenError` when a port cannot be opened.
    """
    app = create_app(gateway, config)
    certificates = Certificates(gateway.registry.web_tls(), gateway.registry.device_tls(), device_host)
    fork = Fork(app, create_device_app(gateway))
    secure = _settings(fork, gateway.broker.limits.packet_bytes)
    secure.ssl_context_factory = lambda _config, _default: certificates.for_people
    async with contextlib.AsyncExitStack() as stack:
        https_socket = stack.enter_context(_listening(config.host, config.port))
        port = int(https_socket.getsockname()[1])
        # Each with connections of its own: however many devices come, people get in.
        people, devices = EmbeddedServer(secure), EmbeddedServer(secure)
        servers = [(people, [https_socket], "web https"), (devices, [], "web devices")]
        trust_port = None
        if config.trust_port is not None:
            http_socket = stack.enter_context(_listening(config.host, config.trust_port))
            trust_port = int(http_socket.getsockname()[1])
            plain = _settings(create_trust_app(gateway, _names(config), port), WORD_BYTES)
            servers.append((EmbeddedServer(plain), [http_socket], "web http"))
        enrolment_port = None
        if config.enrolment_port is not None:
            enrolment_socket = stack.enter_context(_listening(config.host, config.enrolment_port))
            enrolment_port = int(enrolment_socket.getsockname()[1])
            newcomers = _settings(create_enrolment_app(gateway, config), WORD_BYTES)
            newcomers.ssl_context_factory = lambda _config, _default: certificates.for_newcomers
            servers.append((EmbeddedServer(newcomers), [enrolment_socket], "web enrolment"))
        await stack.enter_async_context(_running(servers))
        knock_port = await stack.enter_async_context(_knocking(gateway, config, certificates))
        for live in (app.state.packet_logs, app.state.hub, app.state.quay, app.state.followers):
            await stack.enter_async_context(live.running())
        adopt = await stack.enter_async_context(_adopting(gateway, people, devices, certificates))
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
    gateway: Gateway, people: EmbeddedServer, devices: EmbeddedServer, certificates: Certificates
) -> AsyncIterator[Callable[[socket.socket, ClientHello, str], None]]:
    async with asyncio.TaskGroup() as tasks:
        adoption = Adoption(gateway, people, devices, certificates, tasks)
        try:
            yield adoption.adopt
        finally:
            adoption.end()


@contextlib.asynccontextmanager
async def _running(servers: list[tuple[EmbeddedServer, list[socket.socket], str]]) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        for server, listeners, name in servers:
            tasks.create_task(server.serve(sockets=listeners), name=name)
        try:
            for server, _, _ in servers:
                await server.has_started.wait()
            yield
        finally:
            for server, _, _ in servers:
                server.should_exit = True


def _settings(app: Litestar | Fork, socket_message_bytes: int) -> uvicorn.Config:
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
