"""The broker as its owner has it: it listens, keeps clients connected, and looks after what time brings."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable, Container, Iterable, Iterator
from functools import partial

from broker.client import Client
from broker.codec import Decoder
from broker.connecting import Reception, refusal, suspect
from broker.errors import FramingError, ProtocolError
from broker.exchange import Exchange
from broker.forgetting import forget
from broker.limits import Limits
from broker.listener import Endpoint, Entrance, Listener, SharedEndpoint
from broker.message import Message, TenantId
from broker.outgoing import Outgoing
from broker.packets import NO_PROPERTIES, Connect, Subscribe, Subscription, Unsubscribe
from broker.permissions import Permissions
from broker.ports import (
    Authorizer,
    Denied,
    Disconnected,
    Evidence,
    Observer,
    Owner,
    PacketObserver,
    Principal,
    Refused,
    SessionStore,
    Stream,
)
from broker.proxy import Proxy
from broker.publication import Publication
from broker.reason_codes import ReasonCode
from broker.receipt import Receipt, settle
from broker.reviewing import Reviewing
from broker.session import Session
from broker.session_table import SessionTable
from broker.subscribing import Desk
from broker.trace import Tap, Trace, TraceEntry
from broker.traffic import Traffic
from broker.upkeep import SLICE, Upkeep


class Broker:
    """Routes messages between clients and hands what they publish to the owner."""

    def __init__(
        self,
        owner: Owner,
        authorizer: Authorizer,
        clock: Callable[[], int],
        limits: Limits | None = None,
        store: SessionStore | None = None,
    ) -> None:
        """`clock` gives UTC milliseconds. Without a store, sessions end with the process."""
        self.limits = limits or Limits()
        self._owner = owner
        self._authorizer = authorizer
        self._clock = clock
        self._store = store
        self.traffic = Traffic()
        """Whether connections are read: also for streams that were not accepted here."""
        self._clients: set[Client] = set()
        self._sessions = SessionTable(self.limits)
        self._permissions = Permissions(authorizer, self.limits, self._time, self._later)
        self.exchange = Exchange(owner, self._sessions, self._permissions, self.limits, clock, self.traffic.soon)
        self.refusals = self.exchange.refusals
        self._reception = Reception(self.exchange, owner, lambda: secrets.token_hex(12))
        self.desk, self.proxy = Desk(self.exchange, self.note_denied), Proxy(self.exchange)
        self.packet_observers: list[PacketObserver] = []
        """Those that are shown every packet of every client from here on. One is enough to slow all of them."""
        self._upkeep = Upkeep(self.exchange, self.traffic, self.refuse, self.refusals)
        self._has_to_review = asyncio.Event()
        wanted, give_way = self._has_to_review.set, partial(asyncio.sleep, 0)
        self._reviewing = Reviewing(self.exchange, self.desk, self._note_refused, wanted, give_way, self._later)
        self.traffic.is_held = self._reviewing.is_putting_out
        self._is_stopping = False

    # What the owner calls.

    def restore(self) -> None:
        """Take up what was kept, before anything is published; `connected` does it unless it is done."""
        store, self._store = self._store, None
        if store is None:
            return
        self.exchange.restore(store.highest_number())
        for stored in store.sessions():
            self._sessions.restore(stored)
        for message in store.retained():
            self._sessions.router(message.tenant_id).retained.keep(message)

    @contextlib.asynccontextmanager
    async def connected(self) -> AsyncIterator[None]:
        """Keep clients connected; on leaving, what waits for them is written and they are let go."""
        self.restore()
        async with asyncio.TaskGroup() as tasks:
            upkeep = tasks.create_task(self._upkeep.run(), name="mqtt upkeep")
            review = tasks.create_task(self._review_for_ever(), name="mqtt review")
            try:
                yield
            finally:
                upkeep.cancel()
                review.cancel()
                await self.let_go()
                self.traffic.stop_lingering(asyncio.get_running_loop())

    @contextlib.asynccontextmanager
    async def listening(self, *endpoints: Endpoint | SharedEndpoint) -> AsyncIterator[tuple[int, ...]]:
        """Accept clients; gives the ports. On leaving, nobody is accepted and nothing more is read."""
        entrance = Entrance(self.traffic, self.attach, self._refuse_stranger, self.limits)
        with contextlib.ExitStack() as stack:
            stack.enter_context(entrance.running())
            listeners = [stack.enter_context(Listener(endpoint, entrance).listening()) for endpoint in endpoints]
            try:
                yield tuple(listener.port for listener in listeners)
            finally:
                self._is_stopping = True
                self.traffic.shut()
                self._note_the_end()
                self.exchange.hand_over()

    def attach(self, stream: Stream, principal: Principal | Denied | None = None) -> None:
        """Take a connection. Of whom it is known already who it is, as over a WebSocket, that is not asked again."""
        limits = self.limits
        client = Client(self, self.exchange, stream, Decoder(limits.packet_bytes, limits.connect_packet_bytes))
        client.admitted = principal
        for observer in self.packet_observers:
            client.watch(Tap(observer, client))
        self._clients.add(client)
        self._upkeep.expect(client)
        stream.start(client)

    def acknowledge(self, receipts: Iterable[object]) -> None:
        """Send what waited for the commit, in order [MQTT-4.6.0-2]."""
        for receipt in receipts:
            if isinstance(receipt, Receipt):
                receipt.client.settle(receipt)
                self.traffic.write_together()
            else:
                settle(receipt, self.exchange.settle)

    def pause_reading(self) -> None:
        """Read from no connection until `resume_reading`."""
        self.traffic.shut()

    def resume_reading(self) -> None:
        """Read again. Nobody was silent while nobody was heard: every keep alive starts anew."""
        if self._is_stopping:
            return  # The owner works off what it has, and is given nothing more.
        now = self._time()
        for client in self._clients:
            client.stream.heard_at = client.opened_at = now
        self.traffic.open()

    def publish(self, message: Message, evidence: Evidence | None = None) -> Publication:
        """Publish in the owner's own name: to subscribers, not back to the owner.

        `evidence` hears what becomes of it, and what is given can be withdrawn while it waits.
        """
        return self.exchange.publish(message, evidence)

    def is_heard(self, tenant_id: TenantId, topic: str) -> bool:
        """Whether anybody may be given a message of this topic now: where nobody is, it need not be made."""
        return self.exchange.route(tenant_id, topic).is_used

    def answer(self, message: Message, client_id: str, evidence: Evidence | None = None) -> Publication | None:
        """Publish to one client alone, as far as it has subscribed to the topic; None when it has no session."""
        session = self._sessions.find(message.tenant_id, client_id)
        return None if session is None else self.exchange.publish(message, evidence, session)

    def reply(self, message: Message, client_id: str, evidence: Evidence | None = None) -> Publication | None:
        """The same for an answer that this client waits for: it has it once, even if it has not subscribed to it."""
        session = self._sessions.find(message.tenant_id, client_id)
        return None if session is None else self.exchange.publish(message, evidence, session, is_due=True)

    def end_soon(self, tenant_id: TenantId, names: Iterable[str]) -> None:
        """Have the connections of these principals ended that would not be let in today.

        It is done before any review, also before what is left of one that is going on.
        """
        self._reviewing.end_soon(tenant_id, names)

    def judge_soon(self, tenant_id: TenantId, name: str) -> None:
        """The same for one principal; if it is let in today, what it may do is reviewed as well, in its turn."""
        self._reviewing.end_soon(tenant_id, (name,))
        self._reviewing.review_soon(tenant_id, name)

    async def judge_everybody(self) -> None:
        """The same as `end_soon` for everybody who is connected; it is done when this returns."""
        await self._reviewing.judge_everybody()

    def review_soon(self, tenant_id: TenantId, name: str | None = None) -> None:
        """Have `review` done, without waiting for it. What was answered before counts no more from here on."""
        self._reviewing.review_soon(tenant_id, name)

    async def review(self, tenant_id: TenantId, name: str | None = None) -> None:
        """Ask the authoriser again about live sessions: a policy, or all that hangs on one name, has changed."""
        await self._reviewing.review(tenant_id, name)

    def grant(self, tenant_id: TenantId, client_id: str, subscription: Subscription) -> bool:
        """Subscribe for a client that has a session, as though it had asked itself; False when it may not."""
        session = self._sessions.find(tenant_id, client_id)
        return session is not None and self.desk.grant(session, subscription)

    def disconnect(self, tenant_id: TenantId, client_id: str, reason: str) -> bool:
        """End the connection of a client, for a reason that it is told; whether it had one."""
        session = self._sessions.find(tenant_id, client_id)
        if session is None or session.client is None:
            return False
        session.client.close_with(ReasonCode.ADMINISTRATIVE_ACTION, reason)
        return True

    def forget(self, tenant_id: TenantId, name: str, reason: str = "it was suspended or retired") -> None:
        """End every connection and session of a principal that is gone: no will is published, nothing waits on."""
        self._permissions.doubted()
        forget(self.exchange, self._sessions.of(tenant_id, name), reason)

    def end_session(self, tenant_id: TenantId, client_id: str, reason: str) -> bool:
        """End the session of a client, and its connection if it has one, as `forget` does; whether it had one."""
        session = self._sessions.find(tenant_id, client_id)
        if session is None:
            return False
        forget(self.exchange, [session], reason)
        return True

    def observe(self, observer: Observer) -> None:
        """Tell an observer of everything from here on."""
        self.exchange.observers.append(observer)

    @contextlib.contextmanager
    def tracing(self, tenant_id: TenantId, client_id: str, sink: Callable[[TraceEntry], None]) -> Iterator[bool]:
        """Log the packets of a connected client; whether it is connected. Others are not slowed by it."""
        session = self._sessions.find(tenant_id, client_id)
        client = session.client if session is not None else None
        if client is None:
            yield False
            return
        trace = Trace(sink, self._clock)
        client.watch(trace)
        try:
            yield True
        finally:
            client.unwatch(trace)

    def sessions(self, tenant_id: TenantId, name: str | None = None) -> Iterable[Session]:
        """The sessions of a tenant, or of one principal of it, to be looked at."""
        if name is not None:
            return self._sessions.of(tenant_id, name)
        return (session for session in self._sessions if session.principal.tenant_id == tenant_id)

    def retained(self, tenant_id: TenantId, topic_filter: str) -> Iterator[Message]:
        """The retained messages of a tenant that match a filter."""
        return self._sessions.router(tenant_id).retained.matching(topic_filter, self._clock())

    @property
    def connection_count(self) -> int:
        """Connections that are open, with or without a session."""
        return len(self._clients)

    @property
    def dropped_count(self) -> int:
        """Messages that sessions, those that have ended too, did not get because their bounds were reached."""
        return self._sessions.dropped_count

    # What clients call.

    def connect(self, client: Client, connect: Connect) -> None:
        """Take its CONNECT."""
        self._reception.connect(client, connect)
        if client.stream.is_open:
            self._upkeep.expect(client)

    def subscribe(self, client: Client, session: Session, packet: Subscribe) -> None:
        """Take a SUBSCRIBE."""
        self.desk.subscribe(client, session, packet)

    def unsubscribe(self, client: Client, session: Session, packet: Unsubscribe) -> None:
        """Take an UNSUBSCRIBE."""
        self.desk.unsubscribe(client, session, packet)

    def refuse(self, client: Client, error: ProtocolError) -> None:
        """Disconnect a client for what it did, and tell the owner why. Nothing happens when it is gone."""
        if not client.stream.is_open:
            return
        is_stranger = client.session is None and error.code is ReasonCode.NOT_AUTHORIZED
        self._note_refused(client, "connect_denied" if is_stranger else error.code.kind, error.reason)
        if isinstance(error, FramingError):
            client.ended_by = error.code
            client.stream.close(error.reason)
            return
        if client.session is not None:
            client.close_with(error.code, error.reason)
            return
        # The level of a CONNECT is known even when the rest of it is broken.
        if client.level != client.decoder.protocol_level:
            client.agree(Outgoing(client.decoder.protocol_level))
        for properties in (client.reason(error.reason, is_last=True), NO_PROPERTIES):
            data = refusal(error, client.level, properties)
            if data is not None and client.takes(len(data)):
                client.stream.send(data)
                break
        client.stream.close(error.reason)

    def note_denied(self, client: Client, kind: str, reason: str) -> None:
        """Tell the owner of something that was denied, while the connection goes on."""
        self._note_refused(client, kind, reason)

    def slow_down(self, client: Client) -> None:
        """Read a client that sends too much no more until its second is over."""
        now = self._time()
        left_s = client.window_began_at + 1.0 - now
        if left_s <= 0:
            client.new_allowance(now)
            return
        self.refusals["slowed_down"] += 1
        client.is_slowed = True
        client.stream.pause()
        self._later(left_s, lambda: self._read_again(client))

    def leave(self, client: Client, reason: str) -> None:
        """Forget a connection that is gone."""
        self._clients.discard(client)
        self._upkeep.forget(client)
        session = client.session
        if session is None or session.client is not client:
            return
        session.client = None
        now = session.left_at = self._clock()
        session.deliveries.disconnect()
        principal = session.principal
        whose = (principal.tenant_id, principal.name, session.client_id)
        self._owner.note(Disconnected(*whose, reason, now, client.connection, client.ended_by))
        for observer in self.exchange.observers:
            observer.disconnected(principal, session.client_id)
        if session.will is not None:
            delay_s = min(session.will.properties.will_delay_s or 0, session.expiry_s)
            session.will_due_at = now + delay_s * 1_000
            if not delay_s:
                self.exchange.publish_will(session)
        if session.is_stored:
            self._sessions.leave(session)
            self.exchange.journal.session(session)
        else:
            self.exchange.discard(session)

    # The way of one connection.

    async def let_go(self, streams: Container[Stream] | None = None) -> None:
        """End connections, all or these, because the gateway stops; a slice at a time."""
        leaving = [client for client in self._clients if streams is None or client.stream in streams]
        for index, client in enumerate(leaving, 1):
            # A will is for clients that fail, not for a gateway that stops.
            if client.session is not None:
                client.session.will = None
            client.close_with(ReasonCode.SERVER_SHUTTING_DOWN, "the gateway is shutting down")
            if index % SLICE == 0:
                await asyncio.sleep(0)
        self.exchange.hand_over()

    def _note_the_end(self) -> None:
        """Keep that those who are connected leave now: when they are let go, the owner may take nothing more."""
        now = self._clock()
        for session in self._sessions:
            if session.client is not None:
                self.exchange.journal.session_left_behind(session, now)

    def _read_again(self, client: Client) -> None:
        client.new_allowance(self._time())
        client.is_slowed = False
        if not client.is_waiting:
            client.stream.resume()

    async def _review_for_ever(self) -> None:
        while True:
            await self._has_to_review.wait()
            self._has_to_review.clear()
            await self._reviewing.work()

    def _refuse_stranger(self, address: str, kind: str, reason: str) -> None:
        self.refusals[kind] += 1
        self._owner.note(Refused(0, "", "", address, kind, reason, self._clock()))

    def _note_refused(self, client: Client, kind: str, reason: str) -> None:
        self.refusals[kind] += 1
        session, stream = client.session, client.stream
        principal = session.principal if session else suspect(client.admitted)
        client_id = session.client_id if session else client.claimed_id
        told = (principal.tenant_id, principal.name, client_id, stream.address, kind, reason, self._clock())
        # Only here: to ask a TLS connection for its certificate takes as long as a message.
        self._owner.note(Refused(*told) if session else Refused(*told, at_connect=True, certificate=stream.certificate))

    def _time(self) -> float:
        return asyncio.get_running_loop().time()

    def _later(self, delay_s: float, call: Callable[[], None]) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(delay_s, call)
