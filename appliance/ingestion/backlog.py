"""What the broker handed over and nobody has committed: whole turns, in order, bounded.

A turn is atomic: what it changes belongs to its messages and to its acknowledgements, so it is
committed whole or not at all.
"""

from collections import deque
from collections.abc import Sequence

import msgspec

from appliance.ingestion.model import is_waited_for
from broker.changes import Change, ChangeKey, DeliveryKept, RetainedKept
from broker.message import Message
from broker.ports import Turn

BYTES_LIMIT = 33_554_432
"""Of payloads that wait; a few large messages must not fill the memory that many small ones may have."""
BATCH_BYTES = 2_097_152
"""Of payloads in a batch: one that holds so many is full, for what is decoded takes many times the memory."""
CHANGES_PER_MESSAGE = 16
"""So many changes weigh as much as one message."""


class Batch(msgspec.Struct, frozen=True):
    """Some turns as one: what is committed together."""

    messages: Sequence[Message]
    changes: dict[ChangeKey, Change]
    """Each row once, as the last of the turns left it."""
    receipts: Sequence[object]
    arrived_at: int | None
    """When the oldest of the turns came, UTC milliseconds; None when there is no turn in it."""


class _Waiting(msgspec.Struct, frozen=True):
    turn: Turn
    arrived_at: int
    weight: int
    payload_bytes: int
    is_asking: bool


class Backlog:
    """Turns in the order in which they came. Weights are in messages."""

    def __init__(self, limit: int) -> None:
        self.weight = 0
        self.message_count = 0
        self.asked_at: int | None = None
        """When the oldest turn came to which somebody waits for an answer; None when there is none."""
        self._payload_bytes = 0
        self._limit = limit
        self._waiting: deque[_Waiting] = deque()

    def __len__(self) -> int:
        """Count the turns."""
        return len(self._waiting)

    @property
    def oldest_at(self) -> int | None:
        """When the oldest turn came; None when there is none."""
        return self._waiting[0].arrived_at if self._waiting else None

    def add(self, turn: Turn, now: int) -> None:
        """Put a turn behind the others."""
        # A turn that only waits for those before it weighs something too: their number is bounded as well.
        weight = max(1, len(turn.messages) + len(turn.changes) // CHANGES_PER_MESSAGE)
        is_asking = any(is_waited_for(message.topic) for message in turn.messages)
        waiting = _Waiting(turn, now, weight, _payload_bytes(turn), is_asking)
        self._waiting.append(waiting)
        self._count(waiting, 1)
        if is_asking and self.asked_at is None:
            self.asked_at = now

    def take(self, weight: int) -> Batch:
        """Take out the oldest turns, until they weigh so much, have too many bytes or none is left."""
        messages: list[Message] = []
        changes: dict[ChangeKey, Change] = {}
        receipts: list[object] = []
        arrived_at = self.oldest_at
        taken = taken_bytes = 0
        while self._waiting and taken < weight and taken_bytes < BATCH_BYTES:
            waiting = self._waiting.popleft()
            self._count(waiting, -1)
            taken += waiting.weight
            taken_bytes += waiting.payload_bytes
            messages += waiting.turn.messages
            changes |= waiting.turn.changes
            receipts += waiting.turn.receipts
        self.asked_at = next((waiting.arrived_at for waiting in self._waiting if waiting.is_asking), None)
        return Batch(messages, changes, receipts, arrived_at)

    def is_filled(self, part: int) -> bool:
        """Whether it has reached this part of what it may hold: 1 is all of it, 2 is half."""
        return self.weight * part >= self._limit or self._payload_bytes * part >= BYTES_LIMIT

    def _count(self, waiting: _Waiting, sign: int) -> None:
        self.weight += sign * waiting.weight
        self.message_count += sign * len(waiting.turn.messages)
        self._payload_bytes += sign * waiting.payload_bytes


def _payload_bytes(turn: Turn) -> int:
    """Bytes of the payloads that a turn keeps in memory, each message once."""
    size = sum([len(message.payload) for message in turn.messages])
    if not turn.changes:
        return size
    # A message that only waits or is retained is not among those of the turn when the owner published it.
    counted = set(map(id, turn.messages))
    for change in turn.changes.values():
        match change:
            case DeliveryKept():
                message = change.delivery.message
            case RetainedKept():
                message = change.message
            case _:
                continue
        if id(message) not in counted:
            counted.add(id(message))
            size += len(message.payload)
    return size
