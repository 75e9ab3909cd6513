"""The web's sockets: HTTPS for people and scripts, and plain HTTP that only leads there.

uvicorn runs inside the gateway's own loop. Signals are the process's; on leaving, the live pages are
closed first, then requests under way get some seconds.
"""

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, NamedTuple, cast

import h11
import uvicorn
from litestar import Litestar
from uvicorn.protocols.http.h11_impl import H11Protocol

from appliance.config import HttpConfig
from appliance.errors import ApplianceError
from appliance.gateway import Gateway
from web.app import create_app
from web.trust import create_trust_app

log = logging.getLogger(__name__)

FINISH_SECONDS = 3
"""How long requests under way may take after the stop was asked for."""
REQUEST_SECONDS = 30
"""How long a client may take to send a request, and to begin with one."""
HEADER_LIMIT_BYTES = 32_768
CONNECTIONS_LIMIT = 1_000
BACKLOG = 128


class WebListenError(ApplianceError):
    """A port of the web cannot be opened."""

    code = "web_port"


class Served(NamedTuple):
    """Where the web is being served."""

    port: int
    trust_port: int | None
    reload_certificate: Callable[[], None]
    """Takes up a renewed server certificate: new connections get it, open ones go on."""


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
    """HTTP/1.1 that cuts off a client whose request does not come.

    uvicorn waits for ever: a thousand connections that say nothing would keep everybody else out.
    """

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Expect the first request."""
        super().connection_made(transport)
        self._set_deadline()

    def data_received(self, data: bytes) -> None:
        """Take in a piece of a request."""
        super().data_received(data)
        self._set_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        """Expect nothing any more."""
        self._clear_deadline()
        super().connection_lost(exc)

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


@contextlib.asynccontextmanager
async def serving(gateway: Gateway, config: HttpConfig) -> AsyncIterator[Served]:
    """Serve the dashboard and `/v1`; on leaving, end live pages and finish requests within seconds.

    Raises `WebListenError` when a port cannot be opened.
    """
    app = create_app(gateway, config)
    files = gateway.registry.web_tls()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.minimum_version = ssl.TLSVersion.TLSv1_2
    tls.load_cert_chain(files.certificate, files.key)
    secure = _settings(app)
    secure.ssl_context_factory = lambda _config, _default: tls
    async with contextlib.AsyncExitStack() as stack:
        https_socket = stack.enter_context(_listening(config.host, config.port))
        port = int(https_socket.getsockname()[1])
        servers = [(EmbeddedServer(secure), https_socket, "web https")]
        trust_port = None
        if config.trust_port is not None:
            http_socket = stack.enter_context(_listening(config.host, config.trust_port))
            trust_port = int(http_socket.getsockname()[1])
            plain = _settings(create_trust_app(gateway, _names(config), port))
            servers.append((EmbeddedServer(plain), http_socket, "web http"))
        await stack.enter_async_context(_running(servers))
        await stack.enter_async_context(app.state.hub.running())
        log.info("web serving port=%s trust_port=%s", port, trust_port)
        yield Served(port, trust_port, lambda: tls.load_cert_chain(files.certificate, files.key))


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


def _settings(app: Litestar) -> uvicorn.Config:
    return uvicorn.Config(
        # Each has types of its own for the same ASGI messages.
        cast("Any", app),
        http=PunctualProtocol,
        ws="websockets-sansio",
        loop="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=FINISH_SECONDS,
        h11_max_incomplete_event_size=HEADER_LIMIT_BYTES,
        limit_concurrency=CONNECTIONS_LIMIT,
        ws_max_size=4_096,
        ws_ping_interval=20.0,
        ws_ping_timeout=20.0,
    )


def _names(config: HttpConfig) -> frozenset[str]:
    host = socket.gethostname().lower()
    return frozenset({"localhost", host, f"{host.partition('.')[0]}.local", *map(str.lower, config.names)})


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise WebListenError(f"http: {host} port {port} cannot be opened: {error.strerror}") from error
    return listener
