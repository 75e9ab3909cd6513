"""What is done for clients that ask for it over something else than an MQTT connection of their own.

The same rights and limits hold for them, and what they publish goes the same way.
"""

from collections.abc import Callable
from functools import partial

from broker.exchange import Exchange
from broker.message import Message
from broker.ports import Denied, Principal
from broker.reason_codes import ReasonCode
from broker.receipt import Submitted
from broker.session import Session
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

    def may_publish(self, principal: Principal, topic: str, told: Callable[[Denied | None], None]) -> None:
        """Tell why somebody may not publish there, or None; now or later."""
        self._exchange.permissions.judge_publisher(principal, topic, told)

    def may_hear(self, principal: Principal, topic_filter: str, told: Callable[[Denied | None], None]) -> None:
        """Tell why somebody may not subscribe to this, or None; now or later."""
        self._exchange.permissions.judge_subscriber(principal, topic_filter, told)

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
