"""HTTP/1.1 and WebSockets as uvicorn speaks them, with limits to how long a client is waited for."""

import asyncio
from itertools import count

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request
from websockets.protocol import State

from web import mqtt
from web.devices_only import CERTIFICATE, REQUESTS
from web.taking import Watch

REQUEST_SECONDS = 30
"""How long a client may take to send a request, and to begin with one."""
CONNECTIONS_PER_DEVICE = 50
"""More of one certificate are answered 503: each may hold a request of the largest size, and the place of another."""
SURPLUS_SECONDS = 2
"""How long those may take to ask."""
WORD_BYTES = 4_096
"""The largest WebSocket message of a page, which has nothing to say."""


class PunctualProtocol(H11Protocol):
    """HTTP/1.1 that cuts off a client whose request does not come, and one that does not take its answer.

    uvicorn waits for ever: a thousand connections that say nothing would keep everybody else out, and a few that
    take nothing would keep the places of exports and streams.
    """

    _deadline: asyncio.TimerHandle | None = None
    _certificate: bytes | None = None
    _patience_s = REQUEST_SECONDS

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Expect the first request."""
        super().connection_made(transport)
        self._watch = Watch(transport, self.loop)
        tls = transport.get_extra_info("ssl_object")
        certificate = tls.getpeercert(binary_form=True) if tls is not None else None
        if certificate is not None:
            # Every request of this connection carries it in its scope.
            self.app_state = {**self.app_state, CERTIFICATE: certificate, REQUESTS: count(1)}
            self._take_in(certificate)
        self._set_deadline()

    def data_received(self, data: bytes) -> None:
        """Take in a piece of a request."""
        super().data_received(data)
        self._set_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        """Expect nothing any more."""
        self._clear_deadline()
        self._watch.stop()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Leave the connection to a WebSocket, which has a watch of its own."""
        self._watch.stop()
        super().handle_websocket_upgrade(event)

    def _take_in(self, certificate: bytes) -> None:
        """Count the connection among those of a device."""
        others = sum(getattr(other, "_certificate", None) == certificate for other in self.connections)
        self._certificate = certificate
        if others >= CONNECTIONS_PER_DEVICE:
            self.limit_concurrency = 0
            self._patience_s = SURPLUS_SECONDS

    def _set_deadline(self) -> None:
        """One deadline for the whole of a request: pieces that trickle in do not put it off."""
        if self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
            self._clear_deadline()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(self._patience_s, self._watch.cut_off)

    def _clear_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class PatientSocket(WebSocketsSansIOProtocol):
    """A WebSocket with limits by what it is for, that is patient only with those who may be."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Expect its client to go when it is closed. While it is open, its pings tell who is there."""
        super().connection_made(transport)
        self._watch = Watch(transport, self.loop, only_closing=True)

    def connection_lost(self, exc: Exception | None) -> None:
        """Expect nothing any more."""
        self._watch.stop()
        super().connection_lost(exc)

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
                self._watch.cut_off()
