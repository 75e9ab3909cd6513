"""A store of sessions in memory: what a disk would hold after the turns that were committed."""

import msgspec

from broker.changes import (
    Change,
    Delivery,
    DeliveryGone,
    DeliveryKept,
    IdentifierFreed,
    IdentifierTaken,
    RetainedGone,
    RetainedKept,
    SessionGone,
    SessionKept,
    StoredSession,
    SubscriptionGone,
    SubscriptionKept,
)
from broker.message import Message
from broker.packets import Subscription
from broker.ports import Turn


class FakeStore:
    """Keeps rows as the changes of turns say. What is changed of a session that is not kept is not kept either."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        """Of every turn that was committed."""
        self._sessions: dict[int, SessionKept] = {}
        self._subscriptions: dict[tuple[int, str], Subscription] = {}
        self._deliveries: dict[tuple[int, int], Delivery] = {}
        self._identifiers: set[tuple[int, int]] = set()
        self._retained: dict[tuple[int, str], Message] = {}
        self._highest_number = 0

    def commit(self, turn: Turn) -> None:
        """Put a turn on the disk."""
        self.messages += turn.messages
        changes = turn.changes.values()
        for change in changes:
            if isinstance(change, SessionKept):
                self._count(change.number)
                self._sessions[change.number] = change
            elif isinstance(change, SessionGone):
                self._sessions.pop(change.number, None)
        for change in changes:
            self._note(change)
        self._sweep()

    def _note(self, change: Change) -> None:
        match change:
            case SessionKept() | SessionGone():
                pass
            case SubscriptionKept(number, subscription):
                self._subscriptions[number, subscription.topic_filter] = subscription
            case SubscriptionGone(number, topic_filter):
                self._subscriptions.pop((number, topic_filter), None)
            case DeliveryKept(number, delivery):
                self._count(delivery.number)
                self._count(delivery.message_number)
                self._deliveries[number, delivery.number] = delivery
            case DeliveryGone(number, delivery_number):
                self._deliveries.pop((number, delivery_number), None)
            case IdentifierTaken(number, packet_id):
                self._identifiers.add((number, packet_id))
            case IdentifierFreed(number, packet_id):
                self._identifiers.discard((number, packet_id))
            case RetainedKept(message):
                self._retained[message.tenant_id, message.topic] = message
            case RetainedGone(tenant_id, topic):
                self._retained.pop((tenant_id, topic), None)

    def _count(self, number: int) -> None:
        self._highest_number = max(self._highest_number, number)

    def _sweep(self) -> None:
        kept = self._sessions.keys()
        self._subscriptions = {key: value for key, value in self._subscriptions.items() if key[0] in kept}
        self._deliveries = {key: value for key, value in self._deliveries.items() if key[0] in kept}
        self._identifiers = {key for key in self._identifiers if key[0] in kept}

    # What the broker reads when it starts.

    def sessions(self) -> list[StoredSession]:
        return [
            StoredSession(
                session,
                tuple(each for (number, _), each in self._subscriptions.items() if number == session.number),
                # Copies: the broker changes its deliveries, the disk does not.
                tuple(
                    msgspec.structs.replace(each)
                    for (number, _), each in sorted(self._deliveries.items(), key=lambda item: item[0])
                    if number == session.number
                ),
                tuple(sorted(packet_id for number, packet_id in self._identifiers if number == session.number)),
            )
            for session in self._sessions.values()
        ]

    def retained(self) -> list[Message]:
        return list(self._retained.values())

    def highest_number(self) -> int:
        return self._highest_number
