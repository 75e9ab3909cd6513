"""What clients leave behind: their wills, and messages that are retained.

What a client may no longer say is not said for it. Where that takes time to find out, it is waited for, within bounds.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from broker.message import Message
from broker.packets import Subscription, Will
from broker.ports import Denied, Principal
from broker.publication import will_message
from broker.session import Session
from broker.subscriptions import Target

if TYPE_CHECKING:
    from broker.exchange import Exchange


class Answers:
    """Answers about retained messages that are waited for on behalf of one client."""

    __slots__ = ("_then", "open_count")

    def __init__(self) -> None:
        self.open_count = 0
        self._then: Callable[[], None] | None = None

    def then(self, call: Callable[[], None]) -> None:
        """Call this after the last of them."""
        self._then = call

    def heard(self) -> None:
        """Note that one has come."""
        self.open_count -= 1
        if not self.open_count and self._then is not None:
            call, self._then = self._then, None
            call()


class Estate:
    """Publishes wills, and shows retained messages to new subscriptions."""

    def __init__(self, exchange: "Exchange") -> None:
        self._exchange = exchange
        self.waiting_count = self._waiting_bytes = 0
        """Wills about which the authoriser thinks: as much may wait as for one client."""

    def publish_will(self, session: Session, will: Will) -> None:
        """Publish a will if its client still may leave it; where that takes time to say, once it was said."""
        exchange, permissions, principal = self._exchange, self._exchange.permissions, session.principal
        message = will_message(will, session, exchange.clock())
        size_bytes = message.size_bytes

        def hear(denied: Denied | None) -> None:
            self.waiting_count -= 1
            self._waiting_bytes -= size_bytes
            if denied is None and will.retain:
                denied = permissions.may_retain(principal, will.topic)
            if denied is None:
                exchange.accept(message)
            else:
                exchange.note_refused(message, "will_denied", f"{will.topic}: {denied.reason}")

        self.waiting_count += 1
        self._waiting_bytes += size_bytes
        limits = exchange.limits
        may_wait = self.waiting_count <= limits.queue_messages and self._waiting_bytes <= limits.queue_bytes
        permissions.judge_publisher(principal, will.topic, hear, may_wait=may_wait)

    def will_denial(self, session: Session, will: Will) -> Denied | None:
        """Why a client may not leave this will today; None when it may, or that takes time to say."""
        permissions = self._exchange.permissions
        denied = permissions.publish_denial(session.principal, will.topic)
        return permissions.may_retain(session.principal, will.topic) if denied is None and will.retain else denied

    def replay(
        self, session: Session, subscription: Subscription, topic_filter: str, answers: Answers
    ) -> Iterator[None]:
        """Give a new subscription what is retained for it [MQTT-3.3.1-6], one message for each step.

        Where it takes time to say whether its publisher may still publish it, it comes with the answer.
        """
        exchange = self._exchange
        router = exchange.sessions.router(session.principal.tenant_id)
        for message in router.retained.matching(topic_filter, exchange.clock()):
            yield
            if subscription.topic_filter not in session.subscriptions:
                return  # It was given up meanwhile.
            if not exchange.retained_source_is_checked or not message.client_id:
                self._show(message, session, subscription)
            else:
                self._show_if_allowed(message, session, subscription, answers)

    def _show_if_allowed(
        self, message: Message, session: Session, subscription: Subscription, answers: Answers
    ) -> None:
        """Show it unless what its client may no longer say would be repeated for it."""
        exchange = self._exchange
        answers.open_count += 1

        def hear(denied: Denied | None) -> None:
            retained = exchange.sessions.router(message.tenant_id).retained
            is_wanted = subscription.topic_filter in session.subscriptions
            # A newer one, which took its place meanwhile, has gone out already.
            if is_wanted and retained.holds(message, exchange.clock()):
                if denied is None:
                    self._show(message, session, subscription)
                elif not denied.is_judgement:
                    # It might have been shown: nobody could be asked.
                    session.dropped_count += 1
            answers.heard()

        publisher = Principal(message.tenant_id, message.principal, message.is_operators)
        exchange.permissions.judge_publisher(publisher, message.topic, hear)

    def _show(self, message: Message, session: Session, subscription: Subscription) -> None:
        # As published, whatever the option says: it is sent because it is retained [MQTT-3.3.1-8].
        target: Target[Session] = Target(session, subscription)
        target.retain_as_published = True
        self._exchange.give(message, target)
