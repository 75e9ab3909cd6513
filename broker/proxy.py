"""What is done for clients that ask for it over something else than an MQTT connection of their own.

The same rights hold for them, and what they publish goes the same way; how often they may is for whoever calls.
"""

from collections.abc import Callable
from functools import partial

from broker.exchange import Exchange
from broker.message import Message, TenantId
from broker.packets import Subscription
from broker.ports import Credentials, Denied, Evidence, Principal
from broker.publication import Publication
from broker.reason_codes import ReasonCode
from broker.receipt import Submitted
from broker.session import Session
from broker.subscriptions import Matches, Target
from broker.topics import check_name


class Proxy:
    """Acts for clients that are not there themselves."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def submit(self, message: Message, told: Callable[[Denied | None], None]) -> None:
        """Publish in the name of a client.

        `told` hears why it may not, or None once the message is on disk; of QoS 0, once it was taken. Raises
        `ProtocolError` for what is no topic name that a client may use.
        """
        exchange = self._exchange
        topic = message.topic
        check_name(topic, exchange.limits)
        principal = Principal(message.tenant_id, message.principal, message.is_operators)

        def hear(denied: Denied | None) -> None:
            if denied is None and message.retain:
                denied = exchange.permissions.may_retain(principal, topic)
            if denied is not None:
                exchange.note_refused(message, "publish_denied", f"{topic}: {denied.reason}")
                told(denied)
                return
            exchange.accept(message)
            if message.qos and not exchange.is_acknowledged_now(topic):
                exchange.receipts.append(Submitted(partial(told, None)))
            else:
                told(None)

        exchange.permissions.judge_publisher(principal, topic, hear)

    def hand(self, message: Message, session: Session, evidence: Evidence) -> None:
        """Give a message to one client alone, at its QoS, whatever that one has subscribed to.

        Whoever calls has looked at the name of the topic, and judged both, the publisher and the receiver.
        """
        exchange = self._exchange
        publication = Publication(exchange, evidence)
        target = Target(session, Subscription(message.topic, 1))
        exchange.distribute(message, Matches((target,), (), {}), evidence, publication)
        if not publication.is_taken:
            evidence.untaken()

    def session(self, tenant_id: TenantId, client_id: str) -> Session | None:
        """The session of a client, connected or not; None when it has none."""
        return self._exchange.sessions.find(tenant_id, client_id)

    def note_refused(self, principal: Principal, kind: str, reason: str) -> None:
        """Count something that was refused to a client that asked without a session, and tell the owner."""
        exchange = self._exchange
        who = (principal.tenant_id, principal.name, principal.name)
        exchange.note_refused(Message(*who, "", b"", 0, retain=False, arrived_at=exchange.clock()), kind, reason)

    def may_publish(self, principal: Principal, topic: str, told: Callable[[Denied | None], None]) -> None:
        """Tell why somebody may not publish there, or None; now or later."""
        self._exchange.permissions.judge_publisher(principal, topic, told)

    def may_hear(self, principal: Principal, topic: str, told: Callable[[Denied | None], None]) -> None:
        """Tell why somebody may not subscribe to a topic name and be sent it, or None; now or later."""
        permissions = self._exchange.permissions

        def hear(denied: Denied | None) -> None:
            if denied is None:
                permissions.judge_receiver(principal, topic, told)
            else:
                told(denied)

        permissions.judge_subscriber(principal, topic, hear)

    def may_be_sent(self, principal: Principal, topic: str, told: Callable[[Denied | None], None]) -> None:
        """Tell why somebody may not be sent a topic name, or None; now or later."""
        self._exchange.permissions.judge_receiver(principal, topic, told)

    def admit(self, credentials: Credentials, told: Callable[[Denied | None], None]) -> None:
        """Tell why a client that asks without a session may not be let in, or None; now or later."""

        def hear(answer: Principal | Denied) -> None:
            told(answer if isinstance(answer, Denied) else None)

        answer = self._exchange.permissions.authenticate(credentials, hear)
        if answer is not None:
            hear(answer)

    def hang_up(self, session: Session, reason: str, *, is_clean: bool, leaves_will: bool) -> None:
        """End the connection of a session; one that is left clean ends with it. Its will is published, if it may."""
        if not leaves_will:
            session.will = session.will_due_at = None
        client = session.client
        if is_clean:
            if session.is_stored:
                self._exchange.take_off_disk(session)
            session.expiry_s = 0
        if client is not None:
            client.close_with(ReasonCode.ADMINISTRATIVE_ACTION, reason)
        elif is_clean:
            self._exchange.discard(session)
