"""Connections, sessions, and the way between them.

One callback carries a published message from its socket to the batch; nothing is awaited on the way.
Once per turn of the loop the batch is handed to the owner, who acknowledges it when it is on disk.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable

import msgspec

from broker.client import Client, Receipt
from broker.codec import Decoder, encode, encode_puback
from broker.errors import ProtocolError
from broker.limits import Limits
from broker.listener import Connection, Endpoint, Gate, Listener
from broker.packets import SUBSCRIBE_FAILURE, Connack, Connect, Packet, Publish, ReturnCode, Subscribe
from broker.ports import (
    Authorizer,
    Connected,
    Credentials,
    Denied,
    Disconnected,
    Message,
    Owner,
    Principal,
    Refused,
    TenantId,
)
from broker.reason_codes import ReasonCode
from broker.session import HIGHEST_QOS, Accept, Close, Drop, Effect, Grant, Send, Session, check_will
from broker.session_table import SessionTable
from broker.topics import SHARED, filter_fault

SWEEP_SLICE = 500
"""Connections looked at before the loop gets its turn back."""
PROTOCOL_LEVEL = 4
KEEP_ALIVE_GRACE = 1.5
"""[MQTT-3.1.2-24]"""


class Broker:
    """Routes messages between clients and hands what they publish to the owner."""

    def __init__(
        self, owner: Owner, authorizer: Authorizer, clock: Callable[[], int], limits: Limits | None = None
    ) -> None:
        """`clock` gives UTC milliseconds."""
        self.limits = limits or Limits()
        self.refusals: Counter[str] = Counter()
        self._owner = owner
        self._authorizer = authorizer
        self._clock = clock
        self._gate = Gate()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._listeners: list[Listener] = []
        self._clients: set[Client] = set()
        self._sessions = SessionTable(self.limits)
        self._client_of: dict[Session, Client] = {}
        self._batch: list[Message] = []
        self._unnamed_count = 0

    # What the owner calls.

    @contextlib.asynccontextmanager
    async def connected(self) -> AsyncIterator[None]:
        """Keep clients connected; on leaving, what waits for them is written and they are let go."""
        self._loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as tasks:
            sweep = tasks.create_task(self._sweep(), name="mqtt sweep")
            try:
                yield
            finally:
                sweep.cancel()
                for client in list(self._clients):
                    # A will is for clients that fail, not for a gateway that stops.
                    if client.session is not None:
                        client.session.will = None
                    client.connection.close("the gateway is shutting down")

    @contextlib.asynccontextmanager
    async def listening(self, *endpoints: Endpoint) -> AsyncIterator[tuple[int, ...]]:
        """Accept clients; gives the ports. On leaving, nobody is accepted and nothing more is read."""
        with contextlib.ExitStack() as stack:
            ports = []
            for endpoint in endpoints:
                listener = Listener(
                    endpoint, self._gate, self._enter, self._refuse_stranger, self.limits.connect_timeout_s
                )
                listener.may_accept = self._has_room
                stack.enter_context(listener.listening())
                self._listeners.append(listener)
                ports.append(listener.port)
            try:
                yield tuple(ports)
            finally:
                self._listeners.clear()
                self._gate.shut()
                self._hand_over()

    def acknowledge(self, receipts: Iterable[object]) -> None:
        """Send the PUBACK of messages that are on disk, in the order of their PUBLISH [MQTT-4.6.0-2]."""
        for receipt in receipts:
            if isinstance(receipt, Receipt):
                self._send(receipt.client, encode_puback(receipt.packet_id))

    def pause_reading(self) -> None:
        """Read from no connection until `resume_reading`."""
        self._gate.shut()

    def resume_reading(self) -> None:
        """Read again. Nobody was silent while nobody was heard: every keep alive starts anew."""
        if not self._listeners:
            return  # A stop: the owner works off what it has, and is given nothing more.
        now = self._time()
        for client in self._clients:
            client.connection.heard_at = client.opened_at = now
        self._gate.open()

    def publish(self, tenant_id: TenantId, message: Publish) -> None:
        """Publish in the owner's own name: to subscribers, not back to the owner."""
        self._route(tenant_id, message)

    @property
    def connection_count(self) -> int:
        """Connections that are open, with or without a session."""
        return len(self._clients)

    @property
    def dropped_count(self) -> int:
        """Messages that sessions known now did not get because their bounds were reached."""
        return self._sessions.dropped_count

    # What connections call.

    def take(self, client: Client, packet: Packet) -> None:
        """Take one packet of a client.

        Raises `ProtocolError` when the client must be disconnected for it.
        """
        session = client.session
        if session is None:
            if not isinstance(packet, Connect):
                raise ProtocolError(ReasonCode.PROTOCOL_ERROR, "the first packet is not CONNECT [MQTT-3.1.0-1]")
            self._connect(client, packet)
            return
        for effect in session.receive(packet):
            self._perform(client, session, effect)

    def refuse(self, client: Client, error: ProtocolError) -> None:
        """Disconnect a client for what it did, and tell the owner why. Nothing happens when it is gone."""
        if not client.connection.is_open:
            return
        self._note_refused(client, error.code.kind, error.reason)
        client.connection.close(error.reason)

    def leave(self, client: Client, reason: str) -> None:
        """Forget a connection that is gone."""
        self._clients.discard(client)
        session = client.session
        if session is None or self._client_of.get(session) is not client:
            return
        del self._client_of[session]
        will = session.disconnect()
        self._sessions.leave(session, self._time())
        principal = session.principal
        self._owner.note(Disconnected(principal.tenant_id, principal.name, session.client_id, reason, self._clock()))
        if will is not None:
            self._accept(principal, session.client_id, will, None)

    # The way of one connection.

    def _enter(self, connection: Connection) -> None:
        client = Client(self, connection, Decoder(self.limits.packet_bytes, self.limits.connect_packet_bytes))
        self._clients.add(client)
        connection.start(client)

    def _refuse_stranger(self, address: str, kind: str, reason: str) -> None:
        self.refusals[kind] += 1
        self._owner.note(Refused(0, "", "", address, kind, reason, self._clock()))

    def _connect(self, client: Client, connect: Connect) -> None:
        if connect.protocol_level != PROTOCOL_LEVEL:
            client.connection.send(encode(Connack(False, ReturnCode.UNACCEPTABLE_PROTOCOL_VERSION)))
            raise ProtocolError(
                ReasonCode.UNSUPPORTED_PROTOCOL_VERSION,
                f"protocol level {connect.protocol_level}; this gateway speaks MQTT 3.1.1, which is level 4",
            )
        if not connect.client_id:
            connect = self._named(client, connect)
        if connect.will is not None:
            check_will(connect.will, self.limits)
        principal = self._admitted(client, connect)
        if principal is None:
            return
        self._end_older(principal, connect.client_id)
        session, present = self._sessions.take(principal, connect)
        client.session = session
        client.keep_alive_s = connect.keep_alive_s * KEEP_ALIVE_GRACE
        self._client_of[session] = client
        client.connection.send(encode(Connack(present, ReturnCode.ACCEPTED)))
        for effect in session.connect(connect):
            self._send(client, effect.data)
        self._owner.note(
            Connected(principal.tenant_id, principal.name, session.client_id, client.connection.address, self._clock())
        )

    def _named(self, client: Client, connect: Connect) -> Connect:
        """Give a client without an identifier one of its own [MQTT-3.1.3-6]."""
        if not connect.clean_session:
            client.connection.send(encode(Connack(False, ReturnCode.IDENTIFIER_REJECTED)))
            raise ProtocolError(
                ReasonCode.CLIENT_IDENTIFIER_NOT_VALID, "no client identifier, but a session to keep [MQTT-3.1.3-8]"
            )
        self._unnamed_count += 1
        return msgspec.structs.replace(connect, client_id=f"unnamed-{self._unnamed_count}")

    def _admitted(self, client: Client, connect: Connect) -> Principal | None:
        connection = client.connection
        answer = self._authorizer.authenticate(
            Credentials(
                connect.client_id, connect.username, connect.password, connection.certificate, connection.address
            )
        )
        if isinstance(answer, Principal):
            answer = self._objection(answer, connect) or answer
        if isinstance(answer, Denied):
            connection.send(encode(Connack(False, ReturnCode.NOT_AUTHORIZED)))
            self._note_refused(client, "connect_denied", answer.reason, connect.client_id)
            connection.close(answer.reason)
            return None
        return answer

    def _objection(self, principal: Principal, connect: Connect) -> Denied | None:
        held = self._sessions.find(principal.tenant_id, connect.client_id)
        if held is not None and held.principal != principal:
            return Denied("the session of this client identifier belongs to another client")
        denied = self._authorizer.may_publish(principal, connect.will.topic) if connect.will else None
        return denied and Denied(f"its will: {denied.reason}")

    def _end_older(self, principal: Principal, client_id: str) -> None:
        """Close the connection that a client of this identifier already has [MQTT-3.1.4-2]."""
        session = self._sessions.find(principal.tenant_id, client_id)
        if session is not None and (older := self._client_of.get(session)) is not None:
            older.connection.close("another connection took the session over")

    # The way of one message.

    def _perform(self, client: Client, session: Session, effect: Effect) -> None:
        match effect:
            case Accept(message):
                denied = self._authorizer.may_publish(session.principal, message.topic)
                if denied is not None:
                    raise ProtocolError(ReasonCode.NOT_AUTHORIZED, denied.reason)
                receipt = Receipt(client, message.packet_id) if message.qos else None
                self._accept(session.principal, session.client_id, message, receipt)
            case Send(data):
                self._send(client, data)
            case Grant(request):
                self._subscribe(client, session, request)
            case Drop(topic_filters):
                router = self._sessions.router(session.principal.tenant_id)
                for topic_filter in topic_filters:
                    router.unsubscribe(session, topic_filter)
            case Close():
                client.connection.close("the client disconnected")

    def _accept(self, principal: Principal, client_id: str, message: Publish, receipt: Receipt | None) -> None:
        self._route(principal.tenant_id, message)
        if not self._batch and self._loop is not None:
            self._loop.call_soon(self._hand_over)
        self._batch.append(
            Message(
                principal.tenant_id,
                principal.name,
                client_id,
                message.topic,
                message.payload,
                message.qos,
                message.retain,
                self._clock(),
                receipt,
            )
        )

    def _hand_over(self) -> None:
        batch, self._batch = self._batch, []
        if batch:
            self._owner.accept(batch)

    def _route(self, tenant_id: TenantId, message: Publish) -> None:
        router = self._sessions.router(tenant_id)
        if message.retain:
            router.retained.keep(message)
        at_qos_0: bytes | None = None
        for session, granted in router.subscribers(message.topic):
            if granted and message.qos:
                self._deliver(session, Publish(message.topic, message.payload, qos=1))
            elif (client := self._ready(session)) is not None:
                # Encoded once for everyone: at QoS 0 nothing in it depends on who gets it.
                at_qos_0 = at_qos_0 or encode(Publish(message.topic, message.payload))
                client.connection.send(at_qos_0)

    def _ready(self, session: Session) -> Client | None:
        """Find who takes a message at QoS 0 for a session; nobody when it is away or reads too slowly."""
        client = self._client_of.get(session)
        if client is not None and client.connection.unsent_bytes * 2 <= self.limits.unsent_bytes:
            return client
        session.dropped_count += 1
        return None

    def _deliver(self, session: Session, message: Publish) -> None:
        data = session.deliver(message)
        client = self._client_of.get(session)
        if data is not None and client is not None:
            self._send(client, data)

    def _send(self, client: Client, data: bytes) -> None:
        client.connection.send(data)
        if client.connection.unsent_bytes > self.limits.unsent_bytes:
            # Later, because this may be a turn in the midst of everyone who receives a message.
            self._loop_now().call_soon(
                self.refuse, client, ProtocolError(ReasonCode.QUOTA_EXCEEDED, "the client reads too slowly")
            )

    def _subscribe(self, client: Client, session: Session, request: Subscribe) -> None:
        held = set(session.subscriptions)
        codes = tuple(self._granted_qos(client, session, held, *wanted) for wanted in request.requests)
        self._send(client, session.granted(request, codes).data)
        router = self._sessions.router(session.principal.tenant_id)
        granted = [(name, code) for (name, _), code in zip(request.requests, codes, strict=True) if code <= HIGHEST_QOS]
        for topic_filter, qos in granted:
            router.subscribe(session, topic_filter, qos)
        for topic_filter, qos in granted:
            for message in router.retained.matching(topic_filter):
                again = Publish(message.topic, message.payload, min(qos, message.qos), retain=True)
                if again.qos or self._ready(session) is not None:
                    self._deliver(session, again)  # [MQTT-3.3.1-6]

    def _granted_qos(self, client: Client, session: Session, held: set[str], topic_filter: str, qos: int) -> int:
        """What SUBACK says to one filter; `held` grows by those that are granted."""
        fault = filter_fault(topic_filter, self.limits)
        kind = ReasonCode.TOPIC_FILTER_INVALID
        if fault is None and topic_filter.startswith(SHARED):
            fault, kind = "shared subscriptions are not supported", ReasonCode.SHARED_SUBSCRIPTIONS_NOT_SUPPORTED
        if fault is None and topic_filter not in held and len(held) >= self.limits.subscriptions:
            fault, kind = f"more than {self.limits.subscriptions} subscriptions", ReasonCode.QUOTA_EXCEEDED
        if fault is None:
            denied = self._authorizer.may_subscribe(session.principal, topic_filter)
            fault, kind = (denied.reason if denied else None), ReasonCode.NOT_AUTHORIZED
        if fault is None:
            held.add(topic_filter)
            return min(qos, HIGHEST_QOS)
        self._note_refused(client, f"subscribe_{kind.kind}", fault)
        return SUBSCRIBE_FAILURE

    # What nobody calls.

    async def _sweep(self) -> None:
        """End connections whose keep alive or CONNECT is overdue, a slice at a time."""
        while True:
            await asyncio.sleep(self.limits.sweep_interval_s)
            for index, client in enumerate(list(self._clients), 1):
                self._check_silence(client)
                if index % SWEEP_SLICE == 0:
                    await asyncio.sleep(0)
            self._sessions.discard_old(self._time())

    def _has_room(self) -> bool:
        handshake_count = sum(listener.handshake_count for listener in self._listeners)
        return len(self._clients) + handshake_count < self.limits.connections

    def _check_silence(self, client: Client) -> None:
        if not self._gate.is_open:
            return  # Nobody is heard, so nobody can be called silent.
        now = self._time()
        if client.session is None:
            if now - client.opened_at > self.limits.connect_timeout_s:
                limit = self.limits.connect_timeout_s
                self.refuse(client, ProtocolError(ReasonCode.PROTOCOL_ERROR, f"no CONNECT within {limit:g} s"))
        elif client.keep_alive_s and now - client.connection.heard_at > client.keep_alive_s:
            silent_s = now - client.connection.heard_at
            reason = f"nothing heard for {silent_s:.1f} s, more than its keep alive allows"
            self.refuse(client, ProtocolError(ReasonCode.KEEP_ALIVE_TIMEOUT, reason))

    def _note_refused(self, client: Client, kind: str, reason: str, client_id: str = "") -> None:
        self.refusals[kind] += 1
        principal = client.session.principal if client.session else Principal(0, "")
        client_id = client.session.client_id if client.session else client_id
        address = client.connection.address
        self._owner.note(Refused(principal.tenant_id, principal.name, client_id, address, kind, reason, self._clock()))

    def _loop_now(self) -> asyncio.AbstractEventLoop:
        return self._loop or asyncio.get_running_loop()

    def _time(self) -> float:
        return self._loop_now().time()
