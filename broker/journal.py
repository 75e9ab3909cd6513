"""What a turn changes in stored sessions and retained messages, for the owner to commit."""

from collections.abc import Callable

import msgspec

from broker.changes import (
    Change,
    ChangeKey,
    Delivery,
    DeliveryGone,
    DeliveryKept,
    IdentifierFreed,
    IdentifierTaken,
    RetainedGone,
    RetainedKept,
    SessionGone,
    SubscriptionGone,
    SubscriptionKept,
)
from broker.message import Message
from broker.packets import Subscription
from broker.session import Session


class Journal:
    """Collects changes; the newest about a row is the one that counts. Sessions that are not stored leave none."""

    def __init__(self, wake: Callable[[], None]) -> None:
        """`wake` is called when there is something to take."""
        self._wake = wake
        self._changes: dict[ChangeKey, Change] = {}

    def take(self) -> dict[ChangeKey, Change]:
        """Everything since the last call."""
        changes, self._changes = self._changes, {}
        return changes

    def session(self, session: Session) -> None:
        """A session began, changed, or was left or joined by its client."""
        if session.is_stored:
            self._note(("session", session.number, ""), session.kept())

    def session_left_behind(self, session: Session, now: int) -> None:
        """A session counts as left from now on (UTC ms): the end of its connection will not be kept any more."""
        if session.is_stored:
            self._note(("session", session.number, ""), msgspec.structs.replace(session.kept(), left_at=now))

    def session_gone(self, session: Session) -> None:
        """A session has ended, or is not stored any more."""
        self._note(("session", session.number, ""), SessionGone(session.number))

    def subscribed(self, session: Session, subscription: Subscription) -> None:
        """A subscription began or changed."""
        if session.is_stored:
            key = ("subscription", session.number, subscription.topic_filter)
            self._note(key, SubscriptionKept(session.number, subscription))

    def unsubscribed(self, session: Session, topic_filter: str) -> None:
        """A subscription ended."""
        if session.is_stored:
            key = ("subscription", session.number, topic_filter)
            self._note(key, SubscriptionGone(session.number, topic_filter))

    def delivery(self, session: Session, delivery: Delivery) -> None:
        """A delivery began or changed."""
        if session.is_stored:
            # A copy: what is committed is the state of this turn.
            kept = DeliveryKept(session.number, msgspec.structs.replace(delivery))
            self._note(("delivery", session.number, delivery.number), kept)

    def delivery_gone(self, session: Session, delivery: Delivery) -> None:
        """A delivery is over."""
        if session.is_stored:
            key = ("delivery", session.number, delivery.number)
            self._note(key, DeliveryGone(session.number, delivery.number))

    def identifier_taken(self, session: Session, packet_id: int) -> None:
        """A QoS 2 message of the client was taken."""
        if session.is_stored:
            self._note(("identifier", session.number, packet_id), IdentifierTaken(session.number, packet_id))

    def identifier_freed(self, session: Session, packet_id: int) -> None:
        """PUBREL came."""
        if session.is_stored:
            self._note(("identifier", session.number, packet_id), IdentifierFreed(session.number, packet_id))

    def retained(self, message: Message) -> None:
        """A retained message is in the place of the one before, or cleared it."""
        key = ("retained", message.tenant_id, message.topic)
        if message.payload:
            self._note(key, RetainedKept(message))
        else:
            self._note(key, RetainedGone(message.tenant_id, message.topic))

    def retained_gone(self, message: Message) -> None:
        """A retained message has expired."""
        self._note(("retained", message.tenant_id, message.topic), RetainedGone(message.tenant_id, message.topic))

    def _note(self, key: ChangeKey, change: Change) -> None:
        if not self._changes:
            self._wake()
        self._changes[key] = change
