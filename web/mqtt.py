"""MQTT over WebSocket, for people who are signed in, for scripts with a token, and for devices with theirs.

Who it is shows in one of three places: the session cookie of a browser, which counts only on pages of our own;
`Authorization: Bearer` with a token; or, for browsers and libraries that can set neither, the password of CONNECT,
which is a token then. The broker is told who it is, so it asks nobody else: a client without a certificate is
never taken for a device here. Only where the password is the token of a device does the broker ask, as it does for
devices elsewhere.

A connection lives no longer than the session or token that opened it.
"""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any

import msgspec
from litestar import WebSocket, websocket
from litestar.di import NamedDependency
from litestar.exceptions import PermissionDeniedException, WebSocketDisconnect

from appliance.accounts.model import Role, User
from appliance.errors import NotSignedInError
from appliance.gateway import Gateway
from appliance.registry.tokens.model import is_token
from broker.codec import Decoder
from broker.packets import Connect
from broker.ports import Denied, Principal, Refused
from broker.reason_codes import ReasonCode
from web import shell
from web.auth import OPEN, SESSION_COOKIE, bearer_token
from web.live import SESSION_ENDED, TRY_LATER
from web.protection import CHECKS_ORIGIN, check_origin
from web.stream import UNSUPPORTED_DATA, WebSocketStream

log = logging.getLogger(__name__)

SUBPROTOCOL = "mqtt"
"""[MQTT-6.0.0-4]"""
PATH = "/mqtt"
SOCKETS_LIMIT = 500
"""All of them together; the rest of the web's connections is for pages and scripts."""
SOCKETS_PER_ADDRESS = 100
CHECK_SECONDS = 2.0
"""How often it is asked whether sessions and tokens are still good."""
OPERATING_ROLES = frozenset((Role.OWNER, Role.OPERATOR))

Socket = WebSocket[Any, Any, Any]


class Badge(msgspec.Struct, frozen=True):
    """What somebody showed, and who that makes them."""

    principal: Principal
    session_secret: str = ""
    token: str = ""


class Quay:
    """The MQTT connections that came over WebSockets."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._badges: dict[WebSocketStream, Badge | None] = {}
        self._count_of: Counter[str] = Counter()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """End connections whose session or token has ended; on leaving, let all of them go."""
        async with asyncio.TaskGroup() as tasks:
            checking = tasks.create_task(self._check_for_ever(), name="mqtt websockets")
            try:
                yield
            finally:
                checking.cancel()
                await self._gateway.broker.let_go(self._badges.keys())

    def fault(self, host: str) -> tuple[str, str] | None:
        """Why nobody more may come from there, as a kind and in words; None when there is room."""
        broker = self._gateway.broker
        if len(self._badges) >= SOCKETS_LIMIT or broker.connection_count >= broker.limits.connections:
            return "server_busy", "as many connections as the limit allows are open"
        limit = min(SOCKETS_PER_ADDRESS, broker.limits.connections_per_address)
        if self._count_of[host] >= limit:
            return "address_busy", f"{limit} WebSocket connections of this address are open"
        return None

    @contextlib.contextmanager
    def holding(self, stream: WebSocketStream, host: str) -> Iterator[None]:
        """Count a connection while it lasts."""
        self._badges[stream] = None
        self._count_of[host] += 1
        try:
            yield
        finally:
            del self._badges[stream]
            self._count_of[host] -= 1
            if not self._count_of[host]:
                del self._count_of[host]

    def admit(self, stream: WebSocketStream, badge: Badge) -> None:
        """Note by what a connection was opened."""
        self._badges[stream] = badge

    def end_session(self, session_secret: str) -> None:
        """Close the connections of a session that was ended."""
        for stream, badge in list(self._badges.items()):
            if badge is not None and badge.session_secret == session_secret:
                self._expel(stream, badge.principal, "the session that opened it has ended")

    async def check(self) -> None:
        """Close the connections whose session or token has ended."""
        for badge in {badge for badge in self._badges.values() if badge is not None}:
            if not await self._is_good(badge):
                for stream in [stream for stream, shown in self._badges.items() if shown == badge]:
                    self._expel(stream, badge.principal, "the session or token that opened it is no longer good")

    def _expel(self, stream: WebSocketStream, principal: Principal, reason: str) -> None:
        """End a connection. Nobody speaks any more for whoever may not be here: there is no will."""
        for session in self._gateway.broker.sessions(principal.tenant_id):
            if session.client is not None and session.client.stream is stream:
                session.will = None
        stream.end(SESSION_ENDED, reason)

    async def _check_for_ever(self) -> None:
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            await self.check()

    async def _is_good(self, badge: Badge) -> bool:
        accounts = self._gateway.accounts
        try:
            if badge.token:
                await accounts.user_of_token(badge.token)
            else:
                # An open connection alone does not keep a session alive.
                await accounts.session_rest_ms(badge.session_secret)
        except NotSignedInError:
            return False
        return True


@websocket(PATH, opt={**OPEN, CHECKS_ORIGIN: True})
async def carry_mqtt(socket: Socket, gateway: NamedDependency[Gateway], quay: NamedDependency[Quay]) -> None:
    """Carry MQTT for somebody who may operate the gateway."""
    opened_at = asyncio.get_running_loop().time()
    host, address = _address(socket)
    try:
        badge = await _badge_of_request(socket, gateway)
    except (NotSignedInError, PermissionDeniedException) as error:
        note_refused(gateway, address, "websocket_refused", str(error))
        raise
    await socket.accept(SUBPROTOCOL)
    fault = quay.fault(host)
    if fault is not None:
        note_refused(gateway, address, *fault)
        await socket.close(TRY_LATER)
        return
    stream = WebSocketStream(address, opened_at, gateway.broker.traffic)
    with quay.holding(stream, host):
        first = b""
        admitted: Principal | Denied | None
        if badge is None:
            first, shown = await _badge_of_connect(socket, gateway)
            badge = shown if isinstance(shown, Badge) else None
            admitted = shown.principal if isinstance(shown, Badge) else shown
        else:
            admitted = badge.principal
        if badge is not None:
            quay.admit(stream, badge)
        gateway.broker.attach(stream, admitted)
        await stream.carry(socket, first)
    with contextlib.suppress(WebSocketDisconnect, OSError):
        await socket.close(stream.close_code)


def note_refused(gateway: Gateway, address: str, kind: str, reason: str) -> None:
    """Count somebody who was not let in, and write down why where owners look."""
    log.info("connection refused address=%s kind=%s reason=%s", address, kind, reason)
    gateway.broker.refusals[kind] += 1
    gateway.ingestion.note(Refused(0, "", "", address, kind, reason, shell.moment()))


async def _badge_of_request(socket: Socket, gateway: Gateway) -> Badge | None:
    """Who it is by what the request shows; None when nothing is shown there.

    Raises `NotSignedInError`, `PermissionDeniedException`.
    """
    if SUBPROTOCOL not in socket.scope["subprotocols"]:
        raise PermissionDeniedException(f"The WebSocket must ask for the subprotocol {SUBPROTOCOL!r}.")
    secret = socket.cookies.get(SESSION_COOKIE, "")
    token = bearer_token(socket)
    # A browser sends the cookie from whatever page asks: only a page of ours may use it.
    check_origin(socket.headers, must_say=bool(secret) and not token)
    if token:
        return await _badge_of_token(gateway, token)
    if secret:
        return Badge(_principal(await gateway.accounts.user_of_session(secret)), session_secret=secret)
    return None


async def _badge_of_connect(socket: Socket, gateway: Gateway) -> tuple[bytes, Badge | Denied | None]:
    """Who it is by its CONNECT, and the bytes that were read to see it; None when the broker is to ask.

    Whatever is wrong with them is for the broker to see: it gets the same bytes.
    """
    limits = gateway.broker.limits
    decoder = Decoder(limits.packet_bytes, limits.connect_packet_bytes)
    read = bytearray()
    nobody = Denied("no token was shown: it goes into the password of CONNECT", ReasonCode.BAD_USERNAME_OR_PASSWORD)
    with contextlib.suppress(TimeoutError, WebSocketDisconnect):
        async with asyncio.timeout(limits.connect_timeout_s):
            while True:
                event = await socket.receive()
                if event["type"] != "websocket.receive":
                    break
                data = event.get("bytes")
                if data is None:
                    await socket.close(UNSUPPORTED_DATA)
                    break
                read += data
                packets = decoder.feed(data)
                if packets and isinstance(packets[0], Connect) and packets[0].password:
                    password = packets[0].password
                    badge = None if is_token(password) else await _badge_of_password(gateway, password)
                    return bytes(read), badge
                if packets or decoder.failure is not None:
                    break
    return bytes(read), nobody


async def _badge_of_password(gateway: Gateway, password: bytes) -> Badge | Denied:
    try:
        return await _badge_of_token(gateway, password.decode("utf-8", "replace"))
    except (NotSignedInError, PermissionDeniedException) as error:
        return Denied(f"the password of CONNECT: {error}", ReasonCode.BAD_USERNAME_OR_PASSWORD)


async def _badge_of_token(gateway: Gateway, token: str) -> Badge:
    return Badge(_principal(await gateway.accounts.user_of_token(token)), token=token)


def _principal(user: User) -> Principal:
    if user.role not in OPERATING_ROLES:
        raise PermissionDeniedException(f"MQTT is for owners and operators; this is a {user.role}.")
    # The address of a token begins with `token:` already.
    name = user.email if user.user_id == 0 else f"user:{user.email}"
    return Principal(user.tenant_id, name, is_operator=True)


def _address(socket: Socket) -> tuple[str, str]:
    client = socket.client
    return (client.host, f"{client.host}:{client.port}") if client else ("", "")
