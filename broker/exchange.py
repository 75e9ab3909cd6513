"""The way of a message: from whoever published it to the owner, to subscribers, to what is retained.

One callback carries a published message from its socket to the turn; nothing is awaited on the way.
Once per turn of the loop everything is handed to the owner, who acknowledges it when it is on disk.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from broker.changes import Delivery
from broker.estate import Estate
from broker.journal import Journal
from broker.limits import Limits
from broker.message import Message, TenantId
from broker.packets import Pubrel
from broker.permissions import Permissions, Undecided
from broker.ports import Evidence, Observer, Owner, Refused, Turn
from broker.publication import Publication, Rendering
from broker.receipt import Ended, Receipt, Submitted
from broker.router import Route
from broker.routing import Routing
from broker.session import Session
from broker.session_table import SessionTable
from broker.subscriptions import Matches, Target
from broker.topics import matches

if TYPE_CHECKING:
    from broker.client import Client

NOTED_BYTES = 1_024
"""Clients with more than this unsent are looked at by `Upkeep`: fewer add up to little, were it all of them."""


class Exchange:
    """Where messages cross over. Everything a connection needs of the rest of the broker."""

    def __init__(
        self,
        owner: Owner,
        sessions: SessionTable,
        permissions: Permissions,
        limits: Limits,
        clock: Callable[[], int],
        soon: Callable[[Callable[[], None]], object],
    ) -> None:
        """`clock` gives UTC milliseconds; `soon` calls back at the end of this turn of the loop."""
        self.limits = limits
        self.sessions = sessions
        self.permissions = permissions
        self.clock = clock
        self.journal = Journal(self.wake)
        self.receipts: list[Receipt | Ended | Submitted] = []
        self.refusals: Counter[str] = Counter()
        """What was refused since the start, by kind."""
        self.slow: dict[Client, None] = {}
        """Clients that had more than `NOTED_BYTES` unsent when they were last sent something."""
        self.observers: list[Observer] = []
        self.retained_source_is_checked = True
        """Whether a retained message is kept from everybody once its publisher may not publish it any more."""
        self.owner_is_subscriber = True
        """Whether a message that no client wants counts as received, because the owner takes everything."""
        self.tells_reasons = True
        """Whether clients of MQTT 5 get reason strings."""
        self.now_filters: tuple[str, ...] = ()
        """Topic filters whose messages are acknowledged at once, before they are on disk."""
        self.message_count = 0
        """Published messages accepted since the start."""
        self.delivered_count = 0
        """Messages written to clients since the start."""
        self._owner = owner
        self.soon = soon
        self.estate, self._routing = Estate(self), Routing(permissions, limits, self._deliver_to)
        self._messages: list[Message] = []
        self._is_awake, self._last_number, self._ending = False, 0, Counter[tuple[TenantId, str]]()
        self._evidence: dict[int, Evidence] = {}

    # The turn.

    def wake(self) -> None:
        """See that what there is gets handed over at the end of this turn."""
        if not self._is_awake:
            self._is_awake = True
            self.soon(self.hand_over)

    def hand_over(self) -> None:
        """Give the owner everything of this turn."""
        self._is_awake = False
        messages, self._messages = self._messages, []
        receipts, self.receipts = self.receipts, []
        changes = self.journal.take()
        if messages or changes or receipts:
            self._owner.accept(Turn(messages, changes, receipts))

    def answer_after_commit(
        self, client: "Client", data: bytes, answered_count: int = 0, *, is_delivery: bool = False
    ) -> None:
        """Send bytes to a client once this turn is on disk; they answer for so many of its messages."""
        if not self._is_awake:
            self.wake()
        client.owed_count += 1
        client.waiting_count += is_delivery
        self.receipts.append(Receipt(client, data, answered_count, is_delivery))

    # A message comes in.

    def accept(self, message: Message, route: Route | None = None) -> Route:
        """Take a message that its publisher may publish.

        Gives the route that it went; the next message of the same topic may be given along with it.
        """
        if not self._is_awake:
            self.wake()
        self._messages.append(message)
        self.message_count += 1
        if message.retain:
            self._retain(message)
        if route is None or route.version != route.subscriptions.version:
            route = self.route(message.tenant_id, message.topic)
        if route.is_used:
            self.distribute(message, route.matches)
        for observer in self.observers:
            observer.published(message)
        return route

    def publish(
        self, message: Message, evidence: Evidence | None = None, only: Session | None = None, *, is_due: bool = False
    ) -> Publication:
        """Publish in the owner's own name: to subscribers, or to one of them, or to one who `is_due` it anyway."""
        if message.retain:
            self._retain(message)
        publication = Publication(self, evidence)
        if only is None:
            wanted = self.route(message.tenant_id, message.topic).matches
        else:
            wanted = self._routing.one(self.sessions.router(message.tenant_id), message, only, is_due=is_due)
        if wanted.targets or wanted.groups:  # Most of what a gateway tells has one reader, or none.
            self.distribute(message, wanted, evidence, publication)
        if evidence is not None and not publication.is_taken:
            evidence.untaken()
        return publication

    def tell(self, message: Message) -> None:
        """Keep and publish what the broker says of itself; nothing of it goes to the owner or the disk."""
        self.sessions.router(message.tenant_id).retained.keep(message)
        if (route := self.route(message.tenant_id, message.topic)).is_used:
            self.distribute(message, route.matches)

    def publish_will(self, session: Session) -> None:
        """Publish the will of a client that is gone, if it still may."""
        will, session.will, session.will_due_at = session.will, None, None
        if will is not None:
            self.estate.publish_will(session, will)

    def note_refused(self, message: Message, kind: str, reason: str) -> None:
        """Count that not everything was done with a message that was wanted, and tell the owner."""
        self.refusals[kind] += 1
        who = (message.tenant_id, message.principal, message.client_id)
        self._owner.note(Refused(*who, "", kind, reason, message.arrived_at))

    def is_acknowledged_now(self, topic: str) -> bool:
        """Whether messages of this topic name are acknowledged before they are on disk."""
        return any(matches(topic_filter, topic) for topic_filter in self.now_filters)

    def discard(self, session: Session) -> None:
        """End a session: its will, if that was put off, is due now [MQTT-3.1.2-8]."""
        if session.client is None:
            self.publish_will(session)
        if session.is_stored:
            self.take_off_disk(session)
        for delivery in session.deliveries:
            self._evidence.pop(delivery.number, None)
        self.sessions.discard(session)

    def take_off_disk(self, session: Session) -> None:
        """Have a session end with this process at the latest."""
        ended = Ended(session.principal.tenant_id, session.client_id)
        self.journal.session_gone(session)
        self.receipts.append(ended)
        self._ending[ended.tenant_id, ended.client_id] += 1

    def is_ending(self, tenant_id: TenantId, client_id: str) -> bool:
        """Whether a power cut would bring back a session of this client identifier that has ended."""
        return (tenant_id, client_id) in self._ending

    def settle(self, ended: Ended) -> None:
        """Hear that the end of a session is on disk."""
        key = (ended.tenant_id, ended.client_id)
        self._ending[key] -= 1
        if not self._ending[key]:
            del self._ending[key]

    def restore(self, number: int) -> None:
        """Never give this number, or one before it, to a session, a delivery or a message again."""
        self._last_number = number
        self.sessions.restore_number(number)

    # A message goes out.

    def distribute(
        self,
        message: Message,
        wanted: Matches[Session],
        evidence: Evidence | None = None,
        publication: Publication | None = None,
    ) -> None:
        """Give a message to everyone who wants it."""
        message_qos = message.qos
        message_number = self.next_number() if message_qos else 0
        size_bytes = message.size_bytes if message_qos else 0
        rendering = Rendering(message)
        targets: Iterable[Target[Session]] = wanted.targets
        if wanted.own or wanted.groups:
            targets = self._routing.chosen(message, wanted)
        for target in targets:
            session = target.subscriber
            if session.held is not None:
                self._routing.hold(session, message, target, publication)
                continue
            qos = target.qos if target.qos < message_qos else message_qos  # noqa: FURB136  faster than min()
            if not qos:
                if self._send(message, target, rendering) and publication is not None:
                    publication.was_written(session, evidence)
                continue
            retain = message.retain and target.retain_as_published
            self._last_number = number = self._last_number + 1
            delivery = Delivery(number, message, message_number, qos, retain, target.identifiers, 0, False, size_bytes)
            if self._deliver(session, delivery, rendering, evidence) and publication is not None:
                publication.was_taken(session, delivery)

    def give(self, message: Message, target: Target[Session]) -> None:
        """Give a message to one who wants it, if it may receive it."""
        if self._routing.admits(message, target):
            self._deliver_to(message, target)

    def refill(self, session: Session) -> None:
        """Send what waits, as far as the client's window is open."""
        now, deliveries = self.clock(), session.deliveries
        while (following := deliveries.next()) is not None:
            delivery, was_sent = following
            expires_at = delivery.message.expires_at
            has_expired = not was_sent and expires_at is not None and expires_at <= now
            if has_expired or not self._may_have(session, delivery, was_sent=was_sent):
                deliveries.finish(delivery.packet_id)
                self._over(session, delivery)
                session.dropped_count += 1
            elif delivery.is_released:
                self._release(session, delivery)
            else:
                self._write(session, delivery, duplicate=was_sent)

    def answered(self, session: Session, packet_id: int) -> None:
        """A client has answered for a delivery: PUBACK, PUBCOMP, or PUBREC with a fault."""
        deliveries = session.deliveries
        delivery = deliveries.finish(packet_id)
        if delivery is None:
            return
        if session.expiry_s or self._evidence:
            evidence = self._over(session, delivery)
            if evidence is not None:
                evidence.acknowledged(session.client_id)
        if deliveries.has_queue:
            self.refill(session)

    def recorded(self, session: Session, delivery: Delivery) -> None:
        """A client has PUBREC'd a delivery: from here on only PUBREL is sent [MQTT-4.3.3-5]."""
        delivery.is_released = True
        self.journal.delivery(session, delivery)
        self._release(session, delivery)

    def withdraw(self, session: Session, delivery: Delivery, *, even_sent: bool = False) -> bool:
        """Take back a delivery that still waits, or one that was sent, too; whether it did."""
        if not session.deliveries.withdraw(delivery.number, even_sent=even_sent):
            return False
        self._over(session, delivery)
        return True

    def follow(self, delivery: Delivery, evidence: Evidence) -> None:
        """Tell from here on what becomes of a delivery that was kept."""
        self._evidence[delivery.number] = evidence

    def route(self, tenant_id: TenantId, topic: str) -> Route:
        """Everyone who wants a topic of a tenant, as far as they may receive it."""
        router = self.sessions.router(tenant_id)
        return router.known_route(topic) or self._routing.find(router, topic)

    def next_number(self) -> int:
        """A number for a delivery or a message."""
        self._last_number += 1
        return self._last_number

    # Private.

    def _retain(self, message: Message) -> None:
        fault = self.sessions.router(message.tenant_id).retained.keep(message)
        if fault is None:
            self.journal.retained(message)
            return
        self.note_refused(message, "retain_quota", fault)

    def _may_have(self, session: Session, delivery: Delivery, *, was_sent: bool) -> bool:
        """Whether a client may be sent what waited for it: the policy may be another one by now."""
        if was_sent and delivery.qos > 1:
            return True  # The client may have it and not say so: its identifier is not free before it does.
        try:
            return self.permissions.may_receive(session, delivery.message.topic, _nobody_waits) is None
        except Undecided:
            return True  # It was allowed when it came.

    def _deliver_to(self, message: Message, target: Target[Session]) -> None:
        self.distribute(message, Matches((target,), (), {}))

    def _send(self, message: Message, target: Target[Session], rendering: Rendering) -> bool:
        """Send a message at QoS 0; whether there was somebody who reads fast enough and takes one so large."""
        session = target.subscriber
        client = session.client
        if client is None:
            return False
        stream = client.stream
        if stream.unsent_bytes * 2 > self.limits.unsent_bytes:
            session.dropped_count += 1
            return False
        retain = message.retain and target.retain_as_published
        if client.is_plain and not retain and not target.identifiers and message.expires_at is None:
            if stream.send(rendering.at_qos_0(client.level)) > NOTED_BYTES:
                self.slow[client] = None
        elif not client.send_message(message, retain=retain, identifiers=target.identifiers):
            session.dropped_count += 1
            return False
        self.delivered_count += 1
        for observer in self.observers:
            observer.delivered(session.client_id, message)
        return True

    def _deliver(self, session: Session, delivery: Delivery, rendering: Rendering, evidence: Evidence | None) -> bool:
        """Send a message at QoS 1 or 2, or queue it; False when there is no room for it, or it is too large."""
        is_sent = session.deliveries.push(delivery)
        if is_sent is None:
            session.dropped_count += 1
            return False
        if evidence is not None:
            self._evidence[delivery.number] = evidence
        client = session.client
        if not is_sent or client is None:
            self.journal.delivery(session, delivery)
        elif (
            session.expiry_s
            or delivery.identifiers
            or evidence is not None
            or delivery.message.expires_at is not None
            or self.observers
            or not client.is_plain
        ):
            return self._write(session, delivery, duplicate=False)
        else:
            self.delivered_count += 1
            first = 0x30 | delivery.qos << 1 | delivery.retain
            client.send(rendering.with_identifier(client.level, first, delivery.packet_id))
        return True

    def _write(self, session: Session, delivery: Delivery, *, duplicate: bool) -> bool:
        """Write a delivery that is in flight; False when it is over instead, because it is too large."""
        client = session.client
        assert client is not None  # noqa: S101  nothing is in flight to who is away
        # A QoS 2 packet that is sent before it is on disk could be lost or doubled by a power cut: its
        # identifier would be given again. What comes after it keeps behind it [MQTT-4.6.0-6], and none of
        # them uses a topic alias: messages at QoS 0 overtake them.
        must_wait = session.is_stored and (delivery.qos > 1 or client.waiting_count > 0)
        data = client.delivery_bytes(delivery, duplicate=duplicate, may_alias=not must_wait)
        if data is None:
            # Too large for this client: as if it had been delivered [MQTT-3.1.2-25].
            session.deliveries.finish(delivery.packet_id)
            self._over(session, delivery)
            session.dropped_count += 1
            return False
        if session.expiry_s and not duplicate:
            self.journal.delivery(session, delivery)
        self.delivered_count += 1
        if must_wait:
            self.answer_after_commit(client, data, is_delivery=True)
        else:
            client.send(data)
        evidence = self._evidence.get(delivery.number)
        if evidence is not None:
            evidence.written(session.client_id)
        for observer in self.observers:
            observer.delivered(session.client_id, delivery.message)
        return True

    def _release(self, session: Session, delivery: Delivery) -> None:
        if (client := session.client) is not None:
            client.answer(Pubrel(delivery.packet_id), waits=session.is_stored)

    def _over(self, session: Session, delivery: Delivery) -> Evidence | None:
        self.journal.delivery_gone(session, delivery)
        return self._evidence.pop(delivery.number, None)


def _nobody_waits() -> None:
    """The message goes out whatever the answer will be."""
