"""The listener where unknown devices knock with a certificate of their own making.

Rules: nothing can be done here but to enrol. What a stranger may cost is bounded: in time, in bytes, in connections
at once, and in attempts of one address, before a handshake begins.
"""

import asyncio
import contextlib
import logging
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable
from functools import partial

from OpenSSL import SSL

from appliance.enrolment.tray.model import KnockState, Said
from appliance.enrolment.turnstile import Turnstile, network_of
from appliance.errors import ApplianceError, TooManyAttemptsError
from appliance.gateway import Gateway
from appliance.registry.model import DEFAULT_TENANT
from appliance.registry.self_made import Unfit
from web.knocking import answer
from web.knocking.answer import Answer, Place
from web.knocking.request import Reading, Refusal
from web.knocking.tls import Tunnel, TunnelError, make_context
from web.mqtt import note_refused
from web.shell import moment

log = logging.getLogger(__name__)

CONNECTIONS = 64
CONNECTIONS_OF_NETWORK = 16
"""At once, of one address, or of one network of IPv6."""
ATTEMPTS_A_MINUTE = 600
"""Of one address: twice what the tray listens to, so that it can say that it was too often."""
REQUEST_SECONDS = 15
"""How long a client may take for its handshake and its request together."""
ANSWER_SECONDS = 5
"""How long it may take to take its answer."""
_PIECE_BYTES = 4_096
_PIECES_AFTERWARDS = 16


@contextlib.asynccontextmanager
async def serving(
    gateway: Gateway, listener: socket.socket, *, request_seconds: float = REQUEST_SECONDS
) -> AsyncIterator[Callable[[], None]]:
    """Listen to those who knock, on a socket that listens; gives what takes up a renewed server certificate.

    `request_seconds` is how long a client may take for its handshake and its request together.

    Raises `OpenSSL.SSL.Error` when the certificate of the gateway cannot be used.
    """
    async with asyncio.TaskGroup() as tasks:
        porch = Porch(gateway, tasks, request_seconds)
        server = await asyncio.start_server(porch.receive, sock=listener)
        try:
            yield porch.reload
        finally:
            server.close()
            porch.end()
            await server.wait_closed()


class Porch:
    """Those who are knocking now."""

    def __init__(self, gateway: Gateway, tasks: asyncio.TaskGroup, request_seconds: float) -> None:
        """Raises `OpenSSL.SSL.Error` when the certificate of the gateway cannot be used."""
        self._gateway = gateway
        self._tasks = tasks
        self._request_seconds = request_seconds
        self._context: SSL.Context = make_context(gateway.registry.device_tls())
        self._turnstile = Turnstile(ATTEMPTS_A_MINUTE)
        self._of_network: Counter[str] = Counter()
        self._under_way: set[asyncio.Task[None]] = set()

    def reload(self) -> None:
        """Show a renewed certificate in handshakes that begin from now on. Raises as making one does."""
        self._context = make_context(self._gateway.registry.device_tls())

    def end(self) -> None:
        """Leave whoever is knocking."""
        for task in self._under_way:
            task.cancel()

    def receive(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take a connection, unless there are too many."""
        peer = writer.get_extra_info("peername")
        if peer is None or not self._may_enter(peer[0]):
            writer.transport.abort()
            return
        task = self._tasks.create_task(self._serve(reader, writer, peer), name="knocking: a connection")
        # Counted here: many may be accepted in a turn of the loop, before the first of them is served.
        self._of_network[network_of(peer[0])] += 1
        self._under_way.add(task)
        task.add_done_callback(partial(self._left, network_of(peer[0])))

    def _may_enter(self, host: str) -> bool:
        now = moment()
        is_crowded = self._of_network[network_of(host)] >= CONNECTIONS_OF_NETWORK
        if len(self._under_way) >= CONNECTIONS or is_crowded:
            return False
        try:
            self._turnstile.check(host, now)
        except TooManyAttemptsError:
            return False
        self._turnstile.count(host, now)
        return True

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, peer: tuple[str, int]) -> None:
        try:
            call = Call(self._gateway, Tunnel(self._context), reader, writer)
            await call.hold(peer[0], self._request_seconds)
        except (TunnelError, TimeoutError) as error:
            reason = str(error) or "the client took too long"
            note_refused(self._gateway, f"{peer[0]}:{peer[1]}", "tls_handshake_failed", reason)
        except OSError:
            log.debug("somebody who knocked went away address=%s", peer[0])
        except Exception:  # what a stranger sends must not end the web server, whatever a library makes of it
            log.exception("a knock failed address=%s", peer[0])
        finally:
            writer.transport.abort()

    def _left(self, network: str, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._of_network[network] -= 1
        if not self._of_network[network]:
            del self._of_network[network]


class Call:
    """One connection: a handshake, a request, an answer."""

    def __init__(
        self, gateway: Gateway, tunnel: Tunnel, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._gateway = gateway
        self._tunnel = tunnel
        self._reader = reader
        self._writer = writer

    async def hold(self, address: str, request_seconds: float) -> None:
        """Hear the request, in this time, and answer it. Raises `TunnelError`, `TimeoutError`, `OSError`."""
        async with asyncio.timeout(request_seconds):
            asked = await self._asked()
        given = await self._decided(asked, address) if isinstance(asked, Said) else answer.not_understood(asked)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._send(given)

    async def _asked(self) -> Said | Refusal:
        reading = Reading()
        while True:
            clear = await self._clear()
            try:
                said = reading.receive(clear)
            except Refusal as refusal:
                return refusal
            if said is not None:
                return said
            if reading.wants_word:
                self._tunnel.send(reading.allow_rest())
                await self._flush()

    async def _clear(self) -> bytes:
        """The next bytes of the client in the clear."""
        while True:
            came = await self._reader.read(_PIECE_BYTES)
            if not came:
                raise TunnelError("the client went away")
            try:
                clear = self._tunnel.receive(came)
            finally:
                # An alert says to the client what the error says here.
                await self._flush()
            if clear:
                return clear

    async def _decided(self, said: Said, address: str) -> Answer:
        shown = self._tunnel.shown
        if isinstance(shown, Unfit):
            return answer.unfit(shown.reason)
        gateway = self._gateway
        try:
            knock = await gateway.tray.knock_with_certificate(DEFAULT_TENANT, shown, said, address)
        except ApplianceError as error:
            return answer.refused(error)
        except Exception:
            log.exception("a knock failed address=%s", address)
            return answer.mistaken()
        if knock.state is not KnockState.ACCEPTED:
            return answer.pending(knock, moment())
        registry = gateway.registry
        where = registry.address
        return answer.granted(knock, Place(where.host, where.mqtt_port, registry.chain_pem, registry.root_pem))

    async def _send(self, given: Answer) -> None:
        self._tunnel.send(given.encoded())
        self._tunnel.close()
        await self._flush()
        self._writer.write_eof()
        # Closed with something unread, the connection would be reset, and the answer lost on its way.
        for _ in range(_PIECES_AFTERWARDS):
            if not await self._reader.read(_PIECE_BYTES):
                return

    async def _flush(self) -> None:
        self._writer.write(self._tunnel.outgoing())
        await self._writer.drain()
