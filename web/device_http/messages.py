"""`POST /connections/…/messages`: a message for one client alone, whether it has subscribed to it or not.

It goes past everything else: nothing of it is kept, and nobody but this client hears of it.
"""

import asyncio
from http import HTTPStatus

from litestar import post
from litestar.di import NamedDependency
from litestar.params import FromPath

from appliance.gateway import Gateway
from broker.errors import ProtocolError
from broker.message import Message
from broker.publication import travelling
from broker.topics import check_name
from web.device_http.answers import Answer, AnyRequest, RefusedError, done
from web.device_http.caller import caller, judged, number, require_publish, yes_or_no
from web.device_http.publishing import packet_of
from web.shell import moment

LONGEST_WAIT_S = 15
WAIT_S = 5


@post("/connections/{client_id:str}/messages", status_code=200)
async def send_direct(request: AnyRequest, client_id: FromPath[str], gateway: NamedDependency[Gateway]) -> Answer:
    """Send a message to a client that is connected; with `confirmation` the answer waits until it has it."""
    principal = await caller(request, gateway)
    is_confirmed = yes_or_no(request, "confirmation")
    wait_s = number(request, "timeout", 1, LONGEST_WAIT_S, WAIT_S)
    topic = request.query_params.get("topic", "")
    proxy = gateway.broker.proxy
    packet = await packet_of(request, topic, gateway.broker.limits, qos=int(is_confirmed), retain=False)
    try:
        check_name(topic, gateway.broker.limits)
    except ProtocolError as error:
        raise RefusedError(HTTPStatus.BAD_REQUEST, error.reason) from error
    await require_publish(gateway, principal, topic)
    session = proxy.session(principal.tenant_id, client_id)
    if session is None or session.client is None or session.principal.is_operator:
        raise RefusedError(HTTPStatus.NOT_FOUND, f"{client_id[:128]!r} is not connected")
    # The fault is not the sender's alone, and not the receiver's: it stands on neither page.
    denied = await judged(proxy.may_be_sent, session.principal, topic)
    if denied is not None:
        raise RefusedError(HTTPStatus.FORBIDDEN, denied.reason)
    hearing = _Hearing(is_confirmed=is_confirmed)
    about = (principal.tenant_id, principal.name, principal.name, topic, packet.payload, packet.qos)
    message = Message(*about, retain=False, arrived_at=moment(), properties=travelling(packet.properties))
    proxy.hand(message, session, hearing)
    try:
        async with asyncio.timeout(wait_s):
            was_taken = await hearing.told
    except TimeoutError as error:
        told = f"{client_id[:128]!r} has not confirmed the message within {wait_s} s; it may have it or get it yet"
        raise RefusedError(HTTPStatus.GATEWAY_TIMEOUT, told) from error
    if not was_taken:
        raise RefusedError(HTTPStatus.TOO_MANY_REQUESTS, f"{client_id[:128]!r} has taken nothing for a while")
    return done()


class _Hearing:
    """What becomes of a message."""

    def __init__(self, *, is_confirmed: bool) -> None:
        self._is_confirmed = is_confirmed
        self.told: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def written(self, client_id: str) -> None:
        """It was written to the connection."""
        del client_id
        if not self._is_confirmed:
            self._tell(is_taken=True)

    def unanswerable(self, client_id: str) -> None:
        """The client will not answer for it, and whoever wants to hear of an answer hears of none."""

    def acknowledged(self, client_id: str) -> None:
        """The client has answered for it."""
        del client_id
        self._tell(is_taken=True)

    def untaken(self) -> None:
        """The connection has not taken it."""
        self._tell(is_taken=False)

    def _tell(self, *, is_taken: bool) -> None:
        if not self.told.done():
            self.told.set_result(is_taken)


HANDLERS = (send_direct,)
