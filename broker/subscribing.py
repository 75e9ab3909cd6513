"""SUBSCRIBE and UNSUBSCRIBE. Sections 3.8 to 3.11."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice

from broker.client import Client
from broker.errors import ProtocolError
from broker.estate import Answers
from broker.exchange import Exchange
from broker.limits import Limits
from broker.packets import (
    NO_PROPERTIES,
    SUBSCRIBE_FAILURE,
    V4,
    V5,
    Properties,
    Suback,
    Subscribe,
    Subscription,
    Unsuback,
    Unsubscribe,
)
from broker.permissions import Undecided
from broker.ports import Subscribed
from broker.reason_codes import ReasonCode
from broker.session import Session
from broker.topics import filter_fault, shared_parts

REPLAYED_PER_TURN = 50
"""Retained messages, for one client."""
AS_RETAINED_IF_NEW = 1
NOT_AS_RETAINED = 2
"""Retain handling [3.8.3.1]."""


class Desk:
    """Takes subscriptions and gives them up."""

    def __init__(self, exchange: Exchange, note_denied: Callable[[Client, str, str], None]) -> None:
        """`note_denied(client, kind, reason)` hears of each filter that was refused."""
        self._exchange = exchange
        self._note_denied = note_denied
        self.heard: Callable[[Subscribed], None] = lambda _: None
        """Hears what clients have subscribed to and given up, one packet at a time."""

    def subscribe(self, client: Client, session: Session, packet: Subscribe) -> None:
        """Decide about each topic filter and say so. Raises `ProtocolError`, `Undecided`."""
        exchange = self._exchange
        if len(packet.requests) > exchange.limits.filters_per_subscribe:
            raise ProtocolError(ReasonCode.QUOTA_EXCEEDED, f"{len(packet.requests):,} topic filters in one SUBSCRIBE")
        if client.level == V4:
            _check_filters([wanted.topic_filter for wanted in packet.requests], exchange.limits)
        for wanted in packet.requests:
            if wanted.no_local and shared_parts(wanted.topic_filter)[0]:
                reason = "No Local on a shared subscription [MQTT-3.8.3-4]"
                raise ProtocolError(ReasonCode.PROTOCOL_ERROR, reason)
        # All are asked about before anything changes: the packet comes again if one answer takes time.
        faults = self._faults(client, session, packet.requests)
        codes = []
        granted: list[tuple[Subscription, bool]] = []
        for wanted, fault in zip(packet.requests, faults, strict=True):
            if fault is not None:
                self._note_denied(client, f"subscribe_{fault.code.kind}", f"{wanted.topic_filter}: {fault.reason}")
                codes.append(fault.told if client.level == V5 else SUBSCRIBE_FAILURE)
                continue
            codes.append(wanted.qos)
            before = session.subscriptions.get(wanted.topic_filter)
            granted.append((wanted, before is None))
            if before != wanted:
                self._take(session, wanted)
        # What a session on disk was granted must be there after a power cut, too. Where nothing has changed,
        # what granted it before may still be on its way to the disk.
        answer = Suback(packet.packet_id, tuple(codes), _told_why(client, faults))
        client.answer(answer, waits=bool(granted) and session.is_stored)
        self._tell(client, session, [wanted.topic_filter for wanted, _ in granted])
        answers = Answers()
        retained = chain.from_iterable(self._retained_for(session, *each, answers) for each in granted)
        self._go_through(client, retained, answers)

    def grant(self, session: Session, subscription: Subscription) -> bool:
        """Subscribe for a client, with or without a connection, as though it had asked itself.

        Gives False when it may not; one whose authoriser takes time is granted, or not, when the answer has come.
        """
        exchange = self._exchange
        topic_filter = subscription.topic_filter
        before = session.subscriptions.get(topic_filter)
        share, plain = shared_parts(topic_filter)
        has_room = before is not None or len(session.subscriptions) < exchange.limits.subscriptions
        if filter_fault(topic_filter, exchange.limits) or not has_room or (share and subscription.no_local):
            return False
        try:
            denied = exchange.permissions.may_subscribe(session, plain, lambda: self._grant_late(session, subscription))
        except Undecided:
            return True
        if denied is not None:
            return False
        if before != subscription:
            self._take(session, subscription)
        answers = Answers()
        retained = self._retained_for(session, subscription, before is None, answers)
        if session.client is not None:
            self._go_through(session.client, retained, answers)
        else:
            deque(retained, maxlen=0)
        return True

    def unsubscribe(self, client: Client, session: Session, packet: Unsubscribe) -> None:
        """Give up subscriptions [MQTT-3.10.4-1] and following."""
        exchange = self._exchange
        if client.level == V4:
            _check_filters(packet.topic_filters, exchange.limits)
        router = exchange.sessions.router(session.principal.tenant_id)
        codes = []
        gone = []
        for topic_filter in packet.topic_filters:
            if session.subscriptions.pop(topic_filter, None) is None:
                codes.append(int(ReasonCode.NO_SUBSCRIPTION_EXISTED))
                continue
            codes.append(int(ReasonCode.SUCCESS))
            gone.append(topic_filter)
            router.unsubscribe(session, topic_filter)
            exchange.journal.unsubscribed(session, topic_filter)
            for observer in exchange.observers:
                observer.unsubscribed(session.principal, session.client_id, topic_filter)
        # As with SUBACK: what ended it before may still be on its way to the disk.
        client.answer(Unsuback(packet.packet_id, tuple(codes)), waits=session.is_stored)
        self._tell(client, session, gone, is_over=True)

    def review(self, session: Session) -> None:
        """End the subscriptions that a changed policy does not allow any more."""
        exchange = self._exchange
        router = exchange.sessions.router(session.principal.tenant_id)
        for topic_filter in list(session.subscriptions):
            plain = shared_parts(topic_filter)[1]
            denied = exchange.permissions.subscribe_denial(session.principal, plain)
            if denied is None:
                continue
            del session.subscriptions[topic_filter]
            router.unsubscribe(session, topic_filter)
            exchange.journal.unsubscribed(session, topic_filter)
            if session.client is not None:
                reason = f"{topic_filter}: the policy does not allow this subscription any more: {denied.reason}"
                self._note_denied(session.client, "subscription_ended", reason)

    def _grant_late(self, session: Session, subscription: Subscription) -> None:
        if self._exchange.sessions.find(session.principal.tenant_id, session.client_id) is session:
            self.grant(session, subscription)

    def _tell(self, client: Client, session: Session, topic_filters: Sequence[str], *, is_over: bool = False) -> None:
        if topic_filters:
            tenant_id, now = session.principal.tenant_id, self._exchange.clock()
            told = tuple(topic_filters)
            self.heard(Subscribed(tenant_id, session.client_id, told, client.connection, now, is_over))

    def _take(self, session: Session, subscription: Subscription) -> None:
        exchange = self._exchange
        session.subscriptions[subscription.topic_filter] = subscription
        exchange.sessions.router(session.principal.tenant_id).subscribe(session, subscription)
        exchange.journal.subscribed(session, subscription)
        for observer in exchange.observers:
            observer.subscribed(session.principal, session.client_id, subscription)

    def _retained_for(
        self,
        session: Session,
        subscription: Subscription,
        is_new: bool,  # noqa: FBT001  half of a pair
        answers: Answers,
    ) -> Iterator[None]:
        """Send what is retained for a subscription, one message for each step."""
        handling = subscription.retain_handling
        share, topic_filter = shared_parts(subscription.topic_filter)
        if share or handling == NOT_AS_RETAINED or (handling == AS_RETAINED_IF_NEW and not is_new):
            return iter(())
        return self._exchange.estate.replay(session, subscription, topic_filter, answers)

    def _go_through(self, client: Client, retained: Iterator[None], answers: Answers) -> None:
        """Send retained messages, some in each turn of the loop: thousands would keep everybody waiting.

        Meanwhile the client is taken nothing more.
        """
        if not client.stream.is_open:
            return
        count = sum(1 for _ in islice(retained, REPLAYED_PER_TURN))
        if answers.open_count:
            client.rest()
            answers.then(lambda: self._go_through(client, retained, answers))
        elif count == REPLAYED_PER_TURN:
            client.rest()
            self._exchange.soon(lambda: self._go_through(client, retained, answers))
        else:
            client.go_on()

    def _faults(self, client: Client, session: Session, requests: tuple[Subscription, ...]) -> list["_Fault | None"]:
        held = set(session.subscriptions)
        faults = []
        undecided: Undecided | None = None
        for wanted in requests:
            try:
                fault = self._fault(client, session, held, wanted.topic_filter)
            except Undecided as thinking:
                # All are asked at once: one after the other, the first answers would be forgotten before the last.
                undecided = thinking
                continue
            if fault is None:
                held.add(wanted.topic_filter)
            faults.append(fault)
        if undecided is not None:
            raise undecided
        return faults

    def _fault(self, client: Client, session: Session, held: set[str], topic_filter: str) -> "_Fault | None":
        limits = self._exchange.limits
        reason = filter_fault(topic_filter, limits)
        if reason is not None:
            return _Fault(ReasonCode.TOPIC_FILTER_INVALID, reason)
        if topic_filter not in held and len(held) >= limits.subscriptions:
            return _Fault(ReasonCode.QUOTA_EXCEEDED, f"more than {limits.subscriptions} subscriptions")
        plain = shared_parts(topic_filter)[1]
        denied = self._exchange.permissions.may_subscribe(session, plain, client.go_on)
        return None if denied is None else _Fault(ReasonCode.NOT_AUTHORIZED, denied.reason, denied.reason_code)


def _check_filters(topic_filters: Sequence[str], limits: Limits) -> None:
    """In 3.1.1 a filter that is none breaks the protocol [MQTT-4.8.0-1]; only MQTT 5 can say what is wrong with it."""
    for topic_filter in topic_filters:
        reason = filter_fault(topic_filter, limits)
        if reason is not None:
            raise ProtocolError(ReasonCode.TOPIC_FILTER_INVALID, f"{topic_filter[:64]!r}: {reason}")


class _Fault:
    """Why a topic filter was refused."""

    __slots__ = ("code", "reason", "told")

    def __init__(self, code: ReasonCode, reason: str, told: int | None = None) -> None:
        self.code = code
        self.reason = reason
        self.told = int(code) if told is None else told


def _told_why(client: Client, faults: Sequence[_Fault | None]) -> Properties:
    """What a client of MQTT 5 is told of all that was refused: its codes alone say too little."""
    reasons = "; ".join(fault.reason for fault in faults if fault is not None)
    return client.reason(reasons, code_count=len(faults)) if reasons else NO_PROPERTIES
